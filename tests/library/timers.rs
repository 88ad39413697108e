//! Timers come up in order, once, in time, and not without their owner; idle peers go.

use std::io;
use std::time::{Duration, Instant};

use socketserver::{CloseReason, Context, Echo, Handler, Input, Options, TimerId, TraceEvent};

use crate::support::{Call, Client, Harness, Kind, ms, on_input, on_setup};

/// Sets timers with these delays at the start, and notes which came up when.
struct Alarms {
    delays: Vec<Duration>,
    timers: Vec<TimerId>,
    set_at: Option<Instant>,
}

type CameUp = Vec<(usize, Duration)>;

impl Alarms {
    fn new(delays: &[u64]) -> Alarms {
        let delays = delays.iter().map(|&delay| ms(delay)).collect();
        Alarms { delays, timers: Vec::new(), set_at: None }
    }
}

impl Handler<CameUp> for Alarms {
    fn setup(&mut self, cx: &mut Context<'_, CameUp>) -> io::Result<()> {
        self.set_at = Some(cx.io.now());
        self.timers = self.delays.iter().map(|&delay| cx.io.set_timer(cx.id, delay)).collect();
        Ok(())
    }

    fn handle(&mut self, _: &mut Context<'_, CameUp>, _: &mut Input<'_>) -> io::Result<()> {
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Context<'_, CameUp>, timer: TimerId) -> io::Result<()> {
        let which = self.timers.iter().position(|&one| one == timer).unwrap();
        cx.shared.push((which, cx.io.now() - self.set_at.unwrap()));
        Ok(())
    }
}

#[test]
fn timers_come_up_in_the_order_of_their_times_and_never_early() {
    let delays = [40, 0, 20, 60, 20, 5];
    let mut harness = Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, move |_| Alarms::new(&delays));
    let client = Client::connect(&addr);
    harness.until(|server| server.shared_mut().len() == delays.len());
    let came_up = harness.shared_mut().clone();
    let order: Vec<usize> = came_up.iter().map(|(which, _)| *which).collect();
    assert!([[1, 5, 2, 4, 0, 3], [1, 5, 4, 2, 0, 3]].contains(&order[..].try_into().unwrap()));
    assert!(came_up.iter().all(|(which, after)| *after >= ms(delays[*which])), "{came_up:?}");
    drop(client);
}

#[test]
fn a_sleeping_server_wakes_for_its_timer_by_itself() {
    let mut harness = Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, move |_| Alarms::new(&[30]));
    let client = Client::connect(&addr);
    harness.until(|server| server.io().connection_count() == 1);
    while harness.shared().is_empty() {
        harness.turn(None).unwrap();
    }
    drop(client);
}

#[test]
fn a_timer_without_delay_comes_up_in_the_next_turn_and_the_loop_sleeps_then() {
    let mut harness = Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, move |_| Alarms::new(&[0]));
    let steps = harness.steps();
    let client = Client::connect(&addr);
    harness.until(|_| steps.count(|step| matches!(step, TraceEvent::Accepted(..))) == 1);
    assert!(harness.shared().is_empty());
    harness.turn(None).unwrap();
    assert_eq!(harness.shared().len(), 1);
    steps.clear();
    harness.turn(Some(ms(20))).unwrap();
    assert_eq!(steps.all(), [TraceEvent::Polled(0)]);
    drop(client);
}

#[test]
fn a_timer_that_sets_itself_again_without_delay_comes_up_once_a_turn() {
    struct Again;
    impl Handler<u32> for Again {
        fn setup(&mut self, cx: &mut Context<'_, u32>) -> io::Result<()> {
            cx.set_timer(Duration::ZERO);
            Ok(())
        }
        fn handle(&mut self, _: &mut Context<'_, u32>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn timeout(&mut self, cx: &mut Context<'_, u32>, _: TimerId) -> io::Result<()> {
            *cx.shared += 1;
            cx.set_timer(Duration::ZERO);
            Ok(())
        }
    }
    let mut harness = Harness::with_shared(0, Options::default());
    let addr = harness.serve(Kind::Tcp, |_| Again);
    let client = Client::connect(&addr);
    harness.until(|server| *server.shared_mut() == 1);
    for turn in 2..50 {
        harness.turn(None).unwrap();
        assert_eq!(*harness.shared(), turn);
    }
    drop(client);
}

