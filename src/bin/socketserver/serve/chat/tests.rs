//! Rooms of one loop and of two, on connections in memory: which member waits for which, and until when.

use std::sync::Arc;
use std::time::Duration;

use socketserver::Options;
use socketserver::testing::{Peer, TestServer};

use super::{ChatRoom, Hub, LINE_COST, Member, PATIENCE, WORK_PER_CALL};

const MAX_LINE: usize = 1_024;
/// More than a member may be behind before it is waited for.
const HIGH_WATER: usize = 4 << 10;
/// More than an inbox of another loop takes.
const FULL: usize = 70 << 10;

fn options() -> Options {
    Options { high_water: HIGH_WATER, low_water: HIGH_WATER / 2, ..Options::default() }
}

/// A loop for each room, as on threads of their own, but stepped by hand.
fn loops<const N: usize>() -> [TestServer<ChatRoom>; N] {
    let hub = Arc::new(Hub::new(N));
    std::array::from_fn(|index| {
        TestServer::with_shared(ChatRoom::of_loop(Arc::clone(&hub), index), options()).unwrap()
    })
}

fn member(server: &mut TestServer<ChatRoom>) -> Peer {
    server.connect(Member::new(MAX_LINE)).unwrap()
}

fn run(servers: &mut [TestServer<ChatRoom>]) {
    // A word goes to the other loop, an answer comes back, and what follows from it goes there.
    for _ in 0..4 {
        for server in &mut *servers {
            server.run();
        }
    }
}

/// Numbered lines, `bytes` of them altogether or a little more.
fn lines(name: &str, bytes: usize) -> Vec<u8> {
    let mut all = Vec::new();
    for nth in 0.. {
        if all.len() >= bytes {
            break;
        }
        all.extend(format!("{name} {nth:0500}\n").as_bytes());
    }
    all
}

#[test]
fn whoever_leaves_is_waited_for_no_longer() {
    let leave: [fn(&Peer); 2] = [Peer::reset, Peer::end];
    for leave in leave {
        let mut server = TestServer::with_shared(ChatRoom::default(), options()).unwrap();
        let (speaker, reader) = (member(&mut server), member(&mut server));
        let slow = member(&mut server);
        slow.set_room(0);
        speaker.send(lines("a", 2 * HIGH_WATER));
        speaker.send(lines("b", HIGH_WATER));
        server.run();
        assert!(server.shared().paused.contains(&speaker.id()), "the slow one is waited for");
        let mut heard = reader.received();
        assert!(heard.len() < 3 * HIGH_WATER);
        leave(&slow);
        server.run();
        // One that only ends its sending has its output still to take, and is waited for.
        if slow.finished().is_none() {
            slow.set_room(usize::MAX);
            server.run();
        }
        assert!(server.shared().slow.is_empty() && server.shared_mut().paused.is_empty());
        heard.extend(reader.received());
        assert!(heard == [lines("a", 2 * HIGH_WATER), lines("b", HIGH_WATER)].concat());
    }
}

/// As Python's `readline` has it: the end of input ends a line too.
#[test]
fn a_last_line_without_a_newline_reaches_everybody_else() {
    let mut server = TestServer::with_shared(ChatRoom::default(), options()).unwrap();
    let (speaker, reader) = (member(&mut server), member(&mut server));
    speaker.send(b"first\nlast");
    server.run();
    assert_eq!(reader.received(), b"first\n");
    speaker.end();
    server.run();
    assert_eq!(reader.received(), b"last\n");
    assert!(speaker.finished().is_some());
    assert!(server.shared().paused.is_empty());
}

