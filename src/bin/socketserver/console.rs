//! Standard output and standard error that can stop nothing.
//!
//! Their reader may be slow, gone, or never read at all. So no write waits: a text for which there is no
//! room stays in a queue with a bound, and is dropped when that is full too. An error of a write stops no
//! server: that of standard output is noted on standard error, and that of standard error has no reader.
//!
//! What was asked for is another matter ([`answer`]): a table that could not be written is a run that
//! failed, and a pager has all the time it wants.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use socketserver::Server;

use crate::terminal;

mod last_words;
mod logger;
#[cfg(unix)]
mod stream;
#[cfg(not(unix))]
#[path = "console/thread.rs"]
mod stream;

pub(crate) use last_words::LastWords;
pub(crate) use logger::start_log;
use stream::Standard;

/// How long the end of the program waits for a reader.
const LAST_WAIT: Duration = Duration::from_millis(200);

/// Writes `text`, which may be any bytes, to standard output, now or when there is room.
pub(crate) fn print(text: Vec<u8>) {
    if let Err(error) = Standard::Output.put(text) {
        note_unwritten(&error);
    }
}

/// Says whether `text` was written, or will be when there is room.
fn print_error(text: Vec<u8>) -> bool {
    Standard::Error.put(text).unwrap_or(false)
}

/// What a server prints could not be written, and it serves on. A reader that is gone wants nothing.
fn note_unwritten(error: &io::Error) {
    if error.kind() != io::ErrorKind::BrokenPipe {
        note(&format!("warning: {}", unwritten(error)));
    }
}

fn unwritten(error: &io::Error) -> String {
    format!("cannot write to standard output: {error}")
}

/// From now on this server's loop writes what had no room, as soon as there is some.
pub(crate) fn drain_in<S: 'static>(server: &mut Server<S>) {
    stream::watch(server, Standard::Output, |error| note_unwritten(&error));
    drain_errors_in(server);
}

/// The same of standard error alone, for a program whose standard output carries data.
pub(crate) fn drain_errors_in<S: 'static>(server: &mut Server<S>) {
    stream::watch(server, Standard::Error, drop);
}

/// Waits shortly until everything is written, as far as there is a reader.
pub(crate) fn flush() {
    let end = Instant::now() + LAST_WAIT;
    if let Err(error) = Standard::Output.flush(end) {
        note_unwritten(&error);
    }
    let _ = Standard::Error.flush(end);
}

pub(crate) fn end_with(words: &LastWords) -> ExitCode {
    let code = ExitCode::from(words.code());
    if words.is_answer() {
        return answer(words.text()).err().unwrap_or(code);
    }
    print_error(words.text().into());
    code
}

/// What a shell shows of a program that died of SIGPIPE, which is 13 everywhere.
const READER_GONE: u8 = 128 + 13;

/// Writes to standard output what was asked for, and waits as long as a pager takes to read it.
///
/// # Errors
/// With which code to exit when it could not be written, which was said then. A reader that went
/// (`| head -1`) has read enough, so nothing is said to it.
pub(crate) fn answer(text: &str) -> Result<(), ExitCode> {
    match crate::connect::write_all(&mut io::stdout().lock(), text.as_bytes()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ExitCode::from(READER_GONE)),
        Err(error) => {
            complain(&io::Error::other(unwritten(&error)));
            Err(ExitCode::FAILURE)
        }
    }
}

/// Why nothing could be served.
pub(crate) fn complain(error: &io::Error) {
    note(&format!("error: {error}"));
}

/// Something for the person at the terminal.
pub(crate) fn note(text: &str) {
    let columns = terminal::columns(io::stderr()).unwrap_or(usize::MAX);
    let lines = text.lines().map(|line| format!("{}\n", terminal::wrap(line, columns)));
    print_error(lines.collect::<String>().into_bytes());
}
