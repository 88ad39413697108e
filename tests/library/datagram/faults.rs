//! What goes wrong with one datagram, or with one peer, costs that datagram and nothing else.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use common::{
    Net, NotedPackets, PacketCall, PacketClient, PacketJournal, Tested, on_packet, pattern,
};
use socketserver::{Addr, Context, DatagramHandler, Echo, Options, SendStatus, TimerId};

// Peers that are gone, or deaf.

#[test]
fn a_client_that_vanished_before_its_answer_harms_nobody() {
    for &net in Net::ALL {
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let (_, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Echo));
        let next = PacketClient::new(&addr);
        for n in 0..50_u8 {
            PacketClient::new(&addr).send(b"and away");
            tested.exchange(&next, &[n]);
        }
        assert_eq!(journal.handled(), 100, "{net:?}");
        assert_eq!(journal.calls().len(), 100, "something else was called");
        assert_eq!(tested.io().stats().packets_failed, 0);
        let dropped = if net == Net::Unix { 50 } else { 0 };
        assert_eq!(tested.io().stats().packets_dropped, dropped, "{net:?}");
    }
}

#[test]
fn a_unix_client_whose_socket_or_path_is_gone_costs_its_answer_and_no_others() {
    if !Net::ALL.contains(&Net::Unix) {
        return;
    }
    for socket_is_gone in [true, false] {
        let mut tested = Tested::new();
        let (_, addr) = tested.serve_packets(Net::Unix, Echo);
        let (before, after) = (PacketClient::new(&addr), PacketClient::new(&addr));
        let PacketClient { socket, directory } = {
            let between = PacketClient::new(&addr);
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
        assert_eq!(tested.answer(&before), b"before");
        assert_eq!(tested.answer(&after), b"after");
        assert_eq!(tested.io().stats().packets_dropped, 1);
        assert_eq!(tested.io().stats().packets_out, 2);
    }
}

/// An address at which nobody hears what others send. The socket is there, so that nobody else gets
/// its port, but it speaks with itself alone.
fn nobody(net: Net) -> (UdpSocket, Addr) {
    let any = if net == Net::V6 { "[::1]:0" } else { "127.0.0.1:0" };
    let socket = UdpSocket::bind(any).unwrap();
    let addr = socket.local_addr().unwrap();
    socket.connect(addr).unwrap();
    socket.set_nonblocking(true).unwrap();
    (socket, Addr::Ip(addr))
}

#[test]
fn a_connected_socket_is_told_that_nobody_is_there_and_goes_on() {
    for net in [Net::V4, Net::V6] {
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let (peer, addr) = nobody(net);
        let id = tested.connect_datagram(&addr, NotedPackets::new(&journal, Echo)).unwrap();
        let refused = PacketCall::Error(ErrorKind::ConnectionRefused);
        for times in 1..=3 {
            tested.io_mut().send(id, b"hello?");
            tested.until(|_| journal.count(|call| call == refused) == times);
        }
        // Now somebody is.
        peer.connect(tested.io().local_addr(id).unwrap().ip().unwrap()).unwrap();
        tested.io_mut().send(id, b"hello!");
        let mut buffer = [0; 10];
        tested.until(|_| peer.recv(&mut buffer).is_ok_and(|n| &buffer[..n] == b"hello!"));
        peer.send(b"yes").unwrap();
        tested.until(|_| peer.recv(&mut buffer).is_ok_and(|n| &buffer[..n] == b"yes"));
        assert_eq!(journal.finishes(), 0);
        assert_eq!(tested.io().stats().packets_failed, 0);
    }
}

#[test]
fn however_many_are_sent_at_once_a_connected_socket_is_told_that_nobody_is_there() {
    for burst in 1..=6 {
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let handler = NotedPackets::new(&journal, Echo);
        let (_peer, addr) = nobody(Net::V4);
        let id = tested.connect_datagram(&addr, handler).unwrap();
        for _ in 0..burst {
            tested.io_mut().send(id, b"hello?");
        }
        let refused = PacketCall::Error(ErrorKind::ConnectionRefused);
        let steps = tested.steps();
        tested.until_quiet(&steps);
        assert!(journal.has(refused), "a burst of {burst}");
        assert_eq!(tested.io().stats().packets_dropped, 0, "a burst of {burst}");
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
    let mut tested = Tested::new();
    let journal = PacketJournal::default();
    let handler = NotedPackets::new(&journal, GivesUp);
    let (_peer, addr) = nobody(Net::V4);
    let id = tested.connect_datagram(&addr, handler).unwrap();
    tested.io_mut().send(id, b"hello?");
    tested.until(|_| journal.finishes() == 1);
    assert_eq!(tested.io().stats().packets_failed, 1);
    assert_eq!(tested.io_mut().send(id, b"hello?"), SendStatus::Closed);
}

#[test]
fn a_unix_sender_without_a_name_is_handled_and_cannot_be_answered() {
    if !Net::ALL.contains(&Net::Unix) {
        return;
    }
    let mut tested = Tested::new();
    let said: Rc<RefCell<Vec<(Addr, SendStatus)>>> = Rc::default();
    let notes = Rc::clone(&said);
    let handler = on_packet(move |cx, packet, peer| {
        notes.borrow_mut().push((peer.clone(), cx.reply(packet)));
        Ok(())
    });
    let (_, addr) = tested.serve_packets(Net::Unix, handler);
    let (unnamed, named) = (PacketClient::unnamed(&addr), PacketClient::new(&addr));
    unnamed.send(b"who am I?");
    tested.exchange(&named, b"somebody");
    unnamed.send(b"who am I?");
    tested.exchange(&named, b"somebody");
    let expected = [(Addr::Unnamed, SendStatus::Closed), (named.addr(), SendStatus::Queued)];
    assert_eq!(*said.borrow(), [&expected[..], &expected[..]].concat());
    assert_eq!(unnamed.next(), None);
    assert_eq!(tested.io().stats().packets_sent, 2);
}

/// A Unix client with a name that is not connected to its server, so that its queue is short.
#[cfg(unix)]
fn deaf_client(tested: &mut Tested) -> UnixDatagram {
    let socket = UnixDatagram::bind(tested.free_path()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// One question of the client and its answer, within a few turns.
#[track_caller]
fn answered_at_once(tested: &mut Tested, client: &PacketClient, question: &[u8]) {
    client.send(question);
    let mut turns = 0;
    let answer = loop {
        tested.turn(Some(Duration::from_secs(1))).unwrap();
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
    let mut tested = Tested::new();
    let (id, addr) = tested.serve_packets(Net::Unix, Echo);
    let (deaf, other) = (deaf_client(&mut tested), PacketClient::new(&addr));
    for n in 0..1_000_u32 {
        deaf.send_to(b"I do not listen", addr.path().unwrap()).unwrap();
        answered_at_once(&mut tested, &other, &n.to_le_bytes());
        assert_eq!(tested.io().queued_packets(id), 0);
    }
    let stats = *tested.io().stats();
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
    tested.until(|_| deaf.recv(&mut answer).is_ok_and(|n| &answer[..n] == b"now I do"));
}

#[cfg(unix)]
#[test]
fn what_a_connected_unix_client_never_reads_costs_others_no_more_than_their_answers() {
    // The kernel counts it against our send buffer, and sets no limit to the queue of a client that
    // is connected to us. What can be done is done: nobody waits, and all is well when it is gone.
    let options = Options { send_buffer: Some(50_000), ..Options::default() };
    let mut tested = Tested::with_shared((), options);
    let (_, addr) = tested.serve_packets(Net::Unix, Echo);
    let (deaf, other) = (PacketClient::new(&addr), PacketClient::new(&addr));
    let mut asked = 0;
    while tested.io().stats().packets_dropped == 0 {
        assert!(asked < 10_000, "nothing was ever dropped");
        deaf.send(b"I do not listen");
        asked += 1;
        tested.until(|server| server.io().stats().packets_in == asked);
    }
    other.send(b"lost");
    tested.until(|server| server.io().stats().packets_dropped == 2);
    drop(deaf);
    answered_at_once(&mut tested, &other, b"answered");
}

#[cfg(target_os = "linux")]
#[test]
fn passed_descriptors_are_not_kept() {
    use std::io::IoSlice;
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

    let mut tested = Tested::new();
    let (_, addr) = tested.serve_packets(Net::Unix, Echo);
    let client = PacketClient::new(&addr);
    let file = std::fs::File::open("/dev/null").unwrap();
    let fds = [file.as_raw_fd(); 10];
    let open_descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open_descriptors();
    for n in 0..200_usize {
        let message = pattern(n, 1);
        let sent = sendmsg::<()>(
            client.socket.as_raw_fd(),
            &[IoSlice::new(&message)],
            &[ControlMessage::ScmRights(&fds)],
            MsgFlags::empty(),
            None,
        );
        assert_eq!(sent.unwrap(), n);
        assert!(tested.answer(&client) == message);
    }
    // Other tests of this process open and close descriptors meanwhile, but not two thousand.
    assert!(open_descriptors() < before + 1_000, "descriptors were kept");
}

// Datagrams that are too long.

#[test]
fn a_datagram_above_the_limit_is_told_as_cut_and_the_next_one_is_whole() {
    for &net in Net::ALL {
        let mut tested =
            Tested::with_shared((), Options { max_packet_size: 100, ..Options::default() });
        let journal = PacketJournal::default();
        let (_, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Echo));
        let client = PacketClient::new(&addr);
        for size in [99, 100, 101, 0, 102, 65_507, 100, 5_000, 1] {
            client.send(&pattern(size, 1));
        }
        for size in [99, 100, 0, 100, 1] {
            assert!(tested.answer(&client) == pattern(size, 1), "{size} bytes over {net:?}");
        }
        let sizes = journal.calls().into_iter().map(|call| match call {
            PacketCall::ServerHandle(n) => (n, false),
            PacketCall::Truncated(n) => (n, true),
            _ => panic!("{call:?}"),
        });
        let whole = |n| (n, false);
        let cut = (100, true);
        let expected = [whole(99), whole(100), cut, whole(0), cut, cut, whole(100), cut, whole(1)];
        assert_eq!(sizes.collect::<Vec<_>>(), expected, "{net:?}");
        let stats = *tested.io().stats();
        assert_eq!((stats.packets_truncated, stats.packets_failed), (4, 0));
        assert_eq!(stats.packets_sent, 5, "what was cut is dropped");
    }
}

#[test]
fn a_handler_may_look_at_what_was_cut_and_answer_it() {
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
    for &net in Net::ALL {
        let mut tested =
            Tested::with_shared((), Options { max_packet_size: 10, ..Options::default() });
        let (_, addr) = tested.serve_packets(net, TooLong);
        let client = PacketClient::new(&addr);
        for n in 1..=3 {
            client.send(&pattern(11, n));
            assert_eq!(tested.answer(&client), pattern(11, n)[..10], "{net:?}");
        }
        assert_eq!(tested.io().stats().packets_failed, 3);
    }
}

// Nobody answers himself.

/// Sends once from a bound socket to itself, and says how many were handled and refused.
fn send_to_itself(net: Net, accept_own_packets: bool) -> (usize, u64) {
    let mut tested = Tested::with_shared((), Options { accept_own_packets, ..Options::default() });
    let journal = PacketJournal::default();
    // Would answer itself for ever, so it stops after a while.
    let mut left = 5;
    let echo = on_packet(move |cx, packet, _| {
        left -= 1;
        if left > 0 {
            cx.reply(packet);
        }
        Ok(())
    });
    let (id, addr) = tested.serve_packets(net, NotedPackets::new(&journal, echo));
    assert_eq!(tested.io_mut().send_to(id, b"to myself", &addr), SendStatus::Queued);
    tested.until(|server| server.io().stats().packets_in >= 1);
    let steps = tested.steps();
    tested.until_quiet(&steps);
    (journal.handled(), tested.io().stats().packets_refused)
}

#[test]
fn what_a_socket_sends_to_itself_is_never_handled() {
    for &net in Net::UDP {
        for accept_own_packets in [false, true] {
            assert_eq!(
                send_to_itself(net, accept_own_packets),
                (0, 1),
                "{net:?}, {accept_own_packets}"
            );
        }
    }
}

#[test]
fn what_a_unix_socket_sends_to_itself_is_never_handled() {
    if !Net::ALL.contains(&Net::Unix) {
        return;
    }
    for accept_own_packets in [false, true] {
        assert_eq!(send_to_itself(Net::Unix, accept_own_packets), (0, 1), "{accept_own_packets}");
    }
}

/// Says to the test below that it runs alone in a process, whose working directory it may change.
#[cfg(unix)]
const CHILD: &str = "SOCKETSERVER_TEST_WORKING_DIRECTORY";

#[cfg(unix)]
#[test]
fn a_client_whose_path_means_the_server_to_the_server_starts_no_loop() {
    if std::env::var_os(CHILD).is_some() {
        return serve_a_client_with_our_name();
    }
    let name = "a_client_whose_path_means_the_server_to_the_server_starts_no_loop";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--include-ignored", "--nocapture", name])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

/// The client binds `socket` in its own working directory, and in that of the server the same name
/// is the server's.
#[cfg(unix)]
fn serve_a_client_with_our_name() {
    let directories = [tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap()];
    std::env::set_current_dir(&directories[0]).unwrap();
    let client = UnixDatagram::bind("socket").unwrap();
    std::env::set_current_dir(&directories[1]).unwrap();
    let mut tested = Tested::new();
    let id = tested.bind("unix:socket", Echo).unwrap();
    let addr = tested.io().local_addr(id).unwrap();
    client.send_to(b"round and round", addr.path().unwrap()).unwrap();
    for _ in 0..100 {
        tested.turn(Some(Duration::from_millis(1))).unwrap();
    }
    let answered = tested.io().stats().packets_sent;
    // To leave the directories, so that they can be removed.
    std::env::set_current_dir("/").unwrap();
    assert!(answered <= 1, "one datagram was answered {answered} times");
}

/// Two echo services in one loop, of which the second sends the first datagram: what they handled.
fn two_echo_services(net: Net, accept_own_packets: bool) -> (usize, u64) {
    let mut tested = Tested::with_shared((), Options { accept_own_packets, ..Options::default() });
    let journal = PacketJournal::default();
    let (_, first) = tested.serve_packets(net, NotedPackets::new(&journal, Echo));
    let answers = Rc::new(Cell::new(0));
    let count = Rc::clone(&answers);
    let bounded = on_packet(move |cx, packet, _| {
        count.set(count.get() + 1);
        if count.get() < 5 {
            cx.reply(packet);
        }
        Ok(())
    });
    let (second, _) = tested.serve_packets(net, bounded);
    tested.io_mut().send_to(second, b"hello", &first);
    tested.until(|server| server.io().stats().packets_in >= 1);
    let steps = tested.steps();
    tested.until_quiet(&steps);
    assert!(answers.get() <= journal.handled());
    (journal.handled(), tested.io().stats().packets_refused)
}

#[test]
fn two_services_of_one_loop_answer_each_other_only_if_they_may() {
    for &net in Net::UDP {
        assert_eq!(two_echo_services(net, false), (0, 1), "{net:?}");
        assert_eq!(two_echo_services(net, true), (5, 0), "{net:?}");
    }
}

#[test]
fn two_unix_services_of_one_loop_answer_each_other_only_if_they_may() {
    if !Net::ALL.contains(&Net::Unix) {
        return;
    }
    assert_eq!(two_echo_services(Net::Unix, false), (0, 1));
    assert_eq!(two_echo_services(Net::Unix, true), (5, 0));
}

#[test]
fn a_connected_client_in_the_same_loop_is_answered() {
    for net in [Net::V4, Net::V6] {
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let (_, addr) = tested.serve_packets(net, Echo);
        let discard = on_packet(|_, _, _| Ok(()));
        let id = tested.connect_datagram(&addr, NotedPackets::new(&journal, discard)).unwrap();
        for size in [5, 0, 1_000] {
            tested.io_mut().send(id, &pattern(size, 1));
            tested.until(|_| journal.has(PacketCall::ServerHandle(size)));
        }
        assert_eq!(tested.io().stats().packets_refused, 0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_strange_client_on_the_port_of_another_address_is_answered() {
    let mut tested = Tested::new();
    let (_, addr) = tested.serve_packets(Net::V4, Echo);
    let client = UdpSocket::bind(("127.0.0.2", addr.port().unwrap())).unwrap();
    client.connect(addr.ip().unwrap()).unwrap();
    client.set_nonblocking(true).unwrap();
    client.send(b"same port").unwrap();
    let mut buffer = [0; 20];
    tested.until(|_| client.recv(&mut buffer).is_ok_and(|n| &buffer[..n] == b"same port"));
}

// What the system does not take.

/// Datagrams that cannot leave a socket of this kind, each with a reason.
fn impossible(net: Net, tested: &mut Tested, client: &Addr) -> Vec<(Addr, Vec<u8>)> {
    let ip = |addr: &str| (Addr::Ip(addr.parse().unwrap()), b"lost".to_vec());
    let mut bad = match net {
        Net::V4 => {
            // Bound to the loopback, it has no way to other networks.
            let mut bad = ["127.0.0.1:0", "240.0.0.1:9", "255.255.255.255:9", "[::1]:9"].map(ip);
            bad[0].1.clear();
            bad.to_vec()
        }
        Net::V6 => ["[::1]:0", "127.0.0.1:9"].map(ip).to_vec(),
        Net::Dual => ["[::1]:0", "127.0.0.1:0", "255.255.255.255:9"].map(ip).to_vec(),
        Net::Unix => {
            let file = tested.free_path();
            std::fs::write(&file, b"").unwrap();
            let long = PathBuf::from("x".repeat(300));
            let paths = [tested.free_path(), file, long, PathBuf::from("/a\0b"), PathBuf::new()];
            let paths = paths.map(|path| (Addr::Unix(path), b"lost".to_vec()));
            [&paths[..], &[ip("127.0.0.1:9")]].concat()
        }
    };
    if net != Net::Unix {
        bad.push((client.clone(), pattern(70_000, 1)));
        bad.push((Addr::Unix(tested.free_path()), b"lost".to_vec()));
    }
    bad
}

#[test]
fn what_cannot_leave_costs_no_other_datagram_of_its_batch() {
    for &net in Net::ALL {
        let mut tested = Tested::new();
        let (id, addr) = tested.serve_packets(net, Echo);
        let client = PacketClient::new(&addr);
        let to = client.addr();
        for (nth, (bad, bytes)) in impossible(net, &mut tested, &to).into_iter().enumerate() {
            for (before, behind) in [(0, 0), (0, 1), (1, 0), (2, 3), (0, 6), (5, 3)] {
                let dropped = tested.io().stats().packets_dropped;
                for n in 0..before {
                    tested.io_mut().send_to(id, &[n], &to);
                }
                assert_eq!(tested.io_mut().send_to(id, &bytes, &bad), SendStatus::Queued);
                for n in before..before + behind {
                    tested.io_mut().send_to(id, &[n], &to);
                }
                for n in 0..before + behind {
                    assert_eq!(tested.answer(&client), [n], "{net:?}, {nth}: {bad}");
                }
                tested.until(|server| server.io().queued_packets(id) == 0);
                let lost = tested.io().stats().packets_dropped - dropped;
                assert_eq!(lost, 1, "{net:?}, {nth}: {bad}");
            }
        }
        assert_eq!(client.next(), None);
    }
}

#[test]
fn one_after_the_other_that_cannot_leave_holds_nobody_up() {
    for &net in Net::ALL {
        let mut tested = Tested::new();
        let (id, addr) = tested.serve_packets(net, Echo);
        let client = PacketClient::new(&addr);
        let to = client.addr();
        let bad = impossible(net, &mut tested, &to);
        for (bad, bytes) in bad.iter().cycle().take(200) {
            tested.io_mut().send_to(id, bytes, bad);
        }
        tested.io_mut().send_to(id, b"and one more", &to);
        assert_eq!(tested.answer(&client), b"and one more", "{net:?}");
        let stats = *tested.io().stats();
        assert_eq!((stats.packets_dropped, stats.packets_out), (200, 1), "{net:?}");
    }
}

// Queues.

#[test]
fn the_queue_is_bounded_in_datagrams_and_tells_when_it_is_empty_again() {
    for &net in Net::ALL {
        let mut tested =
            Tested::with_shared((), Options { send_queue_packets: 5, ..Options::default() });
        let journal = PacketJournal::default();
        let (id, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Echo));
        let client = PacketClient::new(&addr);
        for round in 1..=2 {
            let send = |n: u8| tested.io_mut().send_to(id, &[n], &client.addr());
            let said: Vec<SendStatus> = (0..8).map(send).collect();
            assert_eq!(
                said,
                [[SendStatus::Queued; 5].as_slice(), &[SendStatus::Congested; 3]].concat()
            );
            assert_eq!(tested.io().queued_packets(id), 5);
            assert!(tested.io().is_congested(id));
            for n in 0..5 {
                assert_eq!(tested.answer(&client), [n], "{net:?}");
            }
            let steps = tested.steps();
            tested.until_quiet(&steps);
            assert_eq!(journal.calls(), vec![PacketCall::Drained; round], "{net:?}");
            assert!(!tested.io().is_congested(id));
            assert_eq!(tested.io().stats().packets_dropped, 3 * round as u64);
        }
        assert_eq!(client.next(), None);
    }
}

#[test]
fn the_queue_is_bounded_in_bytes_too() {
    for &net in Net::UDP {
        let options = Options { send_queue_bytes: 1_000, ..Options::default() };
        let mut tested = Tested::with_shared((), options);
        let journal = PacketJournal::default();
        let (id, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Echo));
        let client = PacketClient::new(&addr);
        let send = |size: usize| tested.io_mut().send_to(id, &pattern(size, 1), &client.addr());
        let said = [400, 600, 1, 0].map(send);
        assert_eq!(
            said,
            [SendStatus::Queued, SendStatus::Queued, SendStatus::Congested, SendStatus::Queued],
            "{net:?}"
        );
        for size in [400, 600, 0] {
            assert!(tested.answer(&client) == pattern(size, 1), "{net:?}");
        }
        tested.until(|_| journal.has(PacketCall::Drained));
        assert_eq!(tested.io().stats().packets_dropped, 1);
    }
}

#[test]
fn a_datagram_that_would_never_fit_is_dropped_and_that_is_over_at_once() {
    let options = Options { send_queue_bytes: 1_000, ..Options::default() };
    let mut tested = Tested::with_shared((), options);
    let (id, addr) = tested.serve_packets(Net::V4, Echo);
    let client = PacketClient::new(&addr);
    tested.exchange(&client, b"hello");
    let steps = tested.steps();
    tested.until_quiet(&steps);
    assert_eq!(tested.io_mut().send_to(id, &[0; 1_001], &client.addr()), SendStatus::Congested);
    tested.until_quiet(&steps);
    assert_eq!(tested.io().stats().packets_dropped, 1);
    assert!(!tested.io().is_congested(id));
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
    let mut tested =
        Tested::with_shared((), Options { send_queue_packets: 200, ..Options::default() });
    let waiting: Rc<RefCell<Vec<usize>>> = Rc::default();
    let (id, addr) = tested.serve_packets(Net::V4, Looks(Rc::clone(&waiting)));
    let client = PacketClient::new(&addr);
    while tested.io_mut().send_to(id, b"x", &client.addr()) != SendStatus::Congested {}
    tested.turn(Some(Duration::ZERO)).unwrap();
    assert!(tested.io().is_congested(id) && waiting.borrow().is_empty());
    tested.until(|_| !waiting.borrow().is_empty());
    let steps = tested.steps();
    tested.until_quiet(&steps);
    assert_eq!(*waiting.borrow(), [0]);
    assert_eq!(client.all().len(), 200);
}

#[test]
fn who_sends_what_the_queue_has_no_room_for_goes_on_when_it_is_drained() {
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
    for &net in Net::ALL {
        let mut tested =
            Tested::with_shared((), Options { send_queue_packets: 7, ..Options::default() });
        let counts = Counts { next: 0, to: Addr::Unnamed };
        let (_, addr) = tested.serve_packets(net, counts);
        let client = PacketClient::new(&addr);
        client.send(b"go");
        for n in 0..100 {
            assert_eq!(tested.answer(&client), [n], "{net:?}");
        }
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

#[test]
fn an_error_or_a_panic_costs_that_datagram_only() {
    for &net in Net::ALL {
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let (id, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Fails));
        let client = PacketClient::new(&addr);
        for message in [&b"panic"[..], b"fine", b"error", b"panic", b"fine"] {
            client.send(message);
        }
        for message in [&b"panic"[..], b"fine", b"error", b"panic", b"fine"] {
            assert_eq!(tested.answer(&client), message, "what was sent before leaves");
        }
        assert_eq!(tested.io().stats().packets_failed, 3, "{net:?}");
        assert_eq!((journal.handled(), journal.finishes()), (5, 0));
        assert!(tested.io().is_open(id));
    }
}

#[test]
fn an_error_or_a_panic_in_any_callback_leaves_the_socket_serving() {
    let mut tested =
        Tested::with_shared((), Options { send_queue_packets: 4, ..Options::default() });
    let journal = PacketJournal::default();
    let (_, addr) = tested.serve_packets(Net::V4, NotedPackets::new(&journal, Fails));
    let client = PacketClient::new(&addr);
    tested.exchange(&client, b"timer");
    tested.until(|server| server.io().stats().packets_failed == 1);
    assert!(journal.has(PacketCall::Timeout));
    tested.exchange(&client, b"queue");
    tested.until(|server| server.io().stats().packets_failed == 2);
    assert!(journal.has(PacketCall::Drained));
    assert_eq!(client.all().concat(), b"xxx");
    tested.exchange(&client, b"still there");
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
    let mut tested = Tested::new();
    let (gone, addr) = tested.serve_packets(Net::V4, Bursts);
    let (_, other) = tested.serve_packets(Net::V4, Echo);
    PacketClient::new(&addr).send(b"go");
    tested.until(|server| server.io().local_addr(gone).is_none());
    tested.exchange(&PacketClient::new(&other), b"hello");
}