/// The inbox of another loop is bounded, also when members leave.
#[test]
fn a_last_line_waits_for_a_loop_that_is_behind() {
    let mut servers = loops::<2>();
    let [a, b] = &mut servers;
    let (speaker, leaver, reader) = (member(a), member(a), member(b));
    a.run();
    b.run();
    leaver.send(b"last");
    speaker.send(lines("a", FULL));
    a.run();
    assert!(a.shared_mut().is_ahead(), "the other loop has not looked yet");
    leaver.end();
    a.run();
    assert!(leaver.finished().is_none(), "its line would go beyond the bound");
    run(&mut servers);
    let mut heard = reader.received();
    for server in &mut servers {
        server.advance(PATIENCE);
    }
    run(&mut servers);
    heard.extend(reader.received());
    assert!(heard == [lines("a", FULL).as_slice(), b"last\n"].concat());
    assert!(leaver.finished().is_some());
}

#[test]
fn whoever_leaves_while_paused_is_not_kept_in_mind() {
    let mut server = TestServer::with_shared(ChatRoom::default(), options()).unwrap();
    let (speaker, slow) = (member(&mut server), member(&mut server));
    slow.set_room(0);
    speaker.send(lines("a", 2 * HIGH_WATER));
    server.run();
    assert!(server.shared().paused.contains(&speaker.id()));
    speaker.reset();
    server.run();
    assert!(speaker.finished().is_some());
    assert!(server.shared().paused.is_empty(), "a ghost");
    assert!(!server.shared().members.contains(&speaker.id()));
    // Nor does it keep others from being waited for, or from going on.
    let next = member(&mut server);
    next.send("hello\n");
    server.run();
    assert!(server.shared().paused.contains(&next.id()));
    slow.set_room(usize::MAX);
    server.run();
    assert!(server.shared().paused.is_empty());
    assert!(slow.received().ends_with(b"hello\n"));
}

#[test]
fn a_member_that_takes_nothing_is_waited_for_no_longer_than_so() {
    let mut server = TestServer::with_shared(ChatRoom::default(), options()).unwrap();
    let (speaker, reader, stuck) = (member(&mut server), member(&mut server), member(&mut server));
    stuck.set_room(0);
    let said = lines("a", 3 * HIGH_WATER);
    speaker.send(&said);
    server.advance(PATIENCE.saturating_sub(Duration::from_millis(1)));
    let mut heard = reader.received();
    assert!(heard.len() < said.len());
    server.advance(Duration::from_millis(1));
    heard.extend(reader.received());
    assert!(heard == said);
}

#[test]
fn a_loop_that_is_behind_is_waited_for_until_it_has_looked() {
    let mut servers = loops::<2>();
    let (speaker, near) = (member(&mut servers[0]), member(&mut servers[0]));
    let far = member(&mut servers[1]);
    let said = lines("a", 3 * FULL);
    speaker.send(&said);
    // The other loop is busy elsewhere: what is said for it stays bounded.
    servers[0].run();
    assert!(servers[0].shared_mut().is_ahead());
    assert!(servers[0].shared_mut().paused.contains(&speaker.id()));
    assert!(near.received().len() <= FULL);
    let mut heard = Vec::new();
    while heard.len() < said.len() {
        run(&mut servers);
        let more = far.received();
        assert!(!more.is_empty(), "it goes no further than {}", heard.len());
        heard.extend(more);
    }
    assert!(heard == said);
    assert!(!servers[0].shared_mut().is_ahead() && servers[0].shared_mut().paused.is_empty());
}

#[test]
fn a_loop_that_is_gone_is_waited_for_no_longer() {
    let [mut here, mut there] = loops::<2>();
    let (speaker, near) = (member(&mut here), member(&mut here));
    let _far = member(&mut there);
    let said = lines("a", 2 * FULL);
    speaker.send(&said);
    here.run();
    assert!(here.shared_mut().paused.contains(&speaker.id()));
    let mut heard = near.received();
    assert!(heard.len() < said.len());
    drop(there);
    here.run();
    assert!(here.shared_mut().paused.is_empty() && !here.shared_mut().is_ahead());
    heard.extend(near.received());
    assert!(heard == said);
    // Nor is it from then on.
    let more = lines("b", 2 * FULL);
    speaker.send(&more);
    here.run();
    assert!(near.received() == more);
    assert!(here.shared_mut().paused.is_empty() && !here.shared_mut().is_ahead());
}

