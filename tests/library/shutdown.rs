//! A stop answers what was taken, tells what it had to drop, and is over in time.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::io;
use std::time::{Duration, Instant};

use common::{Call, Client, Journal, Kind, Noted, PATIENCE, Tested, on_input, on_setup, pattern};
use socketserver::{CloseReason, Context, Echo, Handler, Input, Options, TimerId, TraceEvent};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn connections_that_owe_nothing_close_at_once() {
    for kind in Kind::ALL {
        let mut tested = Tested::new();
        let addr = tested.serve(kind, |_| Echo);
        let mut clients = Client::connect_many(&addr, 50);
        for client in &mut clients {
            tested.echo(client, b"hello");
        }
        // Nobody closes and nobody speaks, so only the server can end this.
        let began = Instant::now();
        let report = tested.shutdown(PATIENCE).unwrap();
        assert!(began.elapsed() < ms(1_000), "{:?}", began.elapsed());
        assert_eq!((report.drained, report.forced, report.bytes_dropped), (50, 0, 0));
        assert_eq!(tested.io().connection_count(), 0);
        for client in &mut clients {
            while !client.look() {}
            assert_eq!(client.end, Some(Ok(())));
        }
    }
}

#[test]
fn every_byte_that_had_come_is_answered() {
    for kind in Kind::ALL {
        let mut tested = Tested::new();
        let addr = tested.serve(kind, |_| Echo);
        let mut clients = Client::connect_many(&addr, 100);
        tested.until(|server| server.io().connection_count() == 100);
        for (n, client) in clients.iter_mut().enumerate() {
            client.send(&pattern(1 + 400 * n, n as u64));
        }
        tested.io_mut().shutdown(PATIENCE);
        for (n, client) in clients.iter_mut().enumerate() {
            assert!(tested.receive_to_end(client) == pattern(1 + 400 * n, n as u64), "{n}");
        }
        drop(clients);
        tested.until_ended(100);
        let report = tested.report().unwrap();
        assert_eq!((report.drained, report.forced, report.bytes_dropped), (100, 0, 0));
    }
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

#[test]
fn what_was_taken_while_the_output_was_congested_is_answered_too() {
    for kind in Kind::ALL {
        let mut tested =
            Tested::with_shared((), Options { send_buffer: Some(16 << 10), ..Options::default() });
        let addr = tested.serve(kind, |_| Stately);
        let mut client = Client::connect(&addr);
        client.send(b"a\nb\nc\nd\ne\n");
        tested.until(|server| server.io().stats().bytes_in == 10);
        tested.io_mut().shutdown(PATIENCE);
        for _ in 0..5 {
            tested.turn(Some(Duration::ZERO)).unwrap();
        }
        let got = tested.receive_to_end(&mut client);
        let expected: Vec<u8> = b"abcde".iter().flat_map(|&byte| vec![byte; ANSWER]).collect();
        assert_eq!(got.len(), expected.len());
        assert!(got == expected);
        drop(client);
        tested.until_ended(1);
        let report = tested.report().unwrap();
        assert_eq!((report.drained, report.forced), (1, 0));
    }
}

#[test]
fn from_the_request_on_nobody_is_accepted() {
    let mut tested = Tested::new();
    let addr = tested.serve(Kind::Tcp, |_| Echo);
    let mut slow = Client::connect(&addr);
    tested.echo(&mut slow, b"hello");
    let mut late = Client::connect(&addr);
    tested.io_mut().shutdown(PATIENCE);
    assert!(tested.io().is_shutting_down());
    while tested.report().is_none() {
        tested.turn(Some(ms(5))).unwrap();
    }
    assert_eq!(tested.io().stats().accepted, 1);
    // The next turn serves again, and the listener was never closed.
    tested.echo(&mut late, b"after all");
}

/// Does not close when told to shut down.
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

#[test]
fn who_does_not_close_is_served_until_the_grace_is_over_and_then_cut_off() {
    let mut tested = Tested::new();
    let journal = Journal::default();
    let witness = journal.clone();
    let addr = tested.serve(Kind::Tcp, move |_| Noted::new(&witness, Stubborn));
    let mut client = Client::connect(&addr);
    tested.echo(&mut client, b"before");
    let began = Instant::now();
    tested.io_mut().shutdown(ms(200));
    tested.echo(&mut client, b"during");
    tested.until(|server| server.report().is_some());
    assert!((ms(200)..ms(400)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(tested.report().map(|report| (report.drained, report.forced)), Some((0, 1)));
    assert_eq!(tested.ended(CloseReason::ShutdownTimeout), 1);
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
    let mut tested = Tested::new();
    let addr = tested.serve(Kind::Tcp, |_| Slow);
    let mut client = Client::connect(&addr);
    tested.until(|server| server.io().connection_count() == 1);
    tested.io_mut().shutdown(PATIENCE);
    assert_eq!(tested.receive_to_end(&mut client), b"done after all");
    drop(client);
    tested.until(|server| server.report().is_some());
    assert_eq!(tested.report().map(|report| (report.drained, report.forced)), Some((1, 0)));
}

#[test]
fn a_slow_reader_gets_everything_that_was_sent_within_the_grace() {
    for kind in Kind::ALL {
        let mut tested = Tested::new();
        let addr = tested.serve(kind, |_| {
            on_setup(|cx: &mut Context<'_>| {
                cx.send(&pattern(10 << 20, 1));
                Ok(())
            })
        });
        let mut client = Client::connect(&addr);
        tested.until(|server| server.io().stats().pending_output() > 0);
        tested.io_mut().shutdown(PATIENCE);
        tested.until(|_| client.look_at_most(50_000));
        assert!(client.received == pattern(10 << 20, 1), "{kind:?}");
        drop(client);
        tested.until(|server| server.report().is_some());
        let report = tested.report().unwrap();
        assert_eq!((report.drained, report.forced, report.bytes_dropped), (1, 0, 0));
    }
}

#[test]
fn what_a_stuck_reader_never_took_is_reported_as_dropped() {
    let mut tested = Tested::new();
    let addr = tested.serve(Kind::Tcp, |_| {
        on_setup(|cx: &mut Context<'_>| {
            cx.send(&[b'x'; 15 << 20]);
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    tested.until(|server| server.io().stats().pending_output() > 0);
    let report = tested.shutdown(ms(30)).unwrap();
    let stats = *tested.io().stats();
    assert_eq!((report.drained, report.forced), (0, 1));
    assert_eq!(report.bytes_dropped, stats.bytes_sent - stats.bytes_out);
    assert!(report.bytes_dropped > 0);
    tested.until(|_| client.look());
    assert_eq!(client.end, Some(Err(io::ErrorKind::ConnectionReset)), "it looks complete");
}

#[test]
fn asked_for_twice_the_shorter_grace_holds() {
    for (first, second) in [(ms(60), PATIENCE), (PATIENCE, ms(60))] {
        let mut tested = Tested::new();
        let addr = tested.serve(Kind::Tcp, |_| Stubborn);
        let client = Client::connect(&addr);
        tested.until(|server| server.io().connection_count() == 1);
        let began = Instant::now();
        tested.io_mut().shutdown(first);
        tested.turn(Some(ms(1))).unwrap();
        tested.shutdown(second).unwrap();
        assert!(began.elapsed() < PATIENCE / 2);
        drop(client);
    }
}

#[test]
fn a_peer_that_never_stops_sending_does_not_hold_up_the_stop() {
    let mut tested = Tested::with_shared((), Options { read_buffer: 4_096, ..Options::default() });
    let journal = Journal::default();
    let witness = journal.clone();
    let addr = tested.serve(Kind::Tcp, move |_| {
        let discard = on_input(|_: &mut Context<'_>, input: &mut Input<'_>| {
            input.take_all();
            Ok(())
        });
        Noted::new(&witness, discard)
    });
    let mut firehose = Client::connect(&addr);
    tested.until(|server| server.io().connection_count() == 1);
    tested.io_mut().shutdown(ms(300));
    let bytes = vec![0; 1 << 20];
    tested.until(|server| {
        firehose.push(&bytes);
        server.report().is_some()
    });
    assert_eq!(journal.count(|call| call == Call::Shutdown), 1);
    assert_eq!(tested.report().map(|report| report.forced), Some(0));
}

#[test]
fn a_paused_connection_is_told_of_the_shutdown_too() {
    let mut tested = Tested::new();
    let journal = Journal::default();
    let witness = journal.clone();
    let addr = tested.serve(Kind::Tcp, move |_| {
        let pauses = on_setup(|cx: &mut Context<'_>| {
            cx.pause();
            Ok(())
        });
        Noted::new(&witness, pauses)
    });
    let mut client = Client::connect(&addr);
    client.send(b"never shown");
    tested.until(|server| server.io().connection_count() == 1);
    tested.io_mut().shutdown(PATIENCE);
    tested.receive_to_end(&mut client);
    drop(client);
    tested.until_ended(1);
    assert_eq!(
        journal.calls(),
        [Call::Setup, Call::Shutdown, Call::Finish(CloseReason::Closed, None)]
    );
}

#[test]
fn who_has_said_half_a_message_is_told_of_the_shutdown_at_once() {
    for kind in Kind::ALL {
        let mut tested = Tested::new();
        let addr = tested.serve(kind, |_| {
            on_input(|_: &mut Context<'_>, input: &mut Input<'_>| input.take_line(100).map(drop))
        });
        let mut client = Client::connect(&addr);
        client.send(b"a whole line\nand a half");
        tested.until(|server| server.io().stats().bytes_in == 23);
        let began = Instant::now();
        let report = tested.shutdown(PATIENCE).unwrap();
        assert!(began.elapsed() < PATIENCE / 2, "{kind:?}: {:?}", began.elapsed());
        assert_eq!((report.drained, report.forced), (1, 0), "{kind:?}");
    }
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
    let mut tested = Tested::new();
    let mut panics = false;
    let addr = tested.serve(Kind::Unix, move |_| {
        panics = !panics;
        Fails(panics)
    });
    let clients = Client::connect_many(&addr, 4);
    tested.until(|server| server.io().connection_count() == 4);
    let report = tested.shutdown(PATIENCE).unwrap();
    assert_eq!((report.drained, report.forced), (4, 0));
    assert_eq!(
        (tested.ended(CloseReason::Panicked), tested.ended(CloseReason::HandlerError)),
        (2, 2)
    );
    drop(clients);
}

#[test]
fn server_close_ends_the_listeners_and_spares_the_connections() {
    let mut tested = Tested::new();
    let tcp = tested.serve(Kind::Tcp, |_| Echo);
    let unix = tested.serve(Kind::Unix, |_| Echo);
    let mut client = Client::connect(&tcp);
    tested.echo(&mut client, b"before");
    tested.io_mut().server_close();
    tested.turn(Some(ms(1))).unwrap();
    assert!(std::net::TcpStream::connect(tcp.ip().unwrap()).is_err());
    assert!(!unix.path().unwrap().exists());
    tested.echo(&mut client, b"after");
}

#[test]
fn closing_one_listener_leaves_the_other() {
    let mut tested = Tested::new();
    let first = tested.serve_as(Kind::Tcp, |_| Echo);
    let other = tested.serve(Kind::Tcp, |_| Echo);
    let gone = tested.io().local_addr(first).unwrap();
    tested.io_mut().close(first);
    assert!(!tested.io().is_open(first));
    tested.turn(Some(ms(1))).unwrap();
    assert_eq!(tested.io().local_addr(first), None);
    assert!(std::net::TcpStream::connect(gone.ip().unwrap()).is_err());
    let mut client = Client::connect(&other);
    tested.echo(&mut client, b"hello");
}

#[test]
fn a_handler_that_gave_up_reading_is_told_of_the_shutdown_while_its_peer_is_slow() {
    for kind in Kind::ALL {
        let mut tested = Tested::new();
        let journal = Journal::default();
        let witness = journal.clone();
        let addr = tested.serve(kind, move |_| Noted::new(&witness, Echo));
        let steps = tested.steps();
        let mut client = Client::connect(&addr);
        let bytes = vec![b'x'; 1 << 20];
        // Until the echo is congested, and nothing more is read.
        let mut sent = 0;
        loop {
            let n = client.push(&bytes);
            sent += n;
            tested.until_quiet(&steps);
            if n == 0 {
                break;
            }
        }
        let taken = tested.io().stats().bytes_in;
        tested.io_mut().shutdown(PATIENCE);
        let answered = tested.receive_to_end(&mut client);
        assert!(answered.len() as u64 >= taken, "taken and not answered");
        assert!(answered.len() <= sent);
        drop(client);
        tested.until(|server| server.report().is_some());
        assert_eq!(tested.report().map(|report| report.forced), Some(0));
        assert_eq!(journal.count(|call| call == Call::Shutdown), 1);
    }
}

#[test]
fn a_connection_that_lingers_does_not_make_a_shutdown_spin() {
    for kind in Kind::ALL {
        let options = Options { linger_timeout: ms(200), ..Options::default() };
        let mut tested = Tested::with_shared((), options);
        let journal = Journal::default();
        let witness = journal.clone();
        let closes = |cx: &mut Context<'_>| {
            cx.close();
            Ok(())
        };
        let addr = tested.serve(kind, move |_| Noted::new(&witness, on_setup(closes)));
        // It never ends its direction.
        let client = Client::connect(&addr);
        tested.until(|server| server.io().stats().all_ended() == 1);
        assert_eq!(tested.io().connection_count(), 1, "it lingers");
        let steps = tested.steps();
        tested.shutdown(PATIENCE).unwrap();
        let turns = steps.count(|step| matches!(step, TraceEvent::Polled(_)));
        assert!(turns < 20, "{turns} turns, and nothing happened");
        assert_eq!(journal.count(|call| call == Call::Shutdown), 0, "it had finished before");
        drop(client);
    }
}
