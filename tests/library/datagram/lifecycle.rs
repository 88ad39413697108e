//! How datagram sockets begin and end: timers, pauses, closing, one request, shutdown, and paths.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use socketserver::{
    Addr, CloseReason, Context, DatagramHandler, Echo, Handler, Input, Options, RequestOutcome,
    SendStatus, SocketId, TimerId, TraceEvent,
};

use crate::support::{
    Client, DatagramCall, DatagramCallLog, DatagramClient, DatagramKind, Harness, Kind, PATIENCE,
    RecordingDatagrams, Stubborn, flood, ms, on_datagram,
};

const CLOSED: DatagramCall = DatagramCall::Finish(CloseReason::Closed, None);

/// Echoes, and does what some words ask for.
struct Obeys;

impl DatagramHandler for Obeys {
    fn handle(&mut self, cx: &mut Context<'_>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        let id = cx.id;
        cx.reply(packet);
        match packet {
            b"close" => cx.close(),
            b"abort" => drop(cx.io.abort(id)),
            b"pause" => cx.pause(),
            b"shutdown" => cx.io.shutdown(PATIENCE),
            b"server close" => cx.io.server_close(),
            b"peer" => cx.io.connect_peer(id, peer)?,
            _ => {}
        }
        Ok(())
    }
}

// Timers and pauses.

datagram_kinds!(a_timer_of_a_datagram_socket_comes_up_in_its_handler);

fn a_timer_of_a_datagram_socket_comes_up_in_its_handler(net: DatagramKind) {
    struct Later(Vec<(TimerId, Addr)>);
    impl DatagramHandler for Later {
        fn handle(&mut self, cx: &mut Context<'_>, packet: &[u8], peer: &Addr) -> io::Result<()> {
            let timer = cx.set_timer(ms(u64::from(packet[0])));
            self.0.push((timer, peer.clone()));
            Ok(())
        }
        fn timeout(&mut self, cx: &mut Context<'_>, timer: TimerId) -> io::Result<()> {
            let nth = self.0.iter().position(|(set, _)| *set == timer).unwrap();
            cx.send_to(&[nth as u8], &self.0[nth].1);
            Ok(())
        }
    }
    let mut harness = Harness::new();
    let (_, addr) = harness.serve_datagrams(net, Later(Vec::new()));
    let client = DatagramClient::new(&addr);
    client.send(&[30]);
    client.send(&[10]);
    client.send(&[0]);
    for nth in [2, 1, 0] {
        assert_eq!(harness.answer(&client), [nth], "{net:?}");
    }
}

#[test]
fn a_timer_set_from_outside_comes_up_unless_it_is_cancelled_or_its_socket_goes() {
    let mut harness = Harness::new();
    let (journal, id, _) = harness.serve_recorded_datagrams(DatagramKind::V4, Echo);
    let cancelled = harness.io_mut().set_timer(id, Duration::ZERO);
    assert!(harness.io_mut().cancel_timer(cancelled));
    harness.io_mut().set_timer(id, Duration::ZERO);
    harness.until(|_| journal.has(DatagramCall::Timeout));
    let late = harness.io_mut().set_timer(id, Duration::ZERO);
    harness.io_mut().close(id);
    harness.until(|_| journal.has(CLOSED));
    assert!(!harness.io_mut().cancel_timer(late), "it went with its socket");
    assert_eq!(journal.calls(), [DatagramCall::Timeout, CLOSED]);
}

datagram_kinds!(a_paused_socket_is_shown_nothing_until_it_is_resumed);

fn a_paused_socket_is_shown_nothing_until_it_is_resumed(net: DatagramKind) {
    let mut harness = Harness::new();
    let (journal, id, addr) = harness.serve_recorded_datagrams(net, Obeys);
    let client = DatagramClient::new(&addr);
    let steps = harness.steps();
    harness.io_mut().pause(id);
    client.send(b"one");
    client.send(b"pause");
    harness.until_quiet(&steps);
    assert_eq!(journal.handled(), 0, "{net:?}");
    assert!(harness.io().is_paused(id) && harness.io().is_open(id));
    // It still sends.
    harness.io_mut().send_to(id, b"meanwhile", &client.addr());
    assert_eq!(harness.answer(&client), b"meanwhile");
    harness.io_mut().resume(id);
    assert!(!harness.io().is_paused(id));
    assert_eq!(harness.answer(&client), b"one");
    assert_eq!(harness.answer(&client), b"pause");
    // What comes after a pause from inside waits in the kernel, without a spin.
    client.send(b"two");
    harness.until_quiet(&steps);
    steps.clear();
    harness.turn(Some(ms(20))).unwrap();
    assert!(!cfg!(target_os = "linux") || steps.all() == [TraceEvent::Polled(0)], "{net:?}");
    assert_eq!(journal.handled(), 2, "{net:?}");
    harness.io_mut().resume(id);
    assert_eq!(harness.answer(&client), b"two");
}

