//! The blocking socket of one connection, with the time limits of its reads and writes.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::net::{LentSocket, StopToken, Waited, send_nonblocking, wait_writable};

/// The time limits of a request, from its [`Workers`](super::Workers).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// The limit of one read or one write.
    pub(super) timeout: Option<Duration>,
    /// The limit of all of them together.
    pub(super) deadline: Option<Instant>,
}

/// A socket in blocking mode, with [`Limits`].
///
/// `SO_SNDTIMEO` and `SO_RCVTIMEO` start again with each part of a write that the kernel accepts, and
/// with each signal. So the deadline of a read or a write is computed once, when it begins, and each
/// system call gets the time left. A read that a shutdown ends polls its socket and the stop token. A
/// write polls its socket, and looks now and then whether the loop has aborted the connection.
pub(super) struct BlockingSocket {
    socket: Arc<LentSocket>,
    limits: Limits,
    /// Ends the reads at a shutdown; `None` if a shutdown does not end them.
    stop: Option<Stop>,
    /// The timeouts that the socket has now, to save the system call that would set them again.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

/// Lets a read return the input that arrived before a shutdown, and then EOF.
pub(super) struct Stop {
    token: Arc<StopToken>,
    /// When the loop detached the connection; `None` after the first read or write.
    unmoved_since: Option<Instant>,
    /// The bytes that may still be read; `None` until a read has found the shutdown.
    left: Option<usize>,
    /// When the connection last made progress; set when the shutdown ended a read that got no input.
    silent_since: Option<Instant>,
}

/// The bytes that may be read after a shutdown has begun, unless the receive buffer is larger. The input
/// lies in that buffer, or in the send buffer of a Unix peer, and FIONREAD, its exact length, needs
/// `unsafe`. The bound keeps a peer that never stops sending from delaying the shutdown.
const MAX_READ_AFTER_STOP: usize = 1 << 20;

/// The size of one blocking write where no call waits for capacity, much less than a send buffer, so that
/// it waits at most once. A larger write to a Unix socket may wait once for each part of its buffer size.
const PIECE: usize = if cfg!(unix) { 2 << 10 } else { 64 << 10 };

/// How long a write waits at most before it looks whether the connection was aborted. Nothing that wakes a
/// write would leave the peer without a FIN: shutdown(2) of the sending direction sends one.
const ABORT_CHECK: Duration = Duration::from_millis(100);

/// The shortest socket timeout: kernels round to at least this, and zero means no timeout.
const SHORTEST: Duration = Duration::from_millis(1);

impl BlockingSocket {
    pub(super) fn new(
        socket: Arc<LentSocket>,
        limits: Limits,
        stop: Option<Stop>,
    ) -> io::Result<BlockingSocket> {
        let deadline = limits.deadline;
        let mut socket = BlockingSocket {
            socket,
            limits: Limits { timeout: None, deadline },
            stop,
            read_timeout: None,
            write_timeout: None,
        };
        if limits.timeout.is_some() {
            socket.set_timeout(limits.timeout)?;
        }
        Ok(socket)
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.token.is_requested())
    }

