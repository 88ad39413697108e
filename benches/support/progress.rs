//! What every table needs: how many descriptors there are, and a word for who is watching.

use std::fs;
use std::io::{self, IsTerminal};

/// How many descriptors a process may open.
pub(crate) fn descriptors() -> io::Result<usize> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    // The only word that is no number is "unlimited".
    Ok(soft.and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX))
}

/// Tells who is watching what is measured now.
pub(crate) fn progress(what: &str) {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
    }
}
