//! Outgoing connections that are planned: later, by name, from a chosen address, over several
//! addresses; kept standing; and joined to another.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};

use socketserver::{
    Addr, CloseReason, Connect, Context, Echo, Handler, Input, Options, Reconnect, Relay,
    SendStatus, Server,
};

use crate::support::{
    Call, CallLog, Client, Harness, Kind, Recording, ms, on_input, on_setup, pattern,
};

/// Sends this when it stands, and closes when as much came back.
struct Asks(&'static [u8]);

impl Handler for Asks {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.send(self.0);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        if let Some(answer) = input.take(self.0.len()) {
            assert_eq!(answer, self.0);
            cx.close();
        }
        Ok(())
    }
}

/// An address where nobody listens.
fn nowhere() -> Addr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Addr::Ip(listener.local_addr().unwrap())
}

#[test]
fn the_next_address_is_tried_when_one_refuses() {
    let mut harness = Harness::new();
    let journal = CallLog::default();
    let there = harness.serve(Kind::Tcp, |_| Echo);
    let addrs = [nowhere(), Addr::from("/nonexistent/socket".as_ref() as &std::path::Path), there];
    harness.connect(&addrs[..], Recording::new(&journal, Asks(b"hello"))).unwrap();
    harness.until_ended(2);
    assert_eq!(journal.finishes(), [(CloseReason::Closed, None)]);
    assert_eq!(harness.io().stats().connected, 1);
    journal.assert_order(true);
}

#[test]
fn when_every_address_refuses_finish_is_told_once() {
    let mut harness = Harness::new();
    let journal = CallLog::default();
    let addrs = [nowhere(), nowhere(), nowhere()];
    harness.connect(&addrs[..], Recording::new(&journal, Asks(b"hello"))).unwrap();
    harness.until_ended(1);
    let refused = Call::Finish(CloseReason::ConnectFailed, Some(ErrorKind::ConnectionRefused));
    assert_eq!(journal.calls(), [refused]);
}

#[test]
fn an_address_that_does_not_answer_makes_way_for_the_next() {
    // A listener whose backlog is full answers nobody.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let full = socket.local_addr().unwrap().as_socket().unwrap();
    let waiting: Vec<socket2::Socket> = (0..4)
        .map(|_| {
            let kind = (socket2::Domain::IPV4, socket2::Type::STREAM);
            let client = socket2::Socket::new(kind.0, kind.1, None).unwrap();
            client.set_nonblocking(true).unwrap();
            let _ = client.connect(&full.into());
            client
        })
        .collect();
    let mut harness =
        Harness::with_shared((), Options { connect_timeout: ms(40), ..Options::default() });
    let journal = CallLog::default();
    let there = harness.serve(Kind::Tcp, |_| Echo);
    let addrs = [Addr::Ip(full), there];
    harness.connect(&addrs[..], Recording::new(&journal, Asks(b"hello"))).unwrap();
    harness.until_ended(2);
    assert_eq!(journal.finishes(), [(CloseReason::Closed, None)]);
    drop(waiting);
}

#[test]
fn a_name_is_looked_up_beside_the_loop_and_then_connected_to() {
    let mut harness = Harness::new();
    let journal = CallLog::default();
    let port = harness.serve(Kind::Tcp, |_| Echo).port().unwrap();
    let connect = Connect::to_name(format!("localhost:{port}"));
    let id = harness.connect(connect, Recording::new(&journal, Asks(b"hello"))).unwrap();
    assert!(harness.io().is_open(id));
    assert_eq!(harness.io().peer_addr(id), None);
    harness.until_ended(2);
    assert_eq!(journal.finishes(), [(CloseReason::Closed, None)]);
}

#[test]
fn what_is_sent_before_a_name_is_known_leaves_when_the_connection_stands() {
    let mut harness = Harness::new();
    let port = harness.serve(Kind::Tcp, |_| Echo).port().unwrap();
    let connect = Connect::to_name(format!("127.0.0.1:{port}"));
    let collect = on_input(|cx: &mut Context<'_>, input: &mut Input<'_>| {
        if input.take(100_000).is_some() {
            cx.close();
        }
        Ok(())
    });
    let id = harness.connect(connect, collect).unwrap();
    assert_ne!(harness.io_mut().send(id, &pattern(100_000, 1)), SendStatus::Closed);
    harness.until_ended(2);
    assert_eq!(harness.ended(CloseReason::Closed), 2);
}

