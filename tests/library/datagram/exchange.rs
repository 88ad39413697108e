//! Datagrams over real sockets: whole or not at all, one answer each, and nothing owed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socketserver::{
    Addr, Context, DatagramHandler, Echo, Options, SendStatus, SocketId, TimerId, TraceEvent,
};

use crate::support::{
    CROSS_TOGETHER, Client, DatagramCall, DatagramCallLog, DatagramClient, DatagramKind, Harness,
    Kind, RecordingDatagrams, TraceLog, flood, on_datagram, pattern,
};

/// Answers nothing, so that nothing but its coming is seen.
struct Silent;

impl<S> DatagramHandler<S> for Silent {
    fn handle(&mut self, _: &mut Context<'_, S>, _: &[u8], _: &Addr) -> io::Result<()> {
        Ok(())
    }
}

/// Sizes around everything that may be a limit somewhere.
const SIZES: [usize; 18] = [
    0, 1, 2, 63, 64, 65, 511, 512, 1_471, 1_472, 1_473, 4_095, 4_096, 8_192, 9_000, 32_768, 65_506,
    65_507,
];

datagram_kinds!(a_datagram_of_every_size_comes_back_whole);

fn a_datagram_of_every_size_comes_back_whole(net: DatagramKind) {
    let mut harness = Harness::new();
    let (_, addr) = harness.serve_datagrams(net, Echo);
    let client = DatagramClient::new(&addr);
    for size in SIZES {
        harness.exchange(&client, &pattern(size, size as u64));
    }
    assert_eq!(harness.io().stats().packets_in, SIZES.len() as u64, "{net:?}");
    assert_eq!(harness.io().stats().packets_out, SIZES.len() as u64, "{net:?}");
}

/// What a handler was shown.
type Seen = (Vec<u8>, Addr);

datagram_kinds!(a_handler_sees_each_datagram_as_it_was_sent);

fn a_handler_sees_each_datagram_as_it_was_sent(net: DatagramKind) {
    let mut harness = Harness::new();
    let seen: Rc<RefCell<Vec<Seen>>> = Rc::default();
    let notes = Rc::clone(&seen);
    let handler = on_datagram(move |_, packet, peer| {
        notes.borrow_mut().push((packet.to_vec(), peer.clone()));
        Ok(())
    });
    let (_, addr) = harness.serve_datagrams(net, handler);
    let client = DatagramClient::new(&addr);
    let sizes = [5, 0, 3_000, 1, 0, 0, 65_507, 2];
    for (n, size) in sizes.into_iter().enumerate() {
        client.send(&pattern(size, n as u64));
    }
    harness.until(|_| seen.borrow().len() == sizes.len());
    for (n, size) in sizes.into_iter().enumerate() {
        let (packet, peer) = &seen.borrow()[n];
        assert!(*packet == pattern(size, n as u64), "datagram {n} over {net:?}");
        let mapped = |addr: &Addr| addr.ip().map(|ip| (ip.ip().to_canonical(), ip.port()));
        assert_eq!(mapped(peer), mapped(&client.addr()), "{net:?}");
        assert_eq!(peer.path(), client.addr().path(), "{net:?}");
    }
}

datagram_kinds!(an_empty_answer_is_a_datagram_too);

fn an_empty_answer_is_a_datagram_too(net: DatagramKind) {
    let mut harness = Harness::new();
    let handler = on_datagram(|cx, _, _| {
        assert_eq!(cx.reply(b""), SendStatus::Queued);
        Ok(())
    });
    let (_, addr) = harness.serve_datagrams(net, handler);
    let client = DatagramClient::new(&addr);
    for question in [&b"not empty"[..], b""] {
        client.send(question);
        assert_eq!(harness.answer(&client), b"", "{net:?}");
    }
    assert_eq!(client.next(), None);
}

datagram_kinds!(who_sends_nothing_sends_nothing);

fn who_sends_nothing_sends_nothing(net: DatagramKind) {
    let mut harness = Harness::new();
    let (journal, _, addr) = harness.serve_recorded_datagrams(net, Silent);
    let client = DatagramClient::new(&addr);
    client.send(b"hello");
    client.send(b"");
    harness.until(|_| journal.handled() == 2);
    let steps = harness.steps();
    harness.until_quiet(&steps);
    assert_eq!(client.next(), None, "{net:?}");
    assert_eq!(harness.io().stats().packets_sent, 0);
}

