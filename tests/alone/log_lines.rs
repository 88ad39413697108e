//! The log: a thousand panics a second are one line a second for each kind of code.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use socketserver::blocking::{Request, Workers};
use socketserver::{Addr, Context, Io, Options, Server};

use crate::alone;
use crate::support::{Client, DatagramClient, DatagramKind, Harness, Kind, on_input};

static LINES: AtomicU64 = AtomicU64::new(0);

/// Counts the lines that an operator gets.
struct Counting;

impl log::Log for Counting {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LINES.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

/// A panic that the hook of the process does not print.
fn panics<T>() -> T {
    resume_unwind(Box::new("expected by this test"))
}

/// Callbacks, factories, `verify_request`, timers, calls; and the sockets that warn for themselves.
const KINDS: u64 = 12;

const PANICS: usize = 300;

fn refused(harness: &mut Harness, addr: &Addr) {
    let mut clients = Client::connect_many(addr, PANICS / 3);
    for client in &mut clients {
        client.push(b"hello");
        harness.until(|_| client.look());
    }
}

#[test]
fn a_thousand_panics_are_a_few_lines() {
    let _alone = alone();
    log::set_logger(&Counting).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let began = Instant::now();
    let mut harness = Harness::with_shared((), Options::default());
    let callback = harness.serve(Kind::Tcp, |_| on_input(|_: &mut Context<'_>, _| panics()));
    refused(&mut harness, &callback);
    let factory = harness.serve(Kind::Tcp, |_| panics::<socketserver::Echo>());
    refused(&mut harness, &factory);
    let handler = |_: &mut Request<'_>| panics();
    let blocking = harness.serve_blocking(Kind::Tcp, &Workers::threads(4), move |_| handler);
    refused(&mut harness, &blocking);
    let panicking = |_: &mut Context<'_>, _: &[u8], _: &Addr| panics();
    let (_, datagrams) = harness.serve_datagrams(DatagramKind::V4, panicking);
    let client = DatagramClient::new(&datagrams);
    for nth in 1..=PANICS as u64 {
        client.send(b"hello");
        harness.until(|server| server.io().stats().packets_failed == nth);
    }
    for _ in 0..PANICS {
        let timer = harness.add_timer_handler(|_| panics()).unwrap();
        harness.io_mut().set_timer(timer, Duration::ZERO);
        harness.handle().post(|(), _: &mut Io| panics()).unwrap();
        harness.until(|server: &mut Server| !server.io().is_open(timer));
    }
    harness.set_verify_request(|(), _| panics());
    refused(&mut harness, &callback);
    let seconds = began.elapsed().as_secs() + 1;
    let lines = LINES.load(Ordering::Relaxed);
    assert!((5..=KINDS * seconds).contains(&lines), "{lines} lines in {seconds} s");
}