#[test]
fn an_unknown_name_is_told_to_finish() {
    let mut harness = Harness::new();
    let journal = CallLog::default();
    for name in ["no.such.name.invalid:80", "nonsense"] {
        harness.connect(Connect::to_name(name), Recording::new(&journal, Asks(b"hello"))).unwrap();
    }
    harness.until_ended(2);
    let finishes = journal.finishes();
    assert!(
        finishes
            .iter()
            .all(|(reason, kind)| { *reason == CloseReason::ConnectFailed && kind.is_some() })
    );
    assert_eq!(journal.calls().len(), 2);
}

#[test]
fn a_planned_connection_waits_for_its_time() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let stands = Rc::new(RefCell::new(None));
    let noted = Rc::clone(&stands);
    let began = Instant::now();
    let connect = Connect::to(addr).unwrap().delay(ms(60));
    let id = harness
        .connect(
            connect,
            on_setup(move |cx: &mut Context<'_>| {
                *noted.borrow_mut() = Some(began.elapsed());
                cx.close();
                Ok(())
            }),
        )
        .unwrap();
    assert_eq!(harness.io().connection_count(), 1);
    assert_ne!(harness.io_mut().send(id, b"early"), SendStatus::Closed);
    harness.until_ended(2);
    assert!(stands.borrow().unwrap() >= ms(60));
    assert_eq!(harness.io().stats().bytes_in, 5, "what was sent early arrived");
}

#[test]
fn a_planned_connection_longer_off_than_the_connect_timeout_still_comes() {
    let mut harness =
        Harness::with_shared((), Options { connect_timeout: ms(10), ..Options::default() });
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let connect = Connect::to(addr).unwrap().delay(ms(50));
    harness.connect(connect, Asks(b"late")).unwrap();
    harness.until_ended(2);
    assert_eq!(harness.ended(CloseReason::Closed), 2);
}

#[test]
fn a_planned_connection_can_be_closed_and_aborted_and_ends_with_a_shutdown() {
    let plans = || {
        [
            Connect::to(nowhere()).unwrap().delay(Duration::from_secs(3_600)),
            Connect::to_name("no.such.name.invalid:80").delay(Duration::from_secs(3_600)),
        ]
    };
    for end in [Server::<()>::io_close, Server::io_abort, Server::stop] {
        for plan in plans() {
            let mut harness = Harness::new();
            let journal = CallLog::default();
            let id = harness.connect(plan, Recording::new(&journal, Asks(b"never"))).unwrap();
            end(&mut harness, id);
            harness.until_ended(1);
            let calls = journal.calls();
            assert!(
                matches!(calls[..], [Call::Finish(_, Some(ErrorKind::ConnectionAborted))]),
                "{calls:?}"
            );
            assert_eq!(harness.io_mut().send(id, b"stale"), SendStatus::Closed);
        }
    }
}

trait Ends {
    fn io_close(&mut self, id: socketserver::SocketId);
    fn io_abort(&mut self, id: socketserver::SocketId);
    fn stop(&mut self, id: socketserver::SocketId);
}

impl Ends for Server<()> {
    fn io_close(&mut self, id: socketserver::SocketId) {
        self.io_mut().close(id);
    }

    fn io_abort(&mut self, id: socketserver::SocketId) {
        self.io_mut().abort(id);
    }