// Closing.

datagram_kinds!(what_was_answered_before_a_close_from_inside_leaves_and_the_rest_is_refused);

fn what_was_answered_before_a_close_from_inside_leaves_and_the_rest_is_refused(net: DatagramKind) {
    let mut harness = Harness::new();
    let (journal, id, addr) = harness.serve_recorded_datagrams(net, Obeys);
    let (client, other) = (DatagramClient::new(&addr), DatagramClient::new(&addr));
    harness.exchange(&other, b"warm up");
    client.send(b"one");
    client.send(b"close");
    client.send(b"three");
    client.send(b"four");
    assert_eq!(harness.answer(&client), b"one");
    assert_eq!(harness.answer(&client), b"close");
    harness.until(|_| journal.has(CLOSED));
    let handled = [7, 3, 5].map(DatagramCall::Handle);
    assert_eq!(journal.calls(), [&handled[..], &[CLOSED]].concat(), "{net:?}");
    let stats = *harness.io().stats();
    assert_eq!(stats.packets_in, 3 + stats.packets_refused, "{net:?}");
    assert_eq!(stats.packets_dropped, 0);
    assert_gone(&mut harness, id, &client.addr());
    assert!(addr.path().is_none_or(|path| !path.exists()), "its path stayed");
    assert!(client.next().is_none());
}

/// Everything that can be asked or told says that the socket is gone.
#[track_caller]
fn assert_gone(harness: &mut Harness, id: SocketId, anybody: &Addr) {
    let io = harness.io_mut();
    assert_eq!(io.send_to(id, b"x", anybody), SendStatus::Closed);
    assert_eq!(io.send(id, b"x"), SendStatus::Closed);
    assert!(!io.is_open(id) && !io.is_paused(id) && !io.is_congested(id));
    assert_eq!((io.local_addr(id), io.peer_addr(id), io.queued_packets(id)), (None, None, 0));
    assert_eq!(io.connect_peer(id, anybody).unwrap_err().kind(), ErrorKind::NotConnected);
    let group = std::net::IpAddr::from([239, 255, 1, 1]);
    assert_eq!(io.join_multicast(id, group, 0).unwrap_err().kind(), ErrorKind::NotConnected);
    io.pause(id);
    io.resume(id);
    io.close(id);
    io.abort(id);
}

datagram_kinds!(a_close_from_outside_lets_leave_what_waits_and_an_abort_drops_it);

fn a_close_from_outside_lets_leave_what_waits_and_an_abort_drops_it(net: DatagramKind) {
    for aborted in [false, true] {
        let mut harness = Harness::new();
        let (journal, id, addr) = harness.serve_recorded_datagrams(net, Echo);
        let client = DatagramClient::new(&addr);
        harness.exchange(&client, b"hello");
        harness.io_mut().send_to(id, b"waits", &client.addr());
        if aborted {
            harness.io_mut().abort(id);
        } else {
            harness.io_mut().close(id);
        }
        assert!(!harness.io().is_open(id));
        assert_eq!(harness.io_mut().send_to(id, b"too late", &client.addr()), SendStatus::Closed);
        harness.until(|_| journal.has(CLOSED));
        assert_eq!(journal.calls(), [DatagramCall::Handle(5), CLOSED], "{net:?}");
        let came = client.all();
        assert_eq!(came.len(), usize::from(!aborted), "{net:?}");
        assert_eq!(harness.io().stats().packets_dropped, u64::from(aborted));
        assert_gone(&mut harness, id, &client.addr());
    }
}

udp_kinds!(what_waits_at_a_close_leaves_however_many_turns_that_takes);