#[test]
fn a_cancelled_timer_never_comes_up() {
    let mut harness = Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, |_| {
        on_setup(|cx: &mut Context<'_, Vec<()>>| {
            let timer = cx.set_timer(ms(5));
            assert!(cx.io.cancel_timer(timer));
            assert!(!cx.io.cancel_timer(timer));
            cx.set_timer(ms(20));
            Ok(())
        })
    });
    let steps = harness.steps();
    let client = Client::connect(&addr);
    harness.until(|server| server.io().stats().ended(CloseReason::HandlerError) == 1);
    assert_eq!(steps.count(|step| matches!(step, TraceEvent::TimerFired(..))), 1);
    drop(client);
}

#[test]
fn a_timer_that_came_up_cannot_be_cancelled_any_more() {
    struct Late;
    impl Handler<Vec<bool>> for Late {
        fn setup(&mut self, cx: &mut Context<'_, Vec<bool>>) -> io::Result<()> {
            cx.set_timer(Duration::ZERO);
            Ok(())
        }
        fn handle(&mut self, _: &mut Context<'_, Vec<bool>>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn timeout(&mut self, cx: &mut Context<'_, Vec<bool>>, timer: TimerId) -> io::Result<()> {
            let cancelled = cx.io.cancel_timer(timer);
            cx.shared.push(cancelled);
            Ok(())
        }
    }
    let mut harness = Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, |_| Late);
    let client = Client::connect(&addr);
    harness.until(|server| !server.shared_mut().is_empty());
    assert_eq!(*harness.shared(), [false]);
    drop(client);
}

#[test]
fn timers_go_with_their_owner() {
    let mut harness = Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, |_| Alarms::new(&[20, 30, 40]));
    let steps = harness.steps();
    let clients = Client::connect_many(&addr, 100);
    harness.until(|server| server.io().connection_count() == 100);
    drop(clients);
    harness.until_ended(100);
    let since = harness.io_mut().now();
    harness.until(|server| server.io_mut().now() - since > ms(60));
    assert_eq!(steps.count(|step| matches!(step, TraceEvent::TimerFired(..))), 0);
    assert_eq!(harness.shared().len(), 0);
}

#[test]
fn a_million_timers_set_and_forgotten_cost_no_turn() {
    let mut harness = Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, |_| {
        on_setup(|cx: &mut Context<'_, Vec<()>>| {
            for _ in 0..100_000 {
                let timer = cx.set_timer(ms(1));
                cx.io.cancel_timer(timer);
            }
            Ok(())
        })
    });
    let clients = Client::connect_many(&addr, 10);
    harness.until(|server| server.io().connection_count() == 10);
    let steps = harness.steps();
    harness.until_quiet(&steps);
    // What is left of them may wake the loop a few times, not a million times.
    assert!(steps.turns().len() < 300);
    drop(clients);
}

// Idle timeouts.

/// How long it took from `since` until the only conversation ended as idle.
fn idle_after(harness: &mut Harness, since: Instant) -> Duration {
    harness.until(|server| server.io().stats().ended(CloseReason::IdleTimeout) == 1);
    since.elapsed()
}

fn idle_in(timeout: u64) -> Options {
    Options { idle_timeout: Some(ms(timeout)), ..Options::default() }
}

kinds!(silence_ends_after_the_idle_timeout_to_within_50_ms);

fn silence_ends_after_the_idle_timeout_to_within_50_ms(kind: Kind) {
    let mut harness = Harness::with_shared((), idle_in(200));
    let addr = harness.serve(kind, |_| Echo);
    let mut client = Client::connect(&addr);
    harness.echo(&mut client, b"last");
    let idle = idle_after(&mut harness, Instant::now());
    assert!((ms(180)..ms(250)).contains(&idle), "{idle:?} on {kind:?}");
    harness.until(|_| client.look());
}

#[test]
fn a_client_that_never_speaks_ends_as_idle_while_the_loop_sleeps() {
    let mut harness = Harness::with_shared((), idle_in(50));
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let client = Client::connect(&addr);
    harness.until(|server| server.io().connection_count() == 1);
    while harness.ended(CloseReason::IdleTimeout) == 0 {
        harness.turn(None).unwrap();
    }
    drop(client);
}

