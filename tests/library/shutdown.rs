//! A stop answers what was taken, tells what it had to drop, and is over in time.

use std::io;
use std::time::{Duration, Instant};

use socketserver::{CloseReason, Context, Echo, Handler, Input, Options, TimerId, TraceEvent};

use crate::support::{
    Call, CallLog, Client, Harness, Kind, PATIENCE, Recording, Stubborn, ms, on_input, on_setup,
    pattern,
};

kinds!(connections_that_owe_nothing_close_at_once);

fn connections_that_owe_nothing_close_at_once(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| Echo);
    let mut clients = Client::connect_many(&addr, 50);
    for client in &mut clients {
        harness.echo(client, b"hello");
    }
    // Nobody closes and nobody speaks, so only the server can end this.
    let began = Instant::now();
    let report = harness.shutdown(PATIENCE).unwrap();
    assert!(began.elapsed() < ms(1_000), "{:?}", began.elapsed());
    assert_eq!((report.drained, report.forced, report.bytes_dropped), (50, 0, 0));
    assert_eq!(harness.io().connection_count(), 0);
    for client in &mut clients {
        while !client.look() {}
        assert_eq!(client.end, Some(Ok(())));
    }
}

kinds!(every_byte_that_had_come_is_answered);

fn every_byte_that_had_come_is_answered(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| Echo);
    let mut clients = Client::connect_many(&addr, 100);
    harness.until(|server| server.io().connection_count() == 100);
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(&pattern(1 + 400 * n, n as u64));
    }
    harness.io_mut().shutdown(PATIENCE);
    for (n, client) in clients.iter_mut().enumerate() {
        assert!(harness.receive_to_end(client) == pattern(1 + 400 * n, n as u64), "{n}");
    }
    drop(clients);
    harness.until_ended(100);
    let report = harness.report().unwrap();
    assert_eq!((report.drained, report.forced, report.bytes_dropped), (100, 0, 0));
}

/// Answers each line with much, and takes the next only when that has left.
struct Stately;

const ANSWER: usize = 300 << 10;

impl Handler for Stately {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        while !cx.io.is_congested(cx.id) {
            let Some(line) = input.take_line(100)? else { break };
            let answer = vec![line[0]; ANSWER];
            cx.send(&answer);
        }
        Ok(())
    }
}

kinds!(what_was_taken_while_the_output_was_congested_is_answered_too);

fn what_was_taken_while_the_output_was_congested_is_answered_too(kind: Kind) {
    let mut harness =
        Harness::with_shared((), Options { send_buffer: Some(16 << 10), ..Options::default() });
    let addr = harness.serve(kind, |_| Stately);
    let mut client = Client::connect(&addr);
    client.send(b"a\nb\nc\nd\ne\n");
    harness.until(|server| server.io().stats().bytes_in == 10);
    harness.io_mut().shutdown(PATIENCE);
    for _ in 0..5 {
        harness.turn(Some(Duration::ZERO)).unwrap();
    }
    let got = harness.receive_to_end(&mut client);
    let expected: Vec<u8> = b"abcde".iter().flat_map(|&byte| vec![byte; ANSWER]).collect();
    assert_eq!(got.len(), expected.len());
    assert!(got == expected);
    drop(client);
    harness.until_ended(1);
    let report = harness.report().unwrap();
    assert_eq!((report.drained, report.forced), (1, 0));
}

#[test]
fn from_the_request_on_nobody_is_accepted() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let mut slow = Client::connect(&addr);
    harness.echo(&mut slow, b"hello");
    let mut late = Client::connect(&addr);
    harness.io_mut().shutdown(PATIENCE);
    assert!(harness.io().is_shutting_down());
    while harness.report().is_none() {
        harness.turn(Some(ms(5))).unwrap();
    }
    assert_eq!(harness.io().stats().accepted, 1);
    // The next turn serves again, and the listener was never closed.
    harness.echo(&mut late, b"after all");
}

#[test]
fn who_does_not_close_is_served_until_the_grace_is_over_and_then_cut_off() {
    let mut harness = Harness::new();
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| Stubborn);
    let mut client = Client::connect(&addr);
    harness.echo(&mut client, b"before");
    let began = Instant::now();
    harness.io_mut().shutdown(ms(200));
    harness.echo(&mut client, b"during");
    harness.until(|server| server.report().is_some());
    assert!((ms(200)..ms(400)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(harness.report().map(|report| (report.drained, report.forced)), Some((0, 1)));
    assert_eq!(harness.ended(CloseReason::ShutdownTimeout), 1);
    let told = journal.count(|call| call == Call::Shutdown);
    assert_eq!(told, 1);
}

#[test]
fn a_handler_may_take_its_time_within_the_grace() {
    struct Slow;
    impl Handler for Slow {
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn shutdown(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            cx.set_timer(ms(30));
            Ok(())
        }
        fn timeout(&mut self, cx: &mut Context<'_>, _: TimerId) -> io::Result<()> {
            cx.send(b"done after all");
            cx.close();
            Ok(())
        }
    }
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Slow);
    let mut client = Client::connect(&addr);
    harness.until(|server| server.io().connection_count() == 1);
    harness.io_mut().shutdown(PATIENCE);
    assert_eq!(harness.receive_to_end(&mut client), b"done after all");
    drop(client);
    harness.until(|server| server.report().is_some());
    assert_eq!(harness.report().map(|report| (report.drained, report.forced)), Some((1, 0)));
}