fn what_waits_at_a_close_leaves_however_many_turns_that_takes(net: DatagramKind) {
    let mut harness = Harness::new();
    let (journal, id, addr) = harness.serve_recorded_datagrams(net, Echo);
    let client = DatagramClient::new(&addr);
    for n in 0..200 {
        assert_eq!(harness.io_mut().send_to(id, &[n], &client.addr()), SendStatus::Queued);
    }
    harness.io_mut().close(id);
    harness.until(|_| journal.has(CLOSED));
    assert_eq!(client.all().concat(), (0..200).collect::<Vec<u8>>(), "{net:?}");
    assert_eq!(journal.calls(), [CLOSED]);
}

#[test]
fn an_abort_from_inside_drops_what_was_just_answered() {
    let mut harness = Harness::new();
    let (journal, _, addr) = harness.serve_recorded_datagrams(DatagramKind::V4, Obeys);
    let client = DatagramClient::new(&addr);
    client.send(b"abort");
    harness.until(|_| journal.has(CLOSED));
    assert_eq!(journal.calls(), [DatagramCall::Handle(5), CLOSED]);
    assert_eq!((client.next(), harness.io().stats().packets_dropped), (None, 1));
}

#[test]
fn the_name_of_a_closed_socket_never_means_its_successor() {
    let mut harness = Harness::new();
    let (first, addr) = harness.serve_datagrams(DatagramKind::V4, Echo);
    harness.io_mut().close(first);
    harness.until(|server| server.io().local_addr(first).is_none());
    // The same address, and perhaps the same place in the tables.
    let second = harness.bind(&addr, Echo).unwrap();
    assert_ne!(first, second);
    harness.io_mut().abort(first);
    assert_eq!(harness.io_mut().send_to(first, b"x", &addr), SendStatus::Closed);
    harness.exchange(&DatagramClient::new(&addr), b"hello");
}

#[test]
fn in_finish_nothing_can_be_sent_but_something_can_be_opened() {
    struct Succeeded(Rc<Cell<Option<SocketId>>>);
    impl DatagramHandler for Succeeded {
        fn handle(&mut self, cx: &mut Context<'_>, _: &[u8], _: &Addr) -> io::Result<()> {
            cx.close();
            Ok(())
        }
        fn finish(&mut self, cx: &mut Context<'_>, outcome: io::Result<()>) {
            assert!(outcome.is_ok() && cx.reason() == Some(CloseReason::Closed));
            let addr = cx.io.local_addr(cx.id).unwrap();
            assert_eq!(cx.send_to(b"x", &addr), SendStatus::Closed);
            assert_eq!(cx.reply(b"x"), SendStatus::Closed);
            self.0.set(cx.bind("127.0.0.1:0", Echo).ok());
        }
    }
    let mut harness = Harness::new();
    let successor = Rc::new(Cell::new(None));
    let (_, addr) = harness.serve_datagrams(DatagramKind::V4, Succeeded(Rc::clone(&successor)));
    DatagramClient::new(&addr).send(b"go");
    harness.until(|_| successor.get().is_some());
    let next = harness.io().local_addr(successor.get().unwrap()).unwrap();
    harness.exchange(&DatagramClient::new(&next), b"hello");
}

#[test]
fn a_dropped_server_finishes_each_socket_once() {
    let journal = DatagramCallLog::default();
    let mut harness = Harness::new();
    for &net in DatagramKind::ALL {
        let (_, addr) = harness.serve_datagrams(net, RecordingDatagrams::new(&journal, Echo));
        harness.exchange(&DatagramClient::new(&addr), b"hello");
    }
    let (_, addr) = harness.serve_datagrams(DatagramKind::V4, Echo);
    harness.connect_datagram(&addr, RecordingDatagrams::new(&journal, Echo)).unwrap();
    assert_eq!(journal.finishes(), 0);
    drop(harness);
    assert_eq!(journal.finishes(), DatagramKind::ALL.len() + 1);
    assert!(UdpSocket::bind(addr.ip().unwrap()).is_ok(), "the port is still taken");
}

// One request.

datagram_kinds!(handle_request_handles_one_datagram);

