//! A connected socket that is used by somebody who blocks, and comes back.

use std::io;
use std::sync::Arc;

use socket2::Socket;

use super::StreamSocket;

/// The socket of a connection, away from the loop and blocking. Who uses it gets a share; when all
/// shares are gone it can come back.
#[derive(Debug)]
pub(crate) struct DetachedSocket {
    socket: Arc<Socket>,
    is_unix: bool,
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
                Ok(DetachedSocket { socket: Arc::new(stream.into()), is_unix: false })
            }
            #[cfg(feature = "testing")]
            StreamSocket::Memory(_) => Err(io::ErrorKind::Unsupported.into()),
            #[cfg(unix)]
            StreamSocket::Unix { stream, .. } => {
                let stream = std::os::unix::net::UnixStream::from(stream);
                stream.set_nonblocking(false)?;
                Ok(DetachedSocket { socket: Arc::new(stream.into()), is_unix: true })
            }
        }
    }

    pub(crate) fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// Whether nothing is there to read, not even the peer's end, as far as can be said without
    /// waiting.
    pub(crate) fn has_no_input(&self) -> bool {
        let seen = peek_nonblocking(&self.socket);
        seen.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The socket, ready for the poll again. `None` while somebody else has a share.
    pub(crate) fn end(self) -> io::Result<Option<StreamSocket>> {
        let Some(socket) = Arc::into_inner(self.socket) else { return Ok(None) };
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

/// As much as there is room for, without waiting, though the socket blocks.
#[cfg(unix)]
pub(crate) fn send_nonblocking(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    socket.send_with_flags(bytes, libc::MSG_DONTWAIT)
}

/// Elsewhere a blocking socket cannot be asked not to wait.
#[cfg(not(unix))]
pub(crate) fn send_nonblocking(_: &Socket, _: &[u8]) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// How much a read would bring now, one byte at most; nothing is the peer's end.
#[cfg(unix)]
fn peek_nonblocking(socket: &Socket) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    socket.recv_with_flags(&mut [std::mem::MaybeUninit::uninit()], flags)
}

/// There may be something.
#[cfg(not(unix))]
fn peek_nonblocking(_: &Socket) -> io::Result<usize> {
    Ok(1)
}
