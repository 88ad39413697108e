//! One test for each fault that was found and repaired.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use socketserver::testing::TestServer;
use socketserver::{CloseReason, Context, Echo, Handler, Input, Options, Server, TimerId};

use crate::support::{
    Call, CallLog, Client, Discard, Harness, Kind, Recording, delay, on_setup, pattern,
};

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

kinds!(issue_2_a_close_from_outside_a_turn_is_bounded_by_the_close_timeout);

fn issue_2_a_close_from_outside_a_turn_is_bounded_by_the_close_timeout(kind: Kind) {
    let mut harness = Harness::with_shared((), impatient());
    let (journal, addr) = harness.serve_recorded(kind, move |_| Discard);
    let steps = harness.steps();
    let client = Client::connect(&addr);
    harness.until(|_| journal.calls().len() == 1);
    let id = journal.ids()[0];
    harness.io_mut().send(id, &vec![b'x'; TOO_MUCH]);
    harness.until_quiet(&steps);
    harness.io_mut().close(id);
    harness.until_ended(1);
    assert_eq!(journal.finishes(), [(CloseReason::CloseTimeout, Some(ErrorKind::TimedOut))]);
    drop(client);
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
    let mut harness = Harness::with_shared((), impatient());
    let addr = harness.serve(Kind::Tcp, |_| FailsLater);
    let client = Client::connect(&addr);
    harness.until_ended(1);
    assert_eq!(harness.ended(CloseReason::HandlerError), 1);
    drop(client);
}

kinds!(issue_2_a_large_send_from_outside_a_turn_arrives_whole);

fn issue_2_a_large_send_from_outside_a_turn_arrives_whole(kind: Kind) {
    let mut harness = Harness::new();
    let (journal, addr) = harness.serve_recorded(kind, move |_| Discard);
    let mut client = Client::connect(&addr);
    harness.until(|_| journal.calls().len() == 1);
    let bytes = pattern(8 << 20, 1);
    harness.io_mut().send(journal.ids()[0], &bytes);
    assert!(harness.receive(&mut client, bytes.len()) == bytes, "{kind:?}");
}