    /// When the connection last made progress; `None` unless a shutdown ended its last read.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        self.stop.as_ref().and_then(|stop| stop.silent_since)
    }

    /// Sets the timeout of the socket at once, for a caller that reads and writes it directly.
    pub(super) fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| timeout.max(SHORTEST));
        self.limits.timeout = timeout;
        self.read_timeout = timeout;
        self.write_timeout = timeout;
        self.socket.set_read_timeout(timeout)?;
        self.socket.set_write_timeout(timeout)
    }

    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.limits.deadline = deadline;
        // The socket may still have a shorter timeout, from the time left to the previous deadline.
        self.set_timeout(self.limits.timeout)
    }

    /// Sets the read timeout of the socket to `left`, unless it has that value.
    fn limit_read(&mut self, left: Option<Duration>) -> io::Result<()> {
        if self.read_timeout != left {
            self.socket.set_read_timeout(left)?;
            self.read_timeout = left;
        }
        Ok(())
    }

    fn limit_write(&mut self, left: Option<Duration>) -> io::Result<()> {
        if self.write_timeout != left {
            self.socket.set_write_timeout(left)?;
            self.write_timeout = left;
        }
        Ok(())
    }

    /// Writes all of `bytes` within the time of `span`.
    fn write_within(&mut self, mut bytes: &[u8], span: Span) -> io::Result<()> {
        let mut left = span.whole()?;
        self.socket.count_sent(bytes.len());
        loop {
            self.check_aborted()?;
            let longest = left.map_or(ABORT_CHECK, |left| left.min(ABORT_CHECK));
            match self.send_some(bytes, longest) {
                Ok(n) => {
                    self.socket.count_out(n);
                    bytes = bytes.get(n..).unwrap_or_default();
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
            if bytes.is_empty() {
                return Ok(());
            }
            left = span.left().map_err(|_| span.timed_out(PEER_DOES_NOT_READ))?;
        }
    }

    /// Sends what the send buffer has capacity for, or else waits for capacity, at most for `longest`.
    fn send_some(&mut self, bytes: &[u8], longest: Duration) -> io::Result<usize> {
        match send_nonblocking(&self.socket, bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return sent,
        }
        if StopToken::WAITS {
            return wait_writable(&self.socket, longest).map(|()| 0);
        }
        self.limit_write(Some(longest))?;
        let sent = (&**self.socket).write(bytes.get(..PIECE).unwrap_or(bytes));
        self.limit_write(self.limits.timeout)?;
        sent
    }

    fn check_aborted(&self) -> io::Result<()> {
        if self.socket.is_aborted() {
            let what = "the server has aborted the connection";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, what));
        }
        Ok(())
    }

    /// What a read returned: an error if the EOF is that of an abort.
    fn note_read(&self, n: usize) -> io::Result<usize> {
        if n == 0 {
            self.check_aborted()?;
        }
        self.socket.count_in(n);
        Ok(n)
    }
}

/// Whether the same call may succeed later.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

impl Stop {
    pub(super) fn new(token: Arc<StopToken>, detached_at: Instant) -> Stop {
        Stop { token, unmoved_since: Some(detached_at), left: None, silent_since: None }
    }

    /// Waits until the socket is readable, and returns how much the caller may read; 0 means EOF.
    fn wait(&mut self, socket: &Socket, span: Span) -> io::Result<usize> {
        let mut longest = span.whole()?;
        if self.left == Some(0) {
            return Ok(0);
        }
        loop {
            match self.token.wait(socket, longest) {
                Ok(Waited { input: true, stop: false }) => return Ok(usize::MAX),
                Ok(Waited { input: true, stop: true }) => return Ok(self.input_left(socket)),
                Ok(Waited { input: false, stop: true }) => {
                    self.left = Some(0);
                    self.silent_since = Some(self.unmoved_since.unwrap_or(span.began));
                    return Ok(0);
                }
                Ok(Waited { input: false, stop: false }) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            longest = span.left().map_err(|_| span.timed_out(PEER_SILENT))?;
        }
    }

    /// The bytes that may still be read after a shutdown has begun.
    fn input_left(&mut self, socket: &Socket) -> usize {
        let room = || socket.recv_buffer_size().unwrap_or_default().max(MAX_READ_AFTER_STOP);
        *self.left.get_or_insert_with(room)
    }

    fn note_read(&mut self, n: usize) {
        self.note_moved();
        self.left = self.left.map(|left| left.saturating_sub(n));
    }

    fn note_moved(&mut self) {
        (self.unmoved_since, self.silent_since) = (None, None);
    }
}

const PEER_SILENT: &str = "read timed out: the peer sent nothing";

const PEER_DOES_NOT_READ: &str = "write timed out: the peer did not read";

impl BlockingSocket {
    /// Blocks in the system call, which only input, EOF or the timeout ends.
    fn read_without_stop(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let span = Span::begin(self.limits);
        let mut left = span.whole()?;
        loop {
            self.limit_read(left)?;
            match (&**self.socket).read(buffer) {
                // signal(7): with SO_RCVTIMEO, a handled signal interrupts recv even with SA_RESTART.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => left = span.left()?,
                read => return read.map_err(|error| span.map_timeout(error, PEER_SILENT)),
            }
        }
    }
}

impl Read for BlockingSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(stop) = self.stop.as_mut().filter(|_| StopToken::WAITS) else {
            let n = self.read_without_stop(buffer)?;
            return self.note_read(n);
        };
        let span = Span::begin(self.limits);
        let max = stop.wait(&self.socket, span)?.min(buffer.len());
        if max == 0 {
            return self.note_read(0);
        }
        let piece = buffer.get_mut(..max).unwrap_or_default();
        // The socket is readable, so this does not block, unless the handler read it directly.
        let read = retry_interrupted(|| (&**self.socket).read(piece));
        let n = read.map_err(|error| span.map_timeout(error, PEER_SILENT))?;
        stop.note_read(n);
        self.note_read(n)
    }
}

