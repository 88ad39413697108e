//! Standard output and standard error that can stop nothing.
//!
//! Whoever reads them may be slow, gone, or never read at all. So a thread of its own writes to
//! each, from a queue with a bound; what does not fit is dropped. An error of a write stops no
//! server: that of standard output is noted on standard error, and that of standard error has no
//! reader. The thread is started with the first line.
//!
//! What somebody asked for is another matter ([`answer`]): a table that could not be written is a
//! run that failed.
//!
//! A program that is forked must have no other thread, and the system may give none. There each text
//! is written by whoever has it, but only when the system says that there is room, and otherwise
//! dropped.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::terminal;

/// Pieces of text that may wait for one reader.
const QUEUE: usize = 256;
/// The longest line of a log.
const MAX_LINE: usize = 1_024;
/// Lines of a log that may come at once, and how many more each second.
const BURST: u32 = 200;
const LINES_PER_SECOND: u32 = 50;
/// How long the end of the program waits for a reader.
const LAST_WAIT: Duration = Duration::from_millis(200);

static DIRECTLY: AtomicBool = AtomicBool::new(false);

/// From now on no thread writes. Comes before the first text, or has no effect on those who wrote.
#[cfg(unix)]
pub(crate) fn write_directly() {
    DIRECTLY.store(true, Ordering::Release);
}

#[cfg(not(unix))]
pub(crate) fn write_directly() {}

/// Writes `text`, which may be any bytes, to standard output, some time soon.
pub(crate) fn print(text: Vec<u8>) {
    static STDOUT: OnceLock<Option<Queue>> = OnceLock::new();
    match queue(&STDOUT, io::stdout, note_unwritten) {
        Some(queue) => drop(queue.put(text)),
        None => {
            if let Err(error) = write_what_fits(io::stdout(), &text) {
                note_unwritten(&error);
            }
        }
    }
}

fn print_error(text: Vec<u8>) -> bool {
    static STDERR: OnceLock<Option<Queue>> = OnceLock::new();
    match queue(&STDERR, io::stderr, |_| {}) {
        Some(queue) => queue.put(text),
        None => write_what_fits(io::stderr(), &text).unwrap_or(false),
    }
}

/// What a server prints could not be written, and it serves on. A reader that is gone wants nothing.
fn note_unwritten(error: &io::Error) {
    if error.kind() != io::ErrorKind::BrokenPipe {
        note(&format!("warning: {}", unwritten(error)));
    }
}

fn unwritten(error: &io::Error) -> String {
    format!("cannot write to standard output: {error}")
}

/// The way to a thread that writes; none when nothing is to have one, or the system gives none.
fn queue<W: Write + Send + 'static>(
    made: &'static OnceLock<Option<Queue>>,
    out: impl FnOnce() -> W,
    failed: impl Fn(&io::Error) + Send + 'static,
) -> Option<&'static Queue> {
    if DIRECTLY.load(Ordering::Acquire) {
        return None;
    }
    made.get_or_init(|| Queue::start(out(), failed)).as_ref()
}

/// Writes without waiting; says whether there was room for all of it.
#[cfg(unix)]
fn write_what_fits(out: impl std::os::fd::AsFd, text: &[u8]) -> io::Result<bool> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    // So much is written whole or not at all, wherever there is room.
    for piece in text.chunks(libc::PIPE_BUF) {
        let mut asked = [PollFd::new(out.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut asked, PollTimeout::ZERO) {
            Ok(1..) => {}
            // A reader that is slow, or a signal, after which the next line may have more luck.
            Ok(_) | Err(_) => return Ok(false),
        }
        nix::unistd::write(out.as_fd(), piece)?;
    }
    Ok(true)
}

#[cfg(not(unix))]
fn write_what_fits(_out: impl Write, _text: &[u8]) -> io::Result<bool> {
    Ok(false)
}

/// Waits shortly until everything is written, as far as anybody reads.
pub(crate) fn flush() {
    let end = Instant::now() + LAST_WAIT;
    while UNWRITTEN.load(Ordering::Acquire) > 0 && Instant::now() < end {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Pieces of text that were taken and are not written yet.
static UNWRITTEN: AtomicUsize = AtomicUsize::new(0);

struct Queue(SyncSender<Vec<u8>>);

impl Queue {
    fn start(
        mut out: impl Write + Send + 'static,
        failed: impl Fn(&io::Error) + Send + 'static,
    ) -> Option<Queue> {
        let (sender, texts) = sync_channel::<Vec<u8>>(QUEUE);
        let writer = thread::Builder::new().name("console".into());
        let started = writer.spawn(move || {
            for text in texts {
                if let Err(error) = out.write_all(&text).and_then(|()| out.flush()) {
                    failed(&error);
                }
                UNWRITTEN.fetch_sub(1, Ordering::AcqRel);
            }
        });
        started.is_ok().then_some(Queue(sender))
    }

    /// Whether there was room.
    fn put(&self, text: Vec<u8>) -> bool {
        UNWRITTEN.fetch_add(1, Ordering::AcqRel);
        match self.0.try_send(text) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                UNWRITTEN.fetch_sub(1, Ordering::AcqRel);
                false
            }
        }
    }
}

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

/// What is said before the program ends without having served.
#[derive(Debug)]
pub(crate) struct LastWords {
    text: String,
    code: u8,
    /// It was asked for, like `--help`.
    is_answer: bool,
}

impl LastWords {
    pub(crate) fn of_clap(error: &clap::Error) -> LastWords {
        let is_answer = !error.use_stderr();
        let columns = if is_answer {
            terminal::columns(io::stdout())
        } else {
            terminal::columns(io::stderr())
        };
        let columns = columns.unwrap_or(usize::MAX);
        // The text has its color taken out. Clap breaks its lines, but for the usage.
        let text = error.render().to_string();
        let lines = text.lines().map(|line| format!("{}\n", terminal::wrap(line, columns)));
        LastWords {
            text: lines.collect(),
            code: u8::try_from(error.exit_code()).unwrap_or(2),
            is_answer,
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }
}

pub(crate) fn end_with(words: &LastWords) -> ExitCode {
    let code = ExitCode::from(words.code());
    if words.is_answer {
        return answer(words.text()).err().unwrap_or(code);
    }
    print_error(words.text().into());
    code
}

/// What a shell shows of a program that died of SIGPIPE, which is 13 everywhere.
const READER_GONE: u8 = 128 + 13;

/// Writes to standard output what somebody asked for, and waits as long as a pager takes to read it.
///
/// # Errors
/// With which code to exit when it could not be written, which was said then. A reader that went
/// (`| head -1`) has read enough, so nothing is said to it.
pub(crate) fn answer(text: &str) -> Result<(), ExitCode> {
    match crate::connect::write_all(&mut io::stdout().lock(), text.as_bytes()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ExitCode::from(READER_GONE)),
        Err(error) => {
            complain(&io::Error::other(unwritten(&error)));
            Err(ExitCode::FAILURE)
        }
    }
}

/// Why nothing could be served.
pub(crate) fn complain(error: &io::Error) {
    note(&format!("error: {error}"));
}

/// Something for the person at the terminal.
pub(crate) fn note(text: &str) {
    let columns = terminal::columns(io::stderr()).unwrap_or(usize::MAX);
    let lines = text.lines().map(|line| format!("{}\n", terminal::wrap(line, columns)));
    print_error(lines.collect::<String>().into_bytes());
}

#[cfg(test)]
mod tests {
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
