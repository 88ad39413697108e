//! What may be drawn on a terminal, and how much goes into a line of it.

use std::borrow::Cow;
use std::ffi::OsStr;

/// How many columns it has; `None` for what is no terminal, or one that does not say.
#[cfg(unix)]
pub(crate) fn columns(out: impl std::os::fd::AsFd) -> Option<usize> {
    terminal_size::terminal_size_of(out).map(|(width, _)| usize::from(width.0))
}

#[cfg(windows)]
pub(crate) fn columns(out: impl std::os::windows::io::AsHandle) -> Option<usize> {
    terminal_size::terminal_size_of(out).map(|(width, _)| usize::from(width.0))
}

/// Whether it prints line after line and knows no way back: an editor's shell, a serial console.
pub(crate) fn is_dumb() -> bool {
    match std::env::var_os("TERM") {
        Some(term) => term.is_empty() || term == "dumb",
        // Windows has terminals, and no such variable.
        None => cfg!(unix),
    }
}

/// The indentation of a continued line.
pub(crate) const INDENT: &str = "  ";

/// The line, broken between words into as many as it takes; a word that is longer stays whole.
pub(crate) fn wrap(line: &str, columns: usize) -> Cow<'_, str> {
    if line.chars().count() <= columns {
        return line.into();
    }
    let (mut text, mut part) = (String::new(), String::new());
    for word in line.split_inclusive(' ') {
        let is_full = part.chars().count() + word.trim_end().chars().count() > columns;
        if is_full && !part.trim().is_empty() {
            text.push_str(part.trim_end());
            text.push('\n');
            part = INDENT.into();
        }
        part.push_str(word);
    }
    text.push_str(part.trim_end());
    text.into()
}

/// A path or an argument in an error: as it is, or, where it is no text, in quotes with its odd bytes
/// as `\xFF`, so that no two of them look the same.
pub(crate) fn shown(text: &OsStr) -> String {
    text.to_str().map_or_else(|| format!("{text:?}"), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_broken_between_words() {
        for (line, broken) in [
            ("closed loop over tcp, 50 connections", "closed loop over\n  tcp, 50\n  connections"),
            ("short", "short"),
            ("", ""),
            ("a-word-longer-than-the-line and more", "a-word-longer-than-the-line\n  and more"),
        ] {
            assert_eq!(wrap(line, 20), broken);
        }
    }
}
