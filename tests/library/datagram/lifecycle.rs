//! How datagram sockets begin and end: timers, pauses, closing, one request, shutdown, and paths.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{
    Client, Kind, Net, NotedPackets, PATIENCE, PacketCall, PacketClient, PacketJournal, Tested,
    flood, on_packet,
};
use socketserver::{
    Addr, CloseReason, Context, DatagramHandler, Echo, Handler, Input, Options, RequestOutcome,
    SendStatus, SocketId, TimerId, TraceEvent,
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const CLOSED: PacketCall = PacketCall::Finish(CloseReason::Closed, None);

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

#[test]
fn a_timer_of_a_datagram_socket_comes_up_in_its_handler() {
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
    for &net in Net::ALL {
        let mut tested = Tested::new();
        let (_, addr) = tested.serve_packets(net, Later(Vec::new()));
        let client = PacketClient::new(&addr);
        client.send(&[30]);
        client.send(&[10]);
        client.send(&[0]);
        for nth in [2, 1, 0] {
            assert_eq!(tested.answer(&client), [nth], "{net:?}");
        }
    }
}

#[test]
fn a_timer_set_from_outside_comes_up_unless_it_is_cancelled_or_its_socket_goes() {
    let mut tested = Tested::new();
    let journal = PacketJournal::default();
    let (id, _) = tested.serve_packets(Net::V4, NotedPackets::new(&journal, Echo));
    let cancelled = tested.io_mut().set_timer(id, Duration::ZERO);
    assert!(tested.io_mut().cancel_timer(cancelled));
    tested.io_mut().set_timer(id, Duration::ZERO);
    tested.until(|_| journal.has(PacketCall::Timeout));
    let late = tested.io_mut().set_timer(id, Duration::ZERO);
    tested.io_mut().close(id);
    tested.until(|_| journal.has(CLOSED));
    assert!(!tested.io_mut().cancel_timer(late), "it went with its socket");
    assert_eq!(journal.calls(), [PacketCall::Timeout, CLOSED]);
}

#[test]
fn a_paused_socket_is_shown_nothing_until_it_is_resumed() {
    for &net in Net::ALL {
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let (id, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Obeys));
        let client = PacketClient::new(&addr);
        let steps = tested.steps();
        tested.io_mut().pause(id);
        client.send(b"one");
        client.send(b"pause");
        tested.until_quiet(&steps);
        assert_eq!(journal.handled(), 0, "{net:?}");
        assert!(tested.io().is_paused(id) && tested.io().is_open(id));
        // It still sends.
        tested.io_mut().send_to(id, b"meanwhile", &client.addr());
        assert_eq!(tested.answer(&client), b"meanwhile");
        tested.io_mut().resume(id);
        assert!(!tested.io().is_paused(id));
        assert_eq!(tested.answer(&client), b"one");
        assert_eq!(tested.answer(&client), b"pause");
        // What comes after a pause from inside waits in the kernel, without a spin.
        client.send(b"two");
        tested.until_quiet(&steps);
        steps.clear();
        tested.turn(Some(ms(20))).unwrap();
        assert!(!cfg!(target_os = "linux") || steps.all() == [TraceEvent::Polled(0)], "{net:?}");
        assert_eq!(journal.handled(), 2, "{net:?}");
        tested.io_mut().resume(id);
        assert_eq!(tested.answer(&client), b"two");
    }
}

// Closing.

#[test]
fn what_was_answered_before_a_close_from_inside_leaves_and_the_rest_is_refused() {
    for &net in Net::ALL {
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let (id, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Obeys));
        let (client, other) = (PacketClient::new(&addr), PacketClient::new(&addr));
        tested.exchange(&other, b"warm up");
        client.send(b"one");
        client.send(b"close");
        client.send(b"three");
        client.send(b"four");
        assert_eq!(tested.answer(&client), b"one");
        assert_eq!(tested.answer(&client), b"close");
        tested.until(|_| journal.has(CLOSED));
        let handled = [7, 3, 5].map(PacketCall::ServerHandle);
        assert_eq!(journal.calls(), [&handled[..], &[CLOSED]].concat(), "{net:?}");
        let stats = *tested.io().stats();
        assert_eq!(stats.packets_in, 3 + stats.packets_refused, "{net:?}");
        assert_eq!(stats.packets_dropped, 0);
        assert_gone(&mut tested, id, &client.addr());
        assert!(addr.path().is_none_or(|path| !path.exists()), "its path stayed");
        assert!(client.next().is_none());
    }
}

