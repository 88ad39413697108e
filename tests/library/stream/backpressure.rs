//! A slow peer costs bounded memory, and loses nothing.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use socketserver::{
    Addr, CloseReason, Context, Echo, Handler, Input, Options, SendStatus, Server, SocketId,
    TraceEvent,
};

use crate::support::{
    Call, CallLog, Client, Harness, Kind, Random, TraceLog, on_input, on_setup, pattern,
};

fn conversation(journal: &CallLog) -> SocketId {
    journal.ids()[0]
}

kinds!(slow_peer_is_not_read_until_it_drains);

fn slow_peer_is_not_read_until_it_drains(kind: Kind) {
    let mut harness = Harness::new();
    let (journal, addr) = harness.serve_recorded(kind, move |_| Echo);
    let steps = harness.steps();
    let mut client = Client::connect(&addr);
    let bytes = pattern(1 << 20, 1);
    // Writes whatever the system takes, until the server has read nothing more for a while.
    let mut sent = 0_usize;
    loop {
        let before = sent;
        let from = sent % bytes.len();
        sent += client.push(&bytes[from..]);
        harness.until_quiet(&steps);
        if sent == before {
            break;
        }
    }
    let id = conversation(&journal);
    assert!(harness.io().is_congested(id));
    let options = Options::default();
    let most = options.high_water + options.read_buffer * options.reads_per_turn;
    assert!(
        harness.io().pending_output(id) <= most,
        "{} bytes wait",
        harness.io().pending_output(id)
    );
    steps.clear();
    client.look_at_most(1_000);
    harness.until_quiet(&steps);
    let reads =
        steps.count(|step| matches!(step, TraceEvent::Read(..) | TraceEvent::ReadWouldBlock(_)));
    assert_eq!(reads, 0, "it was read while it had not drained");
    client.finish_sending();
    let got = harness.receive_to_end(&mut client);
    assert_eq!(got.len(), sent);
    assert!(got.chunks(bytes.len()).all(|chunk| bytes.starts_with(chunk)));
    assert!(journal.count(|call| call == Call::Drained) >= 1);
    harness.until_ended(1);
}

kinds!(a_peer_that_never_reads_costs_bounded_memory_and_no_time);

fn a_peer_that_never_reads_costs_bounded_memory_and_no_time(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| Echo);
    let steps = harness.steps();
    let mut client = Client::connect(&addr);
    let bytes = vec![b'x'; 1 << 20];
    let mut sent = 0;
    let mut silent_turns = 0;
    harness.until(|server| {
        let n = client.push(&bytes);
        sent += n;
        silent_turns = if n == 0 { silent_turns + 1 } else { 0 };
        assert!(server.io().stats().pending_output() < 2 << 20);
        assert!(sent < 1 << 30);
        silent_turns > 5
    });
    harness.until_quiet(&steps);
    steps.clear();
    for _ in 0..20 {
        client.push(&bytes);
        harness.turn(Some(std::time::Duration::from_millis(1))).unwrap();
    }
    assert_eq!(steps.count(|step| !matches!(step, TraceEvent::Polled(_))), 0, "{:?}", steps.all());
}

#[test]
fn exceeding_the_output_limit_resets_that_peer_only() {
    let mut harness =
        Harness::with_shared(None, Options { output_limit: 1 << 20, ..Options::default() });
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| {
        let hoard = |cx: &mut Context<'_, Option<SendStatus>>, input: &mut Input<'_>| {
            input.take_all();
            for _ in 0..1_000 {
                *cx.shared = Some(cx.send(&[b'x'; 10_000]));
            }
            Ok(())
        };
        on_input(hoard)
    });
    let mut hoarder = Client::connect(&addr);
    let mut bystander = Client::connect(&addr);
    hoarder.send(b"all of it");
    harness.until_ended_but(1);
    assert_eq!(*harness.shared(), Some(SendStatus::Closed));
    assert_eq!(harness.ended(CloseReason::OutputLimit), 1);
    assert_eq!(journal.finishes()[0].0, CloseReason::OutputLimit);
    bystander.look();
    assert_eq!(bystander.end, None);
    drop((hoarder, bystander));
    harness.until(|server| server.io().connection_count() == 0);
}

trait UntilEndedBut {
    fn until_ended_but(&mut self, left: usize);
}

impl<S> UntilEndedBut for Harness<S> {
    /// Turns until somebody has ended and so many connections are left.
    fn until_ended_but(&mut self, left: usize) {
        self.until(|server| {
            server.io().stats().all_ended() > 0 && server.io().connection_count() == left
        });
    }
}

/// Pauses after each input and leaves what it did not take.
struct OneAtATime;