    fn stop(&mut self, _: socketserver::SocketId) {
        let began = Instant::now();
        self.shutdown(crate::support::PATIENCE).unwrap();
        assert!(
            began.elapsed() < crate::support::PATIENCE / 2,
            "it waited for what was only planned"
        );
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_connection_comes_from_the_address_it_was_told() {
    let mut harness = Harness::new();
    let peers = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&peers);
    let addr = harness.serve(Kind::Tcp, move |peer| {
        noted.borrow_mut().push(peer.ip().unwrap().ip().to_string());
        Echo
    });
    for from in ["127.0.0.2:0", "127.0.0.3:0"] {
        let connect = Connect::to(&addr).unwrap().local_addr(from).unwrap();
        harness.connect(connect, Asks(b"hello")).unwrap();
        harness.until(|server| server.io().connection_count() == 0);
    }
    assert_eq!(*peers.borrow(), ["127.0.0.2", "127.0.0.3"]);
    let nobody = Connect::to(&addr).unwrap().local_addr("192.0.2.1:0").unwrap();
    let error = harness.connect(nobody, Asks(b"hello")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}

// Reconnecting.

#[test]
fn a_connection_is_made_again_until_the_factory_gives_no_handler() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let journal = CallLog::default();
    let ends = Rc::new(RefCell::new(Vec::new()));
    let (noted, told) = (journal.clone(), Rc::clone(&ends));
    let again = Reconnect::new(addr, move |ended| {
        told.borrow_mut().push(ended);
        (told.borrow().len() <= 3).then(|| Recording::new(&noted, Asks(b"once more")))
    });
    again.unwrap().initial_backoff(ms(1)).start(&mut harness).unwrap();
    harness.until(|_| ends.borrow().len() == 4);
    harness.until(|server| server.io().connection_count() == 0);
    let closed = Some(CloseReason::Closed);
    assert_eq!(*ends.borrow(), [None, closed, closed, closed]);
    assert_eq!(journal.finishes().len(), 3);
    journal.assert_order(true);
}

#[test]
fn pauses_grow_while_nobody_answers_and_the_last_attempt_finds_the_server() {
    let mut harness = Harness::new();
    let addr = nowhere();
    let attempts = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&attempts);
    let again = Reconnect::new(&addr, move |_| {
        noted.borrow_mut().push(Instant::now());
        Some(Asks(b"there?"))
    });
    again.unwrap().initial_backoff(ms(4)).max_backoff(ms(16)).start(&mut harness).unwrap();
    harness.until(|_| attempts.borrow().len() == 6);
    let pauses: Vec<Duration> =
        attempts.borrow().windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Drawn from the upper half of 4, 8, 16, 16, 16 ms.
    // The factory is asked when an attempt has failed, so the first pause stands after the first.
    for (pause, least) in pauses[1..].iter().zip([2, 4, 8, 8]) {
        assert!(*pause >= ms(least), "{pauses:?}");
    }
    assert_eq!(harness.ended(CloseReason::ConnectFailed), 5);
    let late = harness.listen(addr, |_: &Addr| Echo).unwrap();
    harness.until(|server| server.io().stats().ended(CloseReason::Closed) > 0);
    harness.io_mut().close(late);
    harness.shutdown(Duration::ZERO).unwrap();
}

#[test]
fn a_shutdown_ends_the_row() {
    let mut harness = Harness::new();
    let addr = nowhere();
    let again = Reconnect::new(addr, |_| Some(Asks(b"there?"))).unwrap();
    again.initial_backoff(ms(1)).max_backoff(ms(1)).start(&mut harness).unwrap();
    harness.until(|server| server.io().stats().ended(CloseReason::ConnectFailed) > 3);
    harness.shutdown(crate::support::PATIENCE).unwrap();
    assert_eq!(harness.io().connection_count(), 0);
}

// Relays.

/// A relay in front of `upstream`, in the same loop.
fn relay_to(harness: &mut Harness<()>, kind: Kind, upstream: Addr) -> Addr {
    harness.serve(kind, move |_| Relay::to(upstream.clone()))
}

kinds!(a_relay_passes_everything_on_and_the_half_close_behind_it);

fn a_relay_passes_everything_on_and_the_half_close_behind_it(kind: Kind) {
    let mut harness = Harness::new();
    // Answers only when its peer has ended, so the half-close must arrive.
    struct Reverse(Vec<u8>);
    impl Handler for Reverse {
        fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            self.0.extend_from_slice(input.take_all());
            Ok(())
        }

        fn eof(&mut self, cx: &mut Context<'_>, _: &[u8]) -> io::Result<()> {
            self.0.reverse();
            cx.send(&self.0);
            cx.close();
            Ok(())
        }
    }
    let upstream = harness.serve(Kind::Tcp, |_| Reverse(Vec::new()));
    let addr = relay_to(&mut harness, kind, upstream);
    let mut client = Client::connect(&addr);
    let mut sent = pattern(50_000, 3);
    client.send(&sent);
    client.finish_sending();
    let answer = harness.receive_to_end(&mut client);
    sent.reverse();
    assert!(answer == sent);
    harness.until_ended(3);
    assert_eq!(harness.ended(CloseReason::Closed), 3);
}

