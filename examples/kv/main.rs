//! A key-value server that speaks RESP2, so `redis-cli` and `redis-benchmark` work with it:
//! `cargo run --release --example kv -- 127.0.0.1:6379`, then `redis-cli`.
//!
//! The technique: commands are parsed where they lie, with a parser that goes on where it stopped,
//! and everything a client may demand has a maximum with a name. All replies of a turn leave in one
//! write; a client that does not take them is not served until it does, and the library shows the
//! rest of its commands again then. Keys expire by one timer of the loop, set to the next deadline.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use socketserver::{Io, Options, Server, SocketId, TimerId};

use channels::Channels;
use client::Client;
use resp::Replies;
use store::Store;

mod channels;
mod client;
mod commands;
mod resp;
#[path = "../support/signals.rs"]
mod signals;
mod store;

/// Bytes of all keys and values; above that there is an error and nothing is stored.
const MAX_MEMORY: usize = 1 << 30;
/// Keys removed at once; a million that expire together hold up nobody.
const EXPIRED_PER_TURN: usize = 1_000;
/// Microseconds for which a server that was busy looks for more before it sleeps. Without a pipeline
/// a client pays for waking it, with every request; looking a little longer costs about as much as
/// was saved, and answers sooner. An idle server sleeps all the same.
const SPIN: u64 = 50;
/// How long a stop may take.
const GRACE: Duration = Duration::from_secs(10);

/// What all clients share.
struct Shared {
    store: Store,
    channels: Channels,
    /// The replies to whoever is served right now.
    replies: Replies,
    clock: Option<SocketId>,
    alarm: Option<(Instant, TimerId)>,
}

impl Shared {
    fn wake_at_next_deadline(&mut self, io: &mut Io) {
        let next = self.store.next_deadline();
        let (Some(next), Some(clock)) = (next, self.clock) else { return };
        match self.alarm {
            Some((at, _)) if at <= next => return,
            Some((_, timer)) => drop(io.cancel_timer(timer)),
            None => {}
        }
        let timer = io.set_timer(clock, next.saturating_duration_since(io.now()));
        self.alarm = Some((next, timer));
    }
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:6379".into());
    let memory = args.next().map_or(Ok(MAX_MEMORY), |bytes| bytes.parse());
    let spin = args.next().map_or(Ok(SPIN), |microseconds| microseconds.parse());
    let (Ok(memory), Ok(spin), None) = (memory, spin, args.next()) else {
        eprintln!("usage: kv [ADDR [BYTES OF MEMORY [MICROSECONDS TO SPIN]]]");
        return ExitCode::from(2);
    };
    match serve(&addr, memory, Duration::from_micros(spin)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kv: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(addr: &str, memory: usize, spin: Duration) -> io::Result<()> {
    let options = Options {
        max_connections: 10_000,
        spin,
        input_limit: 2 * resp::MAX_COMMAND,
        output_limit: 2 * commands::MAX_REPLY,
        ..Options::default()
    };
    let shared = Shared {
        store: Store::new(memory, Instant::now()),
        channels: Channels::default(),
        replies: Replies::default(),
        clock: None,
        alarm: None,
    };
    let mut server = Server::with(shared, options)?;
    let clock = server.alarm(|cx| {
        cx.shared.store.now = cx.io.now();
        cx.shared.store.remove_expired(EXPIRED_PER_TURN);
        cx.shared.alarm = None;
        cx.shared.wake_at_next_deadline(cx.io);
        Ok(())
    })?;
    server.shared().clock = Some(clock);
    let listener = server.listen(addr, |_peer| Client::default())?;
    signals::stop_on_signals(&mut server, GRACE)?;
    if let Some(addr) = server.io().local_addr(listener) {
        println!("listening {addr}");
    }
    server.serve_forever()
}
