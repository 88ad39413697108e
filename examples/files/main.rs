//! Uploads that are complete or not there: `cargo run --example files -- serve DIR 127.0.0.1:7000`
//! is the server, `cargo run --example files -- put FILE 127.0.0.1:7000` the client.
//!
//! The technique: blocking work with back-pressure. All disk access runs in worker threads
//! ([`socketserver::Context::offload`]), and the connection is paused meanwhile. So each upload has
//! at most one job and one piece of data in memory, and a slow disk delays only its own clients.
//!
//! The protocol, in lines: the client sends `put NAME SIZE BLAKE3 new|replace`, where NAME is any
//! bytes that [`name::check`] accepts. The server answers `have N`, the client sends the file from
//! byte N, the server answers `done`. At any time the server may send `wait` (the disk is slow),
//! `busy REASON` (retry later) or `error REASON`. Uploads are idempotent: a file with the same
//! content is answered with `have SIZE` and `done`, so a client that missed the `done` sends its
//! request again. The checksum is BLAKE3, because it resists forgery, is the fastest such hash, and
//! its authors maintain its crate.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use unfinished::UnfinishedLimits;

mod checksum;
mod commit;
mod name;
mod partial;
#[path = "../support/program.rs"]
mod program;
mod progress;
mod put;
mod reply_reader;
mod serve;
#[path = "../support/signals.rs"]
mod signals;
mod sweep;
mod unacknowledged;
mod unfinished;
mod upload;

const USAGE: &str = "usage: files serve DIR LISTEN_ADDR [--keep SECONDS] [--unfinished FILES]
                   [--unfinished-bytes BYTES]
       files put FILE ADDR [--as NAME] [--replace] [--timeout SECONDS]

serve  stores uploads in DIR. An unfinished upload can be resumed for --keep SECONDS (default: a
       day). At most --unfinished FILES (default 1000) and --unfinished-bytes BYTES (default 64 GiB)
       of unfinished uploads are kept, running ones included, and fewer if the disk is full: the
       oldest is removed first.
put    uploads FILE, under NAME if --as is given, and resumes an interrupted upload. Fails if the
       server neither replies nor acknowledges bytes for --timeout SECONDS (default 60). Exits with
       0 if the file is stored, with 1 if it is not, with 2 for a wrong argument.

A name is at most 180 bytes. It must not start or end with a dot or a space, contain \\ / : * ? \" < > |
or an invisible character (a newline, a tab), or be the name of a device (CON, COM1).";

/// The arguments of the command line.
struct FilesArgs {
    plain: Vec<OsString>,
    keep: Duration,
    limits: UnfinishedLimits,
    timeout: Duration,
    name: Option<OsString>,
    replace: bool,
}

impl FilesArgs {
    /// Parses the arguments. An error names the wrong one.
    fn parse(mut words: impl Iterator<Item = OsString>) -> Result<FilesArgs, String> {
        let (day, minute) = (Duration::from_secs(86_400), Duration::from_secs(60));
        let mut parsed = FilesArgs {
            plain: Vec::new(),
            keep: day,
            limits: UnfinishedLimits::default(),
            timeout: minute,
            name: None,
            replace: false,
        };
        while let Some(word) = words.next() {
            let option = word.to_string_lossy().into_owned();
            let mut value = || words.next().ok_or_else(|| format!("{option} needs a value"));
            match option.as_str() {
                "--keep" => parsed.keep = seconds(&option, &value()?)?,
                "--unfinished" => parsed.limits.files = count(&option, &value()?)?,
                "--unfinished-bytes" => parsed.limits.bytes = count(&option, &value()?)?,
                "--timeout" => parsed.timeout = seconds(&option, &value()?)?,
                "--as" => parsed.name = Some(value()?),
                "--replace" => parsed.replace = true,
                _ if option.starts_with("--") => return Err(format!("unknown option {option}")),
                _ => parsed.plain.push(word),
            }
        }
        Ok(parsed)
    }
}

fn seconds(option: &str, word: &OsString) -> Result<Duration, String> {
    let seconds = word.to_str().and_then(|word| word.parse().ok()).filter(|seconds| *seconds > 0);
    let seconds = seconds.ok_or_else(|| format!("{option} takes whole seconds, 1 or more"))?;
    Ok(Duration::from_secs(seconds))
}

/// Parses a whole number, 1 or more.
fn count<N: FromStr + PartialOrd + From<u8>>(option: &str, word: &OsString) -> Result<N, String> {
    let count = word.to_str().and_then(|word| word.parse().ok()).filter(|n| *n >= N::from(1));
    count.ok_or_else(|| format!("{option} takes a whole number, 1 or more"))
}

/// Writes to standard error. A closed or full one is no reason to stop.
fn print_error(what: &str) {
    let line: String = what.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let _ = writeln!(std::io::stderr(), "files: {line}");
}

fn main() -> ExitCode {
    program::run(USAGE, usize::MAX, |words| {
        let words =
            FilesArgs::parse(words.iter().cloned()).map_err(|culprit| name::bad(&culprit))?;
        let [what, path, addr] = words.plain.as_slice() else {
            return Err(name::bad("expected serve DIR LISTEN_ADDR or put FILE ADDR"));
        };
        let Some(addr) = addr.to_str() else {
            return Err(name::bad(&format!("invalid address {addr:?}: not UTF-8")));
        };
        match what.to_str() {
            Some("serve") => serve::serve(Path::new(path), addr, words.keep, words.limits),
            Some("put") => {
                let options = put::PutOptions {
                    name: words.name,
                    replace: words.replace,
                    timeout: words.timeout,
                };
                put::put(Path::new(path), addr, options)
            }
            _ => Err(name::bad(&format!("unknown command {what:?}; use serve or put"))),
        }
    })
}