#[test]
fn a_peer_that_ends_first_is_passed_on_too() {
    let mut harness = Harness::new();
    let upstream = harness.serve(Kind::Tcp, |_| {
        on_setup(|cx: &mut Context<'_>| {
            cx.send(b"goodbye");
            cx.io.shutdown_write(cx.id);
            Ok(())
        })
    });
    let addr = relay_to(&mut harness, Kind::Tcp, upstream);
    let mut client = Client::connect(&addr);
    assert_eq!(harness.receive_to_end(&mut client), b"goodbye");
    // The other direction still stands.
    client.send(b"one more thing");
    harness.until(|server| server.io().stats().bytes_in == 7 + 14 + 14);
    client.finish_sending();
    harness.until_ended(3);
}

#[test]
fn a_slow_side_holds_the_fast_one_at_bounded_memory() {
    const TOTAL: usize = 8 << 20;
    // Small buffers in the kernel, so that it holds less than the client sends.
    let small = Some(64 << 10);
    let options = Options { receive_buffer: small, send_buffer: small, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let upstream = harness.serve(Kind::Tcp, |_| Echo);
    let addr = relay_to(&mut harness, Kind::Tcp, upstream);
    let mut client = Client::connect_with(&addr, |socket| {
        socket.set_recv_buffer_size(8 << 10).unwrap();
    });
    let sent = pattern(TOTAL, 5);
    let mut pushed = 0;
    let mut most = 0;
    // It reads nothing until all others are stuck.
    let mut stuck = 0;
    while stuck < 20 {
        let n = client.push(&sent[pushed..]);
        pushed += n;
        stuck = if n == 0 { stuck + 1 } else { 0 };
        harness.turn(Some(ms(1))).unwrap();
        most = most.max(harness.io().stats().pending_output());
    }
    assert!(pushed < TOTAL, "nobody held it");
    assert!(most < 1 << 20, "{most} bytes waited in the process");
    harness.until(|_| {
        pushed += client.push(&sent[pushed..]);
        client.look();
        client.received.len() == TOTAL
    });
    assert!(client.received == sent);
    client.finish_sending();
    assert_eq!(harness.receive_to_end(&mut client).len(), TOTAL);
    harness.until_ended(3);
}

#[test]
fn a_relay_that_finds_nobody_or_breaks_cuts_its_client_off() {
    let mut harness = Harness::new();
    let addr = relay_to(&mut harness, Kind::Tcp, nowhere());
    let mut client = Client::connect(&addr);
    harness.until(|_| client.look());
    assert_eq!(client.end, Some(Err(ErrorKind::ConnectionReset)));
    harness.until_ended(2);

    let upstream = harness.serve(Kind::Tcp, |_| {
        on_input(|cx: &mut Context<'_>, input: &mut Input<'_>| {
            input.take_all();
            cx.send(b"half an ans");
            cx.io.abort(cx.id);
            Ok(())
        })
    });
    let addr = relay_to(&mut harness, Kind::Tcp, upstream);
    let mut client = Client::connect(&addr);
    client.send(b"?");
    harness.until(|_| client.look());
    assert_eq!(client.end, Some(Err(ErrorKind::ConnectionReset)), "a cut answer looks like one");
    harness.until_ended(5);
}

#[test]
fn a_shutdown_lets_a_relay_end_by_itself() {
    let mut harness = Harness::new();
    let upstream = harness.serve(Kind::Tcp, |_| Echo);
    // In a server of its own, so that only the relay is told.
    let mut relaying = Harness::new();
    let addr = relay_to(&mut relaying, Kind::Tcp, upstream);
    let mut client = Client::connect(&addr);
    client.send(b"before");
    let until = |harness: &mut Harness<()>, relaying: &mut Harness<()>, client: &mut Client, n| {
        while client.received.len() < n {
            harness.turn(Some(ms(1))).unwrap();
            relaying.turn(Some(ms(1))).unwrap();
            client.look();
        }
    };
    until(&mut harness, &mut relaying, &mut client, 6);
    relaying.io_mut().shutdown(crate::support::PATIENCE);
    relaying.turn(Some(ms(1))).unwrap();
    client.send(b" and after");
    until(&mut harness, &mut relaying, &mut client, 16);
    assert_eq!(client.received, b"before and after");
    client.finish_sending();
    while relaying.io().connection_count() > 0 {
        harness.turn(Some(ms(1))).unwrap();
        relaying.turn(Some(ms(1))).unwrap();
        client.look();
    }
    assert_eq!(relaying.ended(CloseReason::Closed), 2);
}

#[test]
fn an_address_that_is_not_allowed_is_never_connected_to() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let error = harness.connect(Connect::to(addr.clone()).unwrap().allow_if(|_| false), Echo);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let name = format!("localhost:{}", addr.port().unwrap());
    let journal = CallLog::default();
    let connect = Connect::to_name(&name).allow_if(|_| false);
    harness.connect(connect, Recording::new(&journal, Asks(b"never"))).unwrap();
    harness.until_ended(1);
    let denied = Some(ErrorKind::PermissionDenied);
    assert_eq!(journal.calls(), [Call::Finish(CloseReason::ConnectFailed, denied)]);
    let allowed = |addr: &Addr| addr.ip().is_some_and(|addr| addr.ip().is_loopback());
    harness.connect(Connect::to_name(&name).allow_if(allowed), Asks(b"come in")).unwrap();
    harness.until(|server| server.io().stats().accepted == 1);
}

