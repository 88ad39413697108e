//! What a handler of datagrams does to its own socket takes effect at once, and what it has
//! offloaded is answered before the socket goes.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use socketserver::{Addr, Context, DatagramHandler, Echo};

use crate::support::{
    DatagramCall, DatagramCallLog, DatagramClient, DatagramKind, Harness, PATIENCE,
    RecordingDatagrams,
};

/// Chooses the first who sends something.
struct Faithful;

impl DatagramHandler for Faithful {
    fn handle(&mut self, cx: &mut Context<'_>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        cx.io.connect_peer(cx.id, peer)?;
        cx.reply(packet);
        Ok(())
    }
}

datagram_kinds!(who_has_chosen_a_peer_sees_nothing_that_others_had_sent_before);

fn who_has_chosen_a_peer_sees_nothing_that_others_had_sent_before(net: DatagramKind) {
    let mut harness = Harness::new();
    let (journal, _, addr) = harness.serve_recorded_datagrams(net, Faithful);
    let (first, second) = (DatagramClient::new(&addr), DatagramClient::new(&addr));
    // Where many cross together these are one batch; elsewhere the kernel keeps the others.
    for client in [&first, &second, &first, &second] {
        client.send(b"hello");
    }
    harness.until(|server| server.io().stats().packets_in == 4);
    assert_eq!(harness.answer(&first), b"hello", "{net:?}");
    assert_eq!(harness.answer(&first), b"hello", "{net:?}");
    assert_eq!(second.next(), None, "{net:?}");
    assert_eq!(journal.handled(), 2, "{net:?}");
    assert_eq!(harness.io().stats().packets_refused, 2, "{net:?}");
}

/// Pauses and resumes itself for each.
struct Restless;

impl DatagramHandler for Restless {
    fn handle(&mut self, cx: &mut Context<'_>, packet: &[u8], _: &Addr) -> io::Result<()> {
        cx.pause();
        cx.reply(packet);
        cx.io.resume(cx.id);
        Ok(())
    }
}

datagram_kinds!(pausing_and_resuming_in_handle_loses_no_datagram);

fn pausing_and_resuming_in_handle_loses_no_datagram(net: DatagramKind) {
    let mut harness = Harness::new();
    let (_, addr) = harness.serve_datagrams(net, Restless);
    let client = DatagramClient::new(&addr);
    for n in 0..8_u8 {
        client.send(&[n]);
    }
    for n in 0..8_u8 {
        assert_eq!(harness.answer(&client), [n], "{net:?}");
    }
}

/// Has each datagram worked at elsewhere, until a word comes.
struct Offloads(Option<Receiver<()>>);

impl DatagramHandler for Offloads {
    fn handle(&mut self, cx: &mut Context<'_>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        let (id, packet, peer) = (cx.id, packet.to_vec(), peer.clone());
        let words = self.0.take();
        cx.offload(
            move || words.map(|words| words.recv()),
            move |(), io, _| {
                io.send_to(id, &packet, &peer);
            },
        )
    }
}

/// A client whose datagram is being worked at.
fn at_work(net: DatagramKind) -> (Harness, DatagramClient, Sender<()>, DatagramCallLog) {
    let mut harness = Harness::new();
    let (word, words) = mpsc::channel();
    let journal = DatagramCallLog::default();
    let handler = RecordingDatagrams::new(&journal, Offloads(Some(words)));
    let (id, addr) = harness.serve_datagrams(net, handler);
    let client = DatagramClient::new(&addr);
    if net == DatagramKind::V4 {
        // One of the nets has but one peer.
        harness.io_mut().connect_peer(id, &client.addr()).unwrap();
    }
    client.send(b"question");
    harness.until(|_| journal.handled() == 1);
    (harness, client, word, journal)
}

datagram_kinds!(answers_that_are_worked_at_elsewhere_leave_before_a_shutdown_is_over);

fn answers_that_are_worked_at_elsewhere_leave_before_a_shutdown_is_over(net: DatagramKind) {
    let (mut harness, client, word, journal) = at_work(net);
    harness.io_mut().shutdown(PATIENCE);
    for _ in 0..5 {
        harness.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(harness.report(), None, "{net:?}: an answer is owed");
    assert!(journal.has(DatagramCall::Shutdown), "it is told at once");
    word.send(()).unwrap();
    assert_eq!(harness.answer(&client), b"question", "{net:?}");
    harness.until(|server| server.report().is_some());
    assert_eq!(harness.io().stats().packets_dropped, 0);
}

#[test]
fn answers_that_are_worked_at_elsewhere_leave_before_server_close_closes() {
    for net in [DatagramKind::V6, DatagramKind::Dual] {
        let (mut harness, client, word, journal) = at_work(net);
        harness.io_mut().server_close();
        for _ in 0..5 {
            harness.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(journal.finishes(), 0, "{net:?}: an answer is owed");
        word.send(()).unwrap();
        assert_eq!(harness.answer(&client), b"question", "{net:?}");
        harness.until(|_| journal.finishes() == 1);
    }
}

#[test]
fn a_socket_that_waits_for_an_answer_does_not_spin() {
    let (mut harness, _client, word, _journal) = at_work(DatagramKind::V4);
    harness.io_mut().server_close();
    harness.io_mut().shutdown(PATIENCE);
    for _ in 0..5 {
        harness.turn(Some(Duration::ZERO)).unwrap();
    }
    let steps = harness.steps();
    harness.turn(Some(Duration::from_millis(5))).unwrap();
    harness.turn(Some(Duration::from_millis(5))).unwrap();
    let turns = steps.turns();
    assert!(turns.len() <= 3, "{turns:?}");
    assert!(turns.iter().all(|turn| turn.len() <= 1), "nothing was to be done: {turns:?}");
    word.send(()).unwrap();
    harness.until(|server| server.report().is_some());
}

datagram_kinds!(a_socket_cannot_choose_itself_as_its_peer);

fn a_socket_cannot_choose_itself_as_its_peer(net: DatagramKind) {
    let mut harness = Harness::new();
    let (id, addr) = harness.serve_datagrams(net, Echo);
    let error = harness.io_mut().connect_peer(id, &addr).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{net:?}");
    // It serves as before.
    let client = DatagramClient::new(&addr);
    harness.exchange(&client, b"hello");
}
