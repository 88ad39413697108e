//! Each command about a socket works, or says that it could not be done: every one for every kind.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use socketserver::testing::TestServer;
use socketserver::{
    Addr, CloseReason, Connect, Context, Echo, Handler, Input, Io, Options, SendStatus, SocketId,
    TimerId,
};

use crate::support::{Client, Harness, Kind, on_input};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    Connection,
    /// Its time has not come.
    Planned,
    /// Closed by its handler; it still sends.
    Closing,
    Bound,
    Connected,
    Listener,
    Alarm,
    /// It is gone.
    Stale,
}

const KINDS: [Of; 8] = [
    Of::Connection,
    Of::Planned,
    Of::Closing,
    Of::Bound,
    Of::Connected,
    Of::Listener,
    Of::Alarm,
    Of::Stale,
];

const LONG: Duration = Duration::from_secs(3_600);

/// A server with one socket of that kind, and somebody whom a datagram may be sent to.
fn with(kind: Of) -> (Harness, SocketId, Addr) {
    let mut harness = Harness::new();
    let listener = harness.listen("127.0.0.1:0", |_| Echo).unwrap();
    let port = harness.io().local_addr(listener).unwrap();
    let other = harness.bind("127.0.0.1:0", Echo).unwrap();
    let peer = harness.io().local_addr(other).unwrap();
    let id = match kind {
        Of::Planned => harness.connect(Connect::to(port).unwrap().delay(LONG), Echo).unwrap(),
        Of::Connection | Of::Closing => {
            let id = harness.connect(port, Echo).unwrap();
            harness.until(|server| server.io().connection_count() == 2);
            if kind == Of::Closing {
                // More than the system takes.
                harness.io_mut().send(id, &[b'x'; 15 << 20]);
                assert!(harness.io_mut().close(id));
            }
            id
        }
        Of::Bound => harness.bind("127.0.0.1:0", Echo).unwrap(),
        Of::Connected => harness.connect_datagram(peer.clone(), Echo).unwrap(),
        Of::Listener => listener,
        Of::Alarm => harness.add_timer_handler(|_| Ok(())).unwrap(),
        Of::Stale => {
            let id = harness.add_timer_handler(|_| Ok(())).unwrap();
            assert!(harness.io_mut().close(id));
            harness.turn(Some(Duration::ZERO)).unwrap();
            id
        }
    };
    (harness, id, peer)
}

/// Says whether it could be done.
type Command = fn(&mut Io, SocketId, &Addr) -> bool;

/// What it is called, and for which kinds it can be done.
const TABLE: &[(&str, Command, &[Of])] = {
    use Of::{Alarm, Bound, Closing, Connected, Connection, Listener, Planned};
    const OPEN: &[Of] = &[Connection, Planned, Bound, Connected, Listener, Alarm];
    const TALKS: &[Of] = &[Connection, Planned];
    const DATAGRAMS: &[Of] = &[Bound, Connected];
    const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251));
    &[
        ("is_open", |io, id, _| io.is_open(id), OPEN),
        ("pause", |io, id, _| io.pause(id) && io.is_paused(id), OPEN),
        ("resume", |io, id, _| io.pause(id) && io.resume(id) && !io.is_paused(id), OPEN),
        ("set_read_while_congested", |io, id, _| io.set_read_while_congested(id, true), TALKS),
        ("shutdown_write", |io, id, _| io.shutdown_write(id), TALKS),
        ("close", |io, id, _| io.close(id) && !io.is_open(id) && !io.close(id), OPEN),
        (
            "abort",
            |io, id, _| io.abort(id) && !io.is_open(id) && !io.abort(id),
            &[Connection, Planned, Closing, Bound, Connected, Listener, Alarm],
        ),
        (
            "set_timer",
            |io, id, _| {
                let timer = io.set_timer(id, LONG);
                // One that is none cannot be cancelled either.
                assert_eq!(io.cancel_timer(timer), timer != TimerId::NONE);
                timer != TimerId::NONE
            },
            &[Connection, Planned, Bound, Connected, Alarm],
        ),
        (
            "send",
            |io, id, _| io.send(id, b"hello") != SendStatus::Closed,
            &[Connection, Planned, Connected],
        ),
        (
            "send_shared",
            |io, id, _| io.send_shared(id, &vec![0; 5_000].into()) != SendStatus::Closed,
            &[Connection, Planned, Connected],
        ),
        ("send_to", |io, id, peer| io.send_to(id, b"hello", peer) != SendStatus::Closed, DATAGRAMS),
        ("set_peer", |io, id, peer| io.connect_peer(id, peer).is_ok(), DATAGRAMS),
        (
            "join_multicast",
            |io, id, _| match io.join_multicast(id, GROUP, 0) {
                Ok(()) => io.leave_multicast(id, GROUP, 0).is_ok(),
                // No interface for it is the system's word, and not ours.
                Err(error) => error.kind() != io::ErrorKind::NotConnected,
            },
            DATAGRAMS,
        ),
        (
            "set_nodelay",
            |io, id, _| io.set_nodelay(id, true).is_ok(),
            &[Connection, Planned, Closing],
        ),
        ("peer_addr", |io, id, _| io.peer_addr(id).is_some(), &[Connection, Closing, Connected]),
        (
            "local_addr",
            |io, id, _| io.local_addr(id).is_some(),
            &[Connection, Closing, Bound, Connected, Listener],
        ),
    ]
};

