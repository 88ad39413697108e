//! What a callback may reach: its own connection, what all handlers share, and every other socket.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::Interest;
use mio::event::Source;

use super::{DatagramHandler, Handler, Registrar};
use crate::addr::{Addr, ToAddrs};
use crate::conn::stream::SendStatus;
use crate::conn::transport::Readiness;
use crate::handler::server_handle::ServerHandle;
use crate::id::{SocketId, TimerId};
use crate::io::Io;
use crate::io::connect::IntoConnect;
use crate::stats::CloseReason;

/// What a callback may reach: its own connection, what all handlers share, and every other socket.
pub struct Context<'a, S = ()> {
    /// The connection whose callback this is.
    pub id: SocketId,
    /// The value given to [`Server::with_shared`](crate::Server::with_shared) (Python's
    /// `self.server`).
    pub shared: &'a mut S,
    /// Every socket and timer of the server.
    pub io: &'a mut Io,
    pub(crate) registrar: &'a mut Registrar<S>,
    pub(crate) reason: Option<CloseReason>,
    /// The sender of the datagram in hand.
    pub(crate) sender: Option<&'a Addr>,
}

impl<S> Context<'_, S> {
    /// [`Io::send`] to the peer of this connection.
    ///
    /// ```
    /// use std::io;
    /// use socketserver::testing::TestServer;
    /// use socketserver::{Context, Handler, Input};
    ///
    /// struct Double;
    ///
    /// impl Handler for Double {
    ///     fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
    ///         let bytes = input.take_all();
    ///         cx.send(bytes);
    ///         cx.send(bytes);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Double)?;
    /// peer.send("ab");
    /// server.run();
    /// assert_eq!(peer.received(), b"abab");
    /// # Ok::<(), io::Error>(())
    /// ```
    #[inline]
    pub fn send(&mut self, bytes: &[u8]) -> SendStatus {
        self.io.send(self.id, bytes)
    }

    /// [`Io::send_to`] from this socket.
    #[inline]
    pub fn send_to(&mut self, bytes: &[u8], to: &Addr) -> SendStatus {
        self.io.send_to(self.id, bytes, to)
    }

    /// Replies to the datagram in hand, from the address that it was sent to; an empty reply is a
    /// datagram too. Returns [`SendStatus::Closed`] in any other callback, and when the sender has
    /// no address.
    #[inline]
    pub fn reply(&mut self, bytes: &[u8]) -> SendStatus {
        match self.sender {
            Some(sender) => self.io.send_to(self.id, bytes, sender),
            None => SendStatus::Closed,
        }
    }

    /// The local address that the datagram in hand was sent to, and from which [`Context::reply`]
    /// replies. A socket that is bound to the wildcard (`0.0.0.0`, `[::]`) has many (ip(7),
    /// `IP_PKTINFO`; RFC 3542, `IPV6_PKTINFO`). A multicast group or a broadcast address is
    /// returned as it is, although replies cannot leave from there. IPv4 addresses of a dual-stack
    /// socket are mapped, as those of its peers are.
    ///
    /// In any other callback, of a connection, and where the system does not report the address
    /// (everywhere but on Linux and Android, and without the feature `sys`), this is
    /// [`Io::local_addr`]. A server with several addresses should bind to each of them there, so
    /// that clients get replies from the address they used.
    #[must_use]
    pub fn local_addr(&self) -> Option<Addr> {
        self.io.destination_addr(self.id)
    }

    /// [`Io::pause`] for this connection.
    ///
    /// ```
    /// use std::io;
    /// use std::time::Duration;
    /// use socketserver::testing::TestServer;
    /// use socketserver::{Context, Handler, Input, TimerId};
    ///
    /// /// Handles one input a second.
    /// struct Slow;
    ///
    /// impl Handler for Slow {
    ///     fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
    ///         cx.send(input.take_all());
    ///         cx.pause();
    ///         cx.set_timer(Duration::from_secs(1));
    ///         Ok(())
    ///     }
    ///
    ///     fn timeout(&mut self, cx: &mut Context<'_>, _timer: TimerId) -> io::Result<()> {
    ///         cx.io.resume(cx.id);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Slow)?;
    /// peer.send("1");
    /// server.run();
    /// peer.send("2");
    /// server.run();
    /// assert_eq!(peer.received(), b"1");
    /// server.advance(Duration::from_secs(1));
    /// assert_eq!(peer.received(), b"2");
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn pause(&mut self) {
        self.io.pause(self.id);
    }

    /// [`Io::close`] for this connection.
    ///
    /// ```
    /// use std::io;
    /// use socketserver::testing::TestServer;
    /// use socketserver::{Context, Handler, Input};
    ///
    /// /// Answers once.
    /// struct Once;
    ///
    /// impl Handler for Once {
    ///     fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
    ///         cx.send(input.take_all());
    ///         cx.close();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Once)?;
    /// peer.send("hello");
    /// server.run();
    /// assert_eq!(peer.received(), b"hello", "what was sent still leaves");
    /// assert!(peer.has_end());
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn close(&mut self) {
        self.io.close(self.id);
    }

    /// [`Io::set_timer`] for this connection.
    ///
    /// ```
    /// use std::io;
    /// use std::time::Duration;
    /// use socketserver::testing::TestServer;
    /// use socketserver::{Context, Handler, Input, TimerId};
    ///
    /// /// Asks a peer that has been silent for a minute.
    /// struct Prompt;
    ///
    /// impl Handler for Prompt {
    ///     fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
    ///         cx.set_timer(Duration::from_secs(60));
    ///         Ok(())
    ///     }
    ///
    ///     fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
    ///         cx.send(input.take_all());
    ///         Ok(())
    ///     }
    ///
    ///     fn timeout(&mut self, cx: &mut Context<'_>, _timer: TimerId) -> io::Result<()> {
    ///         cx.send(b"still there?\n");
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Prompt)?;
    /// server.advance(Duration::from_secs(60));
    /// assert_eq!(peer.received(), b"still there?\n");
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn set_timer(&mut self, after: Duration) -> TimerId {
        self.io.set_timer(self.id, after)
    }

    /// Why the connection ends; `Some` in `finish` only.
    ///
    /// ```
    /// use std::io;
    /// use socketserver::testing::TestServer;
    /// use socketserver::{CloseReason, Context, Handler, Input, Options};
    ///
    /// /// Stores why it ended.
    /// struct Last;
    ///
    /// type Shared = Option<CloseReason>;
    ///
    /// impl Handler<Shared> for Last {
    ///     fn handle(&mut self, cx: &mut Context<'_, Shared>, input: &mut Input<'_>) -> io::Result<()> {
    ///         cx.send(input.take_all());
    ///         Ok(())
    ///     }
    ///
    ///     fn finish(&mut self, cx: &mut Context<'_, Shared>, _outcome: io::Result<()>) {
    ///         *cx.shared = cx.reason();
    ///     }
    /// }
    ///
    /// let mut server = TestServer::with_shared(None, Options::default())?;
    /// let peer = server.connect(Last)?;
    /// peer.reset();
    /// server.run();
    /// assert_eq!(*server.shared(), Some(CloseReason::IoError));
    /// # Ok::<(), io::Error>(())
    /// ```
    #[must_use]
    pub fn reason(&self) -> Option<CloseReason> {
        self.reason
    }

    /// Listens on one more address; see [`Server::listen`](crate::Server::listen).
    ///
    /// ```
    /// use std::time::Duration;
    /// use socketserver::{Echo, Options, Server};
    ///
    /// let mut server = Server::with_shared(None, Options::default())?;
    /// let start = server.add_timer_handler(|cx| {
    ///     *cx.shared = Some(cx.listen("127.0.0.1:0", |_peer| Echo)?);
    ///     Ok(())
    /// })?;
    /// server.io_mut().set_timer(start, Duration::ZERO);
    /// server.turn(None)?;
    /// assert!(server.io().is_open(server.shared().unwrap()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error of the system, with the address.
    pub fn listen<H, F>(&mut self, addr: impl ToAddrs, factory: F) -> io::Result<SocketId>
    where
        F: FnMut(&Addr) -> H + 'static,
        H: Handler<S> + 'static,
    {
        self.registrar.listen(self.io, addr, factory)
    }

    /// Serves datagrams on one more address; see [`Server::bind`](crate::Server::bind).
    ///
    /// # Errors
    /// The error of the system, with the address.
    pub fn bind<H>(&mut self, addr: impl ToAddrs, handler: H) -> io::Result<SocketId>
    where
        H: DatagramHandler<S> + 'static,
    {
        self.registrar.bind(self.io, addr, handler)
    }

    /// Exchanges datagrams with one peer; see
    /// [`Server::connect_datagram`](crate::Server::connect_datagram).
    ///
    /// # Errors
    /// The error of the system, with the address.
    pub fn connect_datagram<H>(&mut self, addr: impl ToAddrs, handler: H) -> io::Result<SocketId>
    where
        H: DatagramHandler<S> + 'static,
    {
        self.registrar.connect_datagram(self.io, addr, handler)
    }

    /// Connects to a server; see [`Server::connect`](crate::Server::connect). A name is looked up
    /// on behalf of the peer of this connection, which bounds how many look-ups one client can
    /// occupy.
    ///
    /// # Errors
    /// Errors that need no look-up and no waiting; all others are passed to the handler's `finish`.
    pub fn connect<H>(&mut self, to: impl IntoConnect, handler: H) -> io::Result<SocketId>
    where
        H: Handler<S> + 'static,
        S: 'static,
    {
        self.registrar.connect(self.io, Some(self.id), to, handler)
    }

    /// Registers a foreign source with the loop; see [`Server::watch`](crate::Server::watch).
    ///
    /// # Errors
    /// The error of the registration.
    pub fn watch<E, F>(&mut self, source: E, interests: Interest, ready: F) -> io::Result<SocketId>
    where
        E: Source + 'static,
        F: FnMut(&mut Context<'_, S>, &mut E, Readiness) -> io::Result<()> + 'static,
    {
        self.registrar.watch(self.io, source, interests, ready)
    }

    /// Runs `work`, which may block, in another thread, and then calls `then` in the loop with its
    /// result, or with an error when it panicked. `then` is called even if this connection has
    /// closed meanwhile. If the run ends first, it is called in the next run; if the server is
    /// dropped, `then` is dropped without a call.
    ///
    /// [`Handler::eof`] and [`Handler::shutdown`] of this connection are called after `then`, and
    /// after a zero timer that it sets, so its answer still leaves. A shutdown waits for it within
    /// the grace, also for the work of a datagram socket. It does not wait for work of a closed
    /// connection, of a watched source or of a [timer handler](crate::Server::add_timer_handler),
    /// because no peer waits for that. Meanwhile the idle timeout
    /// ([`Options::idle_timeout`](crate::Options::idle_timeout)) does not apply.
    ///
    /// ```
    /// use std::time::Duration;
    /// use socketserver::{Options, Server};
    ///
    /// let mut server = Server::with_shared(0, Options::default())?;
    /// let task = server.add_timer_handler(|cx| {
    ///     // The first closure blocks another thread, the second runs in the loop.
    ///     cx.offload(|| 6 * 7, |shared, _io, result| *shared = result.unwrap_or(0))
    /// })?;
    /// server.io_mut().set_timer(task, Duration::ZERO);
    /// while *server.shared() == 0 {
    ///     server.turn(None)?;
    /// }
    /// assert_eq!(*server.shared(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when
    /// [`Options::offload_queue`](crate::Options::offload_queue) jobs are running or queued.
    pub fn offload<T, W, F>(&mut self, work: W, then: F) -> io::Result<()>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        F: FnOnce(&mut S, &mut Io, io::Result<T>) + Send + 'static,
        S: 'static,
    {
        self.registrar.offload(self.id, work, then)?;
        self.io.begin_offloaded(self.id);
        Ok(())
    }

    /// A handle to this server for other threads.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use socketserver::{Options, Server};
    ///
    /// let mut server = Server::with_shared(0, Options::default())?;
    /// let task = server.add_timer_handler(|cx| {
    ///     let handle = cx.handle();
    ///     thread::spawn(move || handle.post(|shared, _io| *shared = 1));
    ///     Ok(())
    /// })?;
    /// server.io_mut().set_timer(task, Duration::ZERO);
    /// while *server.shared() == 0 {
    ///     server.turn(None)?;
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn handle(&self) -> ServerHandle<S> {
        ServerHandle { mailbox: Arc::clone(&self.registrar.mailbox) }
    }
}

impl<S> fmt::Debug for Context<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("id", &self.id).finish_non_exhaustive()
    }
}