/// Everything that can be asked or told says that the socket is gone.
#[track_caller]
fn assert_gone(tested: &mut Tested, id: SocketId, anybody: &Addr) {
    let io = tested.io_mut();
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

#[test]
fn a_close_from_outside_lets_leave_what_waits_and_an_abort_drops_it() {
    for &net in Net::ALL {
        for aborted in [false, true] {
            let mut tested = Tested::new();
            let journal = PacketJournal::default();
            let (id, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Echo));
            let client = PacketClient::new(&addr);
            tested.exchange(&client, b"hello");
            tested.io_mut().send_to(id, b"waits", &client.addr());
            if aborted {
                tested.io_mut().abort(id);
            } else {
                tested.io_mut().close(id);
            }
            assert!(!tested.io().is_open(id));
            assert_eq!(
                tested.io_mut().send_to(id, b"too late", &client.addr()),
                SendStatus::Closed
            );
            tested.until(|_| journal.has(CLOSED));
            assert_eq!(journal.calls(), [PacketCall::ServerHandle(5), CLOSED], "{net:?}");
            let came = client.all();
            assert_eq!(came.len(), usize::from(!aborted), "{net:?}");
            assert_eq!(tested.io().stats().packets_dropped, u64::from(aborted));
            assert_gone(&mut tested, id, &client.addr());
        }
    }
}

#[test]
fn what_waits_at_a_close_leaves_however_many_turns_that_takes() {
    for &net in Net::UDP {
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let (id, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Echo));
        let client = PacketClient::new(&addr);
        for n in 0..200 {
            assert_eq!(tested.io_mut().send_to(id, &[n], &client.addr()), SendStatus::Queued);
        }
        tested.io_mut().close(id);
        tested.until(|_| journal.has(CLOSED));
        assert_eq!(client.all().concat(), (0..200).collect::<Vec<u8>>(), "{net:?}");
        assert_eq!(journal.calls(), [CLOSED]);
    }
}

#[test]
fn an_abort_from_inside_drops_what_was_just_answered() {
    let mut tested = Tested::new();
    let journal = PacketJournal::default();
    let (_, addr) = tested.serve_packets(Net::V4, NotedPackets::new(&journal, Obeys));
    let client = PacketClient::new(&addr);
    client.send(b"abort");
    tested.until(|_| journal.has(CLOSED));
    assert_eq!(journal.calls(), [PacketCall::ServerHandle(5), CLOSED]);
    assert_eq!((client.next(), tested.io().stats().packets_dropped), (None, 1));
}

#[test]
fn the_name_of_a_closed_socket_never_means_its_successor() {
    let mut tested = Tested::new();
    let (first, addr) = tested.serve_packets(Net::V4, Echo);
    tested.io_mut().close(first);
    tested.until(|server| server.io().local_addr(first).is_none());
    // The same address, and perhaps the same place in the tables.
    let second = tested.bind(&addr, Echo).unwrap();
    assert_ne!(first, second);
    tested.io_mut().abort(first);
    assert_eq!(tested.io_mut().send_to(first, b"x", &addr), SendStatus::Closed);
    tested.exchange(&PacketClient::new(&addr), b"hello");
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
    let mut tested = Tested::new();
    let successor = Rc::new(Cell::new(None));
    let (_, addr) = tested.serve_packets(Net::V4, Succeeded(Rc::clone(&successor)));
    PacketClient::new(&addr).send(b"go");
    tested.until(|_| successor.get().is_some());
    let next = tested.io().local_addr(successor.get().unwrap()).unwrap();
    tested.exchange(&PacketClient::new(&next), b"hello");
}