fn handle_request_handles_one_datagram(net: DatagramKind) {
    let mut harness = Harness::new();
    let (journal, _, addr) = harness.serve_recorded_datagrams(net, Echo);
    let client = DatagramClient::new(&addr);
    for n in 0..3 {
        client.send(&[n]);
    }
    for n in 0..3 {
        assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
        assert_eq!(journal.handled(), usize::from(n) + 1, "{net:?}");
        assert_eq!(client.all(), [[n]], "{net:?}");
    }
    let timeout = Some(Duration::ZERO);
    assert_eq!(harness.handle_request(timeout).unwrap(), RequestOutcome::TimedOut);
    assert_eq!(harness.handle_request(Some(ms(5))).unwrap(), RequestOutcome::TimedOut);
    // However short the time, one that already waits is handled.
    client.send(b"x");
    assert_eq!(harness.handle_request(timeout).unwrap(), RequestOutcome::Handled);
    assert_eq!(client.all(), [b"x"], "{net:?}");
    harness.exchange(&client, b"without it any number is handled");
}

#[test]
fn of_two_sockets_handle_request_handles_one_datagram() {
    let mut harness = Harness::new();
    let journal = DatagramCallLog::default();
    let addrs = [DatagramKind::V4, DatagramKind::V6].map(|net| {
        let handler = RecordingDatagrams::new(&journal, Echo);
        harness.serve_datagrams(net, handler).1
    });
    let clients = addrs.each_ref().map(DatagramClient::new);
    for client in &clients {
        client.send(b"one");
        client.send(b"two");
    }
    for handled in 1..=4 {
        assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
        assert_eq!(journal.handled(), handled);
    }
    for client in &clients {
        assert_eq!(client.all(), [b"one", b"two"]);
    }
}

#[test]
fn handle_request_passes_over_who_is_refused() {
    let mut harness = Harness::new();
    let (_, addr) = harness.serve_datagrams(DatagramKind::V4, Echo);
    let (bad, good) = (DatagramClient::new(&addr), DatagramClient::new(&addr));
    let banned = bad.addr();
    harness.set_verify_request(move |(), peer| *peer != banned);
    for _ in 0..5 {
        bad.send(b"not me");
    }
    assert_eq!(harness.handle_request(Some(Duration::ZERO)).unwrap(), RequestOutcome::TimedOut);
    bad.send(b"not me");
    good.send(b"me");
    assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    assert_eq!(good.all(), [b"me"]);
    assert_eq!(harness.io().stats().packets_refused, 6);
}

#[test]
fn handle_request_counts_a_datagram_that_failed_or_was_cut() {
    let mut harness =
        Harness::with_shared((), Options { max_packet_size: 10, ..Options::default() });
    let fails = on_datagram(|_, _, _| Err(ErrorKind::Other.into()));
    let (_, addr) = harness.serve_datagrams(DatagramKind::V4, fails);
    let client = DatagramClient::new(&addr);
    client.send(b"fails");
    client.send(b"longer than ten");
    for _ in 0..2 {
        assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    }
    assert_eq!(harness.io().stats().packets_in, 2);
}

#[test]
fn without_a_socket_or_after_its_end_there_is_no_request() {
    let mut harness = Harness::new();
    assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Closed);
    let (id, addr) = harness.serve_datagrams(DatagramKind::V4, Obeys);
    harness.io_mut().close(id);
    assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Closed);
    let (id, other) = harness.serve_datagrams(DatagramKind::V4, Obeys);
    assert_ne!(addr, other);
    let client = DatagramClient::new(&other);
    client.send(b"close");
    assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Closed);
    assert_gone(&mut harness, id, &addr);
}

/// Closes when its timer comes up.
struct Waits;

impl Handler for Waits {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.set_timer(ms(50));
        Ok(())
    }

    fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Context<'_>, _: TimerId) -> io::Result<()> {
        cx.io.abort(cx.id);
        Ok(())
    }
}

#[test]
fn while_one_client_is_served_the_datagrams_of_others_wait_without_a_spin() {
    let mut harness = Harness::new();
    let stream = harness.serve(Kind::Tcp, |_| Waits);
    let client = Client::connect(&stream);
    let steps = harness.steps();
    let (_, addr) = harness.serve_datagrams(DatagramKind::V4, Echo);
    let packets = DatagramClient::new(&addr);
    let accepted = Rc::new(Cell::new(false));
    let once = Rc::clone(&accepted);
    // The datagram is sent when the stream was let in.
    harness.set_verify_request(move |(), _| {
        if !once.replace(true) {
            packets.send(b"must wait");
        }
        true
    });
    assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    assert!(accepted.get());
    let turns = steps.count(|step| matches!(step, TraceEvent::Polled(_)));
    assert!(turns < 20, "{turns} turns in 50 ms");
    drop(client);
    assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    assert_eq!(harness.io().stats().packets_in, 1);
}

