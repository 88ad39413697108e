//! A line on the terminal that is written again and again; nothing where there is no terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::name::Announced;

pub(crate) struct Progress<'a> {
    announced: &'a Announced,
    from: u64,
    began: Instant,
    shown: Option<Instant>,
    is_shown: bool,
}

impl Progress<'_> {
    pub(crate) fn new(from: u64, announced: &Announced) -> Progress<'_> {
        // A terminal that cannot go back to the beginning of a line would fill up with them.
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_shown = io::stderr().is_terminal() && !is_dumb;
        Progress { announced, from, began: Instant::now(), shown: None, is_shown }
    }

    pub(crate) fn show(&mut self, sent: u64) {
        let lately = self.shown.is_some_and(|at| at.elapsed() < Duration::from_millis(100));
        let Announced { name, size, .. } = self.announced;
        if !self.is_shown || lately && sent < *size {
            return;
        }
        self.shown = Some(Instant::now());
        let percent = sent.saturating_mul(100) / (*size).max(1);
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let speed = (sent - self.from) / 1_000 / millis;
        let done = "#".repeat(usize::try_from(percent / 4).unwrap_or(25));
        let end = if sent == *size { "\n" } else { "" };
        let name = name.to_string_lossy();
        let _ = write!(io::stderr(), "\r{name} [{done:25}] {percent:3} % {speed} MB/s {end}");
    }
}
