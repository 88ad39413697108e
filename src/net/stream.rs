//! The socket of one connection.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

#[cfg(unix)]
use super::unix_addr;
use super::{EDGE_AFTER_SHORT, canonical, unacknowledged};
use crate::addr::Addr;
use crate::conn::transport::Transport;
#[cfg(feature = "testing")]
use crate::net::memory::MemoryStream;

/// A stream socket, connected or connecting.
#[derive(Debug)]
pub(crate) enum StreamSocket {
    /// No socket yet: the connection waits for its start time, or for its address.
    Unopened,
    /// The socket is with a blocking handler (see [`DetachedSocket`](super::DetachedSocket)).
    Detached,
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix {
        stream: mio::net::UnixStream,
        /// Whether the last read stopped early because of passed descriptors.
        ctrunc: bool,
    },
    /// A pipe in memory; its owner reports its events.
    #[cfg(feature = "testing")]
    Memory(MemoryStream),
}

/// Interest in urgent data, where there is such a thing.
#[cfg(any(target_os = "linux", target_os = "android"))]
const URGENT: Option<Interest> = Some(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const URGENT: Option<Interest> = None;

impl StreamSocket {
    /// The interests from registration to close, but while the input is not wanted (`input`). TCP
    /// raises a write edge only after a write would block, so both directions cost nothing. A Unix
    /// socket raises one whenever the peer reads, so write interest is added only while a write is
    /// blocked. Urgent data is included because a read stops in front of it, which would look like
    /// an empty receive buffer.
    ///
    /// Without input something has to be left, because the system reports errors anyway: a Unix
    /// socket knows no urgent data. `None` where there is nothing like it.
    fn interests(&self, input: bool, write: bool) -> Option<Interest> {
        let write = write || matches!(self, StreamSocket::Tcp(_));
        // Input wakes whatever waits for urgent data, which would then be told of free space.
        let urgent = URGENT.filter(|_| input || !write);
        [input.then_some(Interest::READABLE), write.then_some(Interest::WRITABLE), urgent]
            .into_iter()
            .flatten()
            .reduce(|all, one| all | one)
    }

    pub(crate) fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        write: bool,
    ) -> io::Result<()> {
        let interests = self.interests(true, write).unwrap_or(Interest::READABLE);
        match self {
            StreamSocket::Unopened | StreamSocket::Detached => Ok(()),
            #[cfg(feature = "testing")]
            StreamSocket::Memory(stream) => stream.register(token, write),
            StreamSocket::Tcp(stream) => registry.register(stream, token, interests),
            #[cfg(unix)]
            StreamSocket::Unix { stream, .. } => registry.register(stream, token, interests),
        }
    }

    /// Whether write readiness is always reported.
    pub(crate) fn reports_writable(&self) -> bool {
        match self {
            #[cfg(unix)]
            StreamSocket::Unix { .. } => false,
            #[cfg(feature = "testing")]
            StreamSocket::Memory(stream) => stream.reports_writable(),
            _ => true,
        }
    }

    /// Changes the interests: whether input is reported, and whether free space is, where that is
    /// optional.
    pub(crate) fn update_interests(
        &mut self,
        registry: &Registry,
        token: Token,
        input: bool,
        write: bool,
    ) -> io::Result<()> {
        #[cfg(feature = "testing")]
        if let StreamSocket::Memory(stream) = self {
            return stream.update_interests(input, write);
        }
        let Some(interests) = self.interests(input, write) else { return Ok(()) };
        self.source().map_or(Ok(()), |source| registry.reregister(source, token, interests))
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().map_or(Ok(()), |source| registry.deregister(source))
    }

    fn source(&mut self) -> Option<&mut dyn Source> {
        match self {
            StreamSocket::Unopened | StreamSocket::Detached => None,
            #[cfg(feature = "testing")]
            StreamSocket::Memory(_) => None,
            StreamSocket::Tcp(stream) => Some(stream),
            #[cfg(unix)]
            StreamSocket::Unix { stream, .. } => Some(stream),
        }
    }

    /// Takes the pending error (`SO_ERROR`).
    pub(crate) fn error(&self) -> Option<io::Error> {
        let error = match self {
            StreamSocket::Unopened | StreamSocket::Detached => Ok(None),
            #[cfg(feature = "testing")]
            StreamSocket::Memory(stream) => Ok(stream.error()),
            StreamSocket::Tcp(stream) => stream.take_error(),
            #[cfg(unix)]
            StreamSocket::Unix { stream, .. } => stream.take_error(),
        };
        error.unwrap_or_else(Some)
    }

    /// Whether a connect attempt without an error has completed (getpeername(2)). A Unix socket is
    /// connected from the start.
    pub(crate) fn is_connected(&self) -> bool {
        match self {
            StreamSocket::Unopened | StreamSocket::Detached => false,
            #[cfg(feature = "testing")]
            StreamSocket::Memory(stream) => stream.is_connected(),
            StreamSocket::Tcp(stream) => {
                let kind = stream.peer_addr().map_err(|error| error.kind());
                kind != Err(io::ErrorKind::NotConnected)
            }
            #[cfg(unix)]
            StreamSocket::Unix { .. } => true,
        }
    }

    /// Whether connect(2) completes at once, as for Unix sockets.
    pub(crate) fn is_connected_at_once(&self) -> bool {
        !self.reports_writable()
    }

    /// The kernel memory for bytes that the peer has not acknowledged, or, of a Unix socket, not
    /// read. `None` if the system does not report it.
    pub(crate) fn unacknowledged(&self) -> Option<u32> {
        match self {
            StreamSocket::Unopened | StreamSocket::Detached => None,
            #[cfg(feature = "testing")]
            StreamSocket::Memory(stream) => stream.unacknowledged(),
            StreamSocket::Tcp(stream) => unacknowledged::of_tcp(stream),
            #[cfg(unix)]
            StreamSocket::Unix { stream, .. } => unacknowledged::of_unix(stream),
        }
    }

    /// Makes the following close send a reset, so that the peer learns that bytes were lost.
    pub(crate) fn reset_on_close(&self) {
        if let StreamSocket::Tcp(stream) = self {
            // An error means that the connection is already closed.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        #[cfg(feature = "testing")]
        if let StreamSocket::Memory(stream) = self {
            stream.reset_on_close();
        }
    }

    pub(crate) fn set_nodelay(&self, on: bool) -> io::Result<()> {
        match self {
            StreamSocket::Unopened | StreamSocket::Detached => {
                Err(io::ErrorKind::NotConnected.into())
            }
            #[cfg(feature = "testing")]
            StreamSocket::Memory(_) => Ok(()),
            StreamSocket::Tcp(stream) => stream.set_nodelay(on),
            #[cfg(unix)]
            StreamSocket::Unix { .. } => Ok(()),
        }
    }

    pub(crate) fn peer_addr(&self) -> Option<Addr> {
        match self {
            StreamSocket::Unopened | StreamSocket::Detached => None,
            #[cfg(feature = "testing")]
            StreamSocket::Memory(_) => Some(Addr::Unnamed),
            StreamSocket::Tcp(stream) => stream.peer_addr().ok().map(canonical),
            #[cfg(unix)]
            StreamSocket::Unix { stream, .. } => stream.peer_addr().ok().map(|a| unix_addr(&a)),
        }
    }

    pub(crate) fn local_addr(&self) -> Option<Addr> {
        match self {
            StreamSocket::Unopened | StreamSocket::Detached => None,
            #[cfg(feature = "testing")]
            StreamSocket::Memory(stream) => Some(stream.local_addr()),
            StreamSocket::Tcp(stream) => stream.local_addr().ok().map(canonical),
            #[cfg(unix)]
            StreamSocket::Unix { stream, .. } => stream.local_addr().ok().map(|a| unix_addr(&a)),
        }
    }
}

impl Read for StreamSocket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            StreamSocket::Tcp(stream) => stream.read(buffer),
            _ => self.read_other(buffer),
        }
    }
}

