//! A close destroys no answer that is under way, and waits for nobody for ever.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use socketserver::testing::{Peer, TestServer};
use socketserver::{CloseReason, Context, Handler, Input, Options};

use crate::support::{Client, Harness, Kind, ms, on_input, on_setup, pattern};

/// Answers the first bytes and closes, whatever else may come.
struct AnswersOnce;

impl Handler for AnswersOnce {
    fn handle(&mut self, cx: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
        cx.send(&pattern(100_000, 1));
        cx.close();
        Ok(())
    }
}

kinds!(an_answer_gets_through_although_the_client_is_still_sending);

fn an_answer_gets_through_although_the_client_is_still_sending(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| AnswersOnce);
    let mut client = Client::connect(&addr);
    // Sends on for a while without looking at the answer.
    for _ in 0..20 {
        client.push(&[0; 10_000]);
        harness.turn(Some(Duration::ZERO)).unwrap();
    }
    assert!(harness.receive_to_end(&mut client) == pattern(100_000, 1), "{kind:?}");
    drop(client);
    harness.until_ended(1);
    assert_eq!(harness.ended(CloseReason::Closed), 1);
}

kinds!(an_error_with_unread_input_does_not_destroy_the_answer);

fn an_error_with_unread_input_does_not_destroy_the_answer(kind: Kind) {
    let mut harness = Harness::with_shared((), Options { read_buffer: 10, ..Options::default() });
    let addr = harness.serve(kind, |_| {
        on_input(|cx: &mut Context<'_>, _| {
            cx.send(b"bad request");
            Err(ErrorKind::InvalidData.into())
        })
    });
    let mut client = Client::connect(&addr);
    client.send(&[0; 50_000]);
    assert_eq!(harness.receive_to_end(&mut client), b"bad request");
    drop(client);
    harness.until_ended(1);
}

/// A server whose clock stands still, and so many peers that have got an answer and linger.
fn lingering(options: Options, peers: usize) -> (TestServer, Vec<Peer>) {
    let mut server = TestServer::with_shared((), options).unwrap();
    let connect = |server: &mut TestServer| {
        let peer = server.connect(AnswersOnce).unwrap();
        peer.send("?");
        server.run();
        assert!(peer.has_end(), "it was answered");
        server.advance(ms(1));
        peer
    };
    let peers = (0..peers).map(|_| connect(&mut server)).collect();
    (server, peers)
}

/// Whether the server still waits for the end of this peer.
fn lingers(server: &mut TestServer, peer: &Peer) -> bool {
    peer.send("");
    server.run();
    !peer.is_gone()
}

#[test]
fn a_silent_client_that_does_not_close_is_waited_for_no_longer_than_the_linger_timeout() {
    let (mut server, peers) = lingering(Options::default(), 1);
    assert_eq!(server.io().stats().all_ended(), 1, "its conversation is over already");
    server.advance(ms(4_998));
    assert!(lingers(&mut server, &peers[0]));
    server.advance(ms(1));
    assert!(!lingers(&mut server, &peers[0]));
}

#[test]
fn a_client_that_sends_on_is_listened_to_for_the_linger_time_however_much_it_sends() {
    let (mut server, peers) = lingering(Options::default(), 1);
    for second in 1..30 {
        peers[0].send([0; 200_000]);
        server.advance(ms(1_000));
        assert!(lingers(&mut server, &peers[0]), "after {second} s");
    }
    server.advance(ms(1_000));
    assert!(!lingers(&mut server, &peers[0]));
}

#[test]
fn an_answer_that_is_on_its_way_is_waited_for() {
    let (mut server, peers) = lingering(Options::default(), 1);
    peers[0].set_unacknowledged(1);
    server.advance(ms(22_000));
    assert!(lingers(&mut server, &peers[0]));
    peers[0].set_unacknowledged(0);
    server.advance(ms(5_000));
    assert!(!lingers(&mut server, &peers[0]));

    let (mut server, peers) = lingering(Options::default(), 1);
    peers[0].set_unacknowledged(1);
    server.advance(ms(29_990));
    assert!(lingers(&mut server, &peers[0]));
    server.advance(ms(10));
    assert!(!lingers(&mut server, &peers[0]), "but not for ever");
}

#[test]
fn of_too_many_that_linger_the_oldest_go() {
    let (mut server, peers) = lingering(Options { max_lingering: 2, ..Options::default() }, 5);
    let left: Vec<bool> = peers.iter().map(|peer| lingers(&mut server, peer)).collect();
    assert_eq!(left, [false, false, false, true, true]);
    assert_eq!(server.io().connection_count(), 2);
    // Who is gone counts no more.
    peers[3].end();
    server.run();
    assert_eq!(server.io().connection_count(), 1);
}

kinds!(who_lingers_makes_room_for_who_comes);

fn who_lingers_makes_room_for_who_comes(kind: Kind) {
    let options = Options { max_connections: 2, ..Options::default() };
    let mut harness = Harness::with_shared((), options.clone());
    let addr = harness.serve(kind, |_| AnswersOnce);
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connect(&addr);
        client.send(b"?");
        assert!(harness.receive_to_end(&mut client) == pattern(100_000, 1), "{kind:?}");
        // None of them closes.
        clients.push(client);
    }
    // Whether another one waits shows only when there is room for it.
    assert!((1..=2).contains(&harness.io().connection_count()));
}

