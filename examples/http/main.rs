//! An HTTP/1.1 server: `cargo run --release --example http -- 127.0.0.1:8080 --files .`, then
//! `curl http://127.0.0.1:8080/`, or a browser at `/clock`.
//!
//! The technique: a connection is one small state machine ([`connection::RequestState`]), and `pause` and
//! `drained` are its brakes. While a file is on its way that is larger than the peer takes, the
//! connection is paused: the requests behind it wait, in the input and then in the peer. `drained`
//! sends the next piece, and `resume` shows what waits. So every answer has bounded memory.
//!
//! | path | answer |
//! |---|---|
//! | `GET /` | `hello, world` |
//! | `POST /echo`, `POST /` | the body, when all of it has come |
//! | `GET /files/...` | files below `--files`, with ranges |
//! | `GET /clock`, `GET /events` | a page that shows server-sent events, and these |

mod body;
mod chunk;
mod conditions;
mod connection;
mod events;
mod files;
#[path = "../support/head.rs"]
mod head;
mod media_types;
#[path = "../support/program.rs"]
mod program;
mod request;
mod response;
mod routes;
#[path = "../support/signals.rs"]
mod signals;
mod site;
mod spool;
mod target;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use socketserver::{Addr, Options, Server};

use connection::HttpConnection;
use site::{HttpLimits, Site};

const USAGE: &str = "usage: http ADDR [options]

  --files DIR              serve the files below DIR at /files/
  --head-timeout SECONDS   how long the head of a request may take
  --idle-timeout SECONDS   how long a connection may do nothing
  --body-limit BYTES       the longest body
  --disk-limit BYTES       the most that is read of files at once
  --busy_poll MICROSECONDS      look for more for so long before sleeping (default 50)";

/// For how long a server that was busy looks for more before it sleeps: to wake it costs its client
/// more, with every request. An idle server sleeps all the same.
const BUSY_POLL: Duration = Duration::from_micros(50);
/// How long answers may take that are under way when the server is asked to stop.
const GRACE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    program::run(USAGE, usize::MAX, |words| {
        let parsed = parse(words.iter().cloned());
        let wrong = |culprit| io::Error::new(io::ErrorKind::InvalidInput, culprit);
        let (addr, site, busy_poll) = parsed.map_err(wrong)?;
        serve(addr, site, busy_poll)
    })
}

/// An error names the culprit.
fn parse(mut words: impl Iterator<Item = OsString>) -> Result<(OsString, Site, Duration), String> {
    let (mut addr, mut files, mut limits, mut busy_poll) =
        (None, None, HttpLimits::default(), BUSY_POLL);
    while let Some(word) = words.next() {
        let option = word.to_string_lossy().into_owned();
        let mut value = || words.next().ok_or_else(|| format!("{option} needs a value"));
        match option.as_str() {
            "--files" => files = Some(directory(&value()?)?),
            "--head-timeout" => limits.head_timeout = seconds(&option, &value()?)?,
            "--idle-timeout" => limits.idle_timeout = seconds(&option, &value()?)?,
            "--body-limit" => limits.body = number(&option, &value()?)?,
            "--disk-limit" => limits.disk = number(&option, &value()?)?,
            "--busy_poll" => busy_poll = Duration::from_micros(number(&option, &value()?)?),
            _ if option.starts_with('-') => return Err(format!("there is no {word:?}")),
            _ if addr.is_some() => return Err(format!("{word:?} is one address too many")),
            _ => addr = Some(word),
        }
    }
    Ok((addr.ok_or("ADDR is missing")?, Site::new(files, limits), busy_poll))
}

fn directory(path: &OsString) -> Result<PathBuf, String> {
    let found = std::fs::canonicalize(path).map_err(|error| format!("--files {path:?}: {error}"));
    let found = found?;
    if found.is_dir() { Ok(found) } else { Err(format!("--files {path:?}: it is no directory")) }
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

fn serve(addr: OsString, site: Site, busy_poll: Duration) -> io::Result<()> {
    let mut server = Server::with_shared(site, Options { busy_poll, ..Options::default() })?;
    let listener = server.listen(addr, |_peer| HttpConnection::default())?;
    signals::stop_on_signals(&mut server, GRACE)?;
    if let Some(Addr::Ip(addr)) = server.io().local_addr(listener) {
        // Who closed our standard output can do without the line.
        let _ = writeln!(io::stdout(), "listening tcp {addr}");
    }
    server.serve_forever()
}
