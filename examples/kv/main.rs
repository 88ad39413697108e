//! A key-value server that speaks RESP2 and RESP3, for Redis' clients, `redis-cli` and
//! `redis-benchmark`: `cargo run --release --example kv -- 127.0.0.1:6379`, then `redis-cli`.
//!
//! The technique: an incremental parser, and bounds with names. Commands are parsed where they lie
//! in the input, and everything that a client may ask for has a maximum. The replies of a turn are
//! sent in one write. While a client does not read them, its commands stay in the input, and the
//! library delivers them again when the output has drained. Large values are received, sent and
//! freed in pieces, so one of 512 MiB delays no other client. One timer, set to the next deadline,
//! expires keys.

#![allow(clippy::unnecessary_wraps, reason = "all commands have the same type")]

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use socketserver::{Io, Options, Server, SocketId, TimerId};

use channels::Channels;
use client::ClientHandler;
use clients::ClientTable;
use output_queue::OutputQueues;
use places::Places;
use replies::Replies;
use store::Store;

mod channels;
mod client;
mod client_command;
mod clients;
mod clock;
mod command;
mod connection;
mod entries;
mod expiry;
mod glob;
mod info;
mod inline_command;
mod introspection;
mod large;
mod large_command;
mod memory;
mod missing_keys;
mod number;
mod output_queue;
mod parser;
#[path = "../support/places.rs"]
mod places;
#[path = "../support/program.rs"]
mod program;
mod replies;
mod session;
#[path = "../support/signals.rs"]
mod signals;
mod slow_subscriber;
mod store;
mod strings;
mod subscriptions;
mod table;
mod transaction;
mod value;

const USAGE: &str = "usage: kv [ADDR [MEMORY_BYTES [BUSY_POLL_MICROSECONDS]]]

Listens on ADDR (default 127.0.0.1:6379), stores up to MEMORY_BYTES (default 1 GiB) of keys and
values, and polls for BUSY_POLL_MICROSECONDS (default 50) before it sleeps.

Which client is ended, and when:
  a subscriber for which more than 32 MiB wait, or more than 8 MiB for 60 s
  a client for whose replies more than 32 MiB wait: never, its commands wait until it has read them
  a client that says POST or Host: (a web page that attacks this server), at once, with a warning
  a client whose machine no longer answers, after 5 minutes without data
A silent client is not ended, as in Redis. One client more than 10,000, or than there are descriptors
for, is told so and closed.";

/// Most clients at once, if there are descriptors for them.
const MAX_CLIENTS: usize = 10_000;
/// Most bytes of all keys and values; a command that needs more gets an error and stores nothing.
const MAX_MEMORY: usize = 1 << 30;
/// Most keys removed in one turn, so that a million that expire together delay no client.
const EXPIRED_PER_TURN: usize = 1_000;
/// Most pieces of large values, or keys of a cleared table, freed in one turn.
const FREED_PER_TURN: usize = 64;
/// Most subscriptions of closed clients removed in one turn.
const UNSUBSCRIBED_PER_TURN: usize = 2_000;
/// Microseconds of busy polling before the loop sleeps. Without pipelining a client waits for a
/// wake-up with every request; polling costs about as much CPU as it saves, and answers sooner. An
/// idle server sleeps all the same.
const BUSY_POLL: u64 = 50;
/// Time that a shutdown gives to pending replies.
const GRACE: Duration = Duration::from_secs(10);
/// Minimum time between two warnings about HTTP.
const WARN_AGAIN: Duration = Duration::from_secs(60);
/// Longest duration of the timer.
const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);

/// The state shared by all clients.
struct KvState {
    store: Store,
    channels: Channels,
    clients: ClientTable,
    places: Places,
    /// Replies to the client being served.
    replies: Replies,
    output_queues: OutputQueues,
    port: u16,
    timer_owner: Option<SocketId>,
    armed: Option<(Instant, TimerId)>,
    /// Time of the last warning about HTTP.
    warned: Option<Instant>,
}

