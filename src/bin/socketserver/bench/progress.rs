//! One line on standard error, rewritten while a run goes on, on a terminal. Without color
//! (so `NO_COLOR` changes nothing); a dumb terminal gets a line for each phase and nothing rewritten.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::protocol::ProgressReport;
use super::record::real;
use super::text_report::{count, time};
use crate::terminal;

/// How often the line is rewritten.
const PERIOD: Duration = Duration::from_millis(250);

/// The most columns it takes; on a terminal with fewer it takes one less than there are, since in
/// the last one the cursor may go to the next line.
const WIDTH: usize = 79;

pub(crate) struct Line {
    is_seen: bool,
    is_dumb: bool,
    /// The length of the line that is shown.
    drawn: Option<usize>,
    /// What was said last on a dumb terminal.
    phase: &'static str,
    drawn_at: Instant,
    answers: u64,
}

impl Line {
    pub(crate) fn new() -> Line {
        let is_seen = io::stderr().is_terminal();
        let is_dumb = terminal::is_dumb();
        Line { is_seen, is_dumb, drawn: None, phase: "", drawn_at: Instant::now(), answers: 0 }
    }

    /// Says how things are, if it is time to.
    pub(crate) fn draw(&mut self, phase: &'static str, all: u32, clients: &[ProgressReport]) {
        let passed = self.drawn_at.elapsed();
        if !self.is_seen || passed < PERIOD {
            return;
        }
        let up: u32 = clients.iter().map(|one| one.up).sum();
        let answers: u64 = clients.iter().map(|one| one.answers).sum();
        let p99 = clients.iter().map(|one| one.p99_ns).max().unwrap_or(0);
        let rate = real(answers.saturating_sub(self.answers)) / passed.as_secs_f64();
        let (up, all) = (count(f64::from(up)), count(f64::from(all)));
        let mut parts = vec![format!("{phase}: {up} of {all} up")];
        if answers > 0 {
            parts.push(format!(", {}/s", count(rate.round())));
        }
        if p99 > 0 {
            parts.push(format!(", p99 {}", time(real(p99) / 1e3)));
        }
        self.show(phase, &parts);
        (self.drawn_at, self.answers) = (Instant::now(), answers);
    }

    fn show(&mut self, phase: &'static str, parts: &[String]) {
        // Asked each time: it may have been resized.
        let columns = terminal::columns(io::stderr()).unwrap_or(WIDTH + 1);
        let width = columns.saturating_sub(1).min(WIDTH);
        if self.is_dumb {
            let text = what_fits(parts, width);
            if self.phase != phase && !text.is_empty() {
                write_all(&format!("{text}\n"));
            }
            self.phase = phase;
            return;
        }
        // One that was drawn when there was more room takes several lines now, and terminals differ
        // in where the cursor is then. It stays, and a new one is begun.
        let begin = if self.drawn.is_some_and(|drawn| drawn >= columns) { "\n" } else { ERASE };
        let text = what_fits(parts, width);
        write_all(&format!("{begin}{text}"));
        self.drawn = Some(text.len());
    }
}

/// Whole parts, as many as there is room for: half of a figure would be another one.
fn what_fits(parts: &[String], width: usize) -> String {
    let mut text = String::new();
    for part in parts {
        if text.len() + part.len() > width {
            break;
        }
        text.push_str(part);
    }
    text
}

/// Back to the beginning of the line, and away with it (ECMA-48).
const ERASE: &str = "\r\x1B[K";

fn write_all(text: &str) {
    // Nobody is served better by an error about the line of progress.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// The line goes, and leaves the room to the table.
impl Drop for Line {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            write_all(ERASE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_shown_whole_or_not_at_all() {
        let parts = ["measuring: 50 of 50 up", ", 40,835/s", ", p99 7.09 ms"].map(String::from);
        assert_eq!(what_fits(&parts, 79), "measuring: 50 of 50 up, 40,835/s, p99 7.09 ms");
        assert_eq!(what_fits(&parts, 39), "measuring: 50 of 50 up, 40,835/s");
        assert_eq!(what_fits(&parts, 31), "measuring: 50 of 50 up");
        assert_eq!(what_fits(&parts, 5), "");
    }
}