datagram_kinds!(one_datagram_may_have_several_answers);

fn one_datagram_may_have_several_answers(net: DatagramKind) {
    let mut harness = Harness::new();
    let handler = on_datagram(|cx, packet, _| {
        for n in 0..packet[0] {
            cx.reply(&[n]);
        }
        Ok(())
    });
    let (_, addr) = harness.serve_datagrams(net, handler);
    let client = DatagramClient::new(&addr);
    for answers in [1, 2, 5, 7] {
        client.send(&[answers]);
        for n in 0..answers {
            assert_eq!(harness.answer(&client), [n], "{net:?}");
        }
    }
    assert_eq!(client.next(), None);
}

datagram_kinds!(a_third_party_may_be_sent_to);

fn a_third_party_may_be_sent_to(net: DatagramKind) {
    let mut harness = Harness::new();
    let third: Rc<RefCell<Addr>> = Rc::new(RefCell::new(Addr::Unnamed));
    let known = Rc::clone(&third);
    let handler = on_datagram(move |cx, packet, _| {
        assert_eq!(cx.send_to(packet, &known.borrow()), SendStatus::Queued);
        Ok(())
    });
    let (id, addr) = harness.serve_datagrams(net, handler);
    let (speaker, listener) = (DatagramClient::new(&addr), DatagramClient::new(&addr));
    *third.borrow_mut() = listener.addr();
    speaker.send(b"tell him");
    assert_eq!(harness.answer(&listener), b"tell him", "{net:?}");
    assert_eq!(harness.io_mut().send_to(id, b"from outside", &listener.addr()), SendStatus::Queued);
    assert_eq!(harness.answer(&listener), b"from outside", "{net:?}");
    assert_eq!(speaker.next(), None);
}

datagram_kinds!(without_a_sender_or_a_peer_a_send_is_gone);

fn without_a_sender_or_a_peer_a_send_is_gone(net: DatagramKind) {
    let mut harness = Harness::new();
    let said: Rc<RefCell<Vec<SendStatus>>> = Rc::default();
    let (id, addr) = harness.serve_datagrams(net, Lost(Rc::clone(&said)));
    DatagramClient::new(&addr).send(b"hello");
    harness.until(|_| said.borrow().len() == 3);
    assert_eq!(*said.borrow(), [SendStatus::Closed; 3], "{net:?}");
    assert_eq!(harness.io_mut().send(id, b"to nobody"), SendStatus::Closed);
    assert_eq!(harness.io().stats().packets_sent, 0);
}

/// Sends to whom there is not.
struct Lost(Rc<RefCell<Vec<SendStatus>>>);

impl DatagramHandler for Lost {
    fn handle(&mut self, cx: &mut Context<'_>, _: &[u8], _: &Addr) -> io::Result<()> {
        self.0.borrow_mut().push(cx.send(b"it is not connected"));
        self.0.borrow_mut().push(cx.send_to(b"to nobody", &Addr::Unnamed));
        cx.set_timer(Duration::ZERO);
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Context<'_>, _: TimerId) -> io::Result<()> {
        self.0.borrow_mut().push(cx.reply(b"no datagram is handled"));
        Ok(())
    }
}

// Many at once.

/// How many datagrams of one socket came in each call, turn by turn.
fn calls(steps: &TraceLog, of: SocketId) -> Vec<Vec<usize>> {
    let came = |step: &TraceEvent| match step {
        TraceEvent::PacketsIn(id, n) if *id == of => Some(*n),
        _ => None,
    };
    steps.turns().iter().map(|turn| turn.iter().filter_map(came).collect()).collect()
}

udp_kinds!(a_burst_that_waits_in_the_kernel_is_answered_whole_and_in_order);

