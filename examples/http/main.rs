//! An HTTP/1.1 server: `cargo run --release --example http -- 127.0.0.1:8080 --files .`, then
//! `curl http://127.0.0.1:8080/`, or a browser at `/clock`.
//!
//! The technique: a connection is one small state machine ([`connection::State`]), and `pause` and
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

mod answers;
mod body;
mod chunk;
mod conditions;
mod connection;
mod events;
mod files;
#[path = "../support/head.rs"]
mod head;
mod kept;
mod media_types;
mod request;
mod response;
#[path = "../support/signals.rs"]
mod signals;
mod site;
mod target;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use socketserver::{Addr, Options, Server};

use connection::Connection;
use site::{Limits, Site};

const USAGE: &str = "usage: http ADDR [--files DIR] [--head-timeout SECONDS] \
                     [--idle-timeout SECONDS] [--body-limit BYTES] [--disk-limit BYTES] \
                     [--spin MICROSECONDS]";

/// For how long a server that was busy looks for more before it sleeps: to wake it costs its client
/// more, with every request. An idle server sleeps all the same.
const SPIN: Duration = Duration::from_micros(50);
/// How long answers may take that are under way when the server is asked to stop.
const GRACE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let (addr, site, spin) = match parse(env::args_os().skip(1)) {
        Ok(parsed) => parsed,
        Err(culprit) => {
            say(&format!("{culprit}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match serve(&addr, site, spin) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// The one way to standard error, which may be closed or full: then nothing is said.
fn say(what: &str) {
    let _ = writeln!(io::stderr(), "http: {what}");
}

fn parse(mut words: impl Iterator<Item = OsString>) -> Result<(String, Site, Duration), String> {
    let addr = words.next().ok_or("ADDR is missing")?.to_string_lossy().into_owned();
    if addr.starts_with('-') {
        return Err("ADDR is missing".into());
    }
    let mut limits = Limits::default();
    let mut files = None;
    let mut spin = SPIN;
    while let Some(word) = words.next() {
        let word = word.to_string_lossy();
        let path = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let value = path.to_string_lossy();
        let unusable = || format!("{word} cannot be {value:?}");
        let seconds = || value.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
        match &*word {
            "--files" => {
                let dir = std::fs::canonicalize(&path).ok().filter(|dir| dir.is_dir());
                files = Some(dir.ok_or_else(unusable)?);
            }
            "--head-timeout" => limits.head_timeout = seconds().ok_or_else(unusable)?,
            "--idle-timeout" => limits.idle_timeout = seconds().ok_or_else(unusable)?,
            "--body-limit" => limits.body = value.parse().map_err(|_| unusable())?,
            "--disk-limit" => limits.disk = value.parse().map_err(|_| unusable())?,
            "--spin" => {
                spin = Duration::from_micros(value.parse().map_err(|_| unusable())?);
            }
            _ => return Err(format!("there is no {word}")),
        }
    }
    Ok((addr, Site::new(files, limits), spin))
}

fn serve(addr: &str, site: Site, spin: Duration) -> io::Result<()> {
    let mut server = Server::with(site, Options { spin, ..Options::default() })?;
    let listener = server.listen(addr, |_peer| Connection::default())?;
    signals::stop_on_signals(&mut server, GRACE)?;
    if let Some(Addr::Ip(addr)) = server.io().local_addr(listener) {
        // Who closed our standard output can do without the line.
        let _ = writeln!(io::stdout(), "listening tcp {addr}");
    }
    server.serve_forever()
}
