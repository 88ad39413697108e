//! Standard output and standard error that can stop nothing.
//!
//! Whoever reads them may be slow, gone, or never read at all. So a thread of its own writes to
//! each, from a queue with a bound; what does not fit is dropped, and an error of a write is
//! nobody's trouble. The thread is started with the first line.
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

/// Writes `text` to standard output, some time soon.
pub(crate) fn print(text: String) {
    static STDOUT: OnceLock<Option<Queue>> = OnceLock::new();
    match queue(&STDOUT, io::stdout) {
        Some(queue) => queue.put(text.into_bytes()),
        None => write_what_fits(io::stdout(), text.as_bytes()),
    };
}

fn print_error(text: Vec<u8>) -> bool {
    static STDERR: OnceLock<Option<Queue>> = OnceLock::new();
    match queue(&STDERR, io::stderr) {
        Some(queue) => queue.put(text),
        None => write_what_fits(io::stderr(), &text),
    }
}

/// The way to a thread that writes; none when nothing is to have one, or the system gives none.
fn queue<W: Write + Send + 'static>(
    made: &'static OnceLock<Option<Queue>>,
    out: impl FnOnce() -> W,
) -> Option<&'static Queue> {
    if DIRECTLY.load(Ordering::Acquire) {
        return None;
    }
    made.get_or_init(|| Queue::start(out())).as_ref()
}

/// Writes without waiting; says whether there was room for all of it.
#[cfg(unix)]
fn write_what_fits(out: impl std::os::fd::AsFd, text: &[u8]) -> bool {
    use nix::errno::Errno;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    // So much is written whole or not at all, wherever there is room.
    text.chunks(libc::PIPE_BUF).all(|piece| {
        let mut asked = [PollFd::new(out.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut asked, PollTimeout::ZERO) {
            Ok(1..) => {}
            // A reader that is slow, or a signal, after which the next line may have more luck.
            Ok(_) | Err(_) => return false,
        }
        // Nobody reads any more: as good as written.
        matches!(nix::unistd::write(out.as_fd(), piece), Ok(_) | Err(Errno::EPIPE))
    })
}

#[cfg(not(unix))]
fn write_what_fits(_out: impl Write, _text: &[u8]) -> bool {
    false
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
    fn start(mut out: impl Write + Send + 'static) -> Option<Queue> {
        let (sender, texts) = sync_channel::<Vec<u8>>(QUEUE);
        let writer = thread::Builder::new().name("console".into());
        let started = writer.spawn(move || {
            for text in texts {
                let _ = out.write_all(&text).and_then(|()| out.flush());
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
    let env = env_logger::Env::default().default_filter_or("warn");
    let target = env_logger::Target::Pipe(Box::new(LogLines::default()));
    let started = env_logger::Builder::from_env(env)
        .target(target)
        .write_style(env_logger::WriteStyle::Never)
        .try_init();
    // It fails only if a log was started before.
    debug_assert!(started.is_ok());
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
        LastWords {
            text: error.render().to_string(),
            code: u8::try_from(error.exit_code()).unwrap_or(2),
            is_answer: !error.use_stderr(),
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
    if words.is_answer {
        // Somebody asked, so somebody reads; a pager may take its time.
        let _ = io::stdout().write_all(words.text().as_bytes());
    } else {
        print_error(words.text().into());
    }
    ExitCode::from(words.code())
}

/// Writes to standard output what somebody asked for and waits until it is read, as a pager may.
pub(crate) fn answer(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

/// Why nothing could be served.
pub(crate) fn complain(error: &io::Error) {
    print_error(format!("error: {error}\n").into_bytes());
}

/// Something for the person at the terminal.
pub(crate) fn note(text: &str) {
    print_error(format!("{text}\n").into_bytes());
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
    fn a_line_of_the_log_is_short_and_only_text() {
        assert_eq!(cut(b"a\x1B[31mb\nc\n"), b"a?[31mb?c\n");
        assert!(cut(&[b'x'; 100_000]).len() < MAX_LINE + 8);
    }
}