// Shutdown.

datagram_kinds!(what_had_come_is_answered_before_a_shutdown_ends);

fn what_had_come_is_answered_before_a_shutdown_ends(net: DatagramKind) {
    let mut harness = Harness::new();
    let (journal, _, addr) = harness.serve_recorded_datagrams(net, Echo);
    let client = DatagramClient::new(&addr);
    // More than one turn takes, where the system lets so many wait.
    let sent = if net == DatagramKind::Unix { 5 } else { 200 };
    for n in 0..sent {
        client.send(&[n]);
    }
    harness.shutdown(PATIENCE).unwrap();
    let expected: Vec<u8> = (0..sent).collect();
    assert_eq!(client.all().concat(), expected, "{net:?}");
    let calls = journal.calls();
    assert_eq!(calls.len(), usize::from(sent) + 1);
    assert_eq!(calls.last(), Some(&DatagramCall::Shutdown), "{net:?}");
}

datagram_kinds!(a_bound_socket_rests_between_two_runs_and_serves_in_both);

fn a_bound_socket_rests_between_two_runs_and_serves_in_both(net: DatagramKind) {
    let mut harness = Harness::new();
    let (journal, id, addr) = harness.serve_recorded_datagrams(net, Obeys);
    let client = DatagramClient::new(&addr);
    for run in 1..=3 {
        // Between two runs it waits in the kernel.
        client.send(b"hello");
        client.send(b"shutdown");
        client.send(b"behind it");
        harness.serve_forever().unwrap();
        let answers = client.all();
        assert_eq!(answers, [&b"hello"[..], b"shutdown", b"behind it"], "{net:?}, run {run}");
        assert!(harness.io().local_addr(id).is_some(), "it is not bound any more");
        assert_eq!(journal.count(|call| call == DatagramCall::Shutdown), run);
    }
    assert_eq!(journal.finishes(), 0);
    harness.exchange(&client, b"stepped by hand it serves too");
}

#[test]
fn a_shutdown_from_another_thread_ends_the_run_and_the_next_one_serves() {
    let mut harness = Harness::new();
    let (journal, _, addr) = harness.serve_recorded_datagrams(DatagramKind::V4, Echo);
    for run in 1..=3 {
        let (handle, addr) = (harness.handle(), addr.clone());
        let client = thread::spawn(move || {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.connect(addr.ip().unwrap()).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.send(b"hello").unwrap();
            let mut answer = [0; 10];
            let n = client.recv(&mut answer).unwrap();
            handle.shutdown(PATIENCE);
            answer[..n].to_vec()
        });
        harness.serve_forever().unwrap();
        assert_eq!(client.join().unwrap(), b"hello");
        let shutdowns = journal.count(|call| call == DatagramCall::Shutdown);
        assert_eq!((shutdowns, journal.handled()), (run, run));
    }
}

#[test]
fn a_connected_socket_is_closed_by_a_shutdown() {
    for set_peer in [false, true] {
        let mut harness = Harness::new();
        let journal = DatagramCallLog::default();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_nonblocking(true).unwrap();
        let to = Addr::Ip(peer.local_addr().unwrap());
        let handler = RecordingDatagrams::new(&journal, Echo);
        let id = if set_peer {
            let (id, _) = harness.serve_datagrams(DatagramKind::V4, handler);
            harness.io_mut().connect_peer(id, &to).unwrap();
            id
        } else {
            harness.connect_datagram(&to, handler).unwrap()
        };
        let addr = harness.io().local_addr(id).unwrap();
        peer.send_to(b"came before", addr.ip().unwrap()).unwrap();
        harness.shutdown(PATIENCE).unwrap();
        assert_eq!(journal.calls(), [DatagramCall::Handle(11), DatagramCall::Shutdown, CLOSED]);
        let mut answer = [0; 20];
        assert_eq!(peer.recv(&mut answer).unwrap(), 11);
        assert_gone(&mut harness, id, &to);
    }
}

/// Says goodbye to somebody when it is told to shut down.
struct Polite(Addr);

