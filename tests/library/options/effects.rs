//! What single options do, on connections in memory and a clock that stands still. Which test shows
//! which option is listed in `checks.rs`.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socketserver::testing::{Peer, TestServer};
use socketserver::{CloseReason, Context, Echo, Handler, Input, Options, TraceEvent};

use crate::support::SECOND;

/// Counts how often its output has drained.
struct Drained(Rc<RefCell<usize>>);

impl Handler for Drained {
    fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }

    fn drained(&mut self, _: &mut Context<'_>) -> io::Result<()> {
        *self.0.borrow_mut() += 1;
        Ok(())
    }
}

/// How many steps of a kind each turn had in which there was one.
fn in_each_turn(steps: &RefCell<Vec<TraceEvent>>, of: fn(&TraceEvent) -> bool) -> Vec<usize> {
    let steps = steps.borrow();
    let turns = steps.split(|step| matches!(step, TraceEvent::Polled(_)));
    turns.map(|turn| turn.iter().filter(|step| of(step)).count()).filter(|n| *n > 0).collect()
}

fn watched(server: &mut TestServer) -> Rc<RefCell<Vec<TraceEvent>>> {
    let steps = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&steps);
    server.server().set_trace(move |step| noted.borrow_mut().push(step));
    steps
}

#[test]
fn a_turn_has_as_many_reads_as_the_budget_says() {
    let options = Options { read_buffer: 10, reads_per_turn: 2, ..Options::default() };
    let mut server = TestServer::with_shared((), options).unwrap();
    let peer = server.connect(Echo).unwrap();
    server.run();
    let steps = watched(&mut server);
    peer.send([7; 75]);
    server.run();
    assert_eq!(peer.received(), [7; 75]);
    let reads = in_each_turn(&steps, |step| {
        matches!(step, TraceEvent::Read(..) | TraceEvent::ReadWouldBlock(_))
    });
    assert_eq!(reads.iter().max(), Some(&2), "{reads:?}");
}

/// What lies in several places leaves in several writes.
#[test]
fn a_turn_has_as_many_writes_as_the_budget_says() {
    let options = Options {
        writes_per_turn: 2,
        high_water: 1 << 20,
        output_limit: 1 << 20,
        ..Options::default()
    };
    let mut server = TestServer::with_shared((), options).unwrap();
    let peer = server.connect(Echo).unwrap();
    server.run();
    peer.set_room(0);
    let piece: Arc<[u8]> = Arc::from([7; 8 << 10]);
    for _ in 0..80 {
        server.io_mut().send_shared(peer.id(), &piece);
    }
    server.run();
    let steps = watched(&mut server);
    peer.set_room(usize::MAX);
    server.run();
    assert_eq!(peer.received().len(), 80 * piece.len());
    let writes = in_each_turn(&steps, |step| matches!(step, TraceEvent::Wrote(..)));
    assert_eq!(writes.iter().max(), Some(&2), "{writes:?}");
}

#[test]
fn output_above_high_water_is_congestion_until_low_water() {
    let options = Options { high_water: 1_000, low_water: 900, ..Options::default() };
    let mut server = TestServer::with_shared((), options).unwrap();
    let drained = Rc::new(RefCell::new(0));
    let peer = server.connect(Drained(Rc::clone(&drained))).unwrap();
    peer.set_room(0);
    server.run();
    let send = |n: usize, server: &mut TestServer| {
        server.io_mut().send(peer.id(), &vec![7; n]);
        server.run();
        server.io().is_congested(peer.id())
    };
    assert!(!send(1_000, &mut server));
    assert!(send(1, &mut server));
    peer.set_room(100);
    server.run();
    assert!(server.io().is_congested(peer.id()));
    assert_eq!((server.io().pending_output(peer.id()), *drained.borrow()), (901, 0));
    peer.set_room(1);
    server.run();
    assert!(!server.io().is_congested(peer.id()));
    assert_eq!((server.io().pending_output(peer.id()), *drained.borrow()), (900, 1));
}

#[test]
fn output_above_its_limit_ends_the_connection() {
    let options =
        Options { high_water: 10, low_water: 0, output_limit: 1_000, ..Options::default() };
    let mut server = TestServer::with_shared((), options).unwrap();
    let peer = server.connect(Echo).unwrap();
    peer.set_room(0);
    server.run();
    server.io_mut().send(peer.id(), &[7; 1_000]);
    server.run();
    assert_eq!(peer.finished(), None);
    server.io_mut().send(peer.id(), b"7");
    server.run();
    assert_eq!(peer.finished().unwrap().reason, CloseReason::OutputLimit);
}

/// One whose handler has closed it.
fn closed(server: &mut TestServer, room: usize) -> Peer {
    let peer = server.connect(Echo).unwrap();
    server.run();
    peer.set_room(room);
    peer.send("hello");
    server.run();
    server.io_mut().close(peer.id());
    server.run();
    peer
}

#[test]
fn a_closed_connection_has_so_long_for_what_is_left() {
    let options = Options { close_timeout: 5 * SECOND, ..Options::default() };
    let mut server = TestServer::with_shared((), options).unwrap();
    let peer = closed(&mut server, 0);
    server.advance(Duration::from_millis(4_999));
    assert_eq!(peer.finished(), None);
    server.advance(SECOND);
    assert_eq!(peer.finished().unwrap().reason, CloseReason::CloseTimeout);
}

#[test]
fn a_closed_connection_lingers_for_so_long() {
    let options =
        Options { linger_timeout: 2 * SECOND, linger_time: 5 * SECOND, ..Options::default() };
    let mut server = TestServer::with_shared((), options).unwrap();
    let silent = closed(&mut server, usize::MAX);
    let talks = closed(&mut server, usize::MAX);
    for (silent_lingers, talks_lingers) in
        [(true, true), (false, true), (false, true), (false, true), (false, false)]
    {
        talks.send("still here");
        server.advance(SECOND);
        assert_eq!((!silent.is_gone(), !talks.is_gone()), (silent_lingers, talks_lingers));
    }
}

#[test]
fn as_many_bytes_may_be_left_as_the_limit_says_and_not_one_more() {
    struct Leaves;
    impl Handler for Leaves {
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
    }
    for at_once in [true, false] {
        let options = Options { input_limit: 10, ..Options::default() };
        let mut server = TestServer::with_shared((), options).unwrap();
        let peer = server.connect(Leaves).unwrap();
        for byte in 0..10 {
            if at_once && byte > 0 {
                break;
            }
            peer.send(if at_once { vec![0; 10] } else { vec![byte] });
            server.run();
        }
        assert!(server.io().is_open(peer.id()), "at once: {at_once}");
        peer.send([0]);
        server.run();
        assert_eq!(server.io().stats().ended(CloseReason::InputLimit), 1, "at once: {at_once}");
    }
}
