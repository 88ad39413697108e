//! The frame of each example's `main`: `--help` prints the usage, an error is one line on standard
//! error.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// Calls `serve` with the arguments, at most `max_words`. `usage` starts with `usage: ` and the
/// program's name. The exit code is 2 for an error of the kind
/// [`InvalidInput`](io::ErrorKind::InvalidInput), which means a wrong argument, and 1 for any other
/// error.
pub(crate) fn run(
    usage: &str,
    max_words: usize,
    serve: impl FnOnce(&[OsString]) -> io::Result<()>,
) -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        // `println!` panics if standard output is closed.
        let _ = writeln!(io::stdout(), "{usage}");
        return ExitCode::SUCCESS;
    }
    let served = match words.get(max_words) {
        Some(word) => {
            let what = format!("unexpected argument {word:?}");
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
        None => serve(&words),
    };
    let Err(error) = served else { return ExitCode::SUCCESS };
    let name = usage.split_whitespace().nth(1).unwrap_or_default();
    let is_usage_error = error.kind() == io::ErrorKind::InvalidInput;
    let hint = if is_usage_error { format!("; see {name} --help") } else { String::new() };
    let line = format!("{name}: {error}{hint}");
    let line: String = line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let _ = writeln!(io::stderr(), "{line}");
    ExitCode::from(if is_usage_error { 2 } else { 1 })
}