impl DatagramHandler for Polite {
    fn handle(&mut self, _: &mut Context<'_>, _: &[u8], _: &Addr) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.send_to(b"goodbye", &self.0);
        Ok(())
    }
}

/// A socket that exchanges datagrams with nobody in particular, and its address.
fn bystander() -> (UdpSocket, Addr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let addr = Addr::Ip(socket.local_addr().unwrap());
    (socket, addr)
}

#[test]
fn what_is_sent_in_shutdown_leaves() {
    for connected in [false, true] {
        let mut harness = Harness::new();
        let journal = DatagramCallLog::default();
        let (peer, to) = bystander();
        let handler = RecordingDatagrams::new(&journal, Polite(to.clone()));
        if connected {
            harness.connect_datagram(&to, handler).unwrap();
        } else {
            harness.serve_datagrams(DatagramKind::V4, handler);
        }
        harness.shutdown(PATIENCE).unwrap();
        let mut said = [0; 10];
        assert_eq!(peer.recv(&mut said).unwrap(), 7);
        assert_eq!(journal.finishes(), usize::from(connected));
    }
}

#[test]
fn without_any_grace_a_connected_socket_is_closed_too() {
    let mut harness = Harness::new();
    let journal = DatagramCallLog::default();
    let (_peer, to) = bystander();
    let handler = RecordingDatagrams::new(&journal, Polite(to.clone()));
    let id = harness.connect_datagram(&to, handler).unwrap();
    harness.shutdown(Duration::ZERO).unwrap();
    assert_eq!(journal.calls(), [DatagramCall::Shutdown, CLOSED]);
    assert_gone(&mut harness, id, &to);
}

#[test]
fn without_any_grace_a_bound_socket_rests_and_serves_again() {
    let mut harness = Harness::new();
    let (journal, _, addr) = harness.serve_recorded_datagrams(DatagramKind::V4, Echo);
    let client = DatagramClient::new(&addr);
    harness.shutdown(Duration::ZERO).unwrap();
    assert_eq!(journal.calls(), [DatagramCall::Shutdown]);
    harness.exchange(&client, b"again");
}

#[test]
fn a_paused_socket_is_told_of_the_shutdown_too() {
    let mut harness = Harness::new();
    let (journal, id, addr) = harness.serve_recorded_datagrams(DatagramKind::V4, Echo);
    let client = DatagramClient::new(&addr);
    harness.io_mut().pause(id);
    client.send(b"never shown");
    harness.shutdown(PATIENCE).unwrap();
    assert_eq!(journal.calls(), [DatagramCall::Shutdown]);
}

#[test]
fn a_flood_does_not_hold_up_a_shutdown_beyond_its_grace() {
    let mut harness = Harness::new();
    let (journal, _, addr) = harness.serve_recorded_datagrams(DatagramKind::V4, Echo);
    let enough = Arc::new(AtomicBool::new(false));
    // Far more than can come before the shutdown is over.
    let flooders = flood(*addr.ip().unwrap(), 50_000_000, &enough);
    harness.until(|_| journal.handled() > 1_000);
    harness.shutdown(ms(100)).unwrap();
    assert!(flooders.iter().any(|flooder| !flooder.is_finished()), "it was no flood");
    enough.store(true, Ordering::Relaxed);
    assert_eq!(journal.count(|call| call == DatagramCall::Shutdown), 1);
    assert_eq!(journal.calls().last(), Some(&DatagramCall::Shutdown));
    for flooder in flooders {
        flooder.join().unwrap();
    }
}

/// A server in the middle of a shutdown: a stream that does not close, and a socket at rest.
fn shutting_down() -> (Harness, DatagramCallLog, Client, SocketId, Addr) {
    let mut harness = Harness::new();
    let journal = DatagramCallLog::default();
    let stream = harness.serve(Kind::Tcp, |_| Stubborn);
    let (id, addr) =
        harness.serve_datagrams(DatagramKind::V4, RecordingDatagrams::new(&journal, Echo));
    let mut client = Client::connect(&stream);
    harness.echo(&mut client, b"before");
    harness.io_mut().shutdown(PATIENCE);
    harness.until(|_| journal.has(DatagramCall::Shutdown));
    (harness, journal, client, id, addr)
}

