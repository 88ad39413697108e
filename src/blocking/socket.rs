//! The blocking socket of one connection, and how long its reads and writes may take.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::net::{StopToken, Waited, send_nonblocking};

/// How long a request may take, as its [`Workers`](super::Workers) says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// For one read or one write.
    pub(super) timeout: Option<Duration>,
    /// For all of them.
    pub(super) deadline: Option<Instant>,
}

/// The blocking socket, whose timeouts are called so.
///
/// A system's own timeout begins anew with each piece that a peer takes of a write, or with each
/// signal; so the end of a read or a write is fixed when it begins, and the system is given what is
/// left. A read that is to end with the server waits for its socket and for that stop together.
pub(super) struct BlockingSocket {
    socket: Arc<Socket>,
    limits: Limits,
    /// What ends the reads besides the peer, if anything does.
    stop: Option<Stop>,
    /// What the system was told last, so that it is told only what is new.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

/// What a stop of the server is to a connection: what has come in is still read, and behind it lies
/// the end.
pub(super) struct Stop {
    token: Arc<StopToken>,
    /// When the connection left the loop, until the first byte moves.
    unmoved_since: Option<Instant>,
    /// How much is still read, once a read has met the stop.
    left: Option<usize>,
    /// Since when no byte has moved, once the stop was all that a read has met.
    silent_since: Option<Instant>,
}

/// How much is still read at a stop, unless the buffer of the socket is larger. What had come in lies in
/// that buffer, or in that of a Unix peer, and its exact length cannot be asked without `unsafe`. With
/// this bound a peer that never stops sending holds up no stop.
const MAX_READ_AFTER_STOP: usize = 1 << 20;

/// Much less than any socket's buffer, so that a write of it waits at most once: on a Unix socket
/// each part of the size of its buffer may wait anew.
const PIECE: usize = if cfg!(unix) { 2 << 10 } else { 64 << 10 };

/// Systems count timeouts in larger steps than these, and take nothing for "for ever".
const SHORTEST: Duration = Duration::from_millis(1);

impl BlockingSocket {
    pub(super) fn new(
        socket: Arc<Socket>,
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

    /// Since when no byte has moved, if it was the stop that has ended the last read.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        self.stop.as_ref().and_then(|stop| stop.silent_since)
    }

    /// Told at once, for who uses the socket itself.
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
        // What is left before the one that held until now is no limit any more.
        self.set_timeout(self.limits.timeout)
    }

    /// Sees to it that a read waits for so long at most.
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

    /// As much as there is room for leaves at once; only a small piece waits for more of it.
    fn write_within(&mut self, mut bytes: &[u8], span: Span) -> io::Result<()> {
        loop {
            bytes = match retry_interrupted(|| send_nonblocking(&self.socket, bytes)) {
                Ok(n) => bytes.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => bytes,
                Err(error) => return Err(error),
            };
            if bytes.is_empty() {
                return Ok(());
            }
            self.limit_write(span.left()?)?;
            let piece = bytes.get(..PIECE).unwrap_or(bytes);
            bytes = match (&*self.socket).write(piece) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => bytes,
                Err(error) => return Err(span.map_timeout(error, "the peer read nothing in time")),
            };
        }
    }
}

impl Stop {
    pub(super) fn new(token: Arc<StopToken>, detached_at: Instant) -> Stop {
        Stop { token, unmoved_since: Some(detached_at), left: None, silent_since: None }
    }

    /// Waits for something to read, and says how much of it is.
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

    /// How much may be there that came in before the stop.
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

const PEER_SILENT: &str = "the peer sent nothing in time";

impl BlockingSocket {
    /// The system itself waits, which nothing but the end of the socket then ends.
    fn read_without_stop(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let span = Span::begin(self.limits);
        let mut left = span.whole()?;
        loop {
            self.limit_read(left)?;
            match (&*self.socket).read(buffer) {
                // A socket with a timeout is interrupted by every signal that the program handles.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => left = span.left()?,
                read => return read.map_err(|error| span.map_timeout(error, PEER_SILENT)),
            }
        }
    }
}

impl Read for BlockingSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(stop) = self.stop.as_mut().filter(|_| StopToken::WAITS) else {
            return self.read_without_stop(buffer);
        };
        let span = Span::begin(self.limits);
        let max = stop.wait(&self.socket, span)?.min(buffer.len());
        if max == 0 {
            return Ok(0);
        }
        let piece = buffer.get_mut(..max).unwrap_or_default();
        // It does not wait, unless somebody else has taken what there was.
        let read = retry_interrupted(|| (&*self.socket).read(piece));
        let n = read.map_err(|error| span.map_timeout(error, PEER_SILENT))?;
        stop.note_read(n);
        Ok(n)
    }
}

/// Each write is whole, or an error.
impl Write for BlockingSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(stop) = &mut self.stop {
            stop.note_moved();
        }
        let span = Span::begin(self.limits);
        if span.whole()?.is_some() {
            self.write_within(bytes, span)?;
            return Ok(bytes.len());
        }
        self.limit_write(None)?;
        let what = "the peer read nothing in time";
        (&*self.socket).write_all(bytes).map_err(|error| span.map_timeout(error, what))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The time that one read or one write has.
#[derive(Clone, Copy)]
struct Span {
    limits: Limits,
    began: Instant,
}

impl Span {
    fn begin(limits: Limits) -> Span {
        Span { limits, began: Instant::now() }
    }

    /// All of it.
    fn whole(self) -> io::Result<Option<Duration>> {
        self.left_at(self.began)
    }

    /// What is left of it now.
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
                let what = "the time of one read or one write is over";
                Err(io::Error::new(io::ErrorKind::TimedOut, what))
            }
            (Some(this), Some(all)) => Ok(Some(this.min(all).max(SHORTEST))),
            (this, all) => Ok(this.or(all).map(|left| left.max(SHORTEST))),
        }
    }

    /// Systems call a timeout `WouldBlock`, which a blocking handler could make nothing of.
    fn map_timeout(self, error: io::Error, what: &str) -> io::Error {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut if self.is_late() => late(),
            io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, what),
            _ => error,
        }
    }

    /// What a wait came to that was ours.
    fn timed_out(self, what: &str) -> io::Error {
        self.map_timeout(io::ErrorKind::WouldBlock.into(), what)
    }

    fn is_late(self) -> bool {
        self.limits.deadline.is_some_and(|end| Instant::now() >= end)
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the deadline of the request has passed")
}

/// A signal that the program handles is no reason to stop.
fn retry_interrupted(mut act: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
