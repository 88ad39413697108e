//! Outgoing connections share the loop, the handler and its contract.

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::{Addr, CloseReason, Context, Echo, Handler, Input, Options, SendStatus};

use crate::support::{Call, CallLog, Client, Harness, Kind, Recording, on_setup, pattern};

/// Says something and closes when the same came back.
struct Asks {
    question: Vec<u8>,
}

impl Handler for Asks {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.send(&self.question);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        if let Some(answer) = input.take(self.question.len()) {
            assert!(answer == self.question);
            cx.close();
        }
        Ok(())
    }
}

fn asks(n: usize) -> Asks {
    Asks { question: pattern(n, 1) }
}

kinds!(a_server_may_talk_to_itself);

fn a_server_may_talk_to_itself(kind: Kind) {
    for n in [1, 1_000, 60_000] {
        let mut harness = Harness::new();
        let journal = CallLog::default();
        let addr = harness.serve(kind, |_| Echo);
        harness.connect(addr, Recording::new(&journal, asks(n))).unwrap();
        harness.until_ended(2);
        assert_eq!(harness.ended(CloseReason::Closed), 2, "{n} on {kind:?}");
        assert_eq!(journal.finishes(), [(CloseReason::Closed, None)]);
        journal.assert_order(true);
        let stats = harness.io().stats();
        assert_eq!((stats.accepted, stats.connected), (1, 1));
    }
}

#[test]
fn a_refused_connection_is_told_to_finish_only() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut harness = Harness::new();
    let journal = CallLog::default();
    let id = harness.connect(("127.0.0.1", port), Recording::new(&journal, asks(1))).unwrap();
    assert_eq!(harness.io_mut().send(id, b"for nobody"), SendStatus::Queued);
    harness.until_ended(1);
    let refused = Call::Finish(CloseReason::ConnectFailed, Some(ErrorKind::ConnectionRefused));
    assert_eq!(journal.calls(), [refused]);
    assert_eq!(harness.io().stats().bytes_dropped, 10);
    assert_eq!(harness.ended(CloseReason::ConnectFailed), 1);
}

#[test]
fn a_unix_path_where_nobody_listens_is_an_error_at_once() {
    let mut harness = Harness::new();
    let error = harness.connect("unix:/nonexistent/socket", asks(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(harness.io().stats().connected, 0);
    assert_eq!(harness.io().connection_count(), 0);
}

kinds!(what_is_sent_before_it_stands_leaves_when_it_stands);

fn what_is_sent_before_it_stands_leaves_when_it_stands(kind: Kind) {
    for n in [5, 100_000] {
        let mut harness = Harness::new();
        let addr = harness.serve(kind, |_| Echo);
        let id = harness.connect(addr, asks(n)).unwrap();
        assert_ne!(harness.io_mut().send(id, &pattern(n, 1)), SendStatus::Closed);
        harness.until(|server| server.io().stats().bytes_in >= 3 * n as u64);
        harness.until_ended(2);
    }
}

/// A listener whose backlog is full, so that a connection to it is never made.
struct Full {
    socket: Socket,
    _waiting: Vec<Socket>,
}

impl Full {
    fn new() -> Full {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&SockAddr::from(any)).unwrap();
        socket.listen(0).unwrap();
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            let _ = client.connect(&socket.local_addr().unwrap());
            waiting.push(client);
        }
        Full { socket, _waiting: waiting }
    }

    fn addr(&self) -> Addr {
        Addr::Ip(self.socket.local_addr().unwrap().as_socket().unwrap())
    }
}

