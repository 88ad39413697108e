//! What goes wrong with one datagram, or with one peer, costs that datagram and nothing else.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use socketserver::{Addr, Context, DatagramHandler, Echo, Options, SendStatus, TimerId};

use crate::support::{
    DatagramCall, DatagramCallLog, DatagramClient, DatagramKind, Harness, RecordingDatagrams,
    on_datagram, pattern,
};

// Peers that are gone, or deaf.

datagram_kinds!(a_client_that_vanished_before_its_answer_harms_nobody);

fn a_client_that_vanished_before_its_answer_harms_nobody(net: DatagramKind) {
    let mut harness = Harness::new();
    let (journal, _, addr) = harness.serve_recorded_datagrams(net, Echo);
    let living = DatagramClient::new(&addr);
    for n in 0..50_u8 {
        DatagramClient::new(&addr).send(b"and away");
        harness.exchange(&living, &[n]);
    }
    assert_eq!(journal.handled(), 100, "{net:?}");
    assert_eq!(journal.calls().len(), 100, "something else was called");
    assert_eq!(harness.io().stats().packets_failed, 0);
    let dropped = if net == DatagramKind::Unix { 50 } else { 0 };
    assert_eq!(harness.io().stats().packets_dropped, dropped, "{net:?}");
}

#[test]
fn a_unix_client_whose_socket_or_path_is_gone_costs_its_answer_and_no_others() {
    if !DatagramKind::ALL.contains(&DatagramKind::Unix) {
        return;
    }
    for socket_is_gone in [true, false] {
        let mut harness = Harness::new();
        let (_, addr) = harness.serve_datagrams(DatagramKind::Unix, Echo);
        let (before, after) = (DatagramClient::new(&addr), DatagramClient::new(&addr));
        let DatagramClient { socket, directory } = {
            let between = DatagramClient::new(&addr);
            before.send(b"before");
            between.send(b"between");
            after.send(b"after");
            between
        };
        // A socket may go and leave its path, and a path may be removed from a living socket.
        let mut left = (Some(socket), directory);
        if socket_is_gone {
            left.0 = None;
        } else {
            left.1 = None;
        }
        assert_eq!(harness.answer(&before), b"before");
        assert_eq!(harness.answer(&after), b"after");
        assert_eq!(harness.io().stats().packets_dropped, 1);
        assert_eq!(harness.io().stats().packets_out, 2);
    }
}

/// An address at which nobody hears what others send. The socket is there, so that nobody else gets
/// its port, but it speaks with itself alone.
fn nobody(net: DatagramKind) -> (UdpSocket, Addr) {
    let any = if net == DatagramKind::V6 { "[::1]:0" } else { "127.0.0.1:0" };
    let socket = UdpSocket::bind(any).unwrap();
    let addr = socket.local_addr().unwrap();
    socket.connect(addr).unwrap();
    socket.set_nonblocking(true).unwrap();
    (socket, Addr::Ip(addr))
}

#[test]
fn a_connected_socket_is_told_that_nobody_is_there_and_goes_on() {
    for net in [DatagramKind::V4, DatagramKind::V6] {
        let mut harness = Harness::new();
        let journal = DatagramCallLog::default();
        let (peer, addr) = nobody(net);
        let id = harness.connect_datagram(&addr, RecordingDatagrams::new(&journal, Echo)).unwrap();
        let refused = DatagramCall::Error(ErrorKind::ConnectionRefused);
        for times in 1..=3 {
            harness.io_mut().send(id, b"hello?");
            harness.until(|_| journal.count(|call| call == refused) == times);
        }
        // Now somebody is.
        peer.connect(harness.io().local_addr(id).unwrap().ip().unwrap()).unwrap();
        harness.io_mut().send(id, b"hello!");
        let mut buffer = [0; 10];
        harness.until(|_| peer.recv(&mut buffer).is_ok_and(|n| &buffer[..n] == b"hello!"));
        peer.send(b"yes").unwrap();
        harness.until(|_| peer.recv(&mut buffer).is_ok_and(|n| &buffer[..n] == b"yes"));
        assert_eq!(journal.finishes(), 0);
        assert_eq!(harness.io().stats().packets_failed, 0);
    }
}