impl Handler for OneAtATime {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        if let Some(bytes) = input.take(1) {
            cx.send(bytes);
        }
        cx.pause();
        Ok(())
    }
}

kinds!(resume_shows_again_what_was_left_without_anything_new);

fn resume_shows_again_what_was_left_without_anything_new(kind: Kind) {
    let mut harness = Harness::new();
    let (journal, addr) = harness.serve_recorded(kind, move |_| OneAtATime);
    let steps = harness.steps();
    let mut client = Client::connect(&addr);
    client.send(b"abc");
    for expected in [b"a", b"b", b"c"] {
        assert_eq!(harness.receive(&mut client, 1), expected);
        harness.until_quiet(&steps);
        let id = conversation(&journal);
        assert!(harness.io().is_paused(id));
        harness.io_mut().resume(id);
    }
    harness.until_quiet(&steps);
    let handled = [Call::Setup, Call::Handle(3), Call::Handle(2), Call::Handle(1)];
    assert_eq!(journal.calls(), handled, "resuming with nothing left shows nothing");
}

kinds!(nothing_is_shown_while_paused_not_even_the_end);

fn nothing_is_shown_while_paused_not_even_the_end(kind: Kind) {
    let mut harness = Harness::new();
    let (journal, addr) = harness.serve_recorded(kind, move |_| OneAtATime);
    let steps = harness.steps();
    let mut client = Client::connect(&addr);
    client.send(b"ab");
    assert_eq!(harness.receive(&mut client, 1), b"a");
    client.send(b"c");
    client.finish_sending();
    harness.until_quiet(&steps);
    let id = conversation(&journal);
    assert_eq!(journal.of(id), [Call::Setup, Call::Handle(2)]);
    harness.io_mut().resume(id);
    assert_eq!(harness.receive(&mut client, 1), b"b");
    harness.until_quiet(&steps);
    harness.io_mut().resume(id);
    assert_eq!(harness.receive(&mut client, 1), b"c");
    harness.until_quiet(&steps);
    harness.io_mut().resume(id);
    assert_eq!(harness.receive_to_end(&mut client), []);
    harness.until_ended(1);
    assert_eq!(journal.count(|call| call == Call::Eof(0)), 1);
}

#[test]
fn a_paused_connection_may_leave_more_than_the_input_limit_in_the_system() {
    let mut harness = Harness::with_shared((), Options { input_limit: 100, ..Options::default() });
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| OneAtATime);
    let steps = harness.steps();
    let mut client = Client::connect(&addr);
    client.send(&pattern(5_000, 1));
    harness.until_quiet(&steps);
    assert_eq!(journal.calls(), [Call::Setup, Call::Handle(100)]);
    assert!(harness.io().is_open(conversation(&journal)));
}

kinds!(full_duplex_reads_on_while_its_own_output_is_blocked);

fn full_duplex_reads_on_while_its_own_output_is_blocked(kind: Kind) {
    let mut harness = Harness::with_shared(0_usize, Options::default());
    let addr = harness.serve(kind, |_| FullDuplex);
    let mut client = Client::connect(&addr);
    let steps = harness.steps();
    harness.until_quiet(&steps);
    assert!(harness.io().stats().pending_output() > Options::default().high_water as u64);
    let bytes = vec![0; 1 << 20];
    let mut sent = 0;
    harness.until(|server| {
        sent += client.push(&bytes[..bytes.len().min((8 << 20) - sent)]);
        *server.shared_mut() == 8 << 20
    });
    client.finish_sending();
    assert!(harness.receive_to_end(&mut client) == pattern(10 << 20, 3));
    harness.until_ended(1);
}

struct FullDuplex;

impl Handler<usize> for FullDuplex {
    fn setup(&mut self, cx: &mut Context<'_, usize>) -> io::Result<()> {
        cx.io.set_read_while_congested(cx.id, true);
        assert_eq!(cx.send(&pattern(10 << 20, 3)), SendStatus::Congested);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_, usize>, input: &mut Input<'_>) -> io::Result<()> {
        *cx.shared += input.take_all().len();
        Ok(())
    }
}