#[test]
fn a_dropped_server_finishes_each_socket_once() {
    let journal = PacketJournal::default();
    let mut tested = Tested::new();
    for &net in Net::ALL {
        let (_, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Echo));
        tested.exchange(&PacketClient::new(&addr), b"hello");
    }
    let (_, addr) = tested.serve_packets(Net::V4, Echo);
    tested.connect_datagram(&addr, NotedPackets::new(&journal, Echo)).unwrap();
    assert_eq!(journal.finishes(), 0);
    drop(tested);
    assert_eq!(journal.finishes(), Net::ALL.len() + 1);
    assert!(UdpSocket::bind(addr.ip().unwrap()).is_ok(), "the port is still taken");
}

// One request.

#[test]
fn handle_request_handles_one_datagram() {
    for &net in Net::ALL {
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let (_, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Echo));
        let client = PacketClient::new(&addr);
        for n in 0..3 {
            client.send(&[n]);
        }
        for n in 0..3 {
            assert_eq!(tested.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
            assert_eq!(journal.handled(), usize::from(n) + 1, "{net:?}");
            assert_eq!(client.all(), [[n]], "{net:?}");
        }
        let timeout = Some(Duration::ZERO);
        assert_eq!(tested.handle_request(timeout).unwrap(), RequestOutcome::TimedOut);
        assert_eq!(tested.handle_request(Some(ms(5))).unwrap(), RequestOutcome::TimedOut);
        // However short the time, one that already waits is handled.
        client.send(b"x");
        assert_eq!(tested.handle_request(timeout).unwrap(), RequestOutcome::Handled);
        assert_eq!(client.all(), [b"x"], "{net:?}");
        tested.exchange(&client, b"without it any number is handled");
    }
}

