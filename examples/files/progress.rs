//! The progress line on a terminal; nothing if standard error is no terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::name::PutRequest;

pub(crate) struct ProgressLine<'a> {
    request: &'a PutRequest,
    from: u64,
    began: Instant,
    shown: Option<Instant>,
    is_shown: bool,
}

impl ProgressLine<'_> {
    pub(crate) fn new(from: u64, request: &PutRequest) -> ProgressLine<'_> {
        // A terminal without carriage return would print line after line.
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_shown = io::stderr().is_terminal() && !is_dumb;
        ProgressLine { request, from, began: Instant::now(), shown: None, is_shown }
    }

    pub(crate) fn show(&mut self, sent: u64) {
        let lately = self.shown.is_some_and(|at| at.elapsed() < Duration::from_millis(100));
        let PutRequest { name, size, .. } = self.request;
        if !self.is_shown || lately && sent < *size {
            return;
        }
        self.shown = Some(Instant::now());
        let percent = sent.saturating_mul(100) / (*size).max(1);
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let speed = (sent - self.from) / 1_000 / millis;
        let end = if sent == *size { "\n" } else { "" };
        // Queried each time, because the terminal may be resized. The last column is left free,
        // because the cursor may wrap in it.
        let columns = terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| width.0);
        let width = usize::from(columns.unwrap_or(80)).saturating_sub(1);
        let line = line(&name.to_string_lossy(), percent, speed, width);
        let _ = write!(io::stderr(), "\r{line}{end}");
    }
}

/// Formats the line for `width` columns: figures first, then the name, cut if necessary, then the
/// bar.
fn line(name: &str, percent: u64, speed: u64, width: usize) -> String {
    let figures = format!("{percent:3} % {speed} MB/s ");
    let done = "#".repeat(usize::try_from(percent / 4).unwrap_or(25));
    let whole = format!("{name} [{done:25}] {figures}");
    if whole.chars().count() <= width {
        return whole;
    }
    let room = width.saturating_sub(figures.chars().count() + 1);
    let name: String = name.chars().take(room).collect();
    format!("{name} {figures}").chars().take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_into_whatever_there_is() {
        let wide = line("a-file", 50, 12, 79);
        assert_eq!(wide, "a-file [############             ]  50 % 12 MB/s ");
        assert_eq!(line("a-file", 50, 12, 39), "a-file  50 % 12 MB/s ");
        assert_eq!(line("a-file", 50, 12, 18), "a-f  50 % 12 MB/s ");
        for width in 0..80 {
            assert!(line("a-file-with-a-long-name", 100, 1_234, width).chars().count() <= width);
        }
    }
}
