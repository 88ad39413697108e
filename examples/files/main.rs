//! Uploads done right: `cargo run --example files -- serve DIR 127.0.0.1:7000` keeps what `cargo run
//! --example files -- put FILE 127.0.0.1:7000` sends, whole and under its name, or not at all.
//!
//! The technique: work that blocks, with back-pressure. Every touch of the disk is handed to a
//! worker with [`socketserver::Context::offload`], and the connection is paused until it is done, so
//! each upload has at most one piece of work and one piece of data under way: memory is bounded, and
//! a slow disk slows only those who write to it.
//!
//! The protocol, in lines. The client says `put NAME SIZE BLAKE3 new|replace`, NAME being any bytes
//! that are fit for a file. The server answers `have N`, the client sends the file from byte N on,
//! the server answers `done`. At any time it may say `wait` (the disk is slow, nothing is wrong),
//! `busy` and why (try again later) or `error` and why. The end is idempotent: whoever announces a
//! content that has the name already is answered `have SIZE` and `done`, so a client that lost the
//! `done` asks again. The checksum is BLAKE3 because it is safe against forgery, has no rival in
//! speed, and its crate is kept by its authors.

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

serve  keeps uploads in DIR; an unfinished one is kept for a day, or --keep, to be resumed; of all
       unfinished ones no more than 1000 files (--unfinished) and 64 GiB (--unfinished-bytes) are
       kept, those included that are under way, and fewer when the disk is full: the oldest goes
put    uploads FILE, as NAME if one is given, and resumes one that was cut; gives up on a server that
       says nothing, and takes nothing of what is on its way, for a minute, or --timeout; exits with 0
       once the file is kept, with 1 when it is not, with 2 when it was asked wrongly

A name may be of any bytes, 180 at most, but for what some system or reader would take for another one:
it does not begin with a dot or a space, does not end with one, has no \\ / : * ? \" < > | and no
character that is not seen (a newline, a tab), and is no name of a device (CON, COM1).";

/// What was typed.
struct FilesArgs {
    plain: Vec<OsString>,
    keep: Duration,
    limits: UnfinishedLimits,
    timeout: Duration,
    name: Option<OsString>,
    replace: bool,
}

impl FilesArgs {
    /// An error names the culprit.
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

/// A whole number, 1 or more.
fn count<N: FromStr + PartialOrd + From<u8>>(option: &str, word: &OsString) -> Result<N, String> {
    let count = word.to_str().and_then(|word| word.parse().ok()).filter(|n| *n >= N::from(1));
    count.ok_or_else(|| format!("{option} takes a whole number, 1 or more"))
}

/// The one way to standard error, which may be closed or full: then nothing is said.
fn print_error(what: &str) {
    let line: String = what.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let _ = writeln!(std::io::stderr(), "files: {line}");
}

fn main() -> ExitCode {
    program::run(USAGE, usize::MAX, |words| {
        let words =
            FilesArgs::parse(words.iter().cloned()).map_err(|culprit| name::bad(&culprit))?;
        let [what, path, addr] = words.plain.as_slice() else {
            return Err(name::bad("it takes serve DIR LISTEN_ADDR, or put FILE ADDR"));
        };
        let Some(addr) = addr.to_str() else {
            return Err(name::bad(&format!("{addr:?} is not UTF-8, as an address is")));
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
            _ => Err(name::bad(&format!("{what:?} is neither serve nor put"))),
        }
    })
}
