//! The client of a blocking handler: what the handler reads from and writes to.

use std::fmt;
use std::io::{self, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::reader::{ReadSource, Reader};
use super::socket::BlockingSocket;
use crate::addr::Addr;
use crate::handler::server_handle::Command;
use crate::io::mailbox::Mailbox;

mod take;

mod std_io;

/// One client of a blocking handler (Python's `request`, `rfile` and `wfile` in one): a connection,
/// or one datagram. Reads return the input of the connection, or the bytes of the datagram and then
/// EOF. Writes to a connection are sent at once. Writes for a datagram are collected and sent as one
/// reply after the handler has finished; a handler that writes nothing sends no reply, where Python
/// sends an empty datagram.
///
/// | protocol | read with |
/// |---|---|
/// | lines | [`Request::take_line`] |
/// | pieces that end with a byte, or with several | [`Request::take_until`], [`Request::take_delimited`] |
/// | frames that begin with their length | [`Request::take_frame`], [`Request::take_frame_with`] |
/// | a length given elsewhere (`Content-Length`) | [`Request::take_exact`] |
/// | anything else | [`Read`](std::io::Read) and [`BufRead`](std::io::BufRead) |
///
/// Each `take_` method has a limit `max`, because the peer decides the length. It fails as soon as
/// more than `max` bytes have arrived without the end of the piece. Until then the request holds at most
/// `max` bytes and some KiB, and twice that while its buffer grows; a length that the peer announces
/// reserves nothing. A read that times out loses no input: the next call continues with the incomplete
/// piece.
///
/// **`read_line` has no argument for a limit**, and neither have `read_until`, `lines`, `split`,
/// `read_to_end` and `read_to_string`. Here each call of them fails with
/// [`InvalidData`](io::ErrorKind::InvalidData) when it would have to hold more than
/// [`Options::input_limit`](crate::Options::input_limit) bytes. A [`BufReader`](io::BufReader) that
/// the caller puts around a request has no limit at all.
///
/// One read or write blocks at most for [`Workers::timeout`](super::Workers::timeout), and all of them
/// together until [`Workers::deadline`](super::Workers::deadline). A peer that sends or reads one byte
/// now and then never exceeds the timeout; only a deadline bounds it. After a shutdown has begun, reads
/// return the input that had arrived, and then EOF. A handler that only writes asks
/// [`Request::is_shutting_down`].
pub struct Request<'a, S = ()> {
    reader: Reader,
    /// The reply to a datagram, as written so far; `None` sends none.
    reply: Option<Vec<u8>>,
    client_address: Addr,
    /// The local address that the datagram was sent to; `None` for a connection.
    server_address: Option<Addr>,
    server: SharedAccess<'a, S>,
}

/// How a handler reaches what all handlers share.
pub(super) enum SharedAccess<'a, S> {
    /// The handler runs in the loop, or in a process with a copy of its own.
    Local(&'a mut S),
    /// The handler runs in another thread and posts to the loop.
    Remote(Arc<Mailbox<Command<S>>>),
}

impl<'a, S> Request<'a, S> {
    /// `limit` bounds the reads that have no limit of their own.
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

