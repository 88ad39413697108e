//! One test for each fault that was found and repaired.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{Call, Client, Journal, Kind, Noted, Tested, on_setup, pattern};
use socketserver::testing::TestServer;
use socketserver::{CloseReason, Context, Echo, Handler, Input, Options, Server, TimerId};

/// A handler that does nothing by itself.
struct Silent;

impl Handler for Silent {
    fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }
}

/// Closes at the first byte.
struct Closes;

impl Handler for Closes {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        cx.close();
        Ok(())
    }
}

/// Fails at the first byte.
struct Fails;

impl Handler for Fails {
    fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Err(io::Error::other("as it should"))
    }
}

fn impatient() -> Options {
    Options {
        close_timeout: Duration::from_millis(50),
        output_limit: 128 << 20,
        ..Options::default()
    }
}

/// More than the system takes for a peer that does not read.
const TOO_MUCH: usize = 32 << 20;

#[test]
fn issue_2_a_close_from_outside_a_turn_is_bounded_by_the_close_timeout() {
    for kind in Kind::ALL {
        let mut tested = Tested::with_shared((), impatient());
        let journal = Journal::default();
        let witness = journal.clone();
        let addr = tested.serve(kind, move |_| Noted::new(&witness, Silent));
        let steps = tested.steps();
        let client = Client::connect(&addr);
        tested.until(|_| journal.calls().len() == 1);
        let id = journal.ids()[0];
        tested.io_mut().send(id, &vec![b'x'; TOO_MUCH]);
        tested.until_quiet(&steps);
        tested.io_mut().close(id);
        tested.until_ended(1);
        assert_eq!(journal.finishes(), [(CloseReason::CloseTimeout, Some(ErrorKind::TimedOut))]);
        drop(client);
    }
}

#[test]
fn issue_2_a_failure_in_a_timer_is_bounded_by_the_close_timeout() {
    struct FailsLater;
    impl Handler for FailsLater {
        fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            cx.send(&vec![b'x'; TOO_MUCH]);
            cx.set_timer(Duration::from_millis(30));
            Ok(())
        }
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
    }
    let mut tested = Tested::with_shared((), impatient());
    let addr = tested.serve(Kind::Tcp, |_| FailsLater);
    let client = Client::connect(&addr);
    tested.until_ended(1);
    assert_eq!(tested.ended(CloseReason::HandlerError), 1);
    drop(client);
}

#[test]
fn issue_2_a_large_send_from_outside_a_turn_arrives_whole() {
    for kind in Kind::ALL {
        let mut tested = Tested::new();
        let journal = Journal::default();
        let witness = journal.clone();
        let addr = tested.serve(kind, move |_| Noted::new(&witness, Silent));
        let mut client = Client::connect(&addr);
        tested.until(|_| journal.calls().len() == 1);
        let bytes = pattern(8 << 20, 1);
        tested.io_mut().send(journal.ids()[0], &bytes);
        assert!(tested.receive(&mut client, bytes.len()) == bytes, "{kind:?}");
    }
}