#[test]
fn issue_2_an_abort_sends_nothing_more() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| {
        on_setup(|cx: &mut Context<'_>| {
            cx.send(b"never");
            cx.io.abort(cx.id);
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    harness.until(|_| client.look());
    assert_eq!(client.received, b"");
    assert_eq!(client.end, Some(Err(ErrorKind::ConnectionReset)));
    assert_eq!(harness.io().stats().bytes_dropped, 5);
}

#[test]
fn issue_2_a_shutdown_is_told_after_everything_that_had_come_in_was_handled() {
    let options = Options { read_buffer: 1_024, reads_per_turn: 1, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| Echo);
    let mut client = Client::connect(&addr);
    harness.until(|_| journal.calls().len() == 1);
    let bytes = pattern(64 << 10, 2);
    client.send(&bytes);
    harness.io_mut().shutdown(Duration::from_secs(20));
    assert!(harness.receive_to_end(&mut client) == bytes);
    let calls = journal.calls();
    let told = calls.iter().position(|call| *call == Call::Shutdown).unwrap();
    assert!(!calls[told..].iter().any(|call| matches!(call, Call::Handle(_))));
    drop(client);
    harness.until_ended(1);
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
    let mut harness = Harness::new();
    let (cancelled, came_up) = (Rc::new(Cell::new(None)), Rc::new(RefCell::new(Vec::new())));
    let (said, seen) = (Rc::clone(&cancelled), Rc::clone(&came_up));
    let addr = harness.serve(Kind::Tcp, move |_| Rival {
        timers: Vec::new(),
        cancelled: Rc::clone(&said),
        came_up: Rc::clone(&seen),
    });
    let client = Client::connect(&addr);
    harness.until(|_| cancelled.get().is_some());
    for _ in 0..3 {
        harness.turn(Some(Duration::from_millis(2))).unwrap();
    }
    assert_eq!((cancelled.get(), came_up.borrow().len()), (Some(true), 1));
    drop(client);
}

#[test]
fn issue_2_who_spoke_while_the_loop_was_held_up_is_not_idle() {
    let idle_timeout = Some(Duration::from_millis(100));
    let mut harness = Harness::with_shared((), Options { idle_timeout, ..Options::default() });
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let mut client = Client::connect(&addr);
    harness.echo(&mut client, b"first");
    client.send(b"second");
    // What a slow handler of somebody else, or SIGSTOP, does to the loop.
    delay(Duration::from_millis(150));
    assert_eq!(harness.receive(&mut client, 6), b"second");
    assert_eq!(harness.ended(CloseReason::IdleTimeout), 0);
}

#[test]
fn issue_2_what_finish_opens_while_the_server_is_dropped_is_finished_too() {
    struct Reconnects(CallLog);
    impl Handler for Reconnects {
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn finish(&mut self, cx: &mut Context<'_>, _: io::Result<()>) {
            let again = Recording::new(&self.0, Reconnects(self.0.clone()));
            if let Ok(id) = cx.connect("127.0.0.1:1", again) {
                self.0.note(id, Call::Setup);
            }
        }
    }
    let journal = CallLog::default();
    let mut harness = Harness::new();
    let witness = journal.clone();
    let addr =
        harness.serve(Kind::Tcp, move |_| Recording::new(&witness, Reconnects(witness.clone())));
    let client = Client::connect(&addr);
    harness.until(|_| journal.calls().len() == 1);
    drop(harness);
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
        let mut harness = Harness::new();
        let addr = harness.serve(Kind::Tcp, move |_| Ends { abort });
        let mut client = Client::connect(&addr);
        harness.until(|server| server.io().connection_count() == 1);
        client.send(b"answered");
        // The input and the timer fall into one turn.
        delay(Duration::from_millis(30));
        harness.turn(Some(Duration::ZERO)).unwrap();
        harness.io().verify_stats().unwrap();
        harness.until(|_| client.look());
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
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(Kind::ALL[0], |_| SaysTooMuch);
    let mut client = Client::connect(&addr);
    client.send(b"go");
    harness.until_ended(1);
    assert_eq!(harness.ended(CloseReason::OutputLimit), 1);
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
    let listener = server.listen("127.0.0.1:0", |_| Discard).unwrap();
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
    let mut harness = Harness::with_shared((), Options { idle_timeout, ..Options::default() });
    let addr = harness.serve(Kind::Tcp, |_| Last);
    let mut client = Client::connect(&addr);
    harness.until(|server| server.io().connection_count() == 1);
    // Its time is over, and no turn has seen that.
    delay(Duration::from_millis(150));
    // It looks once more before it ends for that, and in the next turn there is the peer's end.
    harness.turn(Some(Duration::ZERO)).unwrap();
    client.finish_sending();
    harness.turn(Some(Duration::ZERO)).unwrap();
    harness.until(|_| client.look());
    assert_eq!(client.received, b"bye");
}

/// Outgoing connections.
mod connect {
    use std::cell::RefCell;
    use std::io::{self, ErrorKind};
    use std::net::{SocketAddr, TcpListener};
    use std::rc::Rc;

    use std::time::{Duration, Instant};

    use crate::support::{Call, CallLog, Client, Harness, Kind, Recording, delay, ms, on_input};
    use socket2::{Domain, SockAddr, Socket, Type};
    use socketserver::{Addr, CloseReason, Connect, Context, Echo, Handler, Input, Options};

    /// Says nothing by itself, and goes on after its timers.
    struct Patient;

    impl Handler for Patient {
        fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            input.take_all();
            Ok(())
        }

        fn timeout(&mut self, _: &mut Context<'_>, _: socketserver::TimerId) -> io::Result<()> {
            Ok(())
        }
    }

    /// An address where nobody listens.
    fn nowhere() -> Addr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Addr::Ip(listener.local_addr().unwrap())
    }

    /// A listener whose backlog is full, and those who fill it.
    fn full(domain: Domain, name: &SockAddr) -> (Socket, Vec<Socket>) {
        let listener = Socket::new(domain, Type::STREAM, None).unwrap();
        listener.bind(name).unwrap();
        listener.listen(0).unwrap();
        let name = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let client = Socket::new(domain, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            match client.connect(&name) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                _ => waiting.push(client),
            }
        }
        (listener, waiting)
    }

    /// One that answers nobody.
    fn silent() -> (Socket, Vec<Socket>, Addr) {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let (listener, waiting) = full(Domain::IPV4, &any.into());
        let addr = Addr::Ip(listener.local_addr().unwrap().as_socket().unwrap());
        (listener, waiting, addr)
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_backlog_behind_an_address_that_refuses_is_waited_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("full");
        let (listener, waiting) = full(Domain::UNIX, &SockAddr::unix(&path).unwrap());
        let by_name = Connect::to_name(format!("unix:{}", path.display()));
        let by_address = Connect::to(&[nowhere(), Addr::from(path.as_path())][..]).unwrap();
        let mut harness = Harness::new();
        let journals = [by_name, by_address].map(|connect| {
            let journal = CallLog::default();
            harness.connect(connect, Recording::new(&journal, Patient)).unwrap();
            journal
        });
        let began = Instant::now();
        let mut turns = 0;
        while began.elapsed() < ms(100) {
            harness.turn(Some(ms(20))).unwrap();
            turns += 1;
        }
        for journal in &journals {
            assert!(journal.calls().is_empty(), "it stands without room: {:?}", journal.calls());
        }
        assert!(turns < 100, "{turns} turns, and nothing happens");
        // Others come in between, whom nobody has asked.
        for _ in &waiting {
            listener.accept().unwrap();
        }
        let mut accepted = Vec::new();
        for journal in &journals {
            harness.until(|_| {
                listener.set_nonblocking(true).unwrap();
                accepted.extend(listener.accept());
                journal.calls() == [Call::Setup]
            });
        }
        assert!(began.elapsed() < Duration::from_secs(20), "not each BACKLOG_RETRY");
    }

    #[test]
    fn what_stood_in_time_stands_however_late_the_loop_looks() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let mut harness =
            Harness::with_shared((), Options { connect_timeout: ms(10), ..Options::default() });
        let journal = CallLog::default();
        harness.connect(addr, Recording::new(&journal, Patient)).unwrap();
        let accepted = listener.accept().unwrap();
        // Its time is over, and no turn has seen that.
        delay(ms(20));
        harness.until(|_| !journal.calls().is_empty());
        assert_eq!(journal.calls(), [Call::Setup]);
        drop(accepted);
    }

    #[test]
    fn a_timer_that_is_due_before_the_connection_stands_comes_after_its_setup() {
        let mut harness = Harness::new();
        let addr = harness.serve(Kind::Tcp, |_| Echo);
        let journal = CallLog::default();
        let connect = Connect::to(addr).unwrap().delay(ms(1_000));
        let id = harness.connect(connect, Recording::new(&journal, Patient)).unwrap();
        harness.io_mut().set_timer(id, ms(5));
        let cancelled = harness.io_mut().set_timer(id, ms(5));
        let began = Instant::now();
        while began.elapsed() < ms(15) {
            harness.turn(Some(ms(5))).unwrap();
        }
        assert!(journal.calls().is_empty());
        assert!(harness.io_mut().cancel_timer(cancelled), "it is still to come");
        harness.until(|_| journal.calls().len() == 2);
        assert_eq!(journal.calls(), [Call::Setup, Call::Timeout]);
    }

    /// Writes down what `finish` was told.
    struct Why(Rc<RefCell<String>>);

    impl Handler for Why {
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }

        fn finish(&mut self, _: &mut Context<'_>, outcome: io::Result<()>) {
            *self.0.borrow_mut() =
                outcome.map_or_else(|error| error.to_string(), |()| String::new());
        }
    }

    #[test]
    fn a_failure_is_told_even_beside_an_address_that_does_not_answer() {
        let (_listener, _waiting, addr) = silent();
        let missing = Addr::from(std::path::Path::new("/nonexistent/socket"));
        let mut harness =
            Harness::with_shared((), Options { connect_timeout: ms(30), ..Options::default() });
        let journal = CallLog::default();
        let why = Rc::new(RefCell::new(String::new()));
        harness
            .connect(&[addr, missing][..], Recording::new(&journal, Why(Rc::clone(&why))))
            .unwrap();
        harness.until_ended(1);
        assert_eq!(
            journal.calls(),
            [Call::Finish(CloseReason::ConnectFailed, Some(ErrorKind::TimedOut))]
        );
        let why = why.borrow();
        assert!(why.contains("connect timed out") && why.contains("/nonexistent/socket"), "{why}");
    }

    #[test]
    fn a_shutdown_is_not_told_before_setup_when_the_next_address_is_tried() {
        let (_listener, _waiting, addr) = silent();
        let mut harness = Harness::new();
        let journal = CallLog::default();
        let to = &[nowhere(), addr][..];
        let id = harness.connect(to, Recording::new(&journal, Patient)).unwrap();
        harness.io_mut().send(id, b"owed");
        harness.shutdown(ms(30)).unwrap();
        assert_eq!(
            journal.calls(),
            [Call::Finish(CloseReason::ShutdownTimeout, Some(ErrorKind::TimedOut))]
        );
    }

    /// Connects once more when it is told of the shutdown.
    struct AtShutdown(Option<Connect>, CallLog);

    impl Handler for AtShutdown {
        fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            input.take_all();
            Ok(())
        }

        fn shutdown(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            let to = self.0.take().unwrap();
            cx.connect(to, Recording::new(&self.1, Patient))?;
            cx.close();
            Ok(())
        }
    }

    #[test]
    fn a_connection_begun_during_a_shutdown_is_told_of_it() {
        let outside = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Connect::to(outside.local_addr().unwrap()).unwrap();
        for (connect, expected) in [
            (
                to.clone().delay(Duration::from_secs(3_600)),
                vec![Call::Finish(CloseReason::ConnectFailed, Some(ErrorKind::ConnectionAborted))],
            ),
            (to, vec![Call::Setup, Call::Shutdown, Call::Finish(CloseReason::Closed, None)]),
        ] {
            let mut harness = Harness::new();
            let journal = CallLog::default();
            let witness = journal.clone();
            let addr = harness
                .serve(Kind::Tcp, move |_| AtShutdown(Some(connect.clone()), witness.clone()));
            let client = Client::connect(&addr);
            harness.until(|server| server.io().stats().accepted == 1);
            let began = Instant::now();
            harness.shutdown(crate::support::PATIENCE).unwrap();
            assert!(
                began.elapsed() < crate::support::PATIENCE / 2,
                "it waited for who was not told"
            );
            assert_eq!(journal.calls(), expected);
            drop(client);
        }
    }

    #[test]
    fn what_a_finish_connects_to_does_not_outlive_the_grace() {
        /// What came of the connect.
        type Told = Option<ErrorKind>;
        struct Again(Addr);
        impl Handler<Told> for Again {
            fn handle(&mut self, _: &mut Context<'_, Told>, _: &mut Input<'_>) -> io::Result<()> {
                Ok(())
            }
            fn shutdown(&mut self, _: &mut Context<'_, Told>) -> io::Result<()> {
                Ok(())
            }
            fn finish(&mut self, cx: &mut Context<'_, Told>, _: io::Result<()>) {
                // A panic in here would be caught.
                *cx.shared = cx.connect(self.0.clone(), Echo).err().map(|error| error.kind());
            }
        }
        let outside = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Addr::Ip(outside.local_addr().unwrap());
        let mut harness = Harness::with_shared(None, Options::default());
        let addr = harness.serve(Kind::Tcp, move |_| Again(to.clone()));
        let client = Client::connect(&addr);
        harness.until(|server| server.io().stats().accepted == 1);
        harness.shutdown(ms(10)).unwrap();
        assert_eq!(*harness.shared(), Some(ErrorKind::ConnectionAborted));
        assert_eq!(harness.io().connection_count(), 0);
        drop(client);
    }

    #[test]
    fn a_planned_connection_that_is_closed_in_the_turn_of_its_time_is_not_begun() {
        let outside = TcpListener::bind("127.0.0.1:0").unwrap();
        outside.set_nonblocking(true).unwrap();
        let connect = Connect::to(outside.local_addr().unwrap()).unwrap().delay(ms(5));
        let mut harness = Harness::new();
        let journal = CallLog::default();
        let quiet = on_input(|_: &mut Context<'_>, _: &mut Input<'_>| Ok(()));
        harness.connect(connect, Recording::new(&journal, quiet)).unwrap();
        // The loop is late.
        delay(ms(10));
        harness.shutdown(crate::support::PATIENCE).unwrap();
        let aborted = Some(ErrorKind::ConnectionAborted);
        assert_eq!(journal.calls(), [Call::Finish(CloseReason::ConnectFailed, aborted)]);
        assert_eq!(outside.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

/// Datagram sockets.
mod datagram {
    use std::cell::Cell;
    use std::io;
    use std::rc::Rc;
    use std::time::Duration;

    use crate::support::Harness;
    use socketserver::{Addr, Context, DatagramHandler, Options};

    const GRACE: Duration = Duration::from_secs(5);

    /// Counts what its socket comes to.
    #[derive(Clone, Default)]
    struct Counts {
        shutdowns: Rc<Cell<u32>>,
        finishes: Rc<Cell<u32>>,
        /// With whom it exchanges datagrams from the shutdown on.
        peer: Option<Addr>,
    }

    impl DatagramHandler for Counts {
        fn handle(&mut self, _: &mut Context<'_>, _: &[u8], _: &Addr) -> io::Result<()> {
            Ok(())
        }

        fn shutdown(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            self.shutdowns.set(self.shutdowns.get() + 1);
            match self.peer.take() {
                Some(peer) => cx.io.connect_peer(cx.id, &peer),
                None => Ok(()),
            }
        }

        fn finish(&mut self, _: &mut Context<'_>, _: io::Result<()>) {
            self.finishes.set(self.finishes.get() + 1);
        }
    }

    fn shut_down(harness: &mut Harness) {
        harness.io_mut().shutdown(GRACE);
        harness.until(|server| !server.io().is_shutting_down());
    }

    /// Found by the simulated world, seed 491.
    #[test]
    fn a_shutdown_that_follows_at_once_on_another_is_told_again() {
        let counts = Counts::default();
        let mut harness = Harness::new();
        harness.bind("127.0.0.1:0", counts.clone()).unwrap();
        shut_down(&mut harness);
        shut_down(&mut harness);
        assert_eq!((counts.shutdowns.get(), counts.finishes.get()), (2, 0));
    }

    /// Found by the simulated world, seed 739.
    #[test]
    fn a_socket_that_gets_its_peer_during_a_shutdown_closes_with_it() {
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = Some(Addr::Ip(peer.local_addr().unwrap()));
        let counts = Counts { peer, ..Counts::default() };
        let mut harness = Harness::new();
        harness.bind("127.0.0.1:0", counts.clone()).unwrap();
        shut_down(&mut harness);
        assert_eq!((counts.shutdowns.get(), counts.finishes.get()), (1, 1));
    }

    /// More than any system keeps for a Unix socket.
    #[cfg(unix)]
    const MANY: usize = 4_000;

    /// Found by the simulated world, seed 11751.
    #[cfg(unix)]
    #[test]
    fn a_socket_that_is_closed_from_outside_while_its_peer_reads_nothing_ends_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deaf");
        let _deaf = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let counts = Counts::default();
        let close_timeout = Duration::from_millis(20);
        let mut harness = Harness::with_shared((), Options { close_timeout, ..Options::default() });
        let id = harness.connect_datagram(&*path, counts.clone()).unwrap();
        for _ in 0..MANY {
            harness.io_mut().send(id, b"?");
        }
        let steps = harness.steps();
        harness.until_quiet(&steps);
        assert_ne!(harness.io().queued_packets(id), 0);
        harness.io_mut().close(id);
        harness.until(|_| counts.finishes.get() == 1);
        assert_eq!(harness.io().queued_packets(id), 0);
    }

    /// Found by the simulated world, seed 575.
    #[cfg(unix)]
    #[test]
    fn an_answer_to_who_does_not_read_does_not_hold_up_the_peer_that_came_later() {
        let folder = tempfile::tempdir().unwrap();
        let [own, deaf, peer] = ["own", "deaf", "peer"].map(|name| folder.path().join(name));
        let _deaf = std::os::unix::net::UnixDatagram::bind(&deaf).unwrap();
        let hears = std::os::unix::net::UnixDatagram::bind(&peer).unwrap();
        hears.set_nonblocking(true).unwrap();
        let mut harness = Harness::new();
        let id = harness.bind(&*own, Counts::default()).unwrap();
        for _ in 0..MANY {
            harness.io_mut().send_to(id, b"?", &Addr::Unix(deaf.clone()));
        }
        harness.io_mut().connect_peer(id, &Addr::Unix(peer)).unwrap();
        harness.io_mut().send(id, b"!");
        harness.until(|_| hears.recv(&mut [0; 2]).is_ok());
        assert_eq!(harness.io().queued_packets(id), 0);
    }
}
