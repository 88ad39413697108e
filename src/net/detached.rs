//! A connected socket that a blocking handler uses, outside of the loop.

use std::io;
use std::sync::Arc;

use socket2::Socket;

use super::StreamSocket;

/// The socket of a connection, in blocking mode and deregistered. Each user holds a reference; the
/// socket can be reattached once all others are dropped.
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

    /// Whether a read would block: there is neither a byte nor EOF.
    pub(crate) fn has_no_input(&self) -> bool {
        let seen = peek_nonblocking(&self.socket);
        seen.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Returns the socket in non-blocking mode, or `None` while another reference exists.
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