#[test]
fn issue_2_an_abort_sends_nothing_more() {
    let mut tested = Tested::new();
    let addr = tested.serve(Kind::Tcp, |_| {
        on_setup(|cx: &mut Context<'_>| {
            cx.send(b"never");
            cx.io.abort(cx.id);
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    tested.until(|_| client.look());
    assert_eq!(client.received, b"");
    assert_eq!(client.end, Some(Err(ErrorKind::ConnectionReset)));
    assert_eq!(tested.io().stats().bytes_dropped, 5);
}

#[test]
fn issue_2_a_shutdown_is_told_after_everything_that_had_come_in_was_handled() {
    let options = Options { read_buffer: 1_024, reads_per_turn: 1, ..Options::default() };
    let mut tested = Tested::with_shared((), options);
    let journal = Journal::default();
    let witness = journal.clone();
    let addr = tested.serve(Kind::Tcp, move |_| Noted::new(&witness, Echo));
    let mut client = Client::connect(&addr);
    tested.until(|_| journal.calls().len() == 1);
    let bytes = pattern(64 << 10, 2);
    client.send(&bytes);
    tested.io_mut().shutdown(Duration::from_secs(20));
    assert!(tested.receive_to_end(&mut client) == bytes);
    let calls = journal.calls();
    let told = calls.iter().position(|call| *call == Call::Shutdown).unwrap();
    assert!(!calls[told..].iter().any(|call| matches!(call, Call::ServerHandle(_))));
    drop(client);
    tested.until_ended(1);
}

#[test]
fn issue_2_a_timer_that_was_cancelled_in_the_turn_of_its_time_does_not_come_up() {
    struct Rival {
        timers: Vec<TimerId>,
        cancelled: Rc<Cell<Option<bool>>>,
        came_up: Rc<RefCell<Vec<TimerId>>>,
    }
    impl Handler for Rival {
        fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            self.timers = vec![cx.set_timer(Duration::ZERO), cx.set_timer(Duration::ZERO)];
            Ok(())
        }
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn timeout(&mut self, cx: &mut Context<'_>, timer: TimerId) -> io::Result<()> {
            self.came_up.borrow_mut().push(timer);
            let other = self.timers.iter().find(|&&other| other != timer).unwrap();
            self.cancelled.set(Some(cx.io.cancel_timer(*other)));
            Ok(())
        }
    }
    let mut tested = Tested::new();
    let (cancelled, came_up) = (Rc::new(Cell::new(None)), Rc::new(RefCell::new(Vec::new())));
    let (said, seen) = (Rc::clone(&cancelled), Rc::clone(&came_up));
    let addr = tested.serve(Kind::Tcp, move |_| Rival {
        timers: Vec::new(),
        cancelled: Rc::clone(&said),
        came_up: Rc::clone(&seen),
    });
    let client = Client::connect(&addr);
    tested.until(|_| cancelled.get().is_some());
    for _ in 0..3 {
        tested.turn(Some(Duration::from_millis(2))).unwrap();
    }
    assert_eq!((cancelled.get(), came_up.borrow().len()), (Some(true), 1));
    drop(client);
}

#[test]
fn issue_2_who_spoke_while_the_loop_was_held_up_is_not_idle() {
    let idle_timeout = Some(Duration::from_millis(100));
    let mut tested = Tested::with_shared((), Options { idle_timeout, ..Options::default() });
    let addr = tested.serve(Kind::Tcp, |_| Echo);
    let mut client = Client::connect(&addr);
    tested.echo(&mut client, b"first");
    client.send(b"second");
    // What a slow handler of somebody else, or SIGSTOP, does to the loop.
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(tested.receive(&mut client, 6), b"second");
    assert_eq!(tested.ended(CloseReason::IdleTimeout), 0);
}

#[test]
fn issue_2_what_finish_opens_while_the_server_is_dropped_is_finished_too() {
    struct Reconnects(Journal);
    impl Handler for Reconnects {
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn finish(&mut self, cx: &mut Context<'_>, _: io::Result<()>) {
            let again = Noted::new(&self.0, Reconnects(self.0.clone()));
            if let Ok(id) = cx.connect("127.0.0.1:1", again) {
                self.0.note(id, Call::Setup);
            }
        }
    }
    let journal = Journal::default();
    let mut tested = Tested::new();
    let witness = journal.clone();
    let addr = tested.serve(Kind::Tcp, move |_| Noted::new(&witness, Reconnects(witness.clone())));
    let client = Client::connect(&addr);
    tested.until(|_| journal.calls().len() == 1);
    drop(tested);
    journal.assert_order(true);
    drop(client);
}

#[test]
fn issue_2_bytes_sent_in_a_turn_that_a_timer_ends_are_accounted_for() {
    struct Ends {
        abort: bool,
    }
    impl Handler for Ends {
        fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            cx.set_timer(Duration::from_millis(20));
            Ok(())
        }
        fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            cx.send(input.take_all());
            Ok(())
        }
        fn timeout(&mut self, cx: &mut Context<'_>, _: TimerId) -> io::Result<()> {
            cx.send(b", and more");
            if self.abort {
                cx.io.abort(cx.id);
            }
            Err(ErrorKind::TimedOut.into())
        }
    }
    for abort in [false, true] {
        let mut tested = Tested::new();
        let addr = tested.serve(Kind::Tcp, move |_| Ends { abort });
        let mut client = Client::connect(&addr);
        tested.until(|server| server.io().connection_count() == 1);
        client.send(b"answered");
        // The input and the timer fall into one turn.
        std::thread::sleep(Duration::from_millis(30));
        tested.turn(Some(Duration::ZERO)).unwrap();
        tested.io().verify_stats().unwrap();
        tested.until(|_| client.look());
        if !abort {
            assert_eq!(client.received, b"answered, and more");
        }
    }
}

#[test]
fn issue_2_output_above_the_limit_is_the_reason_even_if_the_handler_fails_too() {
    struct SaysTooMuch;
    impl Handler for SaysTooMuch {
        fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            input.take_all();
            cx.send(&vec![b'x'; TOO_MUCH]);
            Err(ErrorKind::Other.into())
        }
    }
    let options = Options { output_limit: 1 << 20, ..Options::default() };
    let mut tested = Tested::with_shared((), options);
    let addr = tested.serve(Kind::ALL[0], |_| SaysTooMuch);
    let mut client = Client::connect(&addr);
    client.send(b"go");
    tested.until_ended(1);
    assert_eq!(tested.ended(CloseReason::OutputLimit), 1);
}