#[test]
fn send_says_what_becomes_of_the_bytes() {
    let said = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&said);
    let options = Options { high_water: 1_000, low_water: 10, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(Kind::Tcp, move |_| {
        let seen = Rc::clone(&seen);
        on_setup(move |cx: &mut Context<'_>| {
            for n in [0, 1_000, 1, 0, 1] {
                seen.borrow_mut().push(cx.send(&vec![0; n]));
            }
            cx.io.shutdown_write(cx.id);
            seen.borrow_mut().push(cx.send(b"x"));
            seen.borrow_mut().push(cx.send(b""));
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    assert_eq!(harness.receive_to_end(&mut client).len(), 1_002);
    drop(client);
    harness.until_ended(1);
    let queued = [SendStatus::Queued; 2];
    let (congested, gone) = ([SendStatus::Congested; 3], [SendStatus::Closed; 2]);
    assert_eq!(*said.borrow(), [&queued[..], &congested, &gone].concat());
}

#[test]
fn drained_comes_once_for_each_congestion() {
    let options = Options { high_water: 1_000, low_water: 10, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| Echo);
    let mut client = Client::connect(&addr);
    for round in 1..5 {
        harness.echo(&mut client, &pattern(1_000, 1));
        assert_eq!(journal.count(|call| call == Call::Drained), round - 1);
        harness.echo(&mut client, &pattern(1_001, 2));
        harness.until(|_| journal.count(|call| call == Call::Drained) >= round);
        assert_eq!(journal.count(|call| call == Call::Drained), round);
    }
}

/// One half of a relay as in the documentation: what comes in goes to the other half.
struct Relay {
    peer: Option<SocketId>,
    target: Option<Addr>,
}

impl Handler for Relay {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.io.set_read_while_congested(cx.id, true);
        if let Some(target) = self.target.take() {
            let other = Relay { peer: Some(cx.id), target: None };
            self.peer = Some(cx.connect(target, other)?);
        }
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        match cx.io.send(self.peer.unwrap(), input.take_all()) {
            SendStatus::Queued => {}
            SendStatus::Congested => cx.pause(),
            SendStatus::Closed => cx.close(),
        }
        Ok(())
    }

    fn drained(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.io.resume(self.peer.unwrap());
        Ok(())
    }

    fn eof(&mut self, cx: &mut Context<'_>, _: &[u8]) -> io::Result<()> {
        cx.io.shutdown_write(self.peer.unwrap());
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_>, outcome: io::Result<()>) {
        if outcome.is_err() {
            cx.io.abort(self.peer.unwrap());
        }
    }
}

fn most_unsent(server: &mut Server, most: &mut u64) {
    *most = (*most).max(server.io().stats().pending_output());
}

kinds!(a_relay_with_back_pressure_moves_every_byte_in_bounded_memory);

fn a_relay_with_back_pressure_moves_every_byte_in_bounded_memory(kind: Kind) {
    let mut harness = Harness::new();
    let echo = harness.serve(kind, |_| Echo);
    let relay = harness.serve(Kind::Tcp, move |_| Relay { peer: None, target: Some(echo.clone()) });
    let mut client = Client::connect(&relay);
    let bytes = pattern(8 << 20, 4);
    let (mut sent, mut most) = (0, 0);
    // Writes first and reads late, so that everything in between fills up.
    harness.until(|server| {
        let n = client.push(&bytes[sent..]);
        sent += n;
        if n == 0 {
            client.look_at_most(100_000);
        }
        most_unsent(server, &mut most);
        sent == bytes.len()
    });
    client.finish_sending();
    assert!(harness.receive_to_end(&mut client) == bytes, "{kind:?}");
    harness.until_ended(3);
    assert_eq!(harness.ended(CloseReason::Closed), 3);
    assert!(most < 6 << 20, "{most} bytes waited at once");
}

#[test]
fn a_relay_whose_far_side_breaks_breaks_the_near_side() {
    let mut harness = Harness::new();
    let far = harness.serve(Kind::Tcp, |_| {
        on_input(|_: &mut Context<'_>, _| Err(io::Error::other("expected by this test")))
    });
    let relay = harness.serve(Kind::Tcp, move |_| Relay { peer: None, target: Some(far.clone()) });
    let mut client = Client::connect(&relay);
    client.send(b"hello");
    harness.receive_to_end(&mut client);
    drop(client);
    harness.until_ended(3);
}

kinds!(a_broadcast_reaches_all_and_a_stuck_member_holds_up_nobody);

fn a_broadcast_reaches_all_and_a_stuck_member_holds_up_nobody(kind: Kind) {
    let options = Options { output_limit: 1 << 20, ..Options::default() };
    let mut harness: Harness<Vec<SocketId>> = Harness::with_shared(Vec::new(), options);
    let addr = harness.serve(kind, |_| Member);
    let mut members = Client::connect_many(&addr, 10);
    let mut stuck = Client::connect(&addr);
    harness.until(|server| server.shared_mut().len() == 11);
    let mut speaker = Client::connect(&addr);
    let line = pattern(50_000, 5);
    let mut expected = Vec::new();
    for _ in 0..160 {
        speaker.send(&line);
        expected.extend_from_slice(&line);
        harness.until(|_| {
            members.iter_mut().all(|member| {
                member.look();
                member.received.len() == expected.len()
            })
        });
    }
    assert!(members.iter().all(|member| member.received == expected));
    assert_eq!(harness.ended(CloseReason::OutputLimit), 1, "{kind:?}");
    harness.until(|_| stuck.look());
    assert!(stuck.received.len() < expected.len());
}

struct Member;

impl Handler<Vec<SocketId>> for Member {
    fn setup(&mut self, cx: &mut Context<'_, Vec<SocketId>>) -> io::Result<()> {
        cx.shared.push(cx.id);
        Ok(())
    }

    fn handle(
        &mut self,
        cx: &mut Context<'_, Vec<SocketId>>,
        input: &mut Input<'_>,
    ) -> io::Result<()> {
        let line = input.take_all();
        for &member in cx.shared.iter().filter(|&&member| member != cx.id) {
            cx.io.send(member, line);
        }
        Ok(())
    }
}

#[test]
fn what_two_handlers_send_to_one_peer_in_one_round_arrives_whole_and_once() {
    let mut harness: Harness<Vec<SocketId>> = Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, |_| Member);
    let mut members = Client::connect_many(&addr, 5);
    harness.until(|server| server.shared_mut().len() == 5);
    let steps: TraceLog = harness.steps();
    for (n, member) in members.iter_mut().enumerate() {
        member.send(&[b'a' + n as u8; 100]);
    }
    for (n, member) in members.iter_mut().enumerate() {
        let mut got = harness.receive(member, 400);
        got.sort_unstable();
        let expected: Vec<u8> =
            (0..5).filter(|&other| other != n).flat_map(|o| [b'a' + o as u8; 100]).collect();
        assert_eq!(got, expected);
    }
    let rounds = steps.count(|step| matches!(step, TraceEvent::Polled(n) if n > 0));
    let writes = steps.count(|step| matches!(step, TraceEvent::Wrote(..)));
    assert!(writes <= 5 * rounds, "{writes} writes in {rounds} rounds");
}

/// Sends to the first member as well as back, and keeps everything the first one was sent.
#[derive(Default)]
struct Order {
    first: Option<SocketId>,
    sent: Vec<u8>,
}

struct Chorus;

impl Handler<Order> for Chorus {
    fn setup(&mut self, cx: &mut Context<'_, Order>) -> io::Result<()> {
        cx.shared.first.get_or_insert(cx.id);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_, Order>, input: &mut Input<'_>) -> io::Result<()> {
        let bytes = input.take_all();
        for piece in bytes.chunks(5_000) {
            cx.shared.sent.extend_from_slice(piece);
            cx.io.send(cx.shared.first.unwrap(), piece);
        }
        Ok(())
    }
}

/// Until some turns in a row had nothing to do.
fn look_until_quiet<S>(harness: &mut Harness<S>, client: &mut Client) {
    let steps = harness.steps();
    harness.until(|_| {
        client.look();
        let quiet =
            steps.turns().iter().rev().take(4).all(|turn| turn[..] == [TraceEvent::Polled(0)]);
        steps.turns().len() > 5 && quiet
    });
}

kinds!(bytes_arrive_in_the_order_in_which_they_were_sent_by_whomever);

fn bytes_arrive_in_the_order_in_which_they_were_sent_by_whomever(kind: Kind) {
    let mut harness: Harness<Order> = Harness::with_shared(Order::default(), Options::default());
    let addr = harness.serve(kind, |_| Chorus);
    let mut clients = Client::connect_many(&addr, 4);
    harness.until(|server| server.io().connection_count() == 4);
    let first = harness.shared_mut().first.unwrap();
    let mut random = Random(3);
    for round in 0..300 {
        for (n, client) in clients.iter_mut().enumerate() {
            if random.below(3) > 0 {
                let most = if random.below(4) == 0 { 20_000 } else { 50 };
                client.send(&pattern(1 + random.below(most), round * 4 + n as u64));
            }
        }
        if random.below(3) == 0 {
            let news = pattern(1 + random.below(6_000), round);
            harness.shared_mut().sent.extend_from_slice(&news);
            harness.io_mut().send(first, &news);
        }
        if random.below(3) == 0 {
            let news = pattern(1 + random.below(6_000), round + 1);
            let from_elsewhere = move |order: &mut Order, io: &mut socketserver::Io| {
                order.sent.extend_from_slice(&news);
                io.send(first, &news);
            };
            harness.handle().post(from_elsewhere).unwrap();
        }
        if random.below(2) == 0 {
            clients[0].look();
        }
        harness.turn(Some(std::time::Duration::ZERO)).unwrap();
    }
    look_until_quiet(&mut harness, &mut clients[0]);
    let (got, sent) = (&clients[0].received, &harness.shared_mut().sent);
    let differ = got.iter().zip(sent).position(|(got, sent)| got != sent);
    assert_eq!((got.len(), differ), (sent.len(), None), "{kind:?}");
}