kinds!(a_slow_reader_gets_everything_that_was_sent_within_the_grace);

fn a_slow_reader_gets_everything_that_was_sent_within_the_grace(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| {
        on_setup(|cx: &mut Context<'_>| {
            cx.send(&pattern(10 << 20, 1));
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    harness.until(|server| server.io().stats().pending_output() > 0);
    harness.io_mut().shutdown(PATIENCE);
    harness.until(|_| client.look_at_most(50_000));
    assert!(client.received == pattern(10 << 20, 1), "{kind:?}");
    drop(client);
    harness.until(|server| server.report().is_some());
    let report = harness.report().unwrap();
    assert_eq!((report.drained, report.forced, report.bytes_dropped), (1, 0, 0));
}

#[test]
fn what_a_stuck_reader_never_took_is_reported_as_dropped() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| {
        on_setup(|cx: &mut Context<'_>| {
            cx.send(&[b'x'; 15 << 20]);
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    harness.until(|server| server.io().stats().pending_output() > 0);
    let report = harness.shutdown(ms(30)).unwrap();
    let stats = *harness.io().stats();
    assert_eq!((report.drained, report.forced), (0, 1));
    assert_eq!(report.bytes_dropped, stats.bytes_sent - stats.bytes_out);
    assert!(report.bytes_dropped > 0);
    harness.until(|_| client.look());
    assert_eq!(client.end, Some(Err(io::ErrorKind::ConnectionReset)), "it looks complete");
}

#[test]
fn asked_for_twice_the_shorter_grace_holds() {
    for (first, second) in [(ms(60), PATIENCE), (PATIENCE, ms(60))] {
        let mut harness = Harness::new();
        let addr = harness.serve(Kind::Tcp, |_| Stubborn);
        let client = Client::connect(&addr);
        harness.until(|server| server.io().connection_count() == 1);
        let began = Instant::now();
        harness.io_mut().shutdown(first);
        harness.turn(Some(ms(1))).unwrap();
        harness.shutdown(second).unwrap();
        assert!(began.elapsed() < PATIENCE / 2);
        drop(client);
    }
}

#[test]
fn a_peer_that_never_stops_sending_does_not_hold_up_the_stop() {
    let mut harness =
        Harness::with_shared((), Options { read_buffer: 4_096, ..Options::default() });
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| {
        on_input(|_: &mut Context<'_>, input: &mut Input<'_>| {
            input.take_all();
            Ok(())
        })
    });
    let mut firehose = Client::connect(&addr);
    harness.until(|server| server.io().connection_count() == 1);
    harness.io_mut().shutdown(ms(300));
    let bytes = vec![0; 1 << 20];
    harness.until(|server| {
        firehose.push(&bytes);
        server.report().is_some()
    });
    assert_eq!(journal.count(|call| call == Call::Shutdown), 1);
    assert_eq!(harness.report().map(|report| report.forced), Some(0));
}

#[test]
fn a_paused_connection_is_told_of_the_shutdown_too() {
    let mut harness = Harness::new();
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| {
        on_setup(|cx: &mut Context<'_>| {
            cx.pause();
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    client.send(b"never shown");
    harness.until(|server| server.io().connection_count() == 1);
    harness.io_mut().shutdown(PATIENCE);
    harness.receive_to_end(&mut client);
    drop(client);
    harness.until_ended(1);
    assert_eq!(
        journal.calls(),
        [Call::Setup, Call::Shutdown, Call::Finish(CloseReason::Closed, None)]
    );
}

kinds!(who_has_said_half_a_message_is_told_of_the_shutdown_at_once);

fn who_has_said_half_a_message_is_told_of_the_shutdown_at_once(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| {
        on_input(|_: &mut Context<'_>, input: &mut Input<'_>| input.take_line(100).map(drop))
    });
    let mut client = Client::connect(&addr);
    client.send(b"a whole line\nand a half");
    harness.until(|server| server.io().stats().bytes_in == 23);
    let began = Instant::now();
    let report = harness.shutdown(PATIENCE).unwrap();
    assert!(began.elapsed() < PATIENCE / 2, "{kind:?}: {:?}", began.elapsed());
    assert_eq!((report.drained, report.forced), (1, 0), "{kind:?}");
}

#[test]
fn an_error_or_a_panic_in_shutdown_costs_that_conversation_only() {
    struct Fails(bool);
    impl Handler for Fails {
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn shutdown(&mut self, _: &mut Context<'_>) -> io::Result<()> {
            assert!(!self.0, "expected by this test");
            Err(io::ErrorKind::Other.into())
        }
    }
    let mut harness = Harness::new();
    let mut panics = false;
    let addr = harness.serve(Kind::Unix, move |_| {
        panics = !panics;
        Fails(panics)
    });
    let clients = Client::connect_many(&addr, 4);
    harness.until(|server| server.io().connection_count() == 4);
    let report = harness.shutdown(PATIENCE).unwrap();
    assert_eq!((report.drained, report.forced), (4, 0));
    assert_eq!(
        (harness.ended(CloseReason::Panicked), harness.ended(CloseReason::HandlerError)),
        (2, 2)
    );
    drop(clients);
}

#[test]
fn server_close_ends_the_listeners_and_spares_the_connections() {
    let mut harness = Harness::new();
    let tcp = harness.serve(Kind::Tcp, |_| Echo);
    let unix = harness.serve(Kind::Unix, |_| Echo);
    let mut client = Client::connect(&tcp);
    harness.echo(&mut client, b"before");
    harness.io_mut().server_close();
    harness.turn(Some(ms(1))).unwrap();
    assert!(std::net::TcpStream::connect(tcp.ip().unwrap()).is_err());
    assert!(!unix.path().unwrap().exists());
    harness.echo(&mut client, b"after");
}

#[test]
fn closing_one_listener_leaves_the_other() {
    let mut harness = Harness::new();
    let first = harness.serve_as(Kind::Tcp, |_| Echo);
    let other = harness.serve(Kind::Tcp, |_| Echo);
    let gone = harness.io().local_addr(first).unwrap();
    harness.io_mut().close(first);
    assert!(!harness.io().is_open(first));
    harness.turn(Some(ms(1))).unwrap();
    assert_eq!(harness.io().local_addr(first), None);
    assert!(std::net::TcpStream::connect(gone.ip().unwrap()).is_err());
    let mut client = Client::connect(&other);
    harness.echo(&mut client, b"hello");
}

kinds!(a_handler_that_gave_up_reading_is_told_of_the_shutdown_while_its_peer_is_slow);

fn a_handler_that_gave_up_reading_is_told_of_the_shutdown_while_its_peer_is_slow(kind: Kind) {
    let mut harness = Harness::new();
    let (journal, addr) = harness.serve_recorded(kind, move |_| Echo);
    let steps = harness.steps();
    let mut client = Client::connect(&addr);
    let bytes = vec![b'x'; 1 << 20];
    // Until the echo is congested, and nothing more is read.
    let mut sent = 0;
    loop {
        let n = client.push(&bytes);
        sent += n;
        harness.until_quiet(&steps);
        if n == 0 {
            break;
        }
    }
    let taken = harness.io().stats().bytes_in;
    harness.io_mut().shutdown(PATIENCE);
    let answered = harness.receive_to_end(&mut client);
    assert!(answered.len() as u64 >= taken, "taken and not answered");
    assert!(answered.len() <= sent);
    drop(client);
    harness.until(|server| server.report().is_some());
    assert_eq!(harness.report().map(|report| report.forced), Some(0));
    assert_eq!(journal.count(|call| call == Call::Shutdown), 1);
}

kinds!(a_connection_that_lingers_does_not_make_a_shutdown_spin);

fn a_connection_that_lingers_does_not_make_a_shutdown_spin(kind: Kind) {
    let options = Options { linger_timeout: ms(200), ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let journal = CallLog::default();
    let witness = journal.clone();
    let closes = |cx: &mut Context<'_>| {
        cx.close();
        Ok(())
    };
    let addr = harness.serve(kind, move |_| Recording::new(&witness, on_setup(closes)));
    // It never ends its direction.
    let client = Client::connect(&addr);
    harness.until(|server| server.io().stats().all_ended() == 1);
    assert_eq!(harness.io().connection_count(), 1, "it lingers");
    let steps = harness.steps();
    harness.shutdown(PATIENCE).unwrap();
    let turns = steps.count(|step| matches!(step, TraceEvent::Polled(_)));
    assert!(turns < 20, "{turns} turns, and nothing happened");
    assert_eq!(journal.count(|call| call == Call::Shutdown), 0, "it had finished before");
    drop(client);
}