/// Found by the simulated world (seed 57), by the scripts of the machine, by a fuzz target and by the
/// injected faults.
#[test]
fn a_connection_that_lingers_does_not_keep_the_loop_awake_during_a_shutdown() {
    // In one turn with the shutdown, and before it.
    for lingers_first in [false, true] {
        let mut server = TestServer::new().unwrap();
        let peer = server.connect(Closes).unwrap();
        server.run();
        peer.send("bye");
        if lingers_first {
            server.run();
            assert!(peer.finished().is_some() && server.io().connection_count() == 1);
        }
        server.io_mut().shutdown(Duration::from_secs(1));
        // It panics when the server has something to do again and again.
        server.run();
        server.advance(Duration::from_secs(1));
        assert_eq!(server.io().connection_count(), 0);
    }
}

/// Found by the simulated world, seed 73.
#[test]
fn what_a_timer_sends_before_it_closes_leaves_although_the_idle_timeout_comes_up_too() {
    struct Polite;

    impl Handler for Polite {
        fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            cx.set_timer(Duration::from_secs(60));
            Ok(())
        }

        fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            input.take_all();
            Ok(())
        }

        fn timeout(&mut self, cx: &mut Context<'_>, _: TimerId) -> io::Result<()> {
            cx.send(b"bye");
            cx.close();
            Ok(())
        }
    }

    let idle_timeout = Some(Duration::from_secs(60));
    let options = Options { idle_timeout, ..Options::default() };
    let mut server = TestServer::with_shared((), options).unwrap();
    let peer = server.connect(Polite).unwrap();
    server.advance(Duration::from_secs(60));
    assert_eq!(peer.received(), b"bye");
    assert_eq!(peer.finished().unwrap().reason, CloseReason::Closed);
}

/// Found by the simulated world, seed 385.
#[test]
fn who_came_during_a_shutdown_is_accepted_by_the_first_turn_after_it() {
    let mut server = Server::new().unwrap();
    let listener = server.listen("127.0.0.1:0", |_| Silent).unwrap();
    let port = server.io().local_addr(listener).unwrap().port().unwrap();
    server.io_mut().shutdown(Duration::ZERO);
    let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    while server.io().is_shutting_down() {
        server.turn(Some(Duration::from_secs(5))).unwrap();
    }
    // His event has come and gone, so only the loop itself knows that he waits.
    let before = Instant::now();
    server.turn(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(server.io().connection_count(), 1);
    assert!(before.elapsed() < Duration::from_secs(30), "it slept all the time it was given");
}

#[test]
fn a_handler_that_fails_as_the_shutdown_begins_lingers_without_spinning() {
    let mut server = TestServer::new().unwrap();
    let peer = server.connect(Fails).unwrap();
    peer.send("x");
    server.io_mut().shutdown(Duration::from_secs(1));
    server.run();
    assert_eq!(peer.finished().map(|end| end.reason), Some(CloseReason::HandlerError));
    assert!(peer.has_end());
    server.run();
}

/// Found by the simulated world, seed 139374.
#[test]
fn who_answers_the_end_of_an_idle_peer_in_the_turn_of_its_timeout_still_answers() {
    struct Last;

    impl Handler for Last {
        fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            input.take_all();
            Ok(())
        }

        fn eof(&mut self, cx: &mut Context<'_>, _: &[u8]) -> io::Result<()> {
            cx.send(b"bye");
            cx.set_timer(Duration::from_secs(1));
            Ok(())
        }

        fn timeout(&mut self, cx: &mut Context<'_>, _: TimerId) -> io::Result<()> {
            cx.close();
            Ok(())
        }
    }

    let idle_timeout = Some(Duration::from_millis(100));
    let mut tested = Tested::with_shared((), Options { idle_timeout, ..Options::default() });
    let addr = tested.serve(Kind::Tcp, |_| Last);
    let mut client = Client::connect(&addr);
    tested.until(|server| server.io().connection_count() == 1);
    std::thread::sleep(Duration::from_millis(150));
    // It looks once more before it ends for that, and in the next turn there is the peer's end.
    tested.turn(Some(Duration::ZERO)).unwrap();
    client.finish_sending();
    tested.turn(Some(Duration::ZERO)).unwrap();
    tested.until(|_| client.look());
    assert_eq!(client.received, b"bye");
}