#[test]
fn who_sends_now_and_then_is_spared() {
    let mut harness = Harness::with_shared((), idle_in(150));
    // Takes and never answers: only the incoming direction is active.
    let addr = harness.serve(Kind::Tcp, |_| {
        on_input(|_: &mut Context<'_>, input: &mut Input<'_>| {
            input.take_all();
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    let began = Instant::now();
    let mut next = began;
    harness.until(|_| {
        if Instant::now() >= next {
            client.send(b"drip");
            next += ms(30);
        }
        began.elapsed() > ms(450)
    });
    assert_eq!(harness.ended(CloseReason::IdleTimeout), 0);
    let idle = idle_after(&mut harness, Instant::now());
    assert!(idle > ms(100), "{idle:?}");
}

#[test]
fn who_is_sent_to_now_and_then_is_spared() {
    struct Clock;
    impl Handler for Clock {
        fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            cx.set_timer(ms(30));
            Ok(())
        }
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn timeout(&mut self, cx: &mut Context<'_>, _: TimerId) -> io::Result<()> {
            cx.send(b"tick");
            cx.set_timer(ms(30));
            Ok(())
        }
    }
    let mut harness = Harness::with_shared((), idle_in(150));
    let addr = harness.serve(Kind::Tcp, |_| Clock);
    let mut client = Client::connect(&addr);
    harness.until(|_| {
        client.look();
        client.received.len() >= 4 * 15
    });
    assert_eq!(harness.ended(CloseReason::IdleTimeout), 0);
}

#[test]
fn of_many_idle_clients_exactly_those_who_were_silent_end() {
    let mut harness = Harness::with_shared((), idle_in(300));
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| Echo);
    let mut clients = Client::connect_many(&addr, 100);
    let began = Instant::now();
    let mut next = began;
    harness.until(|server| {
        if Instant::now() >= next {
            for client in clients.iter_mut().step_by(2) {
                client.send(b"drip");
            }
            next += ms(50);
        }
        server.io().stats().ended(CloseReason::IdleTimeout) == 50 && began.elapsed() > ms(500)
    });
    for (n, client) in clients.iter_mut().enumerate() {
        client.look();
        assert_eq!(client.end.is_some(), n % 2 == 1);
    }
    assert_eq!(harness.io().stats().all_ended(), 50);
    assert_eq!(journal.count(|call| matches!(call, Call::Finish(..))), 50);
}

#[test]
fn a_peer_that_stops_reading_ends_as_idle() {
    let mut harness = Harness::with_shared((), idle_in(100));
    let addr = harness.serve(Kind::Tcp, |_| {
        on_setup(|cx: &mut Context<'_>| {
            cx.send(&vec![b'x'; 15 << 20]);
            Ok(())
        })
    });
    let client = Client::connect(&addr);
    harness.until_ended(1);
    assert_eq!(harness.ended(CloseReason::IdleTimeout), 1);
    assert!(harness.io().stats().bytes_dropped > 0);
    drop(client);
}

#[test]
fn the_longest_times_are_as_good_as_for_ever() {
    let options = Options {
        idle_timeout: Some(Duration::MAX),
        close_timeout: Duration::MAX,
        linger_timeout: Duration::MAX,
        connect_timeout: Duration::MAX,
        ..Options::default()
    };
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(Kind::Tcp, |_| {
        on_input(|cx: &mut Context<'_>, input: &mut Input<'_>| {
            cx.send(input.take_all());
            let timer = cx.set_timer(Duration::MAX);
            assert!(cx.io.cancel_timer(timer));
            cx.set_timer(Duration::MAX);
            Ok(())
        })
    });
    harness.connect(addr.clone(), Echo).unwrap();
    let mut client = Client::connect(&addr);
    client.send(b"hello");
    while harness.io().stats().bytes_out == 0 {
        harness.turn(Some(Duration::MAX)).unwrap();
    }
    assert_eq!(harness.receive(&mut client, 5), b"hello");
    let steps = harness.steps();
    harness.until_quiet(&steps);
    harness.io_mut().shutdown(Duration::MAX);
    client.finish_sending();
    assert_eq!(harness.receive_to_end(&mut client), []);
    drop(client);
    harness.until(|server| server.report().is_some());
    assert_eq!(harness.report().map(|report| report.forced), Some(0));
}