impl KvState {
    /// Sets the timer to the next deadline of a key, or to now while memory or subscriptions wait
    /// to be freed.
    fn arm_timer(&mut self, io: &mut Io) {
        let Some(clock) = self.timer_owner else { return };
        let after = match self.store.next_deadline() {
            _ if self.store.memory.has_deferred() || self.channels.has_pending_unsubscribes() => {
                Duration::ZERO
            }
            Some(at) => {
                let left = u64::try_from(at.saturating_sub(self.store.clock.at(io.now())));
                Duration::from_millis(left.unwrap_or(0)).min(LONGEST_SLEEP)
            }
            None => return,
        };
        let next = io.now() + after;
        match self.armed {
            Some((at, _)) if at <= next => return,
            Some((_, timer)) => drop(io.cancel_timer(timer)),
            None => {}
        }
        self.armed = Some((next, io.set_timer(clock, after)));
    }

    fn warn_of_http(&mut self, addr: &str, now: Instant) {
        let is_due = |last| now.saturating_duration_since(last) >= WARN_AGAIN;
        if self.warned.is_none_or(is_due) {
            self.warned = Some(now);
            // A closed standard error is no reason to stop.
            let _ = writeln!(
                io::stderr(),
                "kv: closed the connection from {addr}, which sent HTTP: perhaps a web page that \
                 attacks this server"
            );
        }
    }

    fn on_timer(&mut self, io: &mut Io) {
        self.store.turn(io.now());
        self.store.remove_expired(EXPIRED_PER_TURN);
        self.store.memory.free(FREED_PER_TURN);
        self.channels.unsubscribe_some(UNSUBSCRIBED_PER_TURN);
        self.armed = None;
        self.arm_timer(io);
    }
}

fn main() -> ExitCode {
    program::run(USAGE, 3, |words| {
        let addr = words.first().cloned().unwrap_or_else(|| "127.0.0.1:6379".into());
        let memory = number("MEMORY_BYTES", words.get(1), MAX_MEMORY)?;
        if memory == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "0 bytes of memory cannot hold a value",
            ));
        }
        let busy_poll = number("BUSY_POLL_MICROSECONDS", words.get(2), BUSY_POLL)?;
        serve(addr, memory, Duration::from_micros(busy_poll))
    })
}

fn number<T: FromStr>(name: &str, word: Option<&OsString>, default: T) -> io::Result<T> {
    let Some(word) = word else { return Ok(default) };
    word.to_str().and_then(|word| word.parse().ok()).ok_or_else(|| {
        let what = format!("{name}: invalid number {word:?}");
        io::Error::new(io::ErrorKind::InvalidInput, what)
    })
}

fn serve(addr: OsString, memory: usize, busy_poll: Duration) -> io::Result<()> {
    let places = Places::new(MAX_CLIENTS, 1);
    let options = Options {
        max_connections: places.max_connections(),
        busy_poll,
        input_limit: 2 * parser::MAX_COMMAND,
        output_limit: slow_subscriber::HARD_LIMIT,
        ..Options::default()
    };
    let shared = KvState {
        store: Store::new(memory, Instant::now()),
        channels: Channels::default(),
        clients: ClientTable::default(),
        places,
        replies: Replies::default(),
        output_queues: OutputQueues::default(),
        port: 0,
        timer_owner: None,
        armed: None,
        warned: None,
    };
    let mut server = Server::with_shared(shared, options)?;
    let clock = server.add_timer_handler(|cx| {
        cx.shared.on_timer(cx.io);
        Ok(())
    })?;
    server.shared_mut().timer_owner = Some(clock);
    let listener = server.listen(addr, |_peer| ClientHandler::default())?;
    signals::stop_on_signals(&mut server, GRACE)?;
    if let Some(addr) = server.io().local_addr(listener) {
        server.shared_mut().port = addr.port().unwrap_or_default();
        // A closed standard output is no reason to stop.
        let _ = writeln!(io::stdout(), "listening {addr}");
    }
    server.serve_forever()
}
