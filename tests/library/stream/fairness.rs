//! However busy one socket is, the others have their turn; and a message costs what it must.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use socketserver::{Context, Echo, Handler, Input, Options, SocketId, TraceEvent};

use crate::support::{
    Call, CallLog, Client, Discard, Harness, Kind, Recording, on_input, reads_once,
};

fn reads(turn: &[TraceEvent]) -> HashMap<SocketId, usize> {
    let mut reads = HashMap::new();
    for step in turn {
        if let TraceEvent::Read(id, _) | TraceEvent::ReadWouldBlock(id) = step {
            *reads.entry(*id).or_default() += 1;
        }
    }
    reads
}

kinds!(two_hundred_small_clients_are_served_within_a_few_turns_beside_a_firehose);

fn two_hundred_small_clients_are_served_within_a_few_turns_beside_a_firehose(kind: Kind) {
    let options = Options { read_buffer: 4_096, ..Options::default() };
    let budget = options.reads_per_turn;
    let mut harness = Harness::with_shared((), options);
    let flood = harness.serve(Kind::Tcp, |_| Discard);
    let addr = harness.serve(Kind::Unix, |_| Echo);
    let target = if kind == Kind::Tcp { harness.serve(kind, |_| Echo) } else { addr };
    let mut firehose = Client::connect(&flood);
    let mut small = Client::connect_many(&target, 200);
    harness.until(|server| server.io().connection_count() == 201);
    let steps = harness.steps();
    let bytes = vec![0; 1 << 20];
    for _ in 0..5 {
        firehose.push(&bytes);
        for client in &mut small {
            client.send(b"ping");
        }
        steps.clear();
        let mut turns = 0;
        while small.iter_mut().any(|client| {
            client.look();
            client.received.is_empty()
        }) {
            firehose.push(&bytes);
            harness.turn(Some(Duration::ZERO)).unwrap();
            turns += 1;
            assert!(turns < 20, "somebody was not served in {turns} turns");
        }
        for client in &mut small {
            assert_eq!(std::mem::take(&mut client.received), b"ping");
        }
        for turn in steps.turns() {
            let reads = reads(&turn);
            assert!(reads.values().all(|&reads| reads <= budget), "{reads:?}");
        }
    }
    let most = steps.turns().iter().flat_map(|turn| reads(turn).into_values()).max();
    assert_eq!(most, Some(budget), "the firehose was no firehose");
}

kinds!(what_came_at_once_is_read_in_the_turn_of_its_event_as_far_as_the_budget_goes);

fn what_came_at_once_is_read_in_the_turn_of_its_event_as_far_as_the_budget_goes(kind: Kind) {
    let options = Options { read_buffer: 1_024, reads_per_turn: 4, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(kind, |_| Echo);
    let mut client = Client::connect(&addr);
    harness.echo(&mut client, b"warm up");
    let steps = harness.steps();
    harness.until_quiet(&steps);
    for (sent, turns) in [(3_000, 1), (6_000, 2)] {
        steps.clear();
        harness.echo(&mut client, &vec![b'x'; sent]);
        let reading =
            |turn: &Vec<TraceEvent>| turn.iter().any(|step| matches!(step, TraceEvent::Read(..)));
        let took = steps.turns().iter().filter(|turn| reading(turn)).count();
        assert_eq!(took, turns, "{kind:?} {sent}: {:?}", steps.turns());
    }
}

#[test]
fn accepts_are_spread_over_turns_by_their_budget() {
    let mut harness =
        Harness::with_shared((), Options { accepts_per_turn: 10, ..Options::default() });
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let steps = harness.steps();
    let clients = Client::connect_many(&addr, 95);
    harness.until(|server| server.io().stats().accepted == 95);
    let accepts: Vec<usize> = steps
        .turns()
        .iter()
        .map(|turn| turn.iter().filter(|step| matches!(step, TraceEvent::Accepted(..))).count())
        .collect();
    assert_eq!(accepts.iter().max(), Some(&10));
    assert_eq!(accepts.iter().filter(|&&accepts| accepts > 0).count(), 10);
    drop(clients);
    harness.until_ended(95);
}

#[test]
fn writes_are_spread_over_turns_by_their_budget() {
    let options = Options {
        writes_per_turn: 2,
        high_water: 1 << 20,
        output_limit: 64 << 20,
        ..Options::default()
    };
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(Kind::Tcp, |_| {
        on_input(|cx: &mut Context<'_>, input: &mut Input<'_>| {
            input.take_all();
            cx.send(&vec![b'x'; 16 << 20]);
            Ok(())
        })
    });
    let steps = harness.steps();
    let mut client = Client::connect(&addr);
    client.send(b"go");
    harness.until(|_| {
        client.look();
        client.received.len() == 16 << 20
    });
    for turn in steps.turns() {
        let writes = turn
            .iter()
            .filter(|step| matches!(step, TraceEvent::Wrote(..) | TraceEvent::WriteWouldBlock(_)));
        // One more for the part of a large send that goes out at once.
        assert!(writes.count() <= 3);
    }
}

kinds!(an_echoed_message_costs_one_read_one_write_and_no_look_in_vain);

fn an_echoed_message_costs_one_read_one_write_and_no_look_in_vain(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| Echo);
    let mut client = Client::connect(&addr);
    harness.echo(&mut client, b"warm up");
    let steps = harness.steps();
    for n in 1..=100 {
        harness.echo(&mut client, &vec![b'x'; n]);
    }
    assert_eq!(steps.count(|step| matches!(step, TraceEvent::Read(..))), 100, "{kind:?}");
    assert_eq!(steps.count(|step| matches!(step, TraceEvent::Wrote(..))), 100, "{kind:?}");
    let in_vain = steps.count(|step| matches!(step, TraceEvent::ReadWouldBlock(_)));
    assert!(in_vain == 0 || !reads_once(kind), "{kind:?}");
    assert_eq!(steps.count(|step| matches!(step, TraceEvent::WriteWouldBlock(_))), 0, "{kind:?}");
}