#[test]
fn of_two_sockets_handle_request_handles_one_datagram() {
    let mut tested = Tested::new();
    let journal = PacketJournal::default();
    let addrs = [Net::V4, Net::V6].map(|net| {
        let handler = NotedPackets::new(&journal, Echo);
        tested.serve_packets(net, handler).1
    });
    let clients = addrs.each_ref().map(PacketClient::new);
    for client in &clients {
        client.send(b"one");
        client.send(b"two");
    }
    for handled in 1..=4 {
        assert_eq!(tested.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
        assert_eq!(journal.handled(), handled);
    }
    for client in &clients {
        assert_eq!(client.all(), [b"one", b"two"]);
    }
}

#[test]
fn handle_request_passes_over_who_is_refused() {
    let mut tested = Tested::new();
    let (_, addr) = tested.serve_packets(Net::V4, Echo);
    let (bad, good) = (PacketClient::new(&addr), PacketClient::new(&addr));
    let banned = bad.addr();
    tested.set_verify_request(move |(), peer| *peer != banned);
    for _ in 0..5 {
        bad.send(b"not me");
    }
    assert_eq!(tested.handle_request(Some(Duration::ZERO)).unwrap(), RequestOutcome::TimedOut);
    bad.send(b"not me");
    good.send(b"me");
    assert_eq!(tested.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    assert_eq!(good.all(), [b"me"]);
    assert_eq!(tested.io().stats().packets_refused, 6);
}

#[test]
fn handle_request_counts_a_datagram_that_failed_or_was_cut() {
    let mut tested = Tested::with_shared((), Options { max_packet_size: 10, ..Options::default() });
    let fails = on_packet(|_, _, _| Err(ErrorKind::Other.into()));
    let (_, addr) = tested.serve_packets(Net::V4, fails);
    let client = PacketClient::new(&addr);
    client.send(b"fails");
    client.send(b"longer than ten");
    for _ in 0..2 {
        assert_eq!(tested.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    }
    assert_eq!(tested.io().stats().packets_in, 2);
}

#[test]
fn without_a_socket_or_after_its_end_there_is_no_request() {
    let mut tested = Tested::new();
    assert_eq!(tested.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Closed);
    let (id, addr) = tested.serve_packets(Net::V4, Obeys);
    tested.io_mut().close(id);
    assert_eq!(tested.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Closed);
    let (id, other) = tested.serve_packets(Net::V4, Obeys);
    assert_ne!(addr, other);
    let client = PacketClient::new(&other);
    client.send(b"close");
    assert_eq!(tested.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    assert_eq!(tested.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Closed);
    assert_gone(&mut tested, id, &addr);
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
    let mut tested = Tested::new();
    let stream = tested.serve(Kind::Tcp, |_| Waits);
    let client = Client::connect(&stream);
    let steps = tested.steps();
    let (_, addr) = tested.serve_packets(Net::V4, Echo);
    let packets = PacketClient::new(&addr);
    let accepted = Rc::new(Cell::new(false));
    let once = Rc::clone(&accepted);
    // The datagram is sent when the stream was let in.
    tested.set_verify_request(move |(), _| {
        if !once.replace(true) {
            packets.send(b"must wait");
        }
        true
    });
    assert_eq!(tested.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    assert!(accepted.get());
    let turns = steps.count(|step| matches!(step, TraceEvent::Polled(_)));
    assert!(turns < 20, "{turns} turns in 50 ms");
    drop(client);
    assert_eq!(tested.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    assert_eq!(tested.io().stats().packets_in, 1);
}

// Shutdown.

#[test]
fn what_had_come_is_answered_before_a_shutdown_ends() {
    for &net in Net::ALL {
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let (_, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Echo));
        let client = PacketClient::new(&addr);
        // More than one turn takes, where the system lets so many wait.
        let sent = if net == Net::Unix { 5 } else { 200 };
        for n in 0..sent {
            client.send(&[n]);
        }
        tested.shutdown(PATIENCE).unwrap();
        let expected: Vec<u8> = (0..sent).collect();
        assert_eq!(client.all().concat(), expected, "{net:?}");
        let calls = journal.calls();
        assert_eq!(calls.len(), usize::from(sent) + 1);
        assert_eq!(calls.last(), Some(&PacketCall::Shutdown), "{net:?}");
    }
}

#[test]
fn a_bound_socket_rests_between_two_runs_and_serves_in_both() {
    for &net in Net::ALL {
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let (id, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Obeys));
        let client = PacketClient::new(&addr);
        for run in 1..=3 {
            // Between two runs it waits in the kernel.
            client.send(b"hello");
            client.send(b"shutdown");
            client.send(b"behind it");
            tested.serve_forever().unwrap();
            let answers = client.all();
            assert_eq!(answers, [&b"hello"[..], b"shutdown", b"behind it"], "{net:?}, run {run}");
            assert!(tested.io().local_addr(id).is_some(), "it is not bound any more");
            assert_eq!(journal.count(|call| call == PacketCall::Shutdown), run);
        }
        assert_eq!(journal.finishes(), 0);
        tested.exchange(&client, b"stepped by hand it serves too");
    }
}

#[test]
fn a_shutdown_from_another_thread_ends_the_run_and_the_next_one_serves() {
    let mut tested = Tested::new();
    let journal = PacketJournal::default();
    let (_, addr) = tested.serve_packets(Net::V4, NotedPackets::new(&journal, Echo));
    for run in 1..=3 {
        let (handle, addr) = (tested.handle(), addr.clone());
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
        tested.serve_forever().unwrap();
        assert_eq!(client.join().unwrap(), b"hello");
        let shutdowns = journal.count(|call| call == PacketCall::Shutdown);
        assert_eq!((shutdowns, journal.handled()), (run, run));
    }
}

#[test]
fn a_connected_socket_is_closed_by_a_shutdown() {
    for set_peer in [false, true] {
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_nonblocking(true).unwrap();
        let to = Addr::Ip(peer.local_addr().unwrap());
        let handler = NotedPackets::new(&journal, Echo);
        let id = if set_peer {
            let (id, _) = tested.serve_packets(Net::V4, handler);
            tested.io_mut().connect_peer(id, &to).unwrap();
            id
        } else {
            tested.connect_datagram(&to, handler).unwrap()
        };
        let addr = tested.io().local_addr(id).unwrap();
        peer.send_to(b"came before", addr.ip().unwrap()).unwrap();
        tested.shutdown(PATIENCE).unwrap();
        assert_eq!(journal.calls(), [PacketCall::ServerHandle(11), PacketCall::Shutdown, CLOSED]);
        let mut answer = [0; 20];
        assert_eq!(peer.recv(&mut answer).unwrap(), 11);
        assert_gone(&mut tested, id, &to);
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
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let (peer, to) = bystander();
        let handler = NotedPackets::new(&journal, Polite(to.clone()));
        if connected {
            tested.connect_datagram(&to, handler).unwrap();
        } else {
            tested.serve_packets(Net::V4, handler);
        }
        tested.shutdown(PATIENCE).unwrap();
        let mut said = [0; 10];
        assert_eq!(peer.recv(&mut said).unwrap(), 7);
        assert_eq!(journal.finishes(), usize::from(connected));
    }
}

#[test]
fn without_any_grace_a_connected_socket_is_closed_too() {
    let mut tested = Tested::new();
    let journal = PacketJournal::default();
    let (_peer, to) = bystander();
    let handler = NotedPackets::new(&journal, Polite(to.clone()));
    let id = tested.connect_datagram(&to, handler).unwrap();
    tested.shutdown(Duration::ZERO).unwrap();
    assert_eq!(journal.calls(), [PacketCall::Shutdown, CLOSED]);
    assert_gone(&mut tested, id, &to);
}

#[test]
fn without_any_grace_a_bound_socket_rests_and_serves_again() {
    let mut tested = Tested::new();
    let journal = PacketJournal::default();
    let (_, addr) = tested.serve_packets(Net::V4, NotedPackets::new(&journal, Echo));
    let client = PacketClient::new(&addr);
    tested.shutdown(Duration::ZERO).unwrap();
    assert_eq!(journal.calls(), [PacketCall::Shutdown]);
    tested.exchange(&client, b"again");
}

#[test]
fn a_paused_socket_is_told_of_the_shutdown_too() {
    let mut tested = Tested::new();
    let journal = PacketJournal::default();
    let (id, addr) = tested.serve_packets(Net::V4, NotedPackets::new(&journal, Echo));
    let client = PacketClient::new(&addr);
    tested.io_mut().pause(id);
    client.send(b"never shown");
    tested.shutdown(PATIENCE).unwrap();
    assert_eq!(journal.calls(), [PacketCall::Shutdown]);
}

#[test]
fn a_flood_does_not_hold_up_a_shutdown_beyond_its_grace() {
    let mut tested = Tested::new();
    let journal = PacketJournal::default();
    let (_, addr) = tested.serve_packets(Net::V4, NotedPackets::new(&journal, Echo));
    let enough = Arc::new(AtomicBool::new(false));
    // Far more than can come before the shutdown is over.
    let flooders = flood(*addr.ip().unwrap(), 50_000_000, &enough);
    tested.until(|_| journal.handled() > 1_000);
    tested.shutdown(ms(100)).unwrap();
    assert!(flooders.iter().any(|flooder| !flooder.is_finished()), "it was no flood");
    enough.store(true, Ordering::Relaxed);
    assert_eq!(journal.count(|call| call == PacketCall::Shutdown), 1);
    assert_eq!(journal.calls().last(), Some(&PacketCall::Shutdown));
    for flooder in flooders {
        flooder.join().unwrap();
    }
}

/// Keeps its connection through a shutdown.
struct Stubborn;

impl Handler for Stubborn {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        cx.send(input.take_all());
        Ok(())
    }

    fn shutdown(&mut self, _: &mut Context<'_>) -> io::Result<()> {
        Ok(())
    }
}

/// A server in the middle of a shutdown: a stream that does not close, and a socket at rest.
fn shutting_down() -> (Tested, PacketJournal, Client, SocketId, Addr) {
    let mut tested = Tested::new();
    let journal = PacketJournal::default();
    let stream = tested.serve(Kind::Tcp, |_| Stubborn);
    let (id, addr) = tested.serve_packets(Net::V4, NotedPackets::new(&journal, Echo));
    let mut client = Client::connect(&stream);
    tested.echo(&mut client, b"before");
    tested.io_mut().shutdown(PATIENCE);
    tested.until(|_| journal.has(PacketCall::Shutdown));
    (tested, journal, client, id, addr)
}

#[test]
fn who_rests_hears_nothing_but_may_still_send() {
    let (mut tested, journal, mut stream, id, addr) = shutting_down();
    let client = PacketClient::new(&addr);
    client.send(b"too late");
    tested.echo(&mut stream, b"during");
    let steps = tested.steps();
    tested.until_quiet(&steps);
    assert_eq!(journal.calls(), [PacketCall::Shutdown]);
    assert_eq!(tested.io_mut().send_to(id, b"news", &client.addr()), SendStatus::Queued);
    assert_eq!(tested.answer(&client), b"news");
    drop(stream);
    tested.until(|server| server.report().is_some());
    // The next run answers what came meanwhile.
    assert_eq!(tested.answer(&client), b"too late");
}

#[test]
fn a_server_close_during_a_shutdown_tells_nobody_of_it_twice() {
    let (mut tested, journal, stream, _, _) = shutting_down();
    tested.io_mut().server_close();
    tested.until(|_| journal.has(CLOSED));
    assert_eq!(journal.calls(), [PacketCall::Shutdown, CLOSED]);
    drop(stream);
    tested.until(|server| server.report().is_some());
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
    let mut tested = Tested::new();
    let (_peer, to) = bystander();
    tested.serve_packets(Net::V4, Reopens(to));
    tested.io_mut().shutdown(PATIENCE);
    tested.turn(Some(Duration::ZERO)).unwrap();
    let steps = tested.steps();
    tested.until_quiet(&steps);
    assert!(tested.report().is_some(), "it waits for its grace");
}

#[test]
fn server_close_answers_what_has_come_and_closes_what_is_bound() {
    for &net in Net::ALL {
        for from_inside in [false, true] {
            let mut tested = Tested::new();
            let journal = PacketJournal::default();
            let (id, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Obeys));
            let client = PacketClient::new(&addr);
            let (_peer, to) = bystander();
            let spared = tested.connect_datagram(&to, Echo).unwrap();
            if from_inside {
                client.send(b"server close");
            }
            client.send(b"one");
            client.send(b"two");
            if !from_inside {
                tested.io_mut().server_close();
            }
            tested.until(|_| journal.has(CLOSED));
            let answers = client.all();
            assert_eq!(answers[answers.len() - 2..], [b"one", b"two"], "{net:?}");
            assert!(!journal.has(PacketCall::Shutdown), "{net:?}");
            assert_eq!(tested.io().stats().packets_refused, 0);
            assert_gone(&mut tested, id, &to);
            assert!(tested.io().is_open(spared), "a connected one was closed");
            assert!(addr.path().is_none_or(|path| !path.exists()));
            assert!(addr.ip().is_none_or(|ip| UdpSocket::bind(ip).is_ok()), "{net:?}");
        }
    }
}

#[test]
fn a_flood_does_not_hold_up_server_close() {
    let mut tested = Tested::new();
    let journal = PacketJournal::default();
    let (_, addr) = tested.serve_packets(Net::V4, NotedPackets::new(&journal, Echo));
    let enough = Arc::new(AtomicBool::new(false));
    let flooders = flood(*addr.ip().unwrap(), 50_000_000, &enough);
    tested.until(|_| journal.handled() > 1_000);
    tested.io_mut().server_close();
    tested.until(|_| journal.has(CLOSED));
    enough.store(true, Ordering::Relaxed);
    assert_eq!(journal.finishes(), 1);
    for flooder in flooders {
        flooder.join().unwrap();
    }
}

// Addresses.

#[test]
fn a_port_in_use_is_an_error_that_names_the_address() {
    for net in [Net::V4, Net::V6] {
        let mut tested = Tested::new();
        let (_, addr) = tested.serve_packets(net, Echo);
        let error = tested.bind(&addr, Echo).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{net:?}");
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
        let mut other = Tested::new();
        assert_eq!(other.bind(&addr, Echo).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert!(UdpSocket::bind(addr.ip().unwrap()).is_err());
        tested.exchange(&PacketClient::new(&addr), b"unharmed");
    }
}

#[test]
fn an_address_that_is_not_here_is_an_error_that_names_it() {
    let mut tested = Tested::new();
    let foreign: SocketAddr = "192.0.2.99:9".parse().unwrap();
    let error = tested.bind(foreign, Echo).unwrap_err();
    assert!(error.to_string().contains("192.0.2.99:9"), "{error}");
    let nowhere = tested.free_path();
    let error = tested.connect_datagram(&nowhere, Echo).unwrap_err();
    assert!(error.to_string().contains(nowhere.to_str().unwrap()), "{error}");
    assert_eq!(tested.bind(Addr::Unnamed, Echo).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[cfg(unix)]
mod paths {
    use std::fs;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::common::pattern;
    use super::*;

    #[test]
    fn a_path_left_by_a_dead_server_is_reclaimed() {
        let mut tested = Tested::new();
        let path = tested.free_path();
        drop(UnixDatagram::bind(&path).unwrap());
        assert!(path.exists());
        tested.bind(&path, Echo).unwrap();
        tested.exchange(&PacketClient::new(&Addr::from(path)), b"hello");
    }

    #[test]
    fn a_path_on_which_somebody_lives_is_refused_and_named() {
        let mut tested = Tested::new();
        let (packets, stream) = (tested.free_path(), tested.free_path());
        let alive = UnixDatagram::bind(&packets).unwrap();
        let _listener = UnixListener::bind(&stream).unwrap();
        for path in [&packets, &stream] {
            let error = tested.bind(path, Echo).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert!(path.exists());
        }
        let client = UnixDatagram::unbound().unwrap();
        client.send_to(b"still mine", &packets).unwrap();
        assert_eq!(alive.recv(&mut [0; 20]).unwrap(), 10);
        // And the other way round: no stream takes the place of datagrams.
        let (_, addr) = tested.serve_packets(Net::Unix, Echo);
        assert!(tested.listen(&addr, |_| Echo).is_err());
        tested.exchange(&PacketClient::new(&addr), b"unharmed");
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone_and_named() {
        let mut tested = Tested::new();
        let path = tested.free_path();
        fs::write(&path, "precious").unwrap();
        let error = tested.bind(&path, Echo).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn at_the_end_the_path_goes_only_if_it_is_still_ours() {
        for ours in [true, false] {
            let mut tested = Tested::new();
            let (id, addr) = tested.serve_packets(Net::Unix, Echo);
            let path = addr.path().unwrap();
            let mut successor = None;
            if !ours {
                fs::remove_file(path).unwrap();
                successor = Some(UnixDatagram::bind(path).unwrap());
            }
            tested.io_mut().close(id);
            tested.until(|server| server.io().local_addr(id).is_none());
            assert_eq!(path.exists(), !ours);
            if let Some(successor) = successor {
                UnixDatagram::unbound().unwrap().send_to(b"mine", path).unwrap();
                assert_eq!(successor.recv(&mut [0; 10]).unwrap(), 4);
            }
        }
    }

    #[test]
    fn two_bound_and_connected_unix_sockets_talk() {
        let mut tested =
            Tested::with_shared((), Options { accept_own_packets: true, ..Options::default() });
        let (_, server) = tested.serve_packets(Net::Unix, Echo);
        let journal = PacketJournal::default();
        let discard = on_packet(|_, _, _| Ok(()));
        let (id, _) = tested.serve_packets(Net::Unix, NotedPackets::new(&journal, discard));
        tested.io_mut().connect_peer(id, &server).unwrap();
        for size in [3, 0, 50_000] {
            assert_eq!(tested.io_mut().send(id, &pattern(size, 1)), SendStatus::Queued);
            tested.until(|_| journal.has(PacketCall::ServerHandle(size)));
        }
        // One that is only connected has no name, and its peer cannot answer.
        let unnamed = tested.connect_datagram(&server, Echo).unwrap();
        let (came, sent) = (tested.io().stats().packets_in, tested.io().stats().packets_sent);
        tested.io_mut().send(unnamed, b"who am I?");
        tested.until(|server| server.io().stats().packets_in == came + 1);
        assert_eq!(tested.io().stats().packets_sent, sent + 1);
    }
}