fn a_burst_that_waits_in_the_kernel_is_answered_whole_and_in_order(net: DatagramKind) {
    let mut harness = Harness::new();
    let (id, addr) = harness.serve_datagrams(net, Echo);
    let steps = harness.steps();
    let clients = DatagramClient::many(&addr, 5);
    for n in 0..100_u8 {
        for client in &clients {
            client.send(&[n]);
        }
    }
    let mut answers = vec![Vec::new(); 5];
    harness.until(|_| {
        for (answers, client) in answers.iter_mut().zip(&clients) {
            answers.extend(client.all().concat());
        }
        answers.iter().all(|answers| answers.len() == 100)
    });
    for answers in answers {
        assert_eq!(answers, (0..100).collect::<Vec<u8>>(), "{net:?}");
    }
    let calls = calls(&steps, id);
    let most = calls.iter().flatten().max().copied();
    assert_eq!(most, Some(if CROSS_TOGETHER { 64 } else { 1 }), "{net:?}");
    let turns = calls.iter().filter(|calls| !calls.is_empty()).count();
    assert!(turns >= 500 / 64, "{turns} turns of 64 at most for 500 datagrams");
}

#[test]
fn a_burst_as_long_as_the_system_allows_is_answered_in_order_over_a_unix_socket() {
    if !DatagramKind::ALL.contains(&DatagramKind::Unix) {
        return;
    }
    let mut harness = Harness::new();
    let (_, addr) = harness.serve_datagrams(DatagramKind::Unix, Echo);
    let client = DatagramClient::new(&addr);
    let (mut sent, mut answered) = (0_u32, 0_u32);
    for _ in 0..50 {
        while client.push(&sent.to_le_bytes()) {
            sent += 1;
        }
        harness.until(|_| {
            for answer in client.all() {
                assert_eq!(answer, answered.to_le_bytes());
                answered += 1;
            }
            answered == sent
        });
    }
    assert!(sent >= 50);
}

udp_kinds!(no_turn_lets_in_more_than_its_budget);

fn no_turn_lets_in_more_than_its_budget(net: DatagramKind) {
    for budget in [1, 3, 10, 64, 100] {
        let options = Options { packets_per_turn: budget, ..Options::default() };
        let mut harness = Harness::with_shared((), options);
        let (journal, id, addr) = harness.serve_recorded_datagrams(net, Silent);
        let steps = harness.steps();
        let client = DatagramClient::new(&addr);
        for _ in 0..250 {
            client.send(b"x");
        }
        harness.until(|_| journal.handled() == 250);
        let turns: Vec<usize> = calls(&steps, id).iter().map(|calls| calls.iter().sum()).collect();
        assert_eq!(turns.iter().max(), Some(&budget), "{net:?}: {turns:?}");
    }
}

udp_kinds!(no_turn_sends_more_than_its_budget);

fn no_turn_sends_more_than_its_budget(net: DatagramKind) {
    for budget in [1, 10, 64, 100] {
        let options = Options { packets_per_turn: budget, ..Options::default() };
        let mut harness = Harness::with_shared((), options);
        let (id, addr) = harness.serve_datagrams(net, Silent);
        let steps = harness.steps();
        let client = DatagramClient::new(&addr);
        for _ in 0..250 {
            harness.io_mut().send_to(id, b"x", &client.addr());
        }
        harness.until(|server| server.io().queued_packets(id) == 0);
        let left = |turn: &Vec<TraceEvent>| -> usize {
            turn.iter()
                .map(|step| if let TraceEvent::PacketsOut(_, n) = step { *n } else { 0 })
                .sum()
        };
        let turns: Vec<usize> = steps.turns().iter().map(left).collect();
        assert_eq!(turns.iter().max(), Some(&budget), "{net:?}: {turns:?}");
    }
}