    /// When the connection last made progress; `None` unless a shutdown ended its last read.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        match self.reader.source() {
            ReadSource::Stream(reader) => reader.get_ref().silent_since(),
            ReadSource::Packet(_) => None,
        }
    }

    /// The reply to a datagram; `None` sends none.
    pub(super) fn into_reply(self) -> Option<Vec<u8>> {
        self.reply
    }

    pub(super) fn drop_reply(&mut self) {
        self.reply = None;
    }

    /// The address of the peer (Python's `client_address`).
    ///
    /// ```
    /// # use std::io::{self, Write};
    /// # use socketserver::blocking::Request;
    /// fn whoami(request: &mut Request<'_>) -> io::Result<()> {
    ///     let peer = request.client_address().clone();
    ///     writeln!(request, "{peer}")
    /// }
    /// # socketserver::Server::new()?.listen_blocking(
    /// #     "127.0.0.1:0", &socketserver::blocking::Workers::inline(), |_| whoami)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    #[must_use]
    pub fn client_address(&self) -> &Addr {
        &self.client_address
    }

    /// The local address: of the connection (getsockname(2)), or the one that the datagram was sent to
    /// ([`Context::local_addr`](crate::Context::local_addr)), which is also the source of the reply.
    /// `None` if the system does not report it.
    #[must_use]
    pub fn server_address(&self) -> Option<Addr> {
        match self.socket() {
            Some(socket) => crate::net::local_addr_of(socket),
            None => self.server_address.clone(),
        }
    }

    /// The whole datagram, including the bytes that were read already; `None` for a connection.
    ///
    /// ```
    /// # use std::io;
    /// # use socketserver::blocking::Request;
    /// fn upper(request: &mut Request<'_>) -> io::Result<()> {
    ///     let reply = request.datagram().unwrap_or_default().to_ascii_uppercase();
    ///     request.send_all(&reply)
    /// }
    /// # socketserver::Server::new()?.bind_blocking(
    /// #     "127.0.0.1:0", &socketserver::blocking::Workers::inline(), |_| upper)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    #[must_use]
    pub fn datagram(&self) -> Option<&[u8]> {
        match self.reader.source() {
            ReadSource::Packet(packet) => Some(packet.get_ref()),
            ReadSource::Stream(_) => None,
        }
    }

    /// Whether the server is shutting down ([`Io::is_shutting_down`](crate::Io::is_shutting_down)). A
    /// handler that only writes needs it, because a shutdown ends only reads. Costs one system call.
    /// Always `false` for a datagram, for a handler in the loop, during which no shutdown can begin, and
    /// for a handler in a thread with [`Workers::daemon_threads`](super::Workers::daemon_threads).
    ///
    /// ```
    /// # use std::io;
    /// # use socketserver::blocking::Request;
    /// fn count(request: &mut Request<'_>) -> io::Result<()> {
    ///     let mut n = 0_u64;
    ///     while !request.is_shutting_down() {
    ///         request.send_all(format!("{n}\n").as_bytes())?;
    ///         n += 1;
    ///     }
    ///     Ok(())
    /// }
    /// # socketserver::Server::new()?.listen_blocking(
    /// #     "127.0.0.1:0", &socketserver::blocking::Workers::threads(4), |_| count)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        match self.reader.source() {
            ReadSource::Stream(reader) => reader.get_ref().is_stopped(),
            ReadSource::Packet(_) => false,
        }
    }

    /// The socket of the connection, for its options; `None` for a datagram. It is in blocking mode. A
    /// direct read misses the input that the request has buffered, and neither a deadline nor a shutdown
    /// of the server ends it. The caller must not shut down its reading direction, because the server
    /// could then not detect the EOF of the peer, and would not linger for it.
    #[must_use]
    pub fn socket(&self) -> Option<&Socket> {
        match self.reader.source() {
            ReadSource::Stream(reader) => Some(reader.get_ref().socket()),
            ReadSource::Packet(_) => None,
        }
    }

    /// Writes all of `bytes` (Python's `sendall`). Unlike `write_all`, an empty `bytes` counts as a
    /// reply to a datagram: an empty datagram is sent.
    ///
    /// # Errors
    /// The error of the system call; [`TimedOut`](io::ErrorKind::TimedOut) when the peer does not read in
    /// time; [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) when the server has ended the
    /// connection. Part of `bytes` may have been sent then, so the connection ends with a reset, even if
    /// the handler returns no error.
    pub fn send_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Each write is whole.
        self.write(bytes).map(drop)
    }

    /// Sets how long each later read, and each later write of any length, may take
    /// ([`Workers::timeout`](super::Workers::timeout)); `None` removes the limit. No effect for a datagram.
    ///
    /// ```
    /// # use std::io::{self, BufRead};
    /// # use std::time::Duration;
    /// # use socketserver::blocking::Request;
    /// fn patient_at_first(request: &mut Request<'_>) -> io::Result<()> {
    ///     request.set_timeout(Some(Duration::from_secs(60)))?;
    ///     let first = request.take_line(1024)?.is_some();
    ///     request.set_timeout(Some(Duration::from_secs(5)))?;
    ///     if first { request.send_all(b"now be quick\n") } else { Ok(()) }
    /// }
    /// # socketserver::Server::new()?.listen_blocking(
    /// #     "127.0.0.1:0", &socketserver::blocking::Workers::inline(), |_| patient_at_first)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when `timeout` is zero; the error of the system call.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            let what = "Request::set_timeout must not be zero";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        self.reader.socket_mut().map_or(Ok(()), |socket| socket.set_timeout(timeout))
    }

    /// Sets the time by which all later reads and writes must be done
    /// ([`Workers::deadline`](super::Workers::deadline)); `None` removes it. After the deadline they fail
    /// with [`TimedOut`](io::ErrorKind::TimedOut), except reads of input that the request has buffered.
    /// No effect for a datagram, which never blocks.
    ///
    /// ```
    /// # use std::io;
    /// # use std::time::{Duration, Instant};
    /// # use socketserver::blocking::Request;
    /// # fn serve(request: &mut Request<'_>) -> io::Result<()> {
    /// // The whole question within 10 s, however slowly it arrives; then the answer within a minute.
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
    /// The error of the system call.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.reader.socket_mut().map_or(Ok(()), |socket| socket.set_deadline(deadline))
    }

    /// The deadline of all reads and writes; `None` if there is none, and for a datagram.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.reader.source() {
            ReadSource::Stream(reader) => reader.get_ref().limits().deadline,
            ReadSource::Packet(_) => None,
        }
    }

    /// Shuts down the writing direction, so the peer reads EOF; reads still work. No effect for a
    /// datagram.
    ///
    /// ```
    /// # use std::io::{self, Read};
    /// # use socketserver::blocking::Request;
    /// fn ask_and_listen(request: &mut Request<'_>) -> io::Result<()> {
    ///     request.send_all(b"that is all; and you?\n")?;
    ///     request.shutdown_write()?;
    ///     let mut last_words = Vec::new();
    ///     request.take(1024).read_to_end(&mut last_words)?;
    ///     Ok(())
    /// }
    /// # socketserver::Server::new()?.listen_blocking(
    /// #     "127.0.0.1:0", &socketserver::blocking::Workers::inline(), |_| ask_and_listen)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error of shutdown(2).
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        self.socket().map_or(Ok(()), |socket| socket.shutdown(Shutdown::Write))
    }

    /// Runs `change` on what all handlers share (Python's `self.server`), and returns its result. For a
    /// handler in a thread the loop runs `change` while the thread waits, so no lock is needed. A handler
    /// in a process changes its own copy.
    ///
    /// ```
    /// # use std::io::{self, Write};
    /// # use socketserver::blocking::{Request, Workers};
    /// # use socketserver::{Options, Server};
    /// /// Numbers its clients.
    /// fn number(request: &mut Request<'_, u64>) -> io::Result<()> {
    ///     let nth = request.with_shared(|clients| {
    ///         *clients += 1;
    ///         *clients
    ///     })?;
    ///     writeln!(request, "{nth}")
    /// }
    /// # let mut server = Server::with_shared(0_u64, Options::default())?;
    /// # server.listen_blocking("127.0.0.1:0", &Workers::threads(4), |_| number)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the server was dropped, or `change` panicked.
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
                // Each thread has at most one such call, so the worker limit bounds the queue.
                mailbox.post_unbounded(Box::new(move |shared, _| {
                    let _ = sender.send(change(shared));
                }));
                let closed = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the server is closed");
                result.recv().map_err(closed)
            }
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
