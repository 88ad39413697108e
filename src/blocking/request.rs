//! What a blocking handler talks to its client with.

use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::reader::{ReadSource, Reader};
use super::socket::BlockingSocket;
use crate::addr::Addr;
use crate::conn::framing::{Frame, LengthField};
use crate::handler::server_handle::Command;
use crate::io::mailbox::Mailbox;

/// One client of a blocking handler (Python's `request`, `rfile` and `wfile` in one): a connection,
/// or one datagram. What comes in is read; a datagram ends where it ends. What is written leaves at
/// once; to a datagram it is collected, and leaves as one when the handler is done. Who has written
/// nothing answers nothing; other than in Python, not even an empty datagram.
///
/// | protocol | read with |
/// |---|---|
/// | lines | [`Request::take_line`] |
/// | pieces that end with a byte, or with several | [`Request::take_until`], [`Request::take_delimited`] |
/// | a length, then so many bytes | [`Request::take_frame`], [`Request::take_frame_with`] |
/// | as many bytes as something else said | [`Request::take_exact`] |
/// | anything else | [`Read`] and [`BufRead`] |
///
/// Each of them takes a limit, because the peer decides the length: a peer that sends something
/// longer, or never the end of it, is an error as soon as more than `max` bytes have come. Until then
/// it has cost `max` bytes and some KiB, and twice as much at most, while their room grows; nothing
/// is reserved on the word of a length. What was not whole when a read timed out is not lost: the
/// next call goes on with it.
///
/// **Nothing can give `read_line` a limit of its own**, nor `read_until`, `lines`, `split`,
/// `read_to_end` and `read_to_string`, with which straight-line code usually begins. Here each call of
/// them fails with [`InvalidData`](io::ErrorKind::InvalidData) when it would have to keep more than
/// [`Options::input_limit`](crate::Options::input_limit) bytes. A [`BufReader`](io::BufReader) of one's
/// own around a request knows no limit at all.
///
/// A read or a write waits as long as it must, but not longer than
/// [`Workers::timeout`](super::Workers::timeout), and all of them together not beyond
/// [`Workers::deadline`](super::Workers::deadline): a peer that sends or takes one byte now and then is within
/// every timeout, and only a deadline ends it. When the server shuts down, reads come to their end behind
/// what has come in; a handler that only writes asks [`Request::is_shutting_down`].
pub struct Request<'a, S = ()> {
    reader: Reader,
    /// What leaves as the answer to a datagram.
    reply: Option<Vec<u8>>,
    client_address: Addr,
    /// Where the datagram came in.
    server_address: Option<Addr>,
    server: SharedAccess<'a, S>,
}

/// The way to what all handlers share.
pub(super) enum SharedAccess<'a, S> {
    /// It lies in this thread: the handler runs in the loop, or in a process with a copy of its own.
    Local(&'a mut S),
    Remote(Arc<Mailbox<Command<S>>>),
}