#[test]
fn no_address_at_all_is_an_error_that_says_so() {
    let mut harness = Harness::new();
    let none: &[Addr] = &[];
    let error = harness.connect(none, Echo).unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::InvalidInput, "no address".into()));
    let error = Connect::to("127.0.0.1:1").unwrap().local_addr(none).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_panic_of_who_says_which_addresses_are_allowed_costs_that_connection_only() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let connect = || Connect::to(addr.clone()).unwrap().allow_if(|_| panic!("as tests do"));
    assert!(harness.connect(connect(), Echo).is_err());
    let name = format!("localhost:{}", addr.port().unwrap());
    let connect = Connect::to_name(&name).allow_if(|_| panic!("as tests do"));
    let journal = CallLog::default();
    harness.connect(connect, Recording::new(&journal, Echo)).unwrap();
    harness.until_ended(1);
    assert_eq!(journal.calls(), [Call::Finish(CloseReason::ConnectFailed, Some(ErrorKind::Other))]);
    let mut client = crate::support::Client::connect(&addr);
    harness.echo(&mut client, b"bystander");
}

/// A Unix listener whose backlog is full, and those who fill it.
#[cfg(target_os = "linux")]
fn full_unix_listener(path: &std::path::Path) -> (socket2::Socket, Vec<socket2::Socket>) {
    use socket2::{Domain, SockAddr, Socket, Type};
    let name = SockAddr::unix(path).unwrap();
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&name).unwrap();
    listener.listen(1).unwrap();
    let mut waiting = Vec::new();
    loop {
        let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        if client.connect(&name).is_err() {
            return (listener, waiting);
        }
        waiting.push(client);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_backlog_of_a_unix_server_is_waited_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("full");
    let (listener, waiting) = full_unix_listener(&path);
    let mut harness = Harness::new();
    let journal = CallLog::default();
    let quiet = on_input(|_: &mut Context<'_>, _: &mut Input<'_>| Ok(()));
    let id = harness.connect(path.as_path(), Recording::new(&journal, quiet)).unwrap();
    assert_ne!(harness.io_mut().send(id, b"early"), SendStatus::Closed);
    for _ in 0..10 {
        harness.turn(Some(ms(5))).unwrap();
    }
    assert!(journal.calls().is_empty(), "it stands without room");
    for _ in &waiting {
        listener.accept().unwrap();
    }
    harness.until(|_| journal.calls() == [Call::Setup]);
    let (mut accepted, _) = listener.accept().unwrap();
    harness.until(|server| server.io().pending_output(id) == 0);
    let mut early = [0; 5];
    io::Read::read_exact(&mut accepted, &mut early).unwrap();
    assert_eq!(&early, b"early");
}

#[test]
#[cfg(target_os = "linux")]
fn a_backlog_that_stays_full_is_given_up_after_the_connect_timeout() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("full");
    let full = full_unix_listener(&path);
    let mut harness =
        Harness::with_shared((), Options { connect_timeout: ms(60), ..Options::default() });
    let journal = CallLog::default();
    harness.connect(path.as_path(), Recording::new(&journal, Asks(b"never"))).unwrap();
    let began = Instant::now();
    harness.until_ended(1);
    assert!(began.elapsed() >= ms(50));
    assert_eq!(
        journal.calls(),
        [Call::Finish(CloseReason::ConnectFailed, Some(ErrorKind::TimedOut))]
    );
    drop(full);
}
