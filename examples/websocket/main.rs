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
#[path = "../support/program.rs"]
mod program;
#[path = "../support/signals.rs"]
mod signals;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use socketserver::{Addr, Options, Server};

use connection::{WebSocketConnection, WebSocketLimits};

const USAGE: &str = "usage: websocket ADDR [options]

  --message-limit BYTES         the longest message
  --handshake-timeout SECONDS   how long the handshake may take
  --ping-every SECONDS          how often a silent client is asked whether it is there";

/// How long clients may take to say goodbye when the server is asked to stop.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    program::run(USAGE, usize::MAX, |words| {
        let parsed = parse(words.iter().cloned());
        let wrong = |culprit| io::Error::new(io::ErrorKind::InvalidInput, culprit);
        let (addr, limits) = parsed.map_err(wrong)?;
        serve(addr, limits)
    })
}

/// An error names the culprit.
fn parse(mut words: impl Iterator<Item = OsString>) -> Result<(OsString, WebSocketLimits), String> {
    let (mut addr, mut limits) = (None, WebSocketLimits::default());
    while let Some(word) = words.next() {
        let option = word.to_string_lossy().into_owned();
        let mut value = || words.next().ok_or_else(|| format!("{option} needs a value"));
        match option.as_str() {
            "--message-limit" => limits.message = number(&option, &value()?)?,
            "--handshake-timeout" => limits.handshake_timeout = seconds(&option, &value()?)?,
            "--ping-every" => limits.ping_every = seconds(&option, &value()?)?,
            _ if option.starts_with('-') => return Err(format!("there is no {word:?}")),
            _ if addr.is_some() => return Err(format!("{word:?} is one address too many")),
            _ => addr = Some(word),
        }
    }
    Ok((addr.ok_or("ADDR is missing")?, limits))
}

fn number<T: FromStr>(option: &str, word: &OsString) -> Result<T, String> {
    let number = word.to_str().and_then(|word| word.parse().ok());
    number.ok_or_else(|| format!("{option} cannot be {word:?}"))
}

fn seconds(option: &str, word: &OsString) -> Result<Duration, String> {
    let time = Duration::try_from_secs_f64(number(option, word)?).ok();
    let time = time.filter(|time| !time.is_zero());
    time.ok_or_else(|| format!("{option} takes seconds, more than 0 and not {word:?}"))
}

fn serve(addr: OsString, limits: WebSocketLimits) -> io::Result<()> {
    let defaults = Options::default();
    // However slow the peer, one whole message may wait for it.
    let output_limit = defaults.output_limit.saturating_add(limits.message);
    let mut server = Server::with_shared(limits, Options { output_limit, ..defaults })?;
    let listener = server.listen(addr, |_peer| WebSocketConnection::default())?;
    signals::stop_on_signals(&mut server, GRACE)?;
    if let Some(Addr::Ip(addr)) = server.io().local_addr(listener) {
        // Who closed our standard output can do without the line.
        let _ = writeln!(io::stdout(), "listening tcp {addr}");
    }
    server.serve_forever()
}