#[test]
fn however_many_are_sent_at_once_a_connected_socket_is_told_that_nobody_is_there() {
    for burst in 1..=6 {
        let mut harness = Harness::new();
        let journal = DatagramCallLog::default();
        let handler = RecordingDatagrams::new(&journal, Echo);
        let (_peer, addr) = nobody(DatagramKind::V4);
        let id = harness.connect_datagram(&addr, handler).unwrap();
        for _ in 0..burst {
            harness.io_mut().send(id, b"hello?");
        }
        let refused = DatagramCall::Error(ErrorKind::ConnectionRefused);
        let steps = harness.steps();
        harness.until_quiet(&steps);
        assert!(journal.has(refused), "a burst of {burst}");
        assert_eq!(harness.io().stats().packets_dropped, 0, "a burst of {burst}");
    }
}

#[test]
fn an_error_may_end_a_connected_socket_if_its_handler_says_so() {
    struct GivesUp;
    impl DatagramHandler for GivesUp {
        fn handle(&mut self, _: &mut Context<'_>, _: &[u8], _: &Addr) -> io::Result<()> {
            Ok(())
        }
        fn error(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Result<()> {
            cx.close();
            Err(error)
        }
    }
    let mut harness = Harness::new();
    let journal = DatagramCallLog::default();
    let handler = RecordingDatagrams::new(&journal, GivesUp);
    let (_peer, addr) = nobody(DatagramKind::V4);
    let id = harness.connect_datagram(&addr, handler).unwrap();
    harness.io_mut().send(id, b"hello?");
    harness.until(|_| journal.finishes() == 1);
    assert_eq!(harness.io().stats().packets_failed, 1);
    assert_eq!(harness.io_mut().send(id, b"hello?"), SendStatus::Closed);
}

#[test]
fn a_unix_sender_without_a_name_is_handled_and_cannot_be_answered() {
    if !DatagramKind::ALL.contains(&DatagramKind::Unix) {
        return;
    }
    let mut harness = Harness::new();
    let said: Rc<RefCell<Vec<(Addr, SendStatus)>>> = Rc::default();
    let notes = Rc::clone(&said);
    let handler = on_datagram(move |cx, packet, peer| {
        notes.borrow_mut().push((peer.clone(), cx.reply(packet)));
        Ok(())
    });
    let (_, addr) = harness.serve_datagrams(DatagramKind::Unix, handler);
    let (unnamed, named) = (DatagramClient::unnamed(&addr), DatagramClient::new(&addr));
    unnamed.send(b"who am I?");
    harness.exchange(&named, b"somebody");
    unnamed.send(b"who am I?");
    harness.exchange(&named, b"somebody");
    let expected = [(Addr::Unnamed, SendStatus::Closed), (named.addr(), SendStatus::Queued)];
    assert_eq!(*said.borrow(), [&expected[..], &expected[..]].concat());
    assert_eq!(unnamed.next(), None);
    assert_eq!(harness.io().stats().packets_sent, 2);
}

/// A Unix client with a name that is not connected to its server, so that its queue is short.
#[cfg(unix)]
fn deaf_client(harness: &mut Harness) -> UnixDatagram {
    let socket = UnixDatagram::bind(harness.free_path()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// One question of the client and its answer, within a few turns.
#[track_caller]
fn answered_at_once(harness: &mut Harness, client: &DatagramClient, question: &[u8]) {
    client.send(question);
    let mut turns = 0;
    let answer = loop {
        harness.turn(Some(Duration::from_secs(1))).unwrap();
        turns += 1;
        if let Some(answer) = client.next() {
            break answer;
        }
        assert!(turns < 4, "no answer in {turns} turns");
    };
    assert_eq!(answer, question);
}

#[cfg(unix)]
#[test]
fn a_unix_client_that_never_reads_holds_nobody_up() {
    let mut harness = Harness::new();
    let (id, addr) = harness.serve_datagrams(DatagramKind::Unix, Echo);
    let (deaf, other) = (deaf_client(&mut harness), DatagramClient::new(&addr));
    for n in 0..1_000_u32 {
        deaf.send_to(b"I do not listen", addr.path().unwrap()).unwrap();
        answered_at_once(&mut harness, &other, &n.to_le_bytes());
        assert_eq!(harness.io().queued_packets(id), 0);
    }
    let stats = *harness.io().stats();
    let mut kept = 0;
    while deaf.recv(&mut [0; 100]).is_ok() {
        kept += 1;
    }
    assert_eq!(stats.packets_out, 1_000 + kept, "nothing but what the system kept has left");
    assert_eq!(stats.packets_dropped, 1_000 - kept);
    assert!(stats.packets_dropped > 0, "the client was never deaf");
    // It listens again, and is answered again.
    deaf.send_to(b"now I do", addr.path().unwrap()).unwrap();
    let mut answer = [0; 100];
    harness.until(|_| deaf.recv(&mut answer).is_ok_and(|n| &answer[..n] == b"now I do"));
}

#[cfg(unix)]
#[test]
fn what_a_connected_unix_client_never_reads_costs_others_no_more_than_their_answers() {
    // The kernel counts it against our send buffer, and sets no limit to the queue of a client that
    // is connected to us. What can be done is done: nobody waits, and all is well when it is gone.
    let options = Options { send_buffer: Some(50_000), ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let (_, addr) = harness.serve_datagrams(DatagramKind::Unix, Echo);
    let (deaf, other) = (DatagramClient::new(&addr), DatagramClient::new(&addr));
    let mut asked = 0;
    while harness.io().stats().packets_dropped == 0 {
        assert!(asked < 10_000, "nothing was ever dropped");
        deaf.send(b"I do not listen");
        asked += 1;
        harness.until(|server| server.io().stats().packets_in == asked);
    }
    other.send(b"lost");
    harness.until(|server| server.io().stats().packets_dropped == 2);
    drop(deaf);
    answered_at_once(&mut harness, &other, b"answered");
}

// Datagrams that are too long.

datagram_kinds!(a_datagram_above_the_limit_is_told_as_cut_and_the_next_one_is_whole);

fn a_datagram_above_the_limit_is_told_as_cut_and_the_next_one_is_whole(net: DatagramKind) {
    let mut harness =
        Harness::with_shared((), Options { max_packet_size: 100, ..Options::default() });
    let (journal, _, addr) = harness.serve_recorded_datagrams(net, Echo);
    let client = DatagramClient::new(&addr);
    for size in [99, 100, 101, 0, 102, 65_507, 100, 5_000, 1] {
        client.send(&pattern(size, 1));
    }
    for size in [99, 100, 0, 100, 1] {
        assert!(harness.answer(&client) == pattern(size, 1), "{size} bytes over {net:?}");
    }
    let sizes = journal.calls().into_iter().map(|call| match call {
        DatagramCall::Handle(n) => (n, false),
        DatagramCall::Truncated(n) => (n, true),
        _ => panic!("{call:?}"),
    });
    let whole = |n| (n, false);
    let cut = (100, true);
    let expected = [whole(99), whole(100), cut, whole(0), cut, cut, whole(100), cut, whole(1)];
    assert_eq!(sizes.collect::<Vec<_>>(), expected, "{net:?}");
    let stats = *harness.io().stats();
    assert_eq!((stats.packets_truncated, stats.packets_failed), (4, 0));
    assert_eq!(stats.packets_sent, 5, "what was cut is dropped");
}

datagram_kinds!(a_handler_may_look_at_what_was_cut_and_answer_it);

fn a_handler_may_look_at_what_was_cut_and_answer_it(net: DatagramKind) {
    struct TooLong;
    impl DatagramHandler for TooLong {
        fn handle(&mut self, _: &mut Context<'_>, _: &[u8], _: &Addr) -> io::Result<()> {
            Ok(())
        }
        fn truncated(&mut self, cx: &mut Context<'_>, part: &[u8], _: &Addr) -> io::Result<()> {
            cx.reply(part);
            Err(ErrorKind::InvalidData.into())
        }
    }
    let mut harness =
        Harness::with_shared((), Options { max_packet_size: 10, ..Options::default() });
    let (_, addr) = harness.serve_datagrams(net, TooLong);
    let client = DatagramClient::new(&addr);
    for n in 1..=3 {
        client.send(&pattern(11, n));
        assert_eq!(harness.answer(&client), pattern(11, n)[..10], "{net:?}");
    }
    assert_eq!(harness.io().stats().packets_failed, 3);
}

// Nobody answers himself.

/// Sends once from a bound socket to itself, and says how many were handled and refused.
fn send_to_itself(net: DatagramKind, accept_own_packets: bool) -> (usize, u64) {
    let mut harness =
        Harness::with_shared((), Options { accept_own_packets, ..Options::default() });
    let journal = DatagramCallLog::default();
    // Would answer itself for ever, so it stops after a while.
    let mut left = 5;
    let echo = on_datagram(move |cx, packet, _| {
        left -= 1;
        if left > 0 {
            cx.reply(packet);
        }
        Ok(())
    });
    let (id, addr) = harness.serve_datagrams(net, RecordingDatagrams::new(&journal, echo));
    assert_eq!(harness.io_mut().send_to(id, b"to myself", &addr), SendStatus::Queued);
    harness.until(|server| server.io().stats().packets_in >= 1);
    let steps = harness.steps();
    harness.until_quiet(&steps);
    (journal.handled(), harness.io().stats().packets_refused)
}

udp_kinds!(what_a_socket_sends_to_itself_is_never_handled);

fn what_a_socket_sends_to_itself_is_never_handled(net: DatagramKind) {
    for accept_own_packets in [false, true] {
        assert_eq!(
            send_to_itself(net, accept_own_packets),
            (0, 1),
            "{net:?}, {accept_own_packets}"
        );
    }
}

#[test]
fn what_a_unix_socket_sends_to_itself_is_never_handled() {
    if !DatagramKind::ALL.contains(&DatagramKind::Unix) {
        return;
    }
    for accept_own_packets in [false, true] {
        assert_eq!(
            send_to_itself(DatagramKind::Unix, accept_own_packets),
            (0, 1),
            "{accept_own_packets}"
        );
    }
}

/// Two echo services in one loop, of which the second sends the first datagram: what they handled.
fn two_echo_services(net: DatagramKind, accept_own_packets: bool) -> (usize, u64) {
    let mut harness =
        Harness::with_shared((), Options { accept_own_packets, ..Options::default() });
    let (journal, _, first) = harness.serve_recorded_datagrams(net, Echo);
    let answers = Rc::new(Cell::new(0));
    let count = Rc::clone(&answers);
    let bounded = on_datagram(move |cx, packet, _| {
        count.set(count.get() + 1);
        if count.get() < 5 {
            cx.reply(packet);
        }
        Ok(())
    });
    let (second, _) = harness.serve_datagrams(net, bounded);
    harness.io_mut().send_to(second, b"hello", &first);
    harness.until(|server| server.io().stats().packets_in >= 1);
    let steps = harness.steps();
    harness.until_quiet(&steps);
    assert!(answers.get() <= journal.handled());
    (journal.handled(), harness.io().stats().packets_refused)
}

udp_kinds!(two_services_of_one_loop_answer_each_other_only_if_they_may);

fn two_services_of_one_loop_answer_each_other_only_if_they_may(net: DatagramKind) {
    assert_eq!(two_echo_services(net, false), (0, 1), "{net:?}");
    assert_eq!(two_echo_services(net, true), (5, 0), "{net:?}");
}

#[test]
fn two_unix_services_of_one_loop_answer_each_other_only_if_they_may() {
    if !DatagramKind::ALL.contains(&DatagramKind::Unix) {
        return;
    }
    assert_eq!(two_echo_services(DatagramKind::Unix, false), (0, 1));
    assert_eq!(two_echo_services(DatagramKind::Unix, true), (5, 0));
}

#[test]
fn a_connected_client_in_the_same_loop_is_answered() {
    for net in [DatagramKind::V4, DatagramKind::V6] {
        let mut harness = Harness::new();
        let journal = DatagramCallLog::default();
        let (_, addr) = harness.serve_datagrams(net, Echo);
        let discard = on_datagram(|_, _, _| Ok(()));
        let id =
            harness.connect_datagram(&addr, RecordingDatagrams::new(&journal, discard)).unwrap();
        for size in [5, 0, 1_000] {
            harness.io_mut().send(id, &pattern(size, 1));
            harness.until(|_| journal.has(DatagramCall::Handle(size)));
        }
        assert_eq!(harness.io().stats().packets_refused, 0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_strange_client_on_the_port_of_another_address_is_answered() {
    let mut harness = Harness::new();
    let (_, addr) = harness.serve_datagrams(DatagramKind::V4, Echo);
    let client = UdpSocket::bind(("127.0.0.2", addr.port().unwrap())).unwrap();
    client.connect(addr.ip().unwrap()).unwrap();
    client.set_nonblocking(true).unwrap();
    client.send(b"same port").unwrap();
    let mut buffer = [0; 20];
    harness.until(|_| client.recv(&mut buffer).is_ok_and(|n| &buffer[..n] == b"same port"));
}

// What the system does not take.

/// Datagrams that cannot leave a socket of this kind, each with a reason.
fn impossible(net: DatagramKind, harness: &mut Harness, client: &Addr) -> Vec<(Addr, Vec<u8>)> {
    let ip = |addr: &str| (Addr::Ip(addr.parse().unwrap()), b"lost".to_vec());
    let mut bad = match net {
        DatagramKind::V4 => {
            // Bound to the loopback, it has no way to other networks.
            let mut bad = ["127.0.0.1:0", "240.0.0.1:9", "255.255.255.255:9", "[::1]:9"].map(ip);
            bad[0].1.clear();
            bad.to_vec()
        }
        DatagramKind::V6 => ["[::1]:0", "127.0.0.1:9"].map(ip).to_vec(),
        DatagramKind::Dual => ["[::1]:0", "127.0.0.1:0", "255.255.255.255:9"].map(ip).to_vec(),
        DatagramKind::Unix => {
            let file = harness.free_path();
            std::fs::write(&file, b"").unwrap();
            let long = PathBuf::from("x".repeat(300));
            let paths = [harness.free_path(), file, long, PathBuf::from("/a\0b"), PathBuf::new()];
            let paths = paths.map(|path| (Addr::Unix(path), b"lost".to_vec()));
            [&paths[..], &[ip("127.0.0.1:9")]].concat()
        }
    };
    if net != DatagramKind::Unix {
        bad.push((client.clone(), pattern(70_000, 1)));
        bad.push((Addr::Unix(harness.free_path()), b"lost".to_vec()));
    }
    bad
}

datagram_kinds!(what_cannot_leave_costs_no_other_datagram_of_its_batch);

fn what_cannot_leave_costs_no_other_datagram_of_its_batch(net: DatagramKind) {
    let mut harness = Harness::new();
    let (id, addr) = harness.serve_datagrams(net, Echo);
    let client = DatagramClient::new(&addr);
    let to = client.addr();
    for (nth, (bad, bytes)) in impossible(net, &mut harness, &to).into_iter().enumerate() {
        for (before, behind) in [(0, 0), (0, 1), (1, 0), (2, 3), (0, 6), (5, 3)] {
            let dropped = harness.io().stats().packets_dropped;
            for n in 0..before {
                harness.io_mut().send_to(id, &[n], &to);
            }
            assert_eq!(harness.io_mut().send_to(id, &bytes, &bad), SendStatus::Queued);
            for n in before..before + behind {
                harness.io_mut().send_to(id, &[n], &to);
            }
            for n in 0..before + behind {
                assert_eq!(harness.answer(&client), [n], "{net:?}, {nth}: {bad}");
            }
            harness.until(|server| server.io().queued_packets(id) == 0);
            let lost = harness.io().stats().packets_dropped - dropped;
            assert_eq!(lost, 1, "{net:?}, {nth}: {bad}");
        }
    }
    assert_eq!(client.next(), None);
}

datagram_kinds!(one_after_the_other_that_cannot_leave_holds_nobody_up);

fn one_after_the_other_that_cannot_leave_holds_nobody_up(net: DatagramKind) {
    let mut harness = Harness::new();
    let (id, addr) = harness.serve_datagrams(net, Echo);
    let client = DatagramClient::new(&addr);
    let to = client.addr();
    let bad = impossible(net, &mut harness, &to);
    for (bad, bytes) in bad.iter().cycle().take(200) {
        harness.io_mut().send_to(id, bytes, bad);
    }
    harness.io_mut().send_to(id, b"and one more", &to);
    assert_eq!(harness.answer(&client), b"and one more", "{net:?}");
    let stats = *harness.io().stats();
    assert_eq!((stats.packets_dropped, stats.packets_out), (200, 1), "{net:?}");
}

// Queues.

datagram_kinds!(the_queue_is_bounded_in_datagrams_and_tells_when_it_is_empty_again);

fn the_queue_is_bounded_in_datagrams_and_tells_when_it_is_empty_again(net: DatagramKind) {
    let mut harness =
        Harness::with_shared((), Options { send_queue_packets: 5, ..Options::default() });
    let (journal, id, addr) = harness.serve_recorded_datagrams(net, Echo);
    let client = DatagramClient::new(&addr);
    for round in 1..=2 {
        let send = |n: u8| harness.io_mut().send_to(id, &[n], &client.addr());
        let said: Vec<SendStatus> = (0..8).map(send).collect();
        assert_eq!(
            said,
            [[SendStatus::Queued; 5].as_slice(), &[SendStatus::Congested; 3]].concat()
        );
        assert_eq!(harness.io().queued_packets(id), 5);
        assert!(harness.io().is_congested(id));
        for n in 0..5 {
            assert_eq!(harness.answer(&client), [n], "{net:?}");
        }
        let steps = harness.steps();
        harness.until_quiet(&steps);
        assert_eq!(journal.calls(), vec![DatagramCall::Drained; round], "{net:?}");
        assert!(!harness.io().is_congested(id));
        assert_eq!(harness.io().stats().packets_dropped, 3 * round as u64);
    }
    assert_eq!(client.next(), None);
}

udp_kinds!(the_queue_is_bounded_in_bytes_too);

fn the_queue_is_bounded_in_bytes_too(net: DatagramKind) {
    let options = Options { send_queue_bytes: 1_000, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let (journal, id, addr) = harness.serve_recorded_datagrams(net, Echo);
    let client = DatagramClient::new(&addr);
    let send = |size: usize| harness.io_mut().send_to(id, &pattern(size, 1), &client.addr());
    let said = [400, 600, 1, 0].map(send);
    assert_eq!(
        said,
        [SendStatus::Queued, SendStatus::Queued, SendStatus::Congested, SendStatus::Queued],
        "{net:?}"
    );
    for size in [400, 600, 0] {
        assert!(harness.answer(&client) == pattern(size, 1), "{net:?}");
    }
    harness.until(|_| journal.has(DatagramCall::Drained));
    assert_eq!(harness.io().stats().packets_dropped, 1);
}

#[test]
fn a_datagram_that_would_never_fit_is_dropped_and_that_is_over_at_once() {
    let options = Options { send_queue_bytes: 1_000, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let (id, addr) = harness.serve_datagrams(DatagramKind::V4, Echo);
    let client = DatagramClient::new(&addr);
    harness.exchange(&client, b"hello");
    let steps = harness.steps();
    harness.until_quiet(&steps);
    assert_eq!(harness.io_mut().send_to(id, &[0; 1_001], &client.addr()), SendStatus::Congested);
    harness.until_quiet(&steps);
    assert_eq!(harness.io().stats().packets_dropped, 1);
    assert!(!harness.io().is_congested(id));
}

#[test]
fn drained_runs_when_the_whole_queue_has_left() {
    struct Looks(Rc<RefCell<Vec<usize>>>);
    impl DatagramHandler for Looks {
        fn handle(&mut self, _: &mut Context<'_>, _: &[u8], _: &Addr) -> io::Result<()> {
            Ok(())
        }
        fn drained(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            self.0.borrow_mut().push(cx.io.queued_packets(cx.id));
            Ok(())
        }
    }
    // More than leave in one turn.
    let mut harness =
        Harness::with_shared((), Options { send_queue_packets: 200, ..Options::default() });
    let waiting: Rc<RefCell<Vec<usize>>> = Rc::default();
    let (id, addr) = harness.serve_datagrams(DatagramKind::V4, Looks(Rc::clone(&waiting)));
    let client = DatagramClient::new(&addr);
    while harness.io_mut().send_to(id, b"x", &client.addr()) != SendStatus::Congested {}
    harness.turn(Some(Duration::ZERO)).unwrap();
    assert!(harness.io().is_congested(id) && waiting.borrow().is_empty());
    harness.until(|_| !waiting.borrow().is_empty());
    let steps = harness.steps();
    harness.until_quiet(&steps);
    assert_eq!(*waiting.borrow(), [0]);
    assert_eq!(client.all().len(), 200);
}

datagram_kinds!(who_sends_what_the_queue_has_no_room_for_goes_on_when_it_is_drained);

fn who_sends_what_the_queue_has_no_room_for_goes_on_when_it_is_drained(net: DatagramKind) {
    /// Sends the numbers from 0 to 99 to whoever asks, as fast as the queue lets it.
    struct Counts {
        next: u8,
        to: Addr,
    }
    impl Counts {
        fn go_on(&mut self, cx: &mut Context<'_>) {
            while self.next < 100 && cx.send_to(&[self.next], &self.to) == SendStatus::Queued {
                self.next += 1;
            }
        }
    }
    impl DatagramHandler for Counts {
        fn handle(&mut self, cx: &mut Context<'_>, _: &[u8], peer: &Addr) -> io::Result<()> {
            self.to = peer.clone();
            self.go_on(cx);
            Ok(())
        }
        fn drained(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            self.go_on(cx);
            Ok(())
        }
    }
    let mut harness =
        Harness::with_shared((), Options { send_queue_packets: 7, ..Options::default() });
    let counts = Counts { next: 0, to: Addr::Unnamed };
    let (_, addr) = harness.serve_datagrams(net, counts);
    let client = DatagramClient::new(&addr);
    client.send(b"go");
    for n in 0..100 {
        assert_eq!(harness.answer(&client), [n], "{net:?}");
    }
}

// Handlers that fail.

/// Fails as it is told to.
struct Fails;

impl Fails {
    fn fail(panics: bool) -> io::Result<()> {
        assert!(!panics, "expected by this test");
        Err(ErrorKind::Other.into())
    }
}

impl DatagramHandler for Fails {
    fn handle(&mut self, cx: &mut Context<'_>, packet: &[u8], _: &Addr) -> io::Result<()> {
        cx.reply(packet);
        match packet {
            b"panic" => Fails::fail(true),
            b"error" => Fails::fail(false),
            b"timer" => {
                cx.set_timer(Duration::ZERO);
                Ok(())
            }
            b"queue" => {
                while cx.reply(b"x") != SendStatus::Congested {}
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn timeout(&mut self, _: &mut Context<'_>, _: TimerId) -> io::Result<()> {
        Fails::fail(true)
    }

    fn drained(&mut self, _: &mut Context<'_>) -> io::Result<()> {
        Fails::fail(false)
    }
}

datagram_kinds!(an_error_or_a_panic_costs_that_datagram_only);

fn an_error_or_a_panic_costs_that_datagram_only(net: DatagramKind) {
    let mut harness = Harness::new();
    let (journal, id, addr) = harness.serve_recorded_datagrams(net, Fails);
    let client = DatagramClient::new(&addr);
    for message in [&b"panic"[..], b"fine", b"error", b"panic", b"fine"] {
        client.send(message);
    }
    for message in [&b"panic"[..], b"fine", b"error", b"panic", b"fine"] {
        assert_eq!(harness.answer(&client), message, "what was sent before leaves");
    }
    assert_eq!(harness.io().stats().packets_failed, 3, "{net:?}");
    assert_eq!((journal.handled(), journal.finishes()), (5, 0));
    assert!(harness.io().is_open(id));
}

#[test]
fn an_error_or_a_panic_in_any_callback_leaves_the_socket_serving() {
    let mut harness =
        Harness::with_shared((), Options { send_queue_packets: 4, ..Options::default() });
    let (journal, _, addr) = harness.serve_recorded_datagrams(DatagramKind::V4, Fails);
    let client = DatagramClient::new(&addr);
    harness.exchange(&client, b"timer");
    harness.until(|server| server.io().stats().packets_failed == 1);
    assert!(journal.has(DatagramCall::Timeout));
    harness.exchange(&client, b"queue");
    harness.until(|server| server.io().stats().packets_failed == 2);
    assert!(journal.has(DatagramCall::Drained));
    assert_eq!(client.all().concat(), b"xxx");
    harness.exchange(&client, b"still there");
    assert_eq!(journal.finishes(), 0);
}

#[test]
fn a_panic_in_finish_takes_nobody_along() {
    struct Bursts;
    impl DatagramHandler for Bursts {
        fn handle(&mut self, cx: &mut Context<'_>, _: &[u8], _: &Addr) -> io::Result<()> {
            cx.close();
            Ok(())
        }
        fn finish(&mut self, _: &mut Context<'_>, _: io::Result<()>) {
            panic!("expected by this test");
        }
    }
    let mut harness = Harness::new();
    let (gone, addr) = harness.serve_datagrams(DatagramKind::V4, Bursts);
    let (_, other) = harness.serve_datagrams(DatagramKind::V4, Echo);
    DatagramClient::new(&addr).send(b"go");
    harness.until(|server| server.io().local_addr(gone).is_none());
    harness.exchange(&DatagramClient::new(&other), b"hello");
}