impl Write for StreamSocket {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            StreamSocket::Tcp(stream) => stream.write(bytes),
            _ => self.write_other(bytes),
        }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            StreamSocket::Unopened | StreamSocket::Detached => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            StreamSocket::Tcp(stream) => stream.write_vectored(pieces),
            #[cfg(feature = "testing")]
            StreamSocket::Memory(stream) => stream.write_vectored(pieces),
            #[cfg(unix)]
            StreamSocket::Unix { stream, .. } => stream.write_vectored(pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Separate functions, so that the reads and writes of TCP need few registers.
impl StreamSocket {
    #[inline(never)]
    fn read_other(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            StreamSocket::Unopened | StreamSocket::Detached => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            StreamSocket::Tcp(stream) => stream.read(buffer),
            #[cfg(feature = "testing")]
            StreamSocket::Memory(stream) => stream.read(buffer),
            #[cfg(unix)]
            StreamSocket::Unix { stream, ctrunc } => {
                let (n, stopped_early) = unix_receive(stream, buffer)?;
                *ctrunc = stopped_early;
                Ok(n)
            }
        }
    }

    /// Whether the last read stopped early because of passed descriptors.
    #[inline(never)]
    fn stopped_early(&self) -> bool {
        match self {
            #[cfg(unix)]
            StreamSocket::Unix { ctrunc, .. } => *ctrunc,
            #[cfg(feature = "testing")]
            StreamSocket::Memory(stream) => stream.has_ctrunc(),
            _ => false,
        }
    }

    #[inline(never)]
    fn write_other(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            StreamSocket::Unopened | StreamSocket::Detached => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            StreamSocket::Tcp(stream) => stream.write(bytes),
            #[cfg(feature = "testing")]
            StreamSocket::Memory(stream) => stream.write(bytes),
            #[cfg(unix)]
            StreamSocket::Unix { stream, .. } => stream.write(bytes),
        }
    }
}

