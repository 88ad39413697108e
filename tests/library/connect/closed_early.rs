//! Connections that are closed while they are made: what was sent before leaves, and what owes nothing holds up
//! nobody.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Instant;

use socketserver::{Addr, CloseReason, Connect, Echo, Options, Reconnect};

use super::shutdown::silent;
use crate::support::{
    Call, CallLog, Discard, Harness, Kind, PATIENCE, Recording, ms, on_input, pattern,
};

#[test]
fn what_was_sent_before_the_close_arrives_though_the_connection_was_not_made_yet() {
    for kind in Kind::ALL {
        for (len, after) in [(1, 0), (1_000_000, 0), (5, 3)] {
            let mut h = Harness::with_shared(Vec::new(), Options::default());
            let there = h.serve(kind, |_| {
                on_input(|cx: &mut socketserver::Context<'_, Vec<u8>>, input| {
                    cx.shared.extend_from_slice(input.take_all());
                    Ok(())
                })
            });
            let journal = CallLog::default();
            let connect = Connect::to(there).unwrap().delay(ms(after));
            let id = h.connect(connect, Recording::new(&journal, Discard)).unwrap();
            h.io_mut().send(id, &pattern(len, 1));
            assert!(h.io_mut().close(id));
            h.until_ended(2);
            assert!(*h.shared() == pattern(len, 1), "{kind:?}: {} of {len}", h.shared().len());
            assert_eq!(journal.calls(), [Call::Finish(CloseReason::Closed, None)], "{kind:?}");
        }
    }
}

#[test]
fn one_that_is_closed_with_nothing_to_send_ends_at_once() {
    let (_listener, _waiting, addr) = silent();
    let mut h = Harness::new();
    let journal = CallLog::default();
    let id = h.connect(addr, Recording::new(&journal, Echo)).unwrap();
    assert!(h.io_mut().close(id));
    h.until_ended(1);
    let failed = (CloseReason::ConnectFailed, Some(ErrorKind::ConnectionAborted));
    assert_eq!(journal.finishes(), [failed]);
}

#[test]
fn one_that_is_closed_and_never_made_fails_in_time() {
    let (_listener, _waiting, addr) = silent();
    let options = Options { connect_timeout: ms(20), ..Options::default() };
    let mut h = Harness::with_shared((), options);
    let journal = CallLog::default();
    let id = h.connect(addr, Recording::new(&journal, Echo)).unwrap();
    h.io_mut().send(id, b"never");
    h.io_mut().close(id);
    h.until_ended(1);
    assert_eq!(journal.finishes(), [(CloseReason::ConnectFailed, Some(ErrorKind::TimedOut))]);
}

#[test]
fn a_shutdown_does_not_wait_for_a_connection_in_the_making_that_owes_nothing() {
    let (_listener, _waiting, addr) = silent();
    let mut h = Harness::new();
    let journal = CallLog::default();
    h.connect(addr, Recording::new(&journal, Echo)).unwrap();
    let began = Instant::now();
    let report = h.shutdown(PATIENCE).unwrap();
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    assert_eq!((report.forced, report.bytes_dropped), (0, 0));
    let aborted = (CloseReason::ConnectFailed, Some(ErrorKind::ConnectionAborted));
    assert_eq!(journal.finishes(), [aborted]);
}

#[test]
fn a_server_that_is_dropped_makes_no_handler_for_another_attempt() {
    use std::cell::Cell;
    use std::rc::Rc;

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = Addr::Ip(listener.local_addr().unwrap());
    let (_silent, _waiting, nowhere) = silent();
    // Established, under way, and in the pause after a failure.
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (addr, made_at_least) in [(here, 1), (nowhere, 1), (Addr::Ip(unused), 2)] {
        let made = Rc::new(Cell::new(0));
        let count = Rc::clone(&made);
        let mut h = Harness::new();
        let again = Reconnect::new(addr, move |_| {
            count.set(count.get() + 1);
            Some(Echo)
        });
        again.unwrap().initial_backoff(PATIENCE).max_backoff(PATIENCE).start(&mut h).unwrap();
        let count = Rc::clone(&made);
        h.until(|_| count.get() >= made_at_least);
        let before = made.get();
        drop(h);
        assert_eq!(made.get(), before);
    }
}
