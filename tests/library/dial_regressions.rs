//! One test for each fault of outgoing connections that was found and repaired.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Call, Client, Journal, Kind, Noted, Tested, on_input};
use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::{Addr, CloseReason, Connect, Context, Echo, Handler, Input, Options};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

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
    let mut tested = Tested::new();
    let journals = [by_name, by_address].map(|connect| {
        let journal = Journal::default();
        tested.connect(connect, Noted::new(&journal, Patient)).unwrap();
        journal
    });
    let began = Instant::now();
    let mut turns = 0;
    while began.elapsed() < ms(100) {
        tested.turn(Some(ms(20))).unwrap();
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
        tested.until(|_| {
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
    let mut tested =
        Tested::with_shared((), Options { connect_timeout: ms(10), ..Options::default() });
    let journal = Journal::default();
    tested.connect(addr, Noted::new(&journal, Patient)).unwrap();
    let accepted = listener.accept().unwrap();
    thread::sleep(ms(20));
    tested.until(|_| !journal.calls().is_empty());
    assert_eq!(journal.calls(), [Call::Setup]);
    drop(accepted);
}

#[test]
fn a_timer_that_is_due_before_the_connection_stands_comes_after_its_setup() {
    let mut tested = Tested::new();
    let addr = tested.serve(Kind::Tcp, |_| Echo);
    let journal = Journal::default();
    let connect = Connect::to(addr).unwrap().delay(ms(1_000));
    let id = tested.connect(connect, Noted::new(&journal, Patient)).unwrap();
    tested.io_mut().set_timer(id, ms(5));
    let cancelled = tested.io_mut().set_timer(id, ms(5));
    let began = Instant::now();
    while began.elapsed() < ms(15) {
        tested.turn(Some(ms(5))).unwrap();
    }
    assert!(journal.calls().is_empty());
    assert!(tested.io_mut().cancel_timer(cancelled), "it is still to come");
    tested.until(|_| journal.calls().len() == 2);
    assert_eq!(journal.calls(), [Call::Setup, Call::Timeout]);
}

/// Writes down what `finish` was told.
struct Why(Rc<RefCell<String>>);

impl Handler for Why {
    fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, _: &mut Context<'_>, outcome: io::Result<()>) {
        *self.0.borrow_mut() = outcome.map_or_else(|error| error.to_string(), |()| String::new());
    }
}

#[test]
fn a_failure_is_told_even_beside_an_address_that_does_not_answer() {
    let (_listener, _waiting, addr) = silent();
    let missing = Addr::from(std::path::Path::new("/nonexistent/socket"));
    let mut tested =
        Tested::with_shared((), Options { connect_timeout: ms(30), ..Options::default() });
    let journal = Journal::default();
    let why = Rc::new(RefCell::new(String::new()));
    tested.connect(&[addr, missing][..], Noted::new(&journal, Why(Rc::clone(&why)))).unwrap();
    tested.until_ended(1);
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
    let mut tested = Tested::new();
    let journal = Journal::default();
    tested.connect(&[nowhere(), addr][..], Noted::new(&journal, Patient)).unwrap();
    tested.shutdown(ms(30)).unwrap();
    assert_eq!(
        journal.calls(),
        [Call::Finish(CloseReason::ShutdownTimeout, Some(ErrorKind::TimedOut))]
    );
}

/// Connects once more when it is told of the shutdown.
struct AtShutdown(Option<Connect>, Journal);

impl Handler for AtShutdown {
    fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }

    fn shutdown(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let to = self.0.take().unwrap();
        cx.connect(to, Noted::new(&self.1, Patient))?;
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
        let mut tested = Tested::new();
        let journal = Journal::default();
        let witness = journal.clone();
        let addr =
            tested.serve(Kind::Tcp, move |_| AtShutdown(Some(connect.clone()), witness.clone()));
        let client = Client::connect(&addr);
        tested.until(|server| server.io().stats().accepted == 1);
        let began = Instant::now();
        tested.shutdown(common::PATIENCE).unwrap();
        assert!(began.elapsed() < common::PATIENCE / 2, "it waited for who was not told");
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
    let mut tested = Tested::with_shared(None, Options::default());
    let addr = tested.serve(Kind::Tcp, move |_| Again(to.clone()));
    let client = Client::connect(&addr);
    tested.until(|server| server.io().stats().accepted == 1);
    tested.shutdown(ms(10)).unwrap();
    assert_eq!(*tested.shared(), Some(ErrorKind::ConnectionAborted));
    assert_eq!(tested.io().connection_count(), 0);
    drop(client);
}

#[test]
fn a_planned_connection_that_is_closed_in_the_turn_of_its_time_is_not_begun() {
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    outside.set_nonblocking(true).unwrap();
    let connect = Connect::to(outside.local_addr().unwrap()).unwrap().delay(ms(5));
    let mut tested = Tested::new();
    let journal = Journal::default();
    let quiet = on_input(|_: &mut Context<'_>, _: &mut Input<'_>| Ok(()));
    tested.connect(connect, Noted::new(&journal, quiet)).unwrap();
    thread::sleep(ms(10));
    tested.shutdown(common::PATIENCE).unwrap();
    let aborted = Some(ErrorKind::ConnectionAborted);
    assert_eq!(journal.calls(), [Call::Finish(CloseReason::ConnectFailed, aborted)]);
    assert_eq!(outside.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}