/// Writes all of its argument or fails.
impl Write for BlockingSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(stop) = &mut self.stop {
            stop.note_moved();
        }
        self.write_within(bytes, Span::begin(self.limits))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One read or write, and when it began.
#[derive(Clone, Copy)]
struct Span {
    limits: Limits,
    began: Instant,
}

impl Span {
    fn begin(limits: Limits) -> Span {
        Span { limits, began: Instant::now() }
    }

    /// The time that it has from its beginning; `None` without a limit.
    fn whole(self) -> io::Result<Option<Duration>> {
        self.left_at(self.began)
    }

    /// The time left now; `None` without a limit, `TimedOut` when none is left.
    fn left(self) -> io::Result<Option<Duration>> {
        self.left_at(Instant::now())
    }

    fn left_at(self, now: Instant) -> io::Result<Option<Duration>> {
        let spent = now.saturating_duration_since(self.began);
        let of_this = self.limits.timeout.map(|timeout| timeout.saturating_sub(spent));
        let of_all = self.limits.deadline.map(|end| end.saturating_duration_since(now));
        match (of_this, of_all) {
            (_, Some(Duration::ZERO)) => Err(late()),
            (Some(Duration::ZERO), _) => {
                let what = "the timeout of the read or write has expired";
                Err(io::Error::new(io::ErrorKind::TimedOut, what))
            }
            (Some(this), Some(all)) => Ok(Some(this.min(all).max(SHORTEST))),
            (this, all) => Ok(this.or(all).map(|left| left.max(SHORTEST))),
        }
    }

    /// Maps the `WouldBlock` that a socket timeout gives to `TimedOut`, as the handler expects it.
    fn map_timeout(self, error: io::Error, what: &str) -> io::Error {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut if self.is_late() => late(),
            io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, what),
            _ => error,
        }
    }

    /// The error of a timeout that this module detected itself.
    fn timed_out(self, what: &str) -> io::Error {
        self.map_timeout(io::ErrorKind::WouldBlock.into(), what)
    }

    /// Whether the deadline is what has expired. The timeout of a socket is in whole microseconds, so it
    /// may end a call a moment before the deadline that it was set for.
    fn is_late(self) -> bool {
        let end = self.limits.timeout.and_then(|timeout| self.began.checked_add(timeout));
        self.limits.deadline.is_some_and(|deadline| {
            Instant::now() >= deadline || end.is_none_or(|end| deadline <= end)
        })
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the deadline of the request has passed")
}

/// Repeats `act` while a signal interrupts it.
fn retry_interrupted(mut act: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
