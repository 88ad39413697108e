//! What a handler of datagrams does to its own socket takes effect at once, and what it has
//! offloaded is answered before the socket goes.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use common::{Net, NotedPackets, PATIENCE, PacketCall, PacketClient, PacketJournal, Tested};
use socketserver::{Addr, Context, DatagramHandler, Echo};

/// Chooses the first who sends something.
struct Faithful;

impl DatagramHandler for Faithful {
    fn handle(&mut self, cx: &mut Context<'_>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        cx.io.connect_peer(cx.id, peer)?;
        cx.reply(packet);
        Ok(())
    }
}

#[test]
fn who_has_chosen_a_peer_sees_nothing_that_others_had_sent_before() {
    for &net in Net::ALL {
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let (_, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Faithful));
        let (first, second) = (PacketClient::new(&addr), PacketClient::new(&addr));
        // Where many cross together these are one batch; elsewhere the kernel keeps the others.
        for client in [&first, &second, &first, &second] {
            client.send(b"hello");
        }
        tested.until(|server| server.io().stats().packets_in == 4);
        assert_eq!(tested.answer(&first), b"hello", "{net:?}");
        assert_eq!(tested.answer(&first), b"hello", "{net:?}");
        assert_eq!(second.next(), None, "{net:?}");
        assert_eq!(journal.handled(), 2, "{net:?}");
        assert_eq!(tested.io().stats().packets_refused, 2, "{net:?}");
    }
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

#[test]
fn pausing_and_resuming_in_handle_loses_no_datagram() {
    for &net in Net::ALL {
        let mut tested = Tested::new();
        let (_, addr) = tested.serve_packets(net, Restless);
        let client = PacketClient::new(&addr);
        for n in 0..8_u8 {
            client.send(&[n]);
        }
        for n in 0..8_u8 {
            assert_eq!(tested.answer(&client), [n], "{net:?}");
        }
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
fn at_work(net: Net) -> (Tested, PacketClient, Sender<()>, PacketJournal) {
    let mut tested = Tested::new();
    let (word, words) = mpsc::channel();
    let journal = PacketJournal::default();
    let handler = NotedPackets::new(&journal, Offloads(Some(words)));
    let (id, addr) = tested.serve_packets(net, handler);
    let client = PacketClient::new(&addr);
    if net == Net::V4 {
        // One of the nets has but one peer.
        tested.io_mut().connect_peer(id, &client.addr()).unwrap();
    }
    client.send(b"question");
    tested.until(|_| journal.handled() == 1);
    (tested, client, word, journal)
}

#[test]
fn answers_that_are_worked_at_elsewhere_leave_before_a_shutdown_is_over() {
    for &net in Net::ALL {
        let (mut tested, client, word, journal) = at_work(net);
        tested.io_mut().shutdown(PATIENCE);
        for _ in 0..5 {
            tested.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(tested.report(), None, "{net:?}: an answer is owed");
        assert!(journal.has(PacketCall::Shutdown), "it is told at once");
        word.send(()).unwrap();
        assert_eq!(tested.answer(&client), b"question", "{net:?}");
        tested.until(|server| server.report().is_some());
        assert_eq!(tested.io().stats().packets_dropped, 0);
    }
}

#[test]
fn answers_that_are_worked_at_elsewhere_leave_before_server_close_closes() {
    for net in [Net::V6, Net::Dual] {
        let (mut tested, client, word, journal) = at_work(net);
        tested.io_mut().server_close();
        for _ in 0..5 {
            tested.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(journal.finishes(), 0, "{net:?}: an answer is owed");
        word.send(()).unwrap();
        assert_eq!(tested.answer(&client), b"question", "{net:?}");
        tested.until(|_| journal.finishes() == 1);
    }
}

#[test]
fn a_socket_that_waits_for_an_answer_does_not_spin() {
    let (mut tested, _client, word, _journal) = at_work(Net::V4);
    tested.io_mut().server_close();
    tested.io_mut().shutdown(PATIENCE);
    for _ in 0..5 {
        tested.turn(Some(Duration::ZERO)).unwrap();
    }
    let steps = tested.steps();
    tested.turn(Some(Duration::from_millis(5))).unwrap();
    tested.turn(Some(Duration::from_millis(5))).unwrap();
    let turns = steps.turns();
    assert!(turns.len() <= 3, "{turns:?}");
    assert!(turns.iter().all(|turn| turn.len() <= 1), "nothing was to be done: {turns:?}");
    word.send(()).unwrap();
    tested.until(|server| server.report().is_some());
}

#[test]
fn a_socket_cannot_choose_itself_as_its_peer() {
    for &net in Net::ALL {
        let mut tested = Tested::new();
        let journal = PacketJournal::default();
        let (id, addr) = tested.serve_packets(net, NotedPackets::new(&journal, Echo));
        let error = tested.io_mut().connect_peer(id, &addr).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{net:?}");
        // It serves as before.
        let client = PacketClient::new(&addr);
        tested.exchange(&client, b"hello");
    }
}
