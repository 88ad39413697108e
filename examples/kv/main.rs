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

use backlog::Backlogs;
use channels::Channels;
use client::Client;
use clients::Clients;
use replies::Replies;
use store::Store;

mod about;
mod absent;
mod apart;
mod backlog;
mod catalogue;
mod channels;
mod client;
mod clients;
mod clock;
mod command;
mod connection;
mod entries;
mod expiry;
mod glob;
mod info;
mod large;
mod memory;
mod number;
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
mod words;

const USAGE: &str = "usage: kv [ADDR [BYTES OF MEMORY [MICROSECONDS TO SPIN]]]

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
const LEFT_PER_TURN: usize = 2_000;
/// Microseconds for which a server that was busy looks for more before it sleeps. Without a pipeline
/// a client pays for waking it, with every request; looking a little longer costs about as much as
/// was saved, and answers sooner. An idle server sleeps all the same.
const SPIN: u64 = 50;
/// How long a stop may take.
const GRACE: Duration = Duration::from_secs(10);
/// Of warnings about the same there is one in this time.
const WARN_AGAIN: Duration = Duration::from_secs(60);
/// The timer is not set further ahead than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);

/// What all clients share.
struct Shared {
    store: Store,
    channels: Channels,
    clients: Clients,
    /// The replies to whoever is served right now.
    replies: Replies,
    backlogs: Backlogs,
    port: u16,
    clock: Option<SocketId>,
    alarm: Option<(Instant, TimerId)>,
    /// When the last warning was written.
    warned: Option<Instant>,
}

impl Shared {
    /// Sets the timer to the next deadline of a key, or to now while something is to be freed.
    fn wake_when_due(&mut self, io: &mut Io) {
        let Some(clock) = self.clock else { return };
        let after = match self.store.next_deadline() {
            _ if self.store.memory.has_waiting() || self.channels.has_leaving() => Duration::ZERO,
            Some(at) => {
                let left = u64::try_from(at.saturating_sub(self.store.clock.at(io.now())));
                Duration::from_millis(left.unwrap_or(0)).min(LONGEST_SLEEP)
            }
            None => return,
        };
        let next = io.now() + after;
        match self.alarm {
            Some((at, _)) if at <= next => return,
            Some((_, timer)) => drop(io.cancel_timer(timer)),
            None => {}
        }
        self.alarm = Some((next, io.set_timer(clock, after)));
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

    fn wake(&mut self, io: &mut Io) {
        self.store.turn(io.now());
        self.store.remove_expired(EXPIRED_PER_TURN);
        self.store.memory.free(FREED_PER_TURN);
        self.channels.leave_some(LEFT_PER_TURN);
        self.alarm = None;
        self.wake_when_due(io);
    }
}

fn main() -> ExitCode {
    program::run(USAGE, 3, |words| {
        let addr = words.first().cloned().unwrap_or_else(|| "127.0.0.1:6379".into());
        let memory = number("BYTES OF MEMORY", words.get(1), MAX_MEMORY)?;
        if memory == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "0 bytes hold nothing"));
        }
        let busy_poll = number("MICROSECONDS TO SPIN", words.get(2), SPIN)?;
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
        output_limit: backlog::MAX_WAITING,
        ..Options::default()
    };
    let shared = Shared {
        store: Store::new(memory, Instant::now()),
        channels: Channels::default(),
        clients: Clients::default(),
        replies: Replies::default(),
        backlogs: Backlogs::default(),
        port: 0,
        clock: None,
        alarm: None,
        warned: None,
    };
    let mut server = Server::with_shared(shared, options)?;
    let clock = server.add_timer_handler(|cx| {
        cx.shared.wake(cx.io);
        Ok(())
    })?;
    server.shared_mut().clock = Some(clock);
    let listener = server.listen(addr, |_peer| Client::default())?;
    signals::stop_on_signals(&mut server, GRACE)?;
    if let Some(addr) = server.io().local_addr(listener) {
        server.shared_mut().port = addr.port().unwrap_or_default();
        // Who closed our standard output can do without the line.
        let _ = writeln!(io::stdout(), "listening {addr}");
    }
    server.serve_forever()
}