// An emulated edge may come twice.
#[cfg(not(mio_unsupported_force_poll_poll))]
kinds!(a_message_that_the_peer_takes_wakes_the_loop_for_nothing_else);

#[cfg(not(mio_unsupported_force_poll_poll))]
fn a_message_that_the_peer_takes_wakes_the_loop_for_nothing_else(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| Echo);
    let mut client = Client::connect(&addr);
    harness.echo(&mut client, b"warm up");
    let steps = harness.steps();
    harness.until_quiet(&steps);
    steps.clear();
    for _ in 0..50 {
        harness.echo(&mut client, b"hello");
    }
    harness.until_quiet(&steps);
    let events: usize = steps
        .all()
        .iter()
        .map(|step| if let TraceEvent::Polled(events) = step { *events } else { 0 })
        .sum();
    assert_eq!(events, 50, "{kind:?}");
}

kinds!(an_idle_server_wakes_for_nothing);

fn an_idle_server_wakes_for_nothing(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| Echo);
    let mut clients = Client::connect_many(&addr, 50);
    for client in &mut clients {
        harness.echo(client, b"hello");
    }
    let steps = harness.steps();
    harness.until_quiet(&steps);
    steps.clear();
    let before = std::time::Instant::now();
    harness.turn(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(steps.all(), [TraceEvent::Polled(0)]);
    assert!(before.elapsed() >= Duration::from_millis(45));
}

#[test]
fn a_handler_that_keeps_its_own_socket_busy_starves_nobody() {
    /// Sends to itself what makes it run again, for ever.
    struct Restless;
    impl Handler for Restless {
        fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            cx.set_timer(Duration::ZERO);
            Ok(())
        }
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn timeout(&mut self, cx: &mut Context<'_>, _: socketserver::TimerId) -> io::Result<()> {
            cx.set_timer(Duration::ZERO);
            Ok(())
        }
    }
    let mut harness = Harness::new();
    let journal = CallLog::default();
    let witness = journal.clone();
    let restless = harness.serve(Kind::Unix, move |_| Recording::new(&witness, Restless));
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let busy = Client::connect(&restless);
    let mut client = Client::connect(&addr);
    harness.echo(&mut client, b"hello");
    let before = journal.count(|call| call == Call::Timeout);
    harness.turn(None).unwrap();
    harness.turn(None).unwrap();
    assert!(journal.count(|call| call == Call::Timeout) <= before + 2, "more than once a turn");
    assert!(journal.count(|call| call == Call::Timeout) > before);
    drop(busy);
    harness.until(|server| server.io().connection_count() == 1);
}

#[test]
fn a_loop_that_spins_serves_and_sleeps_as_any_other() {
    let busy_poll = Duration::from_micros(200);
    let mut harness = Harness::with_shared((), Options { busy_poll, ..Options::default() });
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let mut client = Client::connect(&addr);
    harness.echo(&mut client, b"awake?");
    let steps = harness.steps();
    harness.until_quiet(&steps);
    steps.clear();
    let began = std::time::Instant::now();
    harness.turn(Some(Duration::from_millis(20))).unwrap();
    // One turn, however often it looked, and no longer than it was told.
    assert_eq!(steps.all(), [TraceEvent::Polled(0)]);
    assert!(began.elapsed() >= Duration::from_millis(20));
    harness.turn(Some(Duration::ZERO)).unwrap();
    client.finish_sending();
    harness.until_ended(1);
}