#[test]
fn a_connection_that_is_never_made_ends_after_the_connect_timeout() {
    let full = Full::new();
    let options = Options { connect_timeout: Duration::from_millis(50), ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let journal = CallLog::default();
    harness.connect(full.addr(), Recording::new(&journal, asks(1))).unwrap();
    harness.until_ended(1);
    let late = Call::Finish(CloseReason::ConnectFailed, Some(ErrorKind::TimedOut));
    assert_eq!(journal.calls(), [late]);
}

#[test]
fn a_connection_in_the_making_can_be_closed_and_aborted() {
    let full = Full::new();
    let mut harness = Harness::new();
    for abort in [false, true] {
        let journal = CallLog::default();
        let id = harness.connect(full.addr(), Recording::new(&journal, asks(1))).unwrap();
        harness.turn(Some(Duration::from_millis(1))).unwrap();
        if abort {
            harness.io_mut().send(id, b"never");
            harness.io_mut().abort(id);
        } else {
            harness.io_mut().close(id);
        }
        harness.until(|server| server.io().connection_count() == 0);
        let calls = journal.calls();
        assert!(
            matches!(calls[..], [Call::Finish(_, Some(ErrorKind::ConnectionAborted))]),
            "{calls:?}"
        );
    }
}

#[test]
fn a_shutdown_tells_a_connection_in_the_making_nothing_but_its_finish() {
    let full = Full::new();
    let mut harness = Harness::new();
    let journal = CallLog::default();
    let id = harness.connect(full.addr(), Recording::new(&journal, asks(1))).unwrap();
    harness.io_mut().send(id, b"owed");
    harness.turn(Some(Duration::from_millis(1))).unwrap();
    let report = harness.shutdown(Duration::from_millis(30)).unwrap();
    assert_eq!((report.drained, report.forced), (0, 1));
    assert_eq!(
        journal.calls(),
        [Call::Finish(CloseReason::ShutdownTimeout, Some(ErrorKind::TimedOut))]
    );
}

#[test]
fn a_timer_of_a_connection_in_the_making_does_not_come_before_its_setup() {
    let full = Full::new();
    let options = Options { connect_timeout: Duration::from_millis(60), ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let journal = CallLog::default();
    let id = harness.connect(full.addr(), Recording::new(&journal, asks(1))).unwrap();
    harness.io_mut().set_timer(id, Duration::from_millis(5));
    harness.until_ended(1);
    assert_eq!(journal.calls().len(), 1, "{:?}", journal.calls());
}

#[test]
fn above_max_connections_connecting_is_an_error_at_once() {
    let mut harness =
        Harness::with_shared((), Options { max_connections: 2, ..Options::default() });
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let clients = Client::connect_many(&addr, 2);
    harness.until(|server| server.io().connection_count() == 2);
    let error = harness.connect(addr, asks(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    assert_eq!(harness.io().stats().connected, 0);
    drop(clients);
}

kinds!(connections_made_from_a_handler_and_from_finish_are_served);

fn connections_made_from_a_handler_and_from_finish_are_served(kind: Kind) {
    struct Chain {
        left: usize,
        target: Addr,
        journal: CallLog,
    }
    impl Handler for Chain {
        fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            cx.close();
            Ok(())
        }
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn finish(&mut self, cx: &mut Context<'_>, _: io::Result<()>) {
            if self.left > 0 {
                let (target, journal) = (self.target.clone(), self.journal.clone());
                let next = Chain { left: self.left - 1, target: target.clone(), journal };
                cx.connect(target, Recording::new(&self.journal, next)).unwrap();
            }
        }
    }
    let mut harness = Harness::new();
    let target = harness.serve(kind, |_| Echo);
    let journal = CallLog::default();
    let (to, witness) = (target.clone(), journal.clone());
    let addr = harness.serve(Kind::Tcp, move |_| Chain {
        left: 5,
        target: to.clone(),
        journal: witness.clone(),
    });
    let client = Client::connect(&addr);
    drop(client);
    harness.until_ended(11);
    assert_eq!(journal.finishes(), [(CloseReason::Closed, None); 5]);
    journal.assert_order(true);
}

#[test]
fn a_connection_opened_and_closed_in_one_callback_ends_once() {
    let mut harness = Harness::new();
    let target = harness.serve(Kind::Unix, |_| Echo);
    let journal = CallLog::default();
    let witness = journal.clone();
    let addr = harness.serve(Kind::Tcp, move |_| {
        let (target, witness) = (target.clone(), witness.clone());
        on_setup(move |cx: &mut Context<'_>| {
            let id = cx.connect(target.clone(), Recording::new(&witness, asks(1)))?;
            assert!(cx.io.is_open(id));
            cx.io.close(id);
            assert!(!cx.io.is_open(id));
            Ok(())
        })
    });
    let client = Client::connect(&addr);
    harness.until(|_| journal.finishes().len() == 1);
    drop(client);
    harness.until(|server| server.io().connection_count() == 0);
    assert_eq!(journal.calls().len(), 1);
}
