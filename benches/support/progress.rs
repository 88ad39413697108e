//! The line on a terminal that says what is measured now.

use std::io::{self, IsTerminal};

/// Replaces the line on standard error by `what`; does nothing if that is not a terminal.
pub(crate) fn show(what: &str) {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
    }
}
