//! Outgoing connections share the loop, the handler and its contract.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::time::Duration;

use common::{Call, Client, Journal, Kind, Noted, Tested, on_setup, pattern};
use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::{Addr, CloseReason, Context, Echo, Handler, Input, Options, SendStatus};

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

#[test]
fn a_server_may_talk_to_itself() {
    for kind in Kind::ALL {
        for n in [1, 1_000, 60_000] {
            let mut tested = Tested::new();
            let journal = Journal::default();
            let addr = tested.serve(kind, |_| Echo);
            tested.connect(addr, Noted::new(&journal, asks(n))).unwrap();
            tested.until_ended(2);
            assert_eq!(tested.ended(CloseReason::Closed), 2, "{n} on {kind:?}");
            assert_eq!(journal.finishes(), [(CloseReason::Closed, None)]);
            journal.assert_order(true);
            let stats = tested.io().stats();
            assert_eq!((stats.accepted, stats.connected), (1, 1));
        }
    }
}

#[test]
fn a_refused_connection_is_told_to_finish_only() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut tested = Tested::new();
    let journal = Journal::default();
    let id = tested.connect(("127.0.0.1", port), Noted::new(&journal, asks(1))).unwrap();
    assert_eq!(tested.io_mut().send(id, b"for nobody"), SendStatus::Queued);
    tested.until_ended(1);
    let refused = Call::Finish(CloseReason::ConnectFailed, Some(ErrorKind::ConnectionRefused));
    assert_eq!(journal.calls(), [refused]);
    assert_eq!(tested.io().stats().bytes_dropped, 10);
    assert_eq!(tested.ended(CloseReason::ConnectFailed), 1);
}

#[test]
fn a_unix_path_where_nobody_listens_is_an_error_at_once() {
    let mut tested = Tested::new();
    let error = tested.connect("unix:/nonexistent/socket", asks(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(tested.io().stats().connected, 0);
    assert_eq!(tested.io().connection_count(), 0);
}

#[test]
fn what_is_sent_before_it_stands_leaves_when_it_stands() {
    for kind in Kind::ALL {
        for n in [5, 100_000] {
            let mut tested = Tested::new();
            let addr = tested.serve(kind, |_| Echo);
            let id = tested.connect(addr, asks(n)).unwrap();
            assert_ne!(tested.io_mut().send(id, &pattern(n, 1)), SendStatus::Closed);
            tested.until(|server| server.io().stats().bytes_in >= 3 * n as u64);
            tested.until_ended(2);
        }
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
    let mut tested = Tested::with_shared((), options);
    let journal = Journal::default();
    tested.connect(full.addr(), Noted::new(&journal, asks(1))).unwrap();
    tested.until_ended(1);
    let late = Call::Finish(CloseReason::ConnectFailed, Some(ErrorKind::TimedOut));
    assert_eq!(journal.calls(), [late]);
}

#[test]
fn a_connection_in_the_making_can_be_closed_and_aborted() {
    let full = Full::new();
    let mut tested = Tested::new();
    for abort in [false, true] {
        let journal = Journal::default();
        let id = tested.connect(full.addr(), Noted::new(&journal, asks(1))).unwrap();
        tested.io_mut().send(id, b"never");
        tested.turn(Some(Duration::from_millis(1))).unwrap();
        if abort {
            tested.io_mut().abort(id);
        } else {
            tested.io_mut().close(id);
        }
        tested.until(|server| server.io().connection_count() == 0);
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
    let mut tested = Tested::new();
    let journal = Journal::default();
    tested.connect(full.addr(), Noted::new(&journal, asks(1))).unwrap();
    tested.turn(Some(Duration::from_millis(1))).unwrap();
    let report = tested.shutdown(Duration::from_millis(30)).unwrap();
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
    let mut tested = Tested::with_shared((), options);
    let journal = Journal::default();
    let id = tested.connect(full.addr(), Noted::new(&journal, asks(1))).unwrap();
    tested.io_mut().set_timer(id, Duration::from_millis(5));
    tested.until_ended(1);
    assert_eq!(journal.calls().len(), 1, "{:?}", journal.calls());
}

#[test]
fn above_max_connections_connecting_is_an_error_at_once() {
    let mut tested = Tested::with_shared((), Options { max_connections: 2, ..Options::default() });
    let addr = tested.serve(Kind::Tcp, |_| Echo);
    let clients = Client::connect_many(&addr, 2);
    tested.until(|server| server.io().connection_count() == 2);
    let error = tested.connect(addr, asks(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    assert_eq!(tested.io().stats().connected, 0);
    drop(clients);
}

#[test]
fn connections_made_from_a_handler_and_from_finish_are_served() {
    struct Chain {
        left: usize,
        target: Addr,
        journal: Journal,
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
                cx.connect(target, Noted::new(&self.journal, next)).unwrap();
            }
        }
    }
    for kind in Kind::ALL {
        let mut tested = Tested::new();
        let target = tested.serve(kind, |_| Echo);
        let journal = Journal::default();
        let (to, witness) = (target.clone(), journal.clone());
        let addr = tested.serve(Kind::Tcp, move |_| Chain {
            left: 5,
            target: to.clone(),
            journal: witness.clone(),
        });
        let client = Client::connect(&addr);
        drop(client);
        tested.until_ended(11);
        assert_eq!(journal.finishes(), [(CloseReason::Closed, None); 5]);
        journal.assert_order(true);
    }
}

#[test]
fn a_connection_opened_and_closed_in_one_callback_ends_once() {
    let mut tested = Tested::new();
    let target = tested.serve(Kind::Unix, |_| Echo);
    let journal = Journal::default();
    let witness = journal.clone();
    let addr = tested.serve(Kind::Tcp, move |_| {
        let (target, witness) = (target.clone(), witness.clone());
        on_setup(move |cx: &mut Context<'_>| {
            let id = cx.connect(target.clone(), Noted::new(&witness, asks(1)))?;
            assert!(cx.io.is_open(id));
            cx.io.close(id);
            assert!(!cx.io.is_open(id));
            Ok(())
        })
    });
    let client = Client::connect(&addr);
    tested.until(|_| journal.finishes().len() == 1);
    drop(client);
    tested.until(|server| server.io().connection_count() == 0);
    assert_eq!(journal.calls().len(), 1);
}
