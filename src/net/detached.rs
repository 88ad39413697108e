//! A connected socket that a blocking handler uses, outside of the loop.

use std::io;
use std::net::Shutdown;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use socket2::Socket;

use super::StreamSocket;

/// The socket of a connection, in blocking mode and deregistered. Each user holds a reference; the
/// socket can be reattached once all others are dropped.
#[derive(Debug)]
pub(crate) struct DetachedSocket {
    socket: Arc<LentSocket>,
    is_unix: bool,
    /// A close was requested; it follows when the handler has ended.
    pub(crate) close_requested: bool,
}

/// What the loop and a blocking handler know together of one connection.
#[derive(Debug)]
pub(crate) struct LentSocket {
    socket: Socket,
    is_aborted: AtomicBool,
    bytes_in: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_out: AtomicU64,
}

/// The bytes of one connection while a blocking handler has it, as [`Stats`](crate::Stats) has them.
#[expect(clippy::struct_field_names, reason = "they are those of Stats")]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct ByteCounts {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_out: u64,
}

impl ByteCounts {
    /// Whether a write ended in the middle, so that the peer must not take what it got for whole.
    pub(crate) fn is_cut(self) -> bool {
        self.bytes_out < self.bytes_sent
    }
}

impl Deref for LentSocket {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.socket
    }
}

impl LentSocket {
    pub(crate) fn new(socket: Socket) -> LentSocket {
        LentSocket {
            socket,
            is_aborted: AtomicBool::new(false),
            bytes_in: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        }
    }

    /// Makes the close of the last reference send a reset, fails later reads and writes of the
    /// handler, and wakes a read that blocks. The sending direction is not shut down, unless nothing
    /// was sent: that would send a FIN, and what was sent so far would look whole.
    pub(crate) fn abort(&self) {
        self.is_aborted.store(true, Ordering::Release);
        self.reset_on_close();
        let is_in_answer = self.counts().bytes_sent > 0;
        // It fails when the peer has closed the connection already.
        let _ = self.socket.shutdown(if is_in_answer { Shutdown::Read } else { Shutdown::Both });
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::Acquire)
    }

    /// A Unix stream has no reset: its peer reads what was sent and then EOF.
    pub(crate) fn reset_on_close(&self) {
        // It fails when the connection is closed already.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }

    pub(crate) fn count_in(&self, n: usize) {
        self.bytes_in.fetch_add(n as u64, Ordering::Relaxed);
    }

    /// Called before the bytes are written, so that what left is never more than what was sent.
    pub(crate) fn count_sent(&self, n: usize) {
        self.bytes_sent.fetch_add(n as u64, Ordering::AcqRel);
    }

    pub(crate) fn count_out(&self, n: usize) {
        self.bytes_out.fetch_add(n as u64, Ordering::AcqRel);
    }

    /// Adds what another process has counted.
    #[cfg(all(unix, feature = "processes"))]
    pub(crate) fn add(&self, counts: ByteCounts) {
        self.bytes_in.fetch_add(counts.bytes_in, Ordering::Relaxed);
        self.bytes_sent.fetch_add(counts.bytes_sent, Ordering::AcqRel);
        self.bytes_out.fetch_add(counts.bytes_out, Ordering::AcqRel);
    }

    pub(crate) fn counts(&self) -> ByteCounts {
        // In this order: a write that goes on meanwhile counts as sent, and not only as out.
        let bytes_out = self.bytes_out.load(Ordering::Acquire);
        let bytes_sent = self.bytes_sent.load(Ordering::Acquire);
        ByteCounts { bytes_in: self.bytes_in.load(Ordering::Relaxed), bytes_sent, bytes_out }
    }
}

impl DetachedSocket {
    pub(crate) fn detach(socket: StreamSocket) -> io::Result<DetachedSocket> {
        match socket {
            StreamSocket::Unopened | StreamSocket::Detached => {
                Err(io::ErrorKind::NotConnected.into())
            }
            StreamSocket::Tcp(stream) => {
                let stream = std::net::TcpStream::from(stream);
                stream.set_nonblocking(false)?;
                Ok(DetachedSocket::new(stream.into(), false))
            }
            #[cfg(feature = "testing")]
            StreamSocket::Memory(_) => Err(io::ErrorKind::Unsupported.into()),
            #[cfg(unix)]
            StreamSocket::Unix { stream, .. } => {
                let stream = std::os::unix::net::UnixStream::from(stream);
                stream.set_nonblocking(false)?;
                Ok(DetachedSocket::new(stream.into(), true))
            }
        }
    }

    fn new(socket: Socket, is_unix: bool) -> DetachedSocket {
        let socket = Arc::new(LentSocket::new(socket));
        DetachedSocket { socket, is_unix, close_requested: false }
    }

    pub(crate) fn socket(&self) -> &Arc<LentSocket> {
        &self.socket
    }

    /// Whether a read would block: there is neither a byte nor EOF.
    pub(crate) fn has_no_input(&self) -> bool {
        let seen = peek_nonblocking(&self.socket);
        seen.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Returns the socket in non-blocking mode, or `None` while another reference exists.
    pub(crate) fn end(self) -> io::Result<Option<StreamSocket>> {
        let Some(LentSocket { socket, .. }) = Arc::into_inner(self.socket) else {
            return Ok(None);
        };
        #[cfg(unix)]
        if self.is_unix {
            let stream = std::os::unix::net::UnixStream::from(socket);
            stream.set_nonblocking(true)?;
            let stream = mio::net::UnixStream::from_std(stream);
            return Ok(Some(StreamSocket::Unix { stream, ctrunc: false }));
        }
        debug_assert!(!self.is_unix);
        let stream = std::net::TcpStream::from(socket);
        stream.set_nonblocking(true)?;
        Ok(Some(StreamSocket::Tcp(mio::net::TcpStream::from_std(stream))))
    }
}

/// Sends as much as fits into the send buffer, without blocking, although the socket is in blocking
/// mode.
#[cfg(unix)]
pub(crate) fn send_nonblocking(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    socket.send_with_flags(bytes, libc::MSG_DONTWAIT)
}

/// Other systems have no non-blocking call for a blocking socket.
#[cfg(not(unix))]
pub(crate) fn send_nonblocking(_: &Socket, _: &[u8]) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// Peeks at one byte without blocking; 0 is EOF.
#[cfg(unix)]
fn peek_nonblocking(socket: &Socket) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    socket.recv_with_flags(&mut [std::mem::MaybeUninit::uninit()], flags)
}

/// Other systems cannot ask, so there may be input.
#[cfg(not(unix))]
fn peek_nonblocking(_: &Socket) -> io::Result<usize> {
    Ok(1)
}