impl<'a, S> Request<'a, S> {
    /// `limit`: what one read may bring that has no limit of its own.
    pub(super) fn stream(
        socket: BlockingSocket,
        limit: usize,
        client_address: Addr,
        server: SharedAccess<'a, S>,
    ) -> Request<'a, S> {
        let reader = Reader::of_stream(socket, limit);
        Request { reader, reply: None, client_address, server_address: None, server }
    }

    pub(super) fn packet(
        packet: Vec<u8>,
        client_address: Addr,
        server_address: Option<Addr>,
        server: SharedAccess<'a, S>,
    ) -> Request<'a, S> {
        let reader = Reader::of_packet(packet);
        Request { reader, reply: None, client_address, server_address, server }
    }

    /// Since when no byte of a connection has moved, if its last read was ended by a shutdown.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        match self.reader.source() {
            ReadSource::Stream(reader) => reader.get_ref().silent_since(),
            ReadSource::Packet(_) => None,
        }
    }

    /// The answer to a datagram, if there is one.
    pub(super) fn into_reply(self) -> Option<Vec<u8>> {
        self.reply
    }

    pub(super) fn drop_reply(&mut self) {
        self.reply = None;
    }

    // Pieces that are whole.

    /// The next line, without its `\n` or `\r\n`; `None` when the peer has ended. As in Python, and
    /// with [`BufRead::lines`], the last line needs no end; where half a line must not pass for a
    /// whole one, [`Request::take_until`] is right.
    ///
    /// ```
    /// # use std::io::{self, Write};
    /// # use socketserver::blocking::Request;
    /// fn greet(request: &mut Request<'_>) -> io::Result<()> {
    ///     while let Some(name) = request.take_line(80)? {
    ///         let greeting = format!("hello {}\n", String::from_utf8_lossy(name));
    ///         request.send_all(greeting.as_bytes())?;
    ///     }
    ///     Ok(())
    /// }
    /// # socketserver::Server::new()?.listen_blocking(
    /// #     "127.0.0.1:0", &socketserver::blocking::Workers::inline(), |_| greet)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when the line is longer than `max` bytes,
    /// counted without the `\n`; as of every read, [`TimedOut`](io::ErrorKind::TimedOut) and what the
    /// system says.
    pub fn take_line(&mut self, max: usize) -> io::Result<Option<&[u8]>> {
        self.reader.line(max)
    }

    /// Everything before the next `byte`, which is taken too; `None` when the peer has ended.
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when more than `max` bytes stand before it, or
    /// have come without it; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the peer ends in the
    /// middle of it.
    pub fn take_until(&mut self, byte: u8, max: usize) -> io::Result<Option<&[u8]>> {
        self.reader.delimited(&[byte], max)
    }

    /// Everything before the next `separator` of 1 to 7 bytes, which is taken too; `None` when the
    /// peer has ended.
    ///
    /// # Errors
    /// As of [`Request::take_until`]; [`InvalidInput`](io::ErrorKind::InvalidInput) when the separator
    /// is empty or longer than 7 bytes.
    pub fn take_delimited(&mut self, separator: &[u8], max: usize) -> io::Result<Option<&[u8]>> {
        self.reader.delimited(separator, max)
    }

    /// The next frame: a length of four bytes, most significant first, then so many bytes, which
    /// are given without the length; `None` when the peer has ended.
    ///
    /// # Errors
    /// As of [`Request::take_frame_with`].
    pub fn take_frame(&mut self, max: usize) -> io::Result<Option<&[u8]>> {
        Ok(self.reader.frame(&LengthField::U32, max)?.map(|frame| frame.body))
    }

    /// The next frame that begins with its length, as `field` says; `None` when the peer has ended.
    ///
    /// ```
    /// # use std::io;
    /// # use socketserver::LengthField;
    /// # use socketserver::blocking::Request;
    /// fn upper(request: &mut Request<'_>) -> io::Result<()> {
    ///     while let Some(frame) = request.take_frame_with(&LengthField::U16, 4096)? {
    ///         let mut answer = Vec::new();
    ///         LengthField::U16.write(&mut answer, &frame.body.to_ascii_uppercase(), 4096)?;
    ///         request.send_all(&answer)?;
    ///     }
    ///     Ok(())
    /// }
    /// # socketserver::Server::new()?.listen_blocking(
    /// #     "127.0.0.1:0", &socketserver::blocking::Workers::inline(), |_| upper)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when the body is longer than `max` or shorter
    /// than nothing, as soon as the length is known;
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the peer ends in the middle of it.
    pub fn take_frame_with(
        &mut self,
        field: &LengthField,
        max: usize,
    ) -> io::Result<Option<Frame<'_>>> {
        self.reader.frame(field, max)
    }

    /// Exactly `n` bytes, as often something else that the peer said has it (`Content-Length`);
    /// `None` when the peer has ended before the first of them. For a number that the program
    /// knows, [`Read::read_exact`] does as well.
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when `n` is more than `max`;
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the peer ends in the middle of them.
    pub fn take_exact(&mut self, n: usize, max: usize) -> io::Result<Option<&[u8]>> {
        self.reader.take_exact(n, max)
    }

    // What is known of the client.

    /// The address of the peer (Python's `client_address`).
    #[must_use]
    pub fn client_address(&self) -> &Addr {
        &self.client_address
    }

    /// The address of this end: of the connection (`getsockname`), or the one to which the datagram
    /// was sent and from which it is answered
    /// ([`Context::local_addr`](crate::Context::local_addr)).
    #[must_use]
    pub fn server_address(&self) -> Option<Addr> {
        match self.socket() {
            Some(socket) => crate::net::local_addr_of(socket),
            None => self.server_address.clone(),
        }
    }

    /// The whole datagram, whatever of it was read already; `None` for a connection.
    #[must_use]
    pub fn datagram(&self) -> Option<&[u8]> {
        match self.reader.source() {
            ReadSource::Packet(packet) => Some(packet.get_ref()),
            ReadSource::Stream(_) => None,
        }
    }

    /// Whether the server shuts down ([`Io::is_shutting_down`](crate::Io::is_shutting_down)): for a
    /// handler that writes on and on, since only reads come to their end by themselves. One call of
    /// the system. Always `false` for a datagram, for a handler in the loop, where a shutdown cannot
    /// begin meanwhile, and for one in a thread that a shutdown leaves alone
    /// ([`Workers::daemon_threads`](super::Workers::daemon_threads)).
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        match self.reader.source() {
            ReadSource::Stream(reader) => reader.get_ref().is_stopped(),
            ReadSource::Packet(_) => false,
        }
    }

    /// The socket of the connection, for its options; `None` for a datagram. It blocks; what is
    /// read from it directly misses what was read ahead, and neither a deadline nor a shutdown of the
    /// server ends such a read. Its reading direction must not be shut down: the server could not see
    /// the end of the peer any more, and would not wait for it.
    #[must_use]
    pub fn socket(&self) -> Option<&Socket> {
        match self.reader.source() {
            ReadSource::Stream(reader) => Some(reader.get_ref().socket()),
            ReadSource::Packet(_) => None,
        }
    }

    // Writing, and time.

    /// Writes all of `bytes` (Python's `sendall`); as `write_all`, but no bytes at all are an answer
    /// to a datagram, an empty one.
    ///
    /// # Errors
    /// What the system says, `TimedOut` when the peer takes too long; then some of it may have left.
    pub fn send_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Each write is whole.
        self.write(bytes).map(drop)
    }

    /// How long each later read, and each later write of any length, may take
    /// ([`Workers::timeout`](super::Workers::timeout)); `None` is for ever. Means nothing for a datagram.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when that is no time at all; what the system
    /// says.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            let what = "Request::set_timeout must be longer than nothing";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        self.reader.socket_mut().map_or(Ok(()), |socket| socket.set_timeout(timeout))
    }

    /// Until when all later reads and writes have to be done, together
    /// ([`Workers::deadline`](super::Workers::deadline)); `None` is never. One that has passed makes each
    /// of them [`TimedOut`](io::ErrorKind::TimedOut), but what was read ahead is still given. Means
    /// nothing for a datagram, which waits for nothing.
    ///
    /// ```
    /// # use std::io;
    /// # use std::time::{Duration, Instant};
    /// # use socketserver::blocking::Request;
    /// # fn serve(request: &mut Request<'_>) -> io::Result<()> {
    /// // The whole question within 10 s, however it drips; and the answer within a minute.
    /// request.set_deadline(Some(Instant::now() + Duration::from_secs(10)))?;
    /// let Some(question) = request.take_line(1024)? else { return Ok(()) };
    /// let answer = question.repeat(1_000);
    /// request.set_deadline(Some(Instant::now() + Duration::from_secs(60)))?;
    /// request.send_all(&answer)
    /// # }
    /// # socketserver::Server::new()?.listen_blocking(
    /// #     "127.0.0.1:0", &socketserver::blocking::Workers::inline(), |_| serve)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the system says.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.reader.socket_mut().map_or(Ok(()), |socket| socket.set_deadline(deadline))
    }

    /// Until when all has to be done, if there is such a time.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.reader.source() {
            ReadSource::Stream(reader) => reader.get_ref().limits().deadline,
            ReadSource::Packet(_) => None,
        }
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
    pub fn with_shared<R, F>(&mut self, change: F) -> io::Result<R>
    where
        R: Send + 'static,
        F: FnOnce(&mut S) -> R + Send + 'static,
        S: 'static,
    {
        match &mut self.server {
            SharedAccess::Local(shared) => Ok(change(shared)),
            SharedAccess::Remote(mailbox) => {
                let (sender, result) = mpsc::sync_channel(1);
                // There is one such call for each thread at most, so they have a bound already.
                mailbox.post_unbounded(Box::new(move |shared, _| {
                    let _ = sender.send(change(shared));
                }));
                let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the server is gone");
                result.recv().map_err(gone)
            }
        }
    }
}

/// `read_to_end` and `read_to_string` keep to [`Options::input_limit`](crate::Options::input_limit).
impl<S> Read for Request<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }

    fn read_to_end(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        self.reader.read_to_end(into)
    }

    fn read_to_string(&mut self, into: &mut String) -> io::Result<usize> {
        self.reader.read_to_string(into)
    }
}

/// `read_line`, `read_until` and what is made of them keep to
/// [`Options::input_limit`](crate::Options::input_limit); [`Request::take_line`] has a limit of its own.
impl<S> BufRead for Request<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.reader.consume(n);
    }

    fn read_until(&mut self, byte: u8, into: &mut Vec<u8>) -> io::Result<usize> {
        self.reader.read_until(byte, into)
    }

    fn read_line(&mut self, into: &mut String) -> io::Result<usize> {
        self.reader.read_line(into)
    }
}

/// Each write is whole, or an error: it returns the length of what it was given.
impl<S> Write for Request<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(socket) = self.reader.socket_mut() {
            return socket.write(bytes);
        }
        self.reply.get_or_insert_default().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S> fmt::Debug for Request<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("client_address", &self.client_address)
            .finish_non_exhaustive()
    }
}