/// One that panicked, say: its members had no `finish` that would have told.
#[test]
fn a_loop_that_ends_with_its_members_is_waited_for_no_longer() {
    let hub = Arc::new(Hub::new(2));
    let room = ChatRoom::of_loop(Arc::clone(&hub), 0);
    let mut here = TestServer::with_shared(room, options()).unwrap();
    let (speaker, near) = (member(&mut here), member(&mut here));
    // A command to the other loop reaches no loop.
    let there = TestServer::with_shared(ChatRoom::default(), options()).unwrap().server().handle();
    hub.enter(1, || there);
    let said = lines("a", 2 * FULL);
    speaker.send(&said);
    here.run();
    assert!(here.shared_mut().paused.contains(&speaker.id()));
    let mut heard = near.received();
    hub.close(1);
    here.run();
    heard.extend(near.received());
    assert!(heard == said, "{} of {}", heard.len(), said.len());
    assert!(here.shared_mut().paused.is_empty() && !here.shared_mut().is_ahead());
}

#[test]
fn nothing_is_lost_while_a_member_of_the_other_loop_is_waited_for() {
    let mut servers = loops::<2>();
    let speaker = member(&mut servers[0]);
    let (reader, slow) = (member(&mut servers[1]), member(&mut servers[1]));
    slow.set_room(0);
    let first = lines("a", 2 * HIGH_WATER);
    speaker.send(&first);
    run(&mut servers);
    assert!(servers[1].shared_mut().awaits_somebody());
    let mut heard = reader.received();
    // It lies in the inbox until the slow one has taken what came before.
    let second = lines("b", 3 * HIGH_WATER);
    for piece in second.chunks(300) {
        speaker.send(piece);
        run(&mut servers);
    }
    heard.extend(reader.received());
    assert!(heard == first, "the others hear no more than the slow one");
    slow.set_room(usize::MAX);
    run(&mut servers);
    heard.extend(reader.received());
    let said = [first, second].concat();
    assert!(heard == said);
    assert!(slow.received() == said);
    assert!(servers[0].shared_mut().paused.is_empty());
}

#[test]
fn a_loop_without_members_is_told_nothing() {
    let mut servers = loops::<2>();
    let speaker = member(&mut servers[0]);
    let far = member(&mut servers[1]);
    far.reset();
    run(&mut servers);
    assert!(far.finished().is_some());
    speaker.send(lines("a", 3 * FULL));
    run(&mut servers);
    assert!(!servers[0].shared_mut().is_ahead() && servers[0].shared_mut().paused.is_empty());
    // Whoever comes now has not missed a line that was meant for it, and hears what is said next.
    let late = member(&mut servers[1]);
    speaker.send("hello\n");
    run(&mut servers);
    assert_eq!(late.received(), b"hello\n");
}

/// A room's work is charged to its speaker, by the members and not by the bytes.
#[test]
fn a_flood_of_empty_lines_lets_others_speak() {
    let mut server = TestServer::with_shared(ChatRoom::default(), Options::default()).unwrap();
    let members: Vec<Peer> = (0..100).map(|_| member(&mut server)).collect();
    members[0].send(vec![b'\n'; 32 << 10]);
    members[1].send("hello\n");
    server.run();
    let heard = members[2].received();
    assert_eq!(heard.len(), (32 << 10) + 6);
    let before = heard.windows(5).position(|window| window == b"hello").unwrap();
    // Once by itself, and in that turn once for each read of the budget.
    let per_call = WORK_PER_CALL / (members.len() * LINE_COST) + 1;
    assert!(before <= 5 * per_call, "{before} lines came before");
}
