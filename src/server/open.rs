//! What a server serves: listeners, datagram sockets, outgoing connections, foreign sources, timers.

use std::io;

use mio::Interest;
use mio::event::Source;

use super::Server;
use crate::addr::{Addr, ToAddrs};
use crate::conn::transport::Readiness;
use crate::handler::{Context, DatagramHandler, Handler, HandlerFactory, Registrar};
use crate::id::SocketId;
use crate::io::Io;
use crate::io::connect::IntoConnect;
use crate::reactor::dispatch::Dispatcher;

impl<S> Server<S> {
    /// Listens for connections and makes a handler for each with `factory`, which gets the address
    /// of the peer. The local address is `server.io().local_addr(id)`.
    ///
    /// When a name has several addresses, the first that can be bound is used. A Unix path left
    /// behind by a dead server is reclaimed; that of a live server, or a file of another kind, is
    /// an error.
    ///
    /// # Errors
    /// The error of the system, with the address.
    pub fn listen<H, F>(&mut self, addr: impl ToAddrs, factory: F) -> io::Result<SocketId>
    where
        F: FnMut(&Addr) -> H + 'static,
        H: Handler<S> + 'static,
    {
        self.open(|registrar, io| registrar.listen(io, addr, factory))
    }

    pub(crate) fn listen_with(
        &mut self,
        addr: impl ToAddrs,
        factory: Box<dyn HandlerFactory<S>>,
    ) -> io::Result<SocketId> {
        self.open(|registrar, io| registrar.listen_with(io, addr, factory))
    }

    /// Serves datagrams that are sent to `addr` (Python's `UDPServer` and `UnixDatagramServer`)
    /// with `handler`. The local address is `server.io().local_addr(id)`.
    ///
    /// When a name has several addresses, the first that can be bound is used. `[::]` receives IPv4
    /// datagrams too, unless [`Options::v6_only`](crate::Options::v6_only). Unix paths are treated
    /// as by [`Server::listen`].
    ///
    /// A socket that is bound to the wildcard (`0.0.0.0`, `[::]`) replies from the address that the
    /// datagram was sent to, which [`Context::local_addr`](crate::Context::local_addr) returns: on
    /// Linux and Android, with the feature `sys`, at the cost of some hundred instructions a
    /// datagram. Elsewhere the system chooses the address, and a client may not accept the reply;
    /// bind to each address there.
    ///
    /// # Errors
    /// The error of the system, with the address.
    pub fn bind<H>(&mut self, addr: impl ToAddrs, handler: H) -> io::Result<SocketId>
    where
        H: DatagramHandler<S> + 'static,
    {
        self.open(|registrar, io| registrar.bind(io, addr, handler))
    }

    /// Exchanges datagrams with one peer: [`Io::send`](crate::Io::send) sends to it, and only its
    /// datagrams are received. A Unix socket opened so has no name, so its peer cannot reply; for
    /// that, [`Server::bind`] a socket to a path and connect it with
    /// [`Io::connect_peer`](crate::Io::connect_peer).
    ///
    /// # Errors
    /// The error of the system, with the address.
    pub fn connect_datagram<H>(&mut self, addr: impl ToAddrs, handler: H) -> io::Result<SocketId>
    where
        H: DatagramHandler<S> + 'static,
    {
        self.open(|registrar, io| registrar.connect_datagram(io, addr, handler))
    }

    /// Connects to a server: to an address, to a name, which another thread looks up, or as a
    /// [`Connect`](crate::Connect) says. `setup` of `handler` is called when the connection is
    /// established. When it fails, only `finish` is called, with
    /// [`CloseReason::ConnectFailed`](crate::CloseReason::ConnectFailed). What is sent before
    /// leaves when the connection is established.
    /// [`Options::connect_timeout`](crate::Options::connect_timeout) applies to the look-up and all
    /// addresses together.
    ///
    /// # Errors
    /// Errors that need no look-up and no waiting; all others are passed to `finish`. Once the
    /// grace of a shutdown is over, connecting is an error.
    pub fn connect<H>(&mut self, to: impl IntoConnect, handler: H) -> io::Result<SocketId>
    where
        H: Handler<S> + 'static,
        S: 'static,
    {
        self.open(|registrar, io| registrar.connect(io, None, to, handler))
    }

    /// Registers any [`mio::event::Source`] with the loop: `ready` is called when it is ready.
    /// Events are edges, so the callback must use everything there is. When it returns an error,
    /// the source is closed as by [`Io::close`](crate::Io::close), deregistered and dropped.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use socketserver::{Options, Server, mio};
    ///
    /// # #[cfg(unix)] {
    /// let (mut sender, receiver) = mio::unix::pipe::new()?;
    /// let mut server = Server::with_shared(String::new(), Options::default())?;
    /// server.watch(receiver, mio::Interest::READABLE, |cx, pipe, _ready| {
    ///     // The pipe is non-blocking: this reads what there is.
    ///     let _ = pipe.read_to_string(cx.shared);
    ///     Ok(())
    /// })?;
    /// sender.write_all(b"from a pipe")?;
    /// while server.shared().is_empty() {
    ///     server.turn(None)?;
    /// }
    /// assert_eq!(server.shared(), "from a pipe");
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error of the registration.
    pub fn watch<E, F>(&mut self, source: E, interests: Interest, ready: F) -> io::Result<SocketId>
    where
        E: Source + 'static,
        F: FnMut(&mut Context<'_, S>, &mut E, Readiness) -> io::Result<()> + 'static,
    {
        self.open(|registrar, io| registrar.watch(io, source, interests, ready))
    }

    /// Adds an owner for timers that belong to no connection: `callback` is called for each timer
    /// that [`Io::set_timer`](crate::Io::set_timer) sets for it. When it returns an error, the
    /// owner and its timers are closed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use socketserver::{Options, Server};
    ///
    /// let mut server = Server::with_shared(0, Options::default())?;
    /// let clock = server.add_timer_handler(|cx| {
    ///     *cx.shared += 1;
    ///     cx.set_timer(Duration::from_millis(1));
    ///     Ok(())
    /// })?;
    /// server.io_mut().set_timer(clock, Duration::ZERO);
    /// while *server.shared() < 3 {
    ///     server.turn(None)?;
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// When no id is left.
    pub fn add_timer_handler<F>(&mut self, callback: F) -> io::Result<SocketId>
    where
        F: FnMut(&mut Context<'_, S>) -> io::Result<()> + 'static,
    {
        self.open(|registrar, io| registrar.alarm(io, callback))
    }

    /// Opens a socket with its handler.
    fn open(
        &mut self,
        open: impl FnOnce(&mut Registrar<S>, &mut Io) -> io::Result<SocketId>,
    ) -> io::Result<SocketId> {
        let Dispatcher { io, registrar, .. } = &mut self.reactor.dispatcher;
        io.update_clock();
        let opened = open(registrar, io);
        self.reactor.dispatcher.install_pending();
        opened
    }
}