#[test]
fn every_command_says_for_every_kind_whether_it_could_be_done() {
    for (name, command, can) in TABLE {
        for kind in KINDS {
            let (mut harness, id, peer) = with(kind);
            assert_eq!(
                command(harness.io_mut(), id, &peer),
                can.contains(&kind),
                "{name}: {kind:?}"
            );
            harness.turn(Some(Duration::ZERO)).unwrap();
        }
    }
}

kinds!(a_paused_listener_accepts_nobody_and_loses_nobody);

fn a_paused_listener_accepts_nobody_and_loses_nobody(kind: Kind) {
    let mut harness = Harness::new();
    let id = harness.serve_as(kind, |_| Echo);
    let addr = harness.io().local_addr(id).unwrap();
    let mut first = Client::connect(&addr);
    harness.echo(&mut first, b"before");
    assert!(harness.io_mut().pause(id));
    let mut late = Client::connect_many(&addr, 3);
    for _ in 0..5 {
        harness.turn(Some(Duration::from_millis(1))).unwrap();
    }
    assert_eq!(harness.io().stats().accepted, 1, "{kind:?}");
    harness.echo(&mut first, b"served all the same");
    // What was reported meanwhile is not reported again.
    assert!(harness.io_mut().resume(id));
    for client in &mut late {
        harness.echo(client, b"after all");
    }
}

