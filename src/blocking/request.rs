//! What a blocking handler talks to its client with.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use socket2::Socket;

use crate::addr::Addr;
use crate::handle::Command;
use crate::mailbox::Mailbox;

/// One client of a blocking handler (Python's `request`, `rfile` and `wfile` in one): a connection,
/// or one datagram. What comes in is read ([`BufRead`]); a datagram ends where it ends. What is
/// written leaves at once; to a datagram it is collected, and leaves as one when the handler is
/// done. Who has written nothing answers nothing; other than in Python, not even an empty datagram.
///
/// A read or a write waits as long as it must, but not longer than
/// [`Mode::timeout`](super::Mode::timeout). When the server shuts down, reads come to their end.
pub struct Request<'a, S = ()> {
    body: Body,
    client_address: Addr,
    server: Reach<'a, S>,
}

enum Body {
    Stream(BufReader<Wire>),
    Packet { packet: Cursor<Vec<u8>>, reply: Option<Vec<u8>>, server_address: Option<Addr> },
}

/// The way to what all handlers share.
pub(super) enum Reach<'a, S> {
    /// It lies in this thread: the handler runs in the loop, or in a process with a copy of its own.
    Here(&'a mut S),
    There(Arc<Mailbox<Command<S>>>),
}

impl<'a, S> Request<'a, S> {
    pub(super) fn stream(
        socket: Arc<Socket>,
        timeout: Option<Duration>,
        client_address: Addr,
        server: Reach<'a, S>,
    ) -> io::Result<Request<'a, S>> {
        // A timeout of nothing would be for ever.
        let timeout = timeout.map(|timeout| timeout.max(Duration::from_millis(1)));
        if timeout.is_some() {
            socket.set_read_timeout(timeout)?;
            socket.set_write_timeout(timeout)?;
        }
        let body = Body::Stream(BufReader::new(Wire(socket)));
        Ok(Request { body, client_address, server })
    }

    pub(super) fn packet(
        packet: Vec<u8>,
        client_address: Addr,
        server_address: Option<Addr>,
        server: Reach<'a, S>,
    ) -> Request<'a, S> {
        let body = Body::Packet { packet: Cursor::new(packet), reply: None, server_address };
        Request { body, client_address, server }
    }

    /// The answer to a datagram, if there is one.
    pub(super) fn into_reply(self) -> Option<Vec<u8>> {
        if let Body::Packet { reply, .. } = self.body { reply } else { None }
    }

    pub(super) fn drop_reply(&mut self) {
        if let Body::Packet { reply, .. } = &mut self.body {
            *reply = None;
        }
    }

    /// The address of the peer (Python's `client_address`).
    #[must_use]
    pub fn client_address(&self) -> &Addr {
        &self.client_address
    }

    /// The address of this end of the connection, or of the socket that got the datagram
    /// (`getsockname`).
    #[must_use]
    pub fn server_address(&self) -> Option<Addr> {
        match &self.body {
            Body::Stream(reader) => crate::socket::name_of(&reader.get_ref().0),
            Body::Packet { server_address, .. } => server_address.clone(),
        }
    }

    /// The whole datagram, whatever of it was read already; `None` for a connection.
    #[must_use]
    pub fn datagram(&self) -> Option<&[u8]> {
        if let Body::Packet { packet, .. } = &self.body { Some(packet.get_ref()) } else { None }
    }

    /// The socket of the connection, for its options; `None` for a datagram. It blocks; what is
    /// read from it directly misses what was read ahead.
    #[must_use]
    pub fn socket(&self) -> Option<&Socket> {
        if let Body::Stream(reader) = &self.body { Some(&reader.get_ref().0) } else { None }
    }

    /// Writes all of `bytes` (Python's `sendall`); as `write_all`, but no bytes at all are an answer
    /// to a datagram, an empty one.
    ///
    /// # Errors
    /// What the system says, `TimedOut` when the peer takes nothing for too long.
    pub fn send_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Each write is whole.
        self.write(bytes).map(drop)
    }

    /// How long each later read and write may take; `None` is for ever.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| timeout.max(Duration::from_millis(1)));
        let Some(socket) = self.socket() else { return Ok(()) };
        socket.set_read_timeout(timeout)?;
        socket.set_write_timeout(timeout)
    }

    /// Ends the outgoing direction; reading goes on. Has no meaning for a datagram.
    ///
    /// # Errors
    /// What the system says.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        self.socket().map_or(Ok(()), |socket| socket.shutdown(Shutdown::Write))
    }

    /// Does something with what all handlers share (Python's `self.server`). A handler in a thread
    /// waits until the loop has done it, so no lock is needed; one in a process changes a copy of
    /// its own.
    ///
    /// # Errors
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the server is gone, or `change` panicked in
    /// the loop.
    pub fn shared<R, F>(&mut self, change: F) -> io::Result<R>
    where
        R: Send + 'static,
        F: FnOnce(&mut S) -> R + Send + 'static,
        S: 'static,
    {
        match &mut self.server {
            Reach::Here(shared) => Ok(change(shared)),
            Reach::There(mailbox) => {
                let (sender, result) = mpsc::sync_channel(1);
                // There is one such call for each thread at most, so they have a bound already.
                mailbox.post_reserved(Box::new(move |shared, _| {
                    let _ = sender.send(change(shared));
                }));
                let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the server is gone");
                result.recv().map_err(gone)
            }
        }
    }
}

impl<S> Read for Request<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.body {
            Body::Stream(reader) => reader.read(buffer),
            Body::Packet { packet, .. } => packet.read(buffer),
        }
    }
}

impl<S> BufRead for Request<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match &mut self.body {
            Body::Stream(reader) => reader.fill_buf(),
            Body::Packet { packet, .. } => packet.fill_buf(),
        }
    }

    fn consume(&mut self, n: usize) {
        match &mut self.body {
            Body::Stream(reader) => reader.consume(n),
            Body::Packet { packet, .. } => packet.consume(n),
        }
    }
}

/// Each write is whole, or an error: it returns the length of what it was given.
impl<S> Write for Request<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.body {
            Body::Stream(reader) => reader.get_mut().write_all(bytes)?,
            Body::Packet { reply, .. } => {
                reply.get_or_insert_default().extend_from_slice(bytes);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The blocking socket, whose timeouts are called so.
struct Wire(Arc<Socket>);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        patiently(|| (&*self.0).read(buffer), "the peer sent nothing in time")
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        patiently(|| (&*self.0).write(bytes), "the peer read nothing in time")
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A signal that the program handles is no reason to stop (a socket with a timeout is interrupted
/// all the same). Systems call a timeout `WouldBlock`, which a blocking handler could make nothing of.
fn patiently(mut act: impl FnMut() -> io::Result<usize>, what: &str) -> io::Result<usize> {
    loop {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            result => return result,
        }
    }
}

impl<S> fmt::Debug for Request<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("client_address", &self.client_address)
            .finish_non_exhaustive()
    }
}
