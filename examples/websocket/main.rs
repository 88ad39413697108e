//! A WebSocket echo (RFC 6455): `cargo run --release --example websocket -- 127.0.0.1:8081`, then a
//! browser at `http://127.0.0.1:8081/`, or any other client at `ws://127.0.0.1:8081/`.
//!
//! The technique: a protocol inside a protocol. One handler is first a reader of HTTP heads, then of
//! frames ([`connection::Phase`]), and takes from the same input; what comes right behind the
//! handshake is simply left in it. Payloads are taken as they come, in whatever pieces, so a fault
//! shows as soon as its byte is there, and nothing is ever reserved on the word of a length.
//!
//! The framing is ours and not that of `tungstenite`: that wants to own a stream it can read from,
//! which is what a handler does not have; the input already is a buffer.

mod connection;
mod frame;
mod handshake;
#[path = "../support/head.rs"]
mod head;
mod message;
#[path = "../support/signals.rs"]
mod signals;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use socketserver::{Addr, Options, Server};

use connection::{Connection, Limits};

const USAGE: &str = "usage: websocket ADDR [--message-limit BYTES] [--handshake-timeout SECONDS] \
                     [--ping-every SECONDS]";

/// How long clients may take to say goodbye when the server is asked to stop.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let (addr, limits) = match parse(env::args_os().skip(1)) {
        Ok(parsed) => parsed,
        Err(culprit) => {
            say(&format!("{culprit}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match serve(&addr, limits) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// The one way to standard error, which may be closed or full: then nothing is said.
fn say(what: &str) {
    let _ = writeln!(io::stderr(), "websocket: {what}");
}

fn parse(mut words: impl Iterator<Item = OsString>) -> Result<(String, Limits), String> {
    let addr = words.next().ok_or("ADDR is missing")?.to_string_lossy().into_owned();
    if addr.starts_with('-') {
        return Err("ADDR is missing".into());
    }
    let mut limits = Limits::default();
    while let Some(word) = words.next() {
        let word = word.to_string_lossy();
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let value = value.to_string_lossy();
        let unusable = || format!("{word} cannot be {value:?}");
        let seconds = || value.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
        match &*word {
            "--message-limit" => limits.message = value.parse().map_err(|_| unusable())?,
            "--handshake-timeout" => limits.handshake_timeout = seconds().ok_or_else(unusable)?,
            "--ping-every" => limits.ping_every = seconds().ok_or_else(unusable)?,
            _ => return Err(format!("there is no {word}")),
        }
    }
    Ok((addr, limits))
}

fn serve(addr: &str, limits: Limits) -> io::Result<()> {
    let defaults = Options::default();
    // However slow the peer, one whole message may wait for it.
    let output_limit = defaults.output_limit.saturating_add(limits.message);
    let mut server = Server::with(limits, Options { output_limit, ..defaults })?;
    let listener = server.listen(addr, |_peer| Connection::default())?;
    signals::stop_on_signals(&mut server, GRACE)?;
    if let Some(Addr::Ip(addr)) = server.io().local_addr(listener) {
        // Who closed our standard output can do without the line.
        let _ = writeln!(io::stdout(), "listening tcp {addr}");
    }
    server.serve_forever()
}
