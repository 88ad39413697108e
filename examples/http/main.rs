//! An HTTP/1.1 server: `cargo run --release --example http -- 127.0.0.1:8080 --files .`, then
//! `curl http://127.0.0.1:8080/`, or a browser at `/clock`.
//!
//! The technique: a state machine for each connection ([`connection::RequestState`]), with `pause`
//! and `drained` for back-pressure. While a file is sent that the peer reads slowly, the connection is
//! paused: the requests after it stay in the input, and then in the peer. `drained` sends the next
//! piece, and after the last `resume` has the library deliver the input. So each answer has bounded
//! memory.
//!
//! | path | answer |
//! |---|---|
//! | `GET /` | `hello, world` |
//! | `POST /echo`, `POST /` | the body, after all of it was received |
//! | `GET /files/...` | files below `--files`, with ranges |
//! | `GET /clock`, `GET /events` | a page that shows server-sent events, and the events |

mod body;
mod chunk;
mod conditions;
mod connection;
mod events;
mod files;
#[path = "../support/head.rs"]
mod head;
mod media_types;
#[path = "../support/places.rs"]
mod places;
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
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use socketserver::{Addr, Options, Server};

use connection::HttpConnection;
use site::{HttpLimits, Site};

const USAGE: &str = "usage: http ADDR [options]

  --files DIR                serve the files below DIR at /files/
  --head-timeout SECONDS     longest time from the first byte of a head to its end (default 10)
  --idle-timeout SECONDS     longest time without a request or progress of a body (default 60)
  --events-time SECONDS      longest time of one answer of /events (default 600)
  --body-limit BYTES         longest body of a request (default 1 GiB)
  --disk-limit BYTES         most bytes of all bodies kept on the disk (default 2 GiB)
  --busy-poll MICROSECONDS   poll this long before sleeping (default 50)

Which client is ended, and when:
  it has sent nothing, or no request follows the last    after --idle-timeout
  its head is not complete                               after --head-timeout, however many bytes come
  its body brings no 4 KiB                               after --idle-timeout
  it acknowledges nothing of a file or of an echo        after two times --idle-timeout
  it receives events, whether it reads them or not       after --events-time; browsers ask again
  it is one more than 100,000, or than there are
  descriptors for                                        at once, with 503";

/// Busy polling before the loop sleeps, because a wake-up costs the client more with each request.
/// An idle server sleeps all the same.
const BUSY_POLL: Duration = Duration::from_micros(50);
/// Time that a shutdown gives to answers being sent.
const GRACE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    program::run(USAGE, usize::MAX, |words| {
        let parsed = parse(words.iter().cloned());
        let wrong = |culprit| io::Error::new(io::ErrorKind::InvalidInput, culprit);
        let (addr, site, busy_poll) = parsed.map_err(wrong)?;
        serve(addr, site, busy_poll)
    })
}

/// Parses the arguments. An error names the wrong one.
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
            "--events-time" => limits.events_time = seconds(&option, &value()?)?,
            "--body-limit" => limits.body = number(&option, &value()?)?,
            "--disk-limit" => limits.disk = number(&option, &value()?)?,
            "--busy-poll" => busy_poll = Duration::from_micros(number(&option, &value()?)?),
            _ if option.starts_with('-') => return Err(format!("unknown option {word:?}")),
            _ if addr.is_some() => return Err(format!("more than one address: {word:?}")),
            _ => addr = Some(word),
        }
    }
    Ok((addr.ok_or("ADDR is missing")?, Site::new(files, limits), busy_poll))
}

fn directory(path: &OsString) -> Result<Dir, String> {
    let found = Dir::open_ambient_dir(path, ambient_authority());
    found.map_err(|error| format!("--files {path:?}: {error}"))
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

fn serve(addr: OsString, site: Site, busy_poll: Duration) -> io::Result<()> {
    let max_connections = site.places.max_connections();
    let options = Options { busy_poll, max_connections, ..Options::default() };
    let mut server = Server::with_shared(site, options)?;
    let listener = server.listen(addr, |_peer| HttpConnection::default())?;
    signals::stop_on_signals(&mut server, GRACE)?;
    if let Some(Addr::Ip(addr)) = server.io().local_addr(listener) {
        // A closed standard output is no reason to stop.
        let _ = writeln!(io::stdout(), "listening tcp {addr}");
    }
    server.serve_forever()
}