#[test]
fn beside_a_flood_a_client_is_answered_and_the_queue_stays_bounded() {
    let options = Options { send_queue_packets: 256, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let (id, addr) = harness.serve_datagrams(DatagramKind::V4, Echo);
    let client = DatagramClient::new(&addr);
    let flooders = flood(*addr.ip().unwrap(), 33_333, &Arc::default());
    let (mut answers, mut turns) = (0_u32, 0_u32);
    harness.until(|server| {
        assert!(server.io().queued_packets(id) <= 256);
        // The flood may push a question out of the kernel, so it is asked again.
        if turns % 8 == 0 {
            client.push(b"question");
        }
        turns += 1;
        answers += client.all().iter().filter(|answer| *answer == b"question").count() as u32;
        flooders.iter().all(thread::JoinHandle::is_finished)
    });
    assert!(answers > 0, "nobody was answered in {turns} turns");
    for flooder in flooders {
        flooder.join().unwrap();
    }
    let steps = harness.steps();
    harness.until_quiet(&steps);
    client.all();
    harness.exchange(&client, b"after the flood");
    let stats = *harness.io().stats();
    assert_eq!(stats.packets_in, stats.packets_sent, "each was handled once");
    assert_eq!(stats.queued_packets(), 0);
}

// Fairness.

#[test]
fn a_stream_client_is_served_within_a_few_turns_beside_a_flood_of_datagrams() {
    let mut harness = Harness::new();
    let (id, datagrams) = harness.serve_datagrams(DatagramKind::V4, Echo);
    let stream = harness.serve(Kind::Tcp, |_| Echo);
    let mut client = Client::connect(&stream);
    harness.echo(&mut client, b"warm up");
    let flooder = DatagramClient::new(&datagrams);
    let steps = harness.steps();
    for _ in 0..20 {
        // More than two turns can take, so that the flood is there all the time.
        for _ in 0..200 {
            flooder.send(b"flood");
        }
        client.send(b"ping");
        let mut turns = 0;
        while !client.received.ends_with(b"ping") {
            harness.turn(Some(Duration::ZERO)).unwrap();
            client.look();
            turns += 1;
            assert!(turns <= 3, "not served in {turns} turns");
        }
        client.received.clear();
        flooder.all();
        harness.until_quiet(&steps);
    }
    let turns = calls(&steps, id);
    assert!(turns.iter().all(|calls| calls.iter().sum::<usize>() <= 64));
    assert!(turns.iter().any(|calls| calls.iter().sum::<usize>() == 64), "it was no flood");
}

#[test]
fn two_datagram_sockets_share_the_turns() {
    let options = Options { packets_per_turn: 16, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let journals = [DatagramCallLog::default(), DatagramCallLog::default()];
    let busy =
        harness.serve_datagrams(DatagramKind::V4, RecordingDatagrams::new(&journals[0], Silent));
    let other =
        harness.serve_datagrams(DatagramKind::V6, RecordingDatagrams::new(&journals[1], Silent));
    let steps = harness.steps();
    let (one, two) = (DatagramClient::new(&busy.1), DatagramClient::new(&other.1));
    for _ in 0..160 {
        one.send(b"x");
    }
    for _ in 0..32 {
        two.send(b"y");
    }
    harness.until(|_| journals[1].handled() == 32);
    assert!(journals[0].handled() <= 64, "{} before the other's 32", journals[0].handled());
    harness.until(|_| journals[0].handled() == 160);
    for id in [busy.0, other.0] {
        assert!(calls(&steps, id).iter().all(|calls| calls.iter().sum::<usize>() <= 16));
    }
}

// An emulated edge may come twice.
#[cfg(not(mio_unsupported_force_poll_poll))]
datagram_kinds!(an_idle_datagram_socket_wakes_the_loop_for_nothing);

#[cfg(not(mio_unsupported_force_poll_poll))]
fn an_idle_datagram_socket_wakes_the_loop_for_nothing(net: DatagramKind) {
    let mut harness = Harness::new();
    let (_, addr) = harness.serve_datagrams(net, Echo);
    let client = DatagramClient::new(&addr);
    harness.exchange(&client, b"hello");
    let steps = harness.steps();
    harness.until_quiet(&steps);
    steps.clear();
    harness.turn(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(steps.all(), [TraceEvent::Polled(0)], "{net:?}");
    for _ in 0..20 {
        harness.exchange(&client, b"hello");
    }
    harness.until_quiet(&steps);
    let events =
        |step: &TraceEvent| if let TraceEvent::Polled(events) = step { *events } else { 0 };
    assert_eq!(steps.all().iter().map(events).sum::<usize>(), 20, "{net:?}");
}

// Who is asked, and who answers.

datagram_kinds!(verify_request_is_asked_about_every_sender_and_refuses_by_datagram);

fn verify_request_is_asked_about_every_sender_and_refuses_by_datagram(net: DatagramKind) {
    let mut harness = Harness::with_shared(HashMap::<Addr, u32>::new(), Options::default());
    let (_, addr) = harness.serve_datagrams(net, Echo);
    let (good, bad) = (DatagramClient::new(&addr), DatagramClient::new(&addr));
    let banned = bad.addr();
    harness.set_verify_request(move |asked, peer| {
        *asked.entry(peer.clone()).or_default() += 1;
        let port = peer.port().is_some() && peer.port() == banned.port();
        !port && (peer.path().is_none() || *peer != banned)
    });
    for n in 0..3_u8 {
        bad.send(b"let me in");
        harness.exchange(&good, &[n]);
    }
    assert_eq!(bad.next(), None, "{net:?}");
    assert_eq!(harness.io().stats().packets_refused, 3);
    assert_eq!(harness.io().stats().packets_in, 6);
    assert_eq!(harness.shared_mut().values().copied().collect::<Vec<u32>>(), [3, 3]);
}

#[test]
fn a_panic_in_verify_request_refuses() {
    let mut harness = Harness::new();
    let (_, addr) = harness.serve_datagrams(DatagramKind::V4, Echo);
    let client = DatagramClient::new(&addr);
    let mut asked = 0;
    harness.set_verify_request(move |(), _| {
        asked += 1;
        assert_ne!(asked, 1, "expected by this test");
        true
    });
    client.send(b"refused");
    harness.until(|server| server.io().stats().packets_refused == 1);
    harness.exchange(&client, b"admitted");
}

#[test]
fn a_closure_in_a_box_with_a_state_of_its_own_is_a_handler() {
    type Boxed = Box<dyn FnMut(&mut Context<'_, u32>, &[u8], &Addr) -> io::Result<()>>;
    let mut harness = Harness::with_shared(0_u32, Options::default());
    let mut own = 0_u8;
    let counts: Boxed = Box::new(move |cx, _, _| {
        own += 1;
        *cx.shared += 1;
        cx.reply(&[own]);
        Ok(())
    });
    let (_, addr) = harness.serve_datagrams(DatagramKind::V4, counts);
    let (_, other) = harness.serve_datagrams(
        DatagramKind::V6,
        |cx: &mut Context<'_, u32>, _: &[u8], _: &Addr| {
            cx.reply(&cx.shared.to_le_bytes());
            Ok(())
        },
    );
    let client = DatagramClient::new(&addr);
    for n in 1..=3 {
        client.send(b"count");
        assert_eq!(harness.answer(&client), [n]);
    }
    let asks = DatagramClient::new(&other);
    asks.send(b"how many?");
    assert_eq!(harness.answer(&asks), 3_u32.to_le_bytes());
    assert_eq!(*harness.shared(), 3);
}

/// Opens on demand, and tells where.
struct Opens;

impl DatagramHandler for Opens {
    fn handle(&mut self, cx: &mut Context<'_>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        let id = match packet {
            b"bind" => cx.bind("127.0.0.1:0", Echo)?,
            b"listen" => cx.listen("127.0.0.1:0", |_| Echo)?,
            _ => {
                let id = cx.connect_datagram(peer, Echo)?;
                cx.io.send(id, b"from a new socket");
                id
            }
        };
        let addr = cx.io.local_addr(id).unwrap();
        cx.reply(addr.to_string().as_bytes());
        Ok(())
    }
}

#[test]
fn a_handler_may_open_sockets_of_every_kind() {
    let mut harness = Harness::new();
    let (_, addr) = harness.serve_datagrams(DatagramKind::V4, Opens);
    let client = DatagramClient::new(&addr);
    let ask = |harness: &mut Harness, what: &str| -> Addr {
        client.send(what.as_bytes());
        let answer = String::from_utf8(harness.answer(&client)).unwrap();
        Addr::Ip(answer.parse().unwrap())
    };
    let bound = DatagramClient::new(&ask(&mut harness, "bind"));
    harness.exchange(&bound, b"hello");
    let mut stream = Client::connect(&ask(&mut harness, "listen"));
    harness.echo(&mut stream, b"hello");
    // The new socket speaks to this one alone, and answers it.
    let any = UdpSocket::bind("127.0.0.1:0").unwrap();
    any.set_nonblocking(true).unwrap();
    any.send_to(b"connect", addr.ip().unwrap()).unwrap();
    let mut came = Vec::new();
    harness.until(|_| {
        let mut buffer = [0; 100];
        if let Ok((n, from)) = any.recv_from(&mut buffer) {
            came.push((buffer[..n].to_vec(), from));
        }
        came.len() == 2
    });
    let (_, new) = came.iter().find(|(bytes, _)| bytes == b"from a new socket").unwrap();
    assert!(came.iter().any(|(bytes, _)| bytes == new.to_string().as_bytes()));
    any.connect(new).unwrap();
    any.send(b"and back").unwrap();
    let mut buffer = [0; 100];
    harness.until(|_| any.recv(&mut buffer).is_ok_and(|n| &buffer[..n] == b"and back"));
}

#[test]
fn a_stream_handler_may_bind_and_serve_datagrams() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| {
        crate::support::on_setup(|cx: &mut Context<'_>| {
            let id = cx.bind("127.0.0.1:0", Echo)?;
            let addr = cx.io.local_addr(id).unwrap();
            cx.send(&addr.port().unwrap().to_le_bytes());
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    let port = harness.receive(&mut client, 2);
    let port = u16::from_le_bytes([port[0], port[1]]);
    let packets = DatagramClient::new(&Addr::Ip((Ipv4Addr::LOCALHOST, port).into()));
    harness.exchange(&packets, b"hello");
}

// Connected sockets.

#[test]
fn two_connected_ends_exchange_datagrams() {
    for &net in &[DatagramKind::V4, DatagramKind::V6] {
        let mut harness = Harness::new();
        let (_, server) = harness.serve_datagrams(net, Echo);
        let journal = DatagramCallLog::default();
        // In a server of its own, since nobody answers himself.
        let mut other = Harness::new();
        let id =
            other.connect_datagram(&server, RecordingDatagrams::new(&journal, Silent)).unwrap();
        assert_eq!(other.io().peer_addr(id), Some(server));
        for size in SIZES {
            assert_eq!(other.io_mut().send(id, &pattern(size, 1)), SendStatus::Queued);
            let before = journal.handled();
            other.until(|_| {
                harness.turn(Some(Duration::ZERO)).unwrap();
                journal.handled() > before
            });
        }
        assert_eq!(journal.calls(), SIZES.map(DatagramCall::Handle), "{net:?}");
    }
}

#[test]
fn a_connected_socket_hears_its_peer_alone() {
    let mut harness = Harness::new();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_nonblocking(true).unwrap();
    let id = harness.connect_datagram(peer.local_addr().unwrap(), Echo).unwrap();
    let addr = harness.io().local_addr(id).unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    stranger.send_to(b"hello", addr.ip().unwrap()).unwrap();
    peer.send_to(b"hello", addr.ip().unwrap()).unwrap();
    let mut buffer = [0; 10];
    harness.until(|_| peer.recv(&mut buffer).is_ok());
    assert_eq!(harness.io().stats().packets_in, 1);
    assert!(stranger.recv(&mut buffer).is_err());
}

datagram_kinds!(a_bound_socket_with_a_peer_hears_it_alone);

fn a_bound_socket_with_a_peer_hears_it_alone(net: DatagramKind) {
    let mut harness = Harness::new();
    let (id, addr) = harness.serve_datagrams(net, Echo);
    let (peer, stranger) = (DatagramClient::new(&addr), DatagramClient::new(&addr));
    let mut to = peer.addr();
    if let (DatagramKind::Dual, Addr::Ip(SocketAddr::V4(v4))) = (net, &to) {
        to = Addr::Ip((v4.ip().to_ipv6_mapped(), v4.port()).into());
    }
    harness.io_mut().connect_peer(id, &to).unwrap();
    assert_eq!(harness.io().peer_addr(id), Some(to), "{net:?}");
    stranger.push(b"hello");
    harness.exchange(&peer, b"hello");
    assert_eq!(harness.io_mut().send(id, b"unasked"), SendStatus::Queued);
    assert_eq!(harness.answer(&peer), b"unasked", "{net:?}");
    assert_eq!(stranger.next(), None);
    assert_eq!(harness.io().stats().packets_in, 1);
}

// Options, groups and questions.

#[test]
fn a_member_of_a_group_hears_what_is_sent_to_it_until_it_leaves() {
    let mut harness = Harness::new();
    let journal = DatagramCallLog::default();
    let id = harness.bind("0.0.0.0:0", RecordingDatagrams::new(&journal, Silent)).unwrap();
    let port = harness.io().local_addr(id).unwrap().port().unwrap();
    let group = Ipv4Addr::new(239, 255, 77, 77);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let on_loopback = socket2::SockRef::from(&sender).set_multicast_if_v4(&Ipv4Addr::LOCALHOST);
    let joined = harness.io_mut().join_multicast(id, IpAddr::V4(group), 1);
    if joined.is_err() || on_loopback.is_err() || sender.send_to(b"a", (group, port)).is_err() {
        eprintln!("this machine has no multicast on its loopback: {joined:?} {on_loopback:?}");
        return;
    }
    harness.until(|_| journal.has(DatagramCall::Handle(1)));
    harness.io_mut().leave_multicast(id, IpAddr::V4(group), 1).unwrap();
    let _ = sender.send_to(b"bb", (group, port));
    sender.send_to(b"ccc", ("127.0.0.1", port)).unwrap();
    harness.until(|_| journal.has(DatagramCall::Handle(3)));
    assert!(!journal.has(DatagramCall::Handle(2)), "it had left");
}

#[test]
fn what_is_no_group_cannot_be_joined() {
    let mut harness = Harness::new();
    let (id, _) = harness.serve_datagrams(DatagramKind::V4, Echo);
    let nobody = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert!(harness.io_mut().join_multicast(id, nobody, 0).is_err());
    assert!(harness.io_mut().leave_multicast(id, nobody, 0).is_err());
}

datagram_kinds!(every_socket_option_is_accepted_on_every_kind);

fn every_socket_option_is_accepted_on_every_kind(net: DatagramKind) {
    let options = Options {
        receive_buffer: Some(100_000),
        send_buffer: Some(100_000),
        broadcast: true,
        ttl: Some(3),
        multicast_ttl: Some(2),
        multicast_loop: false,
        ..Options::default()
    };
    let mut harness = Harness::with_shared((), options.clone());
    let (_, addr) = harness.serve_datagrams(net, Echo);
    harness.exchange(&DatagramClient::new(&addr), b"hello");
}

#[test]
fn only_v6_takes_no_datagrams_over_ipv4() {
    let mut harness = Harness::with_shared((), Options { v6_only: true, ..Options::default() });
    let (id, addr) = harness.serve_datagrams(DatagramKind::Dual, Echo);
    let over_v4 = UdpSocket::bind("127.0.0.1:0").unwrap();
    over_v4.send_to(b"not for you", addr.ip().unwrap()).unwrap();
    let port = harness.io().local_addr(id).unwrap().port().unwrap();
    let over_v6 = DatagramClient::new(&Addr::Ip(format!("[::1]:{port}").parse().unwrap()));
    harness.exchange(&over_v6, b"hello");
    assert_eq!(harness.io().stats().packets_in, 1);
}

#[test]
fn several_servers_share_a_port_only_knowingly() {
    let options = Options { reuse_port: true, ..Options::default() };
    let mut first = Harness::with_shared((), options.clone());
    let (_, addr) = first.serve_datagrams(DatagramKind::V4, Echo);
    let mut second = Harness::with_shared((), options);
    let sharing = second.bind(&addr, Echo);
    if cfg!(unix) {
        sharing.unwrap();
    }
    let mut third = Harness::new();
    assert!(third.bind(&addr, Echo).is_err());
}

datagram_kinds!(the_questions_about_a_datagram_socket_are_answered);

fn the_questions_about_a_datagram_socket_are_answered(net: DatagramKind) {
    let mut harness = Harness::new();
    let (id, addr) = harness.serve_datagrams(net, Echo);
    let io = harness.io_mut();
    assert_eq!(io.local_addr(id).and_then(|addr| addr.port()), addr.port(), "{net:?}");
    assert_eq!(io.local_addr(id).as_ref().and_then(Addr::path), addr.path(), "{net:?}");
    assert!(io.is_open(id) && !io.is_paused(id) && !io.is_congested(id));
    assert!(io.peer_addr(id).is_none() || io.peer_addr(id) == Some(Addr::Unnamed), "{net:?}");
    assert_eq!((io.queued_packets(id), io.connection_count(), io.pending_output(id)), (0, 0, 0));
    let client = DatagramClient::new(&addr);
    io.send_to(id, b"one", &client.addr());
    io.send_to(id, b"two", &client.addr());
    assert_eq!(io.queued_packets(id), 2);
    assert_eq!(io.stats().queued_packets(), 2);
    io.verify_stats().unwrap();
    assert_eq!(harness.answer(&client), b"one");
    assert_eq!(harness.answer(&client), b"two");
    assert_eq!(harness.io().queued_packets(id), 0);
}
