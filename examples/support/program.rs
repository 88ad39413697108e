//! What every example does with its command line: `--help` prints its usage, and what is wrong is one
//! line that names the culprit.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// Calls `serve` with what was typed, of which not more than `max_words` words may be. `usage` begins with
/// `usage: ` and the name of the program. An error of the kind
/// [`InvalidInput`](io::ErrorKind::InvalidInput) is one of the words: exit code 2, and 1 for any other.
pub(crate) fn run(
    usage: &str,
    max_words: usize,
    serve: impl FnOnce(&[OsString]) -> io::Result<()>,
) -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        // Not `println!`, which panics when nobody reads it.
        let _ = writeln!(io::stdout(), "{usage}");
        return ExitCode::SUCCESS;
    }
    let served = match words.get(max_words) {
        Some(word) => {
            let what = format!("{word:?} is one word too many");
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
        None => serve(&words),
    };
    let Err(error) = served else { return ExitCode::SUCCESS };
    let name = usage.split_whitespace().nth(1).unwrap_or_default();
    let is_typed_wrongly = error.kind() == io::ErrorKind::InvalidInput;
    let hint = if is_typed_wrongly { format!("; see {name} --help") } else { String::new() };
    let line = format!("{name}: {error}{hint}");
    let line: String = line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let _ = writeln!(io::stderr(), "{line}");
    ExitCode::from(if is_typed_wrongly { 2 } else { 1 })
}
