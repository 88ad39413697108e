//! A WebSocket echo (RFC 6455): `cargo run --release --example websocket -- 127.0.0.1:8081`, then a
//! browser at `http://127.0.0.1:8081/`, or another client at `ws://127.0.0.1:8081/`.
//!
//! The technique: one handler for two protocols. It first parses an HTTP head, then frames
//! ([`connection::Phase`]), from the same input; frames directly after the handshake stay in it.
//! Payloads are processed as they are received, so an invalid byte is rejected at once, and no
//! memory is allocated for bytes not received yet.
//!
//! `tungstenite` is not used for framing, because it needs a stream to read from and buffers what
//! it reads; a handler has an input, which is a buffer already.

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

  --message-limit BYTES         longest message (default 1 MiB)
  --handshake-timeout SECONDS   longest time of the handshake (default 10)
  --ping-every SECONDS          ping after this silence, close after the next one (default 30)";

/// Time that a shutdown gives to closing handshakes.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    program::run(USAGE, usize::MAX, |words| {
        let parsed = parse(words.iter().cloned());
        let wrong = |culprit| io::Error::new(io::ErrorKind::InvalidInput, culprit);
        let (addr, limits) = parsed.map_err(wrong)?;
        serve(addr, limits)
    })
}

/// Parses the arguments. An error names the wrong one.
fn parse(mut words: impl Iterator<Item = OsString>) -> Result<(OsString, WebSocketLimits), String> {
    let (mut addr, mut limits) = (None, WebSocketLimits::default());
    while let Some(word) = words.next() {
        let option = word.to_string_lossy().into_owned();
        let mut value = || words.next().ok_or_else(|| format!("{option} needs a value"));
        match option.as_str() {
            "--message-limit" => limits.message = number(&option, &value()?)?,
            "--handshake-timeout" => limits.handshake_timeout = seconds(&option, &value()?)?,
            "--ping-every" => limits.ping_every = seconds(&option, &value()?)?,
            _ if option.starts_with('-') => return Err(format!("unknown option {word:?}")),
            _ if addr.is_some() => return Err(format!("more than one address: {word:?}")),
            _ => addr = Some(word),
        }
    }
    Ok((addr.ok_or("ADDR is missing")?, limits))
}

fn number<T: FromStr>(option: &str, word: &OsString) -> Result<T, String> {
    let number = word.to_str().and_then(|word| word.parse().ok());
    number.ok_or_else(|| format!("{option}: invalid value {word:?}"))
}

fn seconds(option: &str, word: &OsString) -> Result<Duration, String> {
    let time = Duration::try_from_secs_f64(number(option, word)?).ok();
    let time = time.filter(|time| !time.is_zero());
    time.ok_or_else(|| format!("{option}: {word:?} is not a positive number of seconds"))
}

fn serve(addr: OsString, limits: WebSocketLimits) -> io::Result<()> {
    let defaults = Options::default();
    // The output has capacity for one whole message more.
    let output_limit = defaults.output_limit.saturating_add(limits.message);
    let mut server = Server::with_shared(limits, Options { output_limit, ..defaults })?;
    let listener = server.listen(addr, |_peer| WebSocketConnection::default())?;
    signals::stop_on_signals(&mut server, GRACE)?;
    if let Some(Addr::Ip(addr)) = server.io().local_addr(listener) {
        // A closed standard output is no reason to stop.
        let _ = writeln!(io::stdout(), "listening tcp {addr}");
    }
    server.serve_forever()
}
