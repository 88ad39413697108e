//! A standard stream that is written without ever waiting for its reader, and without a thread.
//!
//! On Linux a pipe or a terminal is opened once more through `/proc`, as a description of our own that does
//! not block; `O_NONBLOCK` on the inherited one would change it for the shell as well. Where that cannot be
//! done, and for files and sockets, `poll(2)` is asked for room before each piece of at most `PIPE_BUF`
//! bytes. A write may then wait after all: when another program fills the same pipe in between, and when
//! a terminal is stopped (Ctrl-S) on a system other than Linux.
//!
//! What finds no room is written by the loop that watches the stream ([`watch`]), together with the next
//! text, or at the end of the program ([`Standard::flush`]).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socketserver::Server;
use socketserver::mio::event::Source;
use socketserver::mio::unix::SourceFd;
use socketserver::mio::{Interest, Registry, Token};

/// Texts that may wait for one reader.
const QUEUE: usize = 256;

/// One of the two that are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Standard {
    Output,
    Error,
}

static OUTPUT: Mutex<WaitingTexts> = Mutex::new(WaitingTexts::new());
static ERROR: Mutex<WaitingTexts> = Mutex::new(WaitingTexts::new());

impl Standard {
    /// Writes as much of `text` as there is room for, and keeps the rest. Says whether it fits into
    /// what may wait; else it is dropped.
    ///
    /// # Errors
    /// That of a write; what it was about is dropped.
    pub(super) fn put(self, text: Vec<u8>) -> io::Result<bool> {
        let mut stream = self.lock();
        let before = stream.write_waiting(self);
        if stream.waiting.len() >= QUEUE {
            return before.map(|()| false);
        }
        stream.waiting.push_back(text);
        before.and(stream.write_waiting(self)).map(|()| true)
    }

    /// Writes what waits, for which there may be room now.
    fn drain(self) -> io::Result<()> {
        self.lock().write_waiting(self)
    }

    /// Waits until `end` for room for everything that waits.
    pub(super) fn flush(self, end: Instant) -> io::Result<()> {
        let mut stream = self.lock();
        loop {
            stream.write_waiting(self)?;
            let left = end.saturating_duration_since(Instant::now());
            if stream.waiting.is_empty() || left.is_zero() {
                return Ok(());
            }
            stream.sink(self).wait_for_room(left);
        }
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(self) -> MutexGuard<'static, WaitingTexts> {
        let stream = match self {
            Standard::Output => &OUTPUT,
            Standard::Error => &ERROR,
        };
        stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the loop write what waits when there is room. What cannot be watched, as a file, always has room.
pub(super) fn watch<S: 'static>(
    server: &mut Server<S>,
    standard: Standard,
    failed: impl Fn(io::Error) + 'static,
) {
    let fd = standard.lock().sink(standard).as_fd().as_raw_fd();
    let _ = server.watch(Watched(fd), Interest::WRITABLE, move |_, _, _| {
        if let Err(error) = standard.drain() {
            failed(error);
        }
        Ok(())
    });
}

struct WaitingTexts {
    /// Made for the first text.
    sink: Option<Sink>,
    waiting: VecDeque<Vec<u8>>,
}

impl WaitingTexts {
    const fn new() -> WaitingTexts {
        WaitingTexts { sink: None, waiting: VecDeque::new() }
    }

    fn sink(&mut self, standard: Standard) -> &Sink {
        self.sink.get_or_insert_with(|| Sink::open(standard))
    }

    /// Writes until nothing waits, or there is no room. Gives the first error.
    fn write_waiting(&mut self, standard: Standard) -> io::Result<()> {
        let sink = self.sink.get_or_insert_with(|| Sink::open(standard));
        let mut outcome = Ok(());
        while let Some(text) = self.waiting.front_mut() {
            match sink.write(text) {
                Ok(n) if (1..text.len()).contains(&n) => drop(text.drain(..n)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                written => {
                    self.waiting.pop_front();
                    outcome = outcome.and(written.map(drop));
                }
            }
        }
        outcome
    }
}

/// Where the bytes go.
enum Sink {
    /// A description of our own, which does not block.
    Own(File),
    Output(io::Stdout),
    Error(io::Stderr),
}

impl Sink {
    fn open(standard: Standard) -> Sink {
        let inherited = match standard {
            Standard::Output => Sink::Output(io::stdout()),
            Standard::Error => Sink::Error(io::stderr()),
        };
        reopened(inherited.as_fd()).map_or(inherited, Sink::Own)
    }

    /// How much of `text` there was room for.
    fn write(&self, text: &[u8]) -> io::Result<usize> {
        let mut piece = text;
        if !matches!(self, Sink::Own(_)) {
            if !self.wait_for_room(Duration::ZERO) {
                return Err(ErrorKind::WouldBlock.into());
            }
            piece = text.get(..libc::PIPE_BUF).unwrap_or(text);
        }
        Ok(nix::unistd::write(self.as_fd(), piece)?)
    }

    /// Says whether there is room; an error is room too, since a write tells of it.
    fn wait_for_room(&self, time: Duration) -> bool {
        let mut asked = [PollFd::new(self.as_fd(), PollFlags::POLLOUT)];
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        poll(&mut asked, time).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Sink::Own(file) => file.as_fd(),
            Sink::Output(stdout) => stdout.as_fd(),
            Sink::Error(stderr) => stderr.as_fd(),
        }
    }
}

/// A pipe or a terminal, opened once more; a file would be written from its beginning.
#[cfg(target_os = "linux")]
fn reopened(inherited: BorrowedFd<'_>) -> Option<File> {
    use std::io::IsTerminal;
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

    let path = format!("/proc/self/fd/{}", inherited.as_raw_fd());
    let is_pipe = || std::fs::metadata(&path).is_ok_and(|of| of.file_type().is_fifo());
    if !inherited.is_terminal() && !is_pipe() {
        return None;
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    std::fs::OpenOptions::new().write(true).custom_flags(flags).open(&path).ok()
}

/// Elsewhere what `/dev/fd` has is the same description.
#[cfg(not(target_os = "linux"))]
fn reopened(_inherited: BorrowedFd<'_>) -> Option<File> {
    None
}

/// A descriptor that stays open to the end of the program.
struct Watched(RawFd);

impl Source for Watched {
    fn register(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0).register(to, token, interests)
    }

    fn reregister(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0).reregister(to, token, interests)
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        SourceFd(&self.0).deregister(from)
    }
}
