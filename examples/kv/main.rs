//! A key-value server that speaks RESP2 and RESP3, so Redis' clients, `redis-cli` and
//! `redis-benchmark` work with it: `cargo run --release --example kv -- 127.0.0.1:6379`, then
//! `redis-cli`.
//!
//! The technique: commands are parsed where they lie, with a parser that goes on where it stopped,
//! and everything a client may demand has a maximum with a name. All replies of a turn leave in one
//! write; a client that does not take them is not served until it does, and the library shows the
//! rest of its commands again then. Large values come in, leave and are freed in pieces, so one of
//! half a gigabyte holds up nobody. Keys expire by one timer of the loop, set to the next deadline.

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
#[path = "../support/program.rs"]
mod program;
mod replies;
mod session;
#[path = "../support/signals.rs"]
mod signals;
mod store;
mod strings;
mod subscriptions;
mod table;
mod transaction;
mod value;

const USAGE: &str = "usage: kv [ADDR [BYTES OF MEMORY [MICROSECONDS TO BUSY_POLL]]]

Listens on 127.0.0.1:6379 unless told otherwise, keeps up to 1 GiB, and looks for more for 50
microseconds before it sleeps.";

/// Clients at once.
const MAX_CLIENTS: usize = 10_000;
/// Bytes of all keys and values; above that there is an error and nothing is stored.
const MAX_MEMORY: usize = 1 << 30;
/// Keys removed at once; a million that expire together hold up nobody.
const EXPIRED_PER_TURN: usize = 1_000;
/// Pieces of large values, or keys of a table that was emptied, freed at once.
const FREED_PER_TURN: usize = 64;
/// Channels that clients who are gone leave at once.
const UNSUBSCRIBED_PER_TURN: usize = 2_000;
/// Microseconds for which a server that was busy looks for more before it sleeps. Without a pipeline
/// a client pays for waking it, with every request; looking a little longer costs about as much as
/// was saved, and answers sooner. An idle server sleeps all the same.
const BUSY_POLL: u64 = 50;
/// How long a stop may take.
const GRACE: Duration = Duration::from_secs(10);
/// Of warnings about the same there is one in this time.
const WARN_AGAIN: Duration = Duration::from_secs(60);
/// The timer is not set further ahead than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);

/// What all clients share.
struct KvState {
    store: Store,
    channels: Channels,
    clients: ClientTable,
    /// The replies to whoever is served right now.
    replies: Replies,
    output_queues: OutputQueues,
    port: u16,
    timer_owner: Option<SocketId>,
    armed: Option<(Instant, TimerId)>,
    /// When the last warning was written.
    warned: Option<Instant>,
}

impl KvState {
    /// Sets the timer to the next deadline of a key, or to now while something is to be freed.
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
            // Who closed our standard error can do without the line.
            let _ = writeln!(
                io::stderr(),
                "kv: {addr} speaks HTTP, perhaps a web page that was made to attack this server; \
                 its connection was ended"
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
        let memory = number("BYTES OF MEMORY", words.get(1), MAX_MEMORY)?;
        if memory == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "0 bytes hold nothing"));
        }
        let busy_poll = number("MICROSECONDS TO BUSY_POLL", words.get(2), BUSY_POLL)?;
        serve(addr, memory, Duration::from_micros(busy_poll))
    })
}

fn number<T: FromStr>(name: &str, word: Option<&OsString>, default: T) -> io::Result<T> {
    let Some(word) = word else { return Ok(default) };
    word.to_str().and_then(|word| word.parse().ok()).ok_or_else(|| {
        let what = format!("{word:?} is no number, as {name} is");
        io::Error::new(io::ErrorKind::InvalidInput, what)
    })
}

fn serve(addr: OsString, memory: usize, busy_poll: Duration) -> io::Result<()> {
    let options = Options {
        max_connections: MAX_CLIENTS,
        busy_poll,
        input_limit: 2 * parser::MAX_COMMAND,
        output_limit: output_queue::MAX_QUEUED_MESSAGES,
        ..Options::default()
    };
    let shared = KvState {
        store: Store::new(memory, Instant::now()),
        channels: Channels::default(),
        clients: ClientTable::default(),
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
        // Who closed our standard output can do without the line.
        let _ = writeln!(io::stdout(), "listening {addr}");
    }
    server.serve_forever()
}