#[test]
fn a_listener_that_is_paused_while_there_is_no_room_accepts_when_both_are_over() {
    let mut harness =
        Harness::with_shared((), Options { max_connections: 1, ..Options::default() });
    let id = harness.serve_as(Kind::Tcp, |_| Echo);
    let addr = harness.io().local_addr(id).unwrap();
    let mut first = Client::connect(&addr);
    harness.echo(&mut first, b"first");
    let mut second = Client::connect(&addr);
    harness.turn(Some(Duration::from_millis(1))).unwrap();
    harness.io_mut().pause(id);
    drop(first);
    harness.until_ended(1);
    harness.turn(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(harness.io().stats().accepted, 1);
    harness.io_mut().resume(id);
    harness.echo(&mut second, b"second");
}

// Aborting when it is already closed.

/// Closes, or fails, as soon as something comes; and wants a reset, or not.
struct Ends {
    fails: bool,
    aborts: bool,
}

impl Handler for Ends {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        cx.send(input.take_all());
        cx.close();
        if self.fails { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    }

    fn finish(&mut self, cx: &mut Context<'_>, _: io::Result<()>) {
        if self.aborts {
            assert!(cx.io.abort(cx.id));
        }
    }
}

#[test]
fn a_finish_that_aborts_has_the_peer_get_a_reset() {
    for fails in [false, true] {
        for aborts in [false, true] {
            let mut server = TestServer::new().unwrap();
            let peer = server.connect(Ends { fails, aborts }).unwrap();
            peer.send("hello");
            server.run();
            let reason = if fails { CloseReason::HandlerError } else { CloseReason::Closed };
            assert_eq!(peer.finished().unwrap().reason, reason);
            assert_eq!(peer.was_reset(), aborts, "fails: {fails}");
            assert_eq!(peer.received().is_empty(), fails && aborts, "what it sent is dropped");
            assert_eq!(
                server.io().connection_count(),
                usize::from(!aborts),
                "it waits for the end"
            );
            server.io().verify_stats().unwrap();
        }
    }
}

#[test]
fn a_connection_that_only_lingers_or_sends_the_rest_can_still_be_aborted() {
    for fails in [false, true] {
        let mut server = TestServer::new().unwrap();
        let peer = server.connect(Ends { fails, aborts: false }).unwrap();
        // The rest does not leave when it fails, and the peer does not end when it does not.
        peer.set_room(if fails { 0 } else { usize::MAX });
        peer.send("hello");
        server.run();
        assert!(peer.finished().is_some(), "its conversation is over");
        assert!(server.io_mut().abort(peer.id()));
        server.io().verify_stats().unwrap();
        assert!(!server.io_mut().abort(peer.id()), "it was");
        server.run();
        assert!(peer.was_reset());
        assert_eq!((server.io().connection_count(), server.io().stats().all_ended()), (0, 1));
        assert_eq!(server.io().stats().bytes_dropped, if fails { 5 } else { 0 });
        server.io().verify_stats().unwrap();
    }
}

#[test]
fn a_timer_set_where_nobody_could_be_called_is_none() {
    struct Sets;
    impl Handler<Vec<TimerId>> for Sets {
        fn handle(
            &mut self,
            cx: &mut Context<'_, Vec<TimerId>>,
            input: &mut Input<'_>,
        ) -> io::Result<()> {
            input.take_all();
            let timer = cx.set_timer(LONG);
            cx.close();
            let none = cx.set_timer(LONG);
            cx.shared.extend([timer, none]);
            Ok(())
        }
        fn finish(&mut self, cx: &mut Context<'_, Vec<TimerId>>, _: io::Result<()>) {
            let none = cx.set_timer(LONG);
            cx.shared.push(none);
        }
    }
    let mut server = TestServer::with_shared(Vec::new(), Options::default()).unwrap();
    let peer = server.connect(Sets).unwrap();
    peer.send("x");
    server.run();
    let none: Vec<bool> = server.shared_mut().iter().map(|timer| *timer == TimerId::NONE).collect();
    assert_eq!(none, [false, true, true]);
}

/// Edges come once, and what a source has left when it paused is not reported again.
#[cfg(unix)]
#[test]
fn a_watched_source_that_pauses_in_the_middle_is_told_again_when_it_resumes() {
    use socketserver::mio;
    use std::io::{Read, Write};
    let mut harness = Harness::with_shared(Vec::new(), Options::default());
    let (mut sender, receiver) = mio::unix::pipe::new().unwrap();
    let id = harness
        .watch(receiver, mio::Interest::READABLE, |cx, pipe, ready| {
            if ready.readable {
                let mut byte = [0];
                pipe.read_exact(&mut byte)?;
                cx.shared.push(byte[0]);
            }
            cx.pause();
            Ok(())
        })
        .unwrap();
    sender.write_all(b"abc").unwrap();
    for seen in 1..=3 {
        harness.until(|server| server.shared_mut().len() == seen);
        assert!(harness.io().is_paused(id));
        // A timer calls it all the same, with nothing ready.
        harness.io_mut().set_timer(id, Duration::ZERO);
        harness.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(harness.shared().len(), seen);
        assert!(harness.io_mut().resume(id));
    }
    assert_eq!(*harness.shared(), b"abc");
}

#[cfg(unix)]
#[test]
fn a_watched_source_that_pauses_and_resumes_in_one_call_is_not_called_for_ever() {
    use socketserver::mio;
    use std::io::Write;
    let mut harness = Harness::with_shared(0, Options::default());
    let (mut sender, receiver) = mio::unix::pipe::new().unwrap();
    let watch = harness.watch(receiver, mio::Interest::READABLE, |cx, _, _| {
        *cx.shared += 1;
        cx.pause();
        cx.io.resume(cx.id);
        Ok(())
    });
    watch.unwrap();
    sender.write_all(b"x").unwrap();
    harness.until(|server| *server.shared_mut() == 1);
    for _ in 0..5 {
        harness.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(*harness.shared(), 1);
}

/// Somebody else gives the command, in the turn of the one whom it is about.
#[test]
fn what_another_handler_commands_in_the_same_round_takes_effect_once() {
    for (command, answered) in [("close", 6), ("abort", 0), ("shutdown_write", 6), ("pause", 6)] {
        let mut server =
            TestServer::with_shared(Vec::<SocketId>::new(), Options::default()).unwrap();
        let first = server.connect(Echo).unwrap();
        let judge = on_input(move |cx: &mut Context<'_, Vec<SocketId>>, input| {
            input.take_all();
            let other = cx.shared[0];
            let done = match command {
                "close" => cx.io.close(other),
                "abort" => cx.io.abort(other),
                "pause" => cx.io.pause(other) && cx.io.resume(other),
                _ => cx.io.shutdown_write(other),
            };
            assert!(done, "{command}");
            Ok(())
        });
        let second = server.connect(judge).unwrap();
        server.shared_mut().push(first.id());
        // Both are served in one round, in this order.
        first.send("before");
        second.send("now");
        server.run();
        assert_eq!(first.received().len(), answered, "{command}");
        assert_eq!(first.was_reset(), command == "abort");
        assert_eq!(first.has_end(), command != "pause", "{command}");
        server.io().verify_stats().unwrap();
    }
}
