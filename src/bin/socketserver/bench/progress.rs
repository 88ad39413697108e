//! One line on standard error, rewritten while a run goes on, if somebody can see it.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, Instant};

use super::order::Progress;
use super::record::real;
use super::table::{count, time};

/// How often the line is rewritten.
const PERIOD: Duration = Duration::from_millis(250);

/// The longest line, so that it can be rewritten on a narrow terminal.
const WIDTH: usize = 79;

pub(crate) struct Line {
    is_seen: bool,
    is_drawn: bool,
    drawn_at: Instant,
    answers: u64,
}

impl Line {
    pub(crate) fn new() -> Line {
        let is_seen = io::stderr().is_terminal();
        Line { is_seen, is_drawn: false, drawn_at: Instant::now(), answers: 0 }
    }

    /// Says how things are, if it is time to.
    pub(crate) fn draw(&mut self, phase: &str, all: u32, clients: &[Progress]) {
        let passed = self.drawn_at.elapsed();
        if !self.is_seen || passed < PERIOD {
            return;
        }
        let up: u32 = clients.iter().map(|one| one.up).sum();
        let answers: u64 = clients.iter().map(|one| one.answers).sum();
        let p99 = clients.iter().map(|one| one.p99_ns).max().unwrap_or(0);
        let rate = real(answers.saturating_sub(self.answers)) / passed.as_secs_f64();
        let (up, all) = (count(f64::from(up)), count(f64::from(all)));
        let mut text = format!("{phase}: {up} of {all} up");
        if answers > 0 {
            let _ = write!(text, ", {}/s", count(rate.round()));
        }
        if p99 > 0 {
            let _ = write!(text, ", p99 {}", time(real(p99) / 1e3));
        }
        write_all(&format!("\r\x1B[K{text:.WIDTH$}"));
        (self.is_drawn, self.drawn_at, self.answers) = (true, Instant::now(), answers);
    }
}

fn write_all(text: &str) {
    // Nobody is served better by an error about the line of progress.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// The line goes, and leaves the room to the table.
impl Drop for Line {
    fn drop(&mut self) {
        if self.is_drawn {
            write_all("\r\x1B[K");
        }
    }
}