#[test]
fn who_rests_hears_nothing_but_may_still_send() {
    let (mut harness, journal, mut stream, id, addr) = shutting_down();
    let client = DatagramClient::new(&addr);
    client.send(b"too late");
    harness.echo(&mut stream, b"during");
    let steps = harness.steps();
    harness.until_quiet(&steps);
    assert_eq!(journal.calls(), [DatagramCall::Shutdown]);
    assert_eq!(harness.io_mut().send_to(id, b"news", &client.addr()), SendStatus::Queued);
    assert_eq!(harness.answer(&client), b"news");
    drop(stream);
    harness.until(|server| server.report().is_some());
    // The next run answers what came meanwhile.
    assert_eq!(harness.answer(&client), b"too late");
}

#[test]
fn a_server_close_during_a_shutdown_tells_nobody_of_it_twice() {
    let (mut harness, journal, stream, _, _) = shutting_down();
    harness.io_mut().server_close();
    harness.until(|_| journal.has(CLOSED));
    assert_eq!(journal.calls(), [DatagramCall::Shutdown, CLOSED]);
    drop(stream);
    harness.until(|server| server.report().is_some());
}

#[test]
fn a_socket_opened_during_a_shutdown_does_not_hold_it_up() {
    struct Reopens(Addr);
    impl DatagramHandler for Reopens {
        fn handle(&mut self, _: &mut Context<'_>, _: &[u8], _: &Addr) -> io::Result<()> {
            Ok(())
        }
        fn shutdown(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            cx.bind("127.0.0.1:0", Echo)?;
            cx.connect_datagram(&self.0, Echo)?;
            Ok(())
        }
    }
    let mut harness = Harness::new();
    let (_peer, to) = bystander();
    harness.serve_datagrams(DatagramKind::V4, Reopens(to));
    harness.io_mut().shutdown(PATIENCE);
    harness.turn(Some(Duration::ZERO)).unwrap();
    let steps = harness.steps();
    harness.until_quiet(&steps);
    assert!(harness.report().is_some(), "it waits for its grace");
}

datagram_kinds!(server_close_answers_what_has_come_and_closes_what_is_bound);

fn server_close_answers_what_has_come_and_closes_what_is_bound(net: DatagramKind) {
    for from_inside in [false, true] {
        let mut harness = Harness::new();
        let (journal, id, addr) = harness.serve_recorded_datagrams(net, Obeys);
        let client = DatagramClient::new(&addr);
        let (_peer, to) = bystander();
        let spared = harness.connect_datagram(&to, Echo).unwrap();
        if from_inside {
            client.send(b"server close");
        }
        client.send(b"one");
        client.send(b"two");
        if !from_inside {
            harness.io_mut().server_close();
        }
        harness.until(|_| journal.has(CLOSED));
        let answers = client.all();
        assert_eq!(answers[answers.len() - 2..], [b"one", b"two"], "{net:?}");
        assert!(!journal.has(DatagramCall::Shutdown), "{net:?}");
        assert_eq!(harness.io().stats().packets_refused, 0);
        assert_gone(&mut harness, id, &to);
        assert!(harness.io().is_open(spared), "a connected one was closed");
        assert!(addr.path().is_none_or(|path| !path.exists()));
        assert!(addr.ip().is_none_or(|ip| UdpSocket::bind(ip).is_ok()), "{net:?}");
    }
}

#[test]
fn a_flood_does_not_hold_up_server_close() {
    let mut harness = Harness::new();
    let (journal, _, addr) = harness.serve_recorded_datagrams(DatagramKind::V4, Echo);
    let enough = Arc::new(AtomicBool::new(false));
    let flooders = flood(*addr.ip().unwrap(), 50_000_000, &enough);
    harness.until(|_| journal.handled() > 1_000);
    harness.io_mut().server_close();
    harness.until(|_| journal.has(CLOSED));
    enough.store(true, Ordering::Relaxed);
    assert_eq!(journal.finishes(), 1);
    for flooder in flooders {
        flooder.join().unwrap();
    }
}

// Addresses.

