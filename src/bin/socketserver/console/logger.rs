//! The log, written to standard error one line at a time.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::{note, print_error};

/// The longest line of a log.
const MAX_LINE: usize = 1_024;
/// Lines of a log that may come at once, and how many more each second.
const BURST: u32 = 200;
const LINES_PER_SECOND: u32 = 50;

/// Sends the log to standard error; `RUST_LOG` says how much of it.
pub(crate) fn start_log() {
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into());
    let (wanted, faults) = log_filters(&wanted);
    let target = env_logger::Target::Pipe(Box::new(LogLines::default()));
    let started = env_logger::Builder::new()
        .parse_filters(&wanted)
        .target(target)
        .write_style(env_logger::WriteStyle::Never)
        .try_init();
    // It fails only if a log was started before.
    debug_assert!(started.is_ok());
    for fault in faults {
        note(&format!("warning: RUST_LOG: {fault}; ignored"));
    }
}

/// What of `RUST_LOG` can be used, and what is wrong with the rest. The logger itself would write
/// that to standard error, and panic where that is full.
fn log_filters(wanted: &str) -> (String, Vec<String>) {
    let (directives, text) = wanted.split_once('/').unwrap_or((wanted, ""));
    let (mut usable, mut faults) = (Vec::new(), Vec::new());
    for directive in directives.split(',') {
        match env_filter::Builder::new().try_parse(directive) {
            Ok(_) => usable.push(directive),
            Err(error) => faults.push(error.to_string()),
        }
    }
    let mut filters = if usable.is_empty() { "warn".into() } else { usable.join(",") };
    match env_filter::Builder::new().try_parse(&format!("/{text}")) {
        Ok(_) if !text.is_empty() => filters = format!("{filters}/{text}"),
        Ok(_) => {}
        Err(error) => faults.push(error.to_string()),
    }
    (filters, faults)
}

/// The log's way to standard error: bounded in rate and in the length of a line.
#[derive(Clone)]
struct LogLines(Arc<Mutex<Rate>>);

struct Rate {
    allowance: u32,
    counted_at: Instant,
    dropped: u64,
}

impl Default for LogLines {
    fn default() -> LogLines {
        LogLines(Arc::new(Mutex::new(Rate {
            allowance: BURST,
            counted_at: Instant::now(),
            dropped: 0,
        })))
    }
}

impl Rate {
    fn pass(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.counted_at).as_millis();
        let more =
            u32::try_from(since).unwrap_or(u32::MAX).saturating_mul(LINES_PER_SECOND) / 1_000;
        if more > 0 {
            self.allowance = self.allowance.saturating_add(more).min(BURST);
            self.counted_at = now;
        }
        let passes = self.allowance > 0;
        self.allowance = self.allowance.saturating_sub(1);
        self.dropped += u64::from(!passes);
        passes
    }
}

/// The logger hands over one whole record at a time.
impl Write for LogLines {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let mut rate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rate.pass(Instant::now()) {
            let mut text = Vec::new();
            if rate.dropped > 0 {
                text.extend(
                    format!("({} lines of this log were left out)\n", rate.dropped).bytes(),
                );
            }
            text.extend(cut(record));
            if print_error(text) {
                rate.dropped = 0;
            } else {
                rate.dropped += 1;
            }
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One line of bounded length that a terminal takes for nothing but text.
fn cut(record: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(record);
    let text = text.trim_end_matches('\n');
    let mut line: String =
        text.chars().take(MAX_LINE).map(|c| if c.is_control() { '?' } else { c }).collect();
    if line.len() < text.len() {
        line.push('…');
    }
    line.push('\n');
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_lines_is_bounded_and_counted() {
        let start = Instant::now();
        let mut rate = Rate { allowance: BURST, counted_at: start, dropped: 0 };
        let passed = (0..10_000).filter(|_| rate.pass(start)).count();
        assert_eq!((passed, rate.dropped), (BURST as usize, 10_000 - u64::from(BURST)));
        let later = start + Duration::from_secs(1);
        let passed = (0..10_000).filter(|_| rate.pass(later)).count();
        assert_eq!(passed, LINES_PER_SECOND as usize);
    }

    #[test]
    fn of_the_filters_of_the_log_those_that_mean_something_are_kept() {
        let usable = |wanted: &str| {
            let (usable, faults) = log_filters(wanted);
            (usable, faults.len())
        };
        assert_eq!(usable("debug"), ("debug".into(), 0));
        assert_eq!(usable("a=b=c"), ("warn".into(), 1));
        assert_eq!(usable("a=b=c,mio=trace,info"), ("mio=trace,info".into(), 1));
        assert_eq!(usable("mio=loud,warn/text"), ("warn/text".into(), 1));
        assert_eq!(usable("warn/one/two"), ("warn".into(), 1));
    }

    #[test]
    fn a_line_of_the_log_is_short_and_only_text() {
        assert_eq!(cut(b"a\x1B[31mb\nc\n"), b"a?[31mb?c\n");
        assert!(cut(&[b'x'; 100_000]).len() < MAX_LINE + 8);
    }
}