#[test]
fn who_only_lingers_makes_room_for_an_outgoing_connection() {
    let options = Options { max_connections: 1, ..Options::default() };
    let (mut server, peers) = lingering(options, 1);
    let begun = server.server().connect("127.0.0.1:9", socketserver::Echo);
    assert!(begun.is_ok(), "{begun:?}");
    assert!(!lingers(&mut server, &peers[0]));
}

#[test]
fn a_shutdown_waits_for_who_sends_on_for_two_seconds() {
    let (mut server, peers) = lingering(Options::default(), 1);
    server.io_mut().shutdown(ms(20_000));
    for _ in 0..3 {
        assert!(lingers(&mut server, &peers[0]));
        peers[0].send([0; 1_000]);
        server.advance(ms(500));
    }
    server.advance(ms(500));
    assert!(!lingers(&mut server, &peers[0]));
    assert_eq!(server.server().report().map(|report| report.forced), Some(0));
}

/// A client that sends on without looking, as those do that post a long body, loses no answer
/// although the server refuses it at once.
#[test]
fn an_early_answer_is_not_destroyed_by_what_still_comes() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| AnswersOnce);
    for _ in 0..10 {
        let mut client = Client::connect(&addr);
        let mut left = 8 << 20;
        harness.until(|_| {
            let piece = left.min(256 << 10);
            left -= client.push(&vec![b'x'; piece]);
            left == 0
        });
        client.finish_sending();
        assert!(harness.receive_to_end(&mut client) == pattern(100_000, 1));
    }
}

kinds!(a_look_in_vain_does_not_end_the_lingering);

fn a_look_in_vain_does_not_end_the_lingering(kind: Kind) {
    let options = Options { linger_timeout: ms(20_000), read_buffer: 1_024, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(kind, |_| AnswersOnce);
    let mut client = Client::connect(&addr);
    client.send(b"?");
    harness.receive_to_end(&mut client);
    let steps = harness.steps();
    for _ in 0..3 {
        // It fills the buffer, so that only one more read tells that this was all.
        client.send(&[0; 1_024]);
        harness.until_quiet(&steps);
        assert_eq!(harness.io().connection_count(), 1, "{kind:?}: it lingers on");
    }
    drop(client);
    harness.until_ended(1);
}

kinds!(a_client_that_closes_ends_the_lingering_at_once);

fn a_client_that_closes_ends_the_lingering_at_once(kind: Kind) {
    let mut harness =
        Harness::with_shared((), Options { linger_timeout: ms(20_000), ..Options::default() });
    let addr = harness.serve(kind, |_| AnswersOnce);
    let mut clients = Client::connect_many(&addr, 10);
    for client in &mut clients {
        client.send(b"?");
    }
    for client in &mut clients {
        harness.receive_to_end(client);
    }
    let began = Instant::now();
    drop(clients);
    harness.until(|server| server.io().connection_count() == 0);
    assert!(began.elapsed() < ms(5_000));
}

#[test]
fn a_lingering_connection_reaches_no_handler_and_takes_nothing() {
    let mut harness = Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, |_| {
        on_setup(|cx: &mut Context<'_, Vec<_>>| {
            cx.shared.push(cx.id);
            cx.close();
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    harness.receive_to_end(&mut client);
    let id = harness.shared_mut().first().copied().unwrap();
    assert_eq!(harness.io().connection_count(), 1);
    assert_eq!(harness.io_mut().send(id, b"late"), socketserver::SendStatus::Closed);
    harness.io_mut().resume(id);
    harness.io_mut().shutdown_write(id);
    harness.io_mut().close(id);
    client.send(b"late");
    harness.turn(Some(ms(1))).unwrap();
    assert_eq!(harness.io().stats().all_ended(), 1);
    drop(client);
    harness.until_ended(1);
}

#[test]
fn an_abort_of_a_lingering_connection_is_no_second_end() {
    let mut harness = Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, |_| {
        on_setup(|cx: &mut Context<'_, Vec<_>>| {
            cx.shared.push(cx.id);
            cx.close();
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    harness.receive_to_end(&mut client);
    let id = harness.shared_mut().first().copied().unwrap();
    harness.io_mut().abort(id);
    harness.turn(Some(ms(1))).unwrap();
    drop(client);
    harness.until_ended(1);
    assert_eq!(harness.ended(CloseReason::Closed), 1);
}

#[test]
fn progress_puts_the_close_timeout_off() {
    let options = Options { close_timeout: ms(150), ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(Kind::Unix, |_| {
        on_setup(|cx: &mut Context<'_>| {
            cx.send(&pattern(2 << 20, 2));
            cx.close();
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    let began = Instant::now();
    let mut next = began;
    harness.until(|_| {
        if Instant::now() < next {
            return false;
        }
        next += ms(20);
        client.look_at_most(64 << 10)
    });
    assert!(began.elapsed() > ms(300), "it was too fast to prove anything");
    assert!(client.received == pattern(2 << 20, 2));
    drop(client);
    harness.until_ended(1);
    assert_eq!(harness.ended(CloseReason::Closed), 1);
}