impl Transport for StreamSocket {
    #[inline]
    fn short_read_drained(&self) -> bool {
        EDGE_AFTER_SHORT && (matches!(self, StreamSocket::Tcp(_)) || !self.stopped_early())
    }

    #[inline]
    fn short_write_filled(&self) -> bool {
        EDGE_AFTER_SHORT
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            StreamSocket::Unopened | StreamSocket::Detached => Ok(()),
            StreamSocket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(feature = "testing")]
            StreamSocket::Memory(stream) => stream.shutdown_write(),
            #[cfg(unix)]
            StreamSocket::Unix { stream, .. } => stream.shutdown(Shutdown::Write),
        }
    }
}

/// Reads, and reports whether the read stopped early: a read of a Unix stream stops behind bytes
/// with passed descriptors. Without a control buffer the kernel drops the descriptors and sets
/// `MSG_CTRUNC`, so none is ever received (unix(7), recvmsg(2)).
#[cfg(all(unix, feature = "sys"))]
#[inline]
fn unix_receive(stream: &mio::net::UnixStream, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
    use nix::sys::socket::{MsgFlags, recvmsg};
    use std::os::fd::AsRawFd;

    // Through `try_io`, because on poll(2) mio has to see a `WouldBlock` to report the next byte.
    stream.try_io(|| {
        let mut buffers = [io::IoSliceMut::new(buffer)];
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut buffers, None, MsgFlags::empty())?;
        Ok((message.bytes, message.flags.contains(MsgFlags::MSG_CTRUNC)))
    })
}

/// Without `recvmsg` any short read may have stopped early, so another read has to follow.
#[cfg(all(unix, not(feature = "sys")))]
fn unix_receive(mut stream: &mio::net::UnixStream, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
    stream.read(buffer).map(|n| (n, true))
}