#[test]
fn a_port_in_use_is_an_error_that_names_the_address() {
    for net in [DatagramKind::V4, DatagramKind::V6] {
        let mut harness = Harness::new();
        let (_, addr) = harness.serve_datagrams(net, Echo);
        let error = harness.bind(&addr, Echo).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{net:?}");
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
        let mut other = Harness::new();
        assert_eq!(other.bind(&addr, Echo).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert!(UdpSocket::bind(addr.ip().unwrap()).is_err());
        harness.exchange(&DatagramClient::new(&addr), b"unharmed");
    }
}

#[test]
fn an_address_that_is_not_here_is_an_error_that_names_it() {
    let mut harness = Harness::new();
    let foreign: SocketAddr = "192.0.2.99:9".parse().unwrap();
    let error = harness.bind(foreign, Echo).unwrap_err();
    assert!(error.to_string().contains("192.0.2.99:9"), "{error}");
    let nowhere = harness.free_path();
    let error = harness.connect_datagram(&nowhere, Echo).unwrap_err();
    assert!(error.to_string().contains(nowhere.to_str().unwrap()), "{error}");
    assert_eq!(harness.bind(Addr::Unnamed, Echo).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[cfg(unix)]
mod paths {
    use std::fs;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;
    use crate::support::pattern;

    #[test]
    fn a_path_left_by_a_dead_server_is_reclaimed() {
        let mut harness = Harness::new();
        let path = harness.free_path();
        drop(UnixDatagram::bind(&path).unwrap());
        assert!(path.exists());
        harness.bind(&path, Echo).unwrap();
        harness.exchange(&DatagramClient::new(&Addr::from(path)), b"hello");
    }

    #[test]
    fn a_path_on_which_somebody_lives_is_refused_and_named() {
        let mut harness = Harness::new();
        let (packets, stream) = (harness.free_path(), harness.free_path());
        let alive = UnixDatagram::bind(&packets).unwrap();
        let _listener = UnixListener::bind(&stream).unwrap();
        for path in [&packets, &stream] {
            let error = harness.bind(path, Echo).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert!(path.exists());
        }
        let client = UnixDatagram::unbound().unwrap();
        client.send_to(b"still mine", &packets).unwrap();
        assert_eq!(alive.recv(&mut [0; 20]).unwrap(), 10);
        // And the other way round: no stream takes the place of datagrams.
        let (_, addr) = harness.serve_datagrams(DatagramKind::Unix, Echo);
        assert!(harness.listen(&addr, |_| Echo).is_err());
        harness.exchange(&DatagramClient::new(&addr), b"unharmed");
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone_and_named() {
        let mut harness = Harness::new();
        let path = harness.free_path();
        fs::write(&path, "precious").unwrap();
        let error = harness.bind(&path, Echo).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn at_the_end_the_path_goes_only_if_it_is_still_ours() {
        for ours in [true, false] {
            let mut harness = Harness::new();
            let (id, addr) = harness.serve_datagrams(DatagramKind::Unix, Echo);
            let path = addr.path().unwrap();
            let mut successor = None;
            if !ours {
                fs::remove_file(path).unwrap();
                successor = Some(UnixDatagram::bind(path).unwrap());
            }
            harness.io_mut().close(id);
            harness.until(|server| server.io().local_addr(id).is_none());
            assert_eq!(path.exists(), !ours);
            if let Some(successor) = successor {
                UnixDatagram::unbound().unwrap().send_to(b"mine", path).unwrap();
                assert_eq!(successor.recv(&mut [0; 10]).unwrap(), 4);
            }
        }
    }

    #[test]
    fn two_bound_and_connected_unix_sockets_talk() {
        let mut harness =
            Harness::with_shared((), Options { accept_own_packets: true, ..Options::default() });
        let (_, server) = harness.serve_datagrams(DatagramKind::Unix, Echo);
        let journal = DatagramCallLog::default();
        let discard = on_datagram(|_, _, _| Ok(()));
        let (id, _) =
            harness.serve_datagrams(DatagramKind::Unix, RecordingDatagrams::new(&journal, discard));
        harness.io_mut().connect_peer(id, &server).unwrap();
        for size in [3, 0, 50_000] {
            assert_eq!(harness.io_mut().send(id, &pattern(size, 1)), SendStatus::Queued);
            harness.until(|_| journal.has(DatagramCall::Handle(size)));
        }
        // One that is only connected has no name, and its peer cannot answer.
        let unnamed = harness.connect_datagram(&server, Echo).unwrap();
        let (came, sent) = (harness.io().stats().packets_in, harness.io().stats().packets_sent);
        harness.io_mut().send(unnamed, b"who am I?");
        harness.until(|server| server.io().stats().packets_in == came + 1);
        assert_eq!(harness.io().stats().packets_sent, sent + 1);
    }
}
