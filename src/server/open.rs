//! What a server serves: listeners, datagram sockets, outgoing connections, foreign sources, timers.

use std::io;

use mio::Interest;
use mio::event::Source;

use super::Server;
use crate::addr::{Addr, ToAddrs};
use crate::conn::transport::Readiness;
use crate::handler::{Context, DatagramHandler, Handler, HandlerFactory};
use crate::id::SocketId;
use crate::io::connect::IntoConnect;

impl<S> Server<S> {
    /// Listens for connections, and makes a handler for each with `factory`, which gets the
    /// address of the peer. The listener's own address is `server.io().local_addr(id)`.
    ///
    /// Of several addresses of a name the first that works is taken. A Unix path left behind by a
    /// dead server is reclaimed; a live one, or any other kind of file, is an error.
    ///
    /// # Errors
    /// What the system says, with the address.
    pub fn listen<H, F>(&mut self, addr: impl ToAddrs, factory: F) -> io::Result<SocketId>
    where
        F: FnMut(&Addr) -> H + 'static,
        H: Handler<S> + 'static,
    {
        let dispatcher = &mut self.reactor.dispatcher;
        dispatcher.io.update_clock();
        let id = dispatcher.registrar.listen(&mut dispatcher.io, addr, factory);
        dispatcher.install_pending();
        id
    }

    pub(crate) fn listen_with(
        &mut self,
        addr: impl ToAddrs,
        factory: Box<dyn HandlerFactory<S>>,
    ) -> io::Result<SocketId> {
        let dispatcher = &mut self.reactor.dispatcher;
        dispatcher.io.update_clock();
        let id = dispatcher.registrar.listen_with(&mut dispatcher.io, addr, factory);
        dispatcher.install_pending();
        id
    }

    /// Serves datagrams that are sent to `addr` (Python's `UDPServer` and `UnixDatagramServer`):
    /// `handler` gets each of them. The socket's own address is `server.io().local_addr(id)`.
    ///
    /// Of several addresses of a name the first that works is taken. `[::]` takes IPv4 datagrams
    /// too, unless [`Options::v6_only`]. Unix paths are treated as by [`Server::listen`].
    ///
    /// A socket that is bound to the wildcard (`0.0.0.0`, `[::]`) answers from the address that was
    /// asked, which [`Context::local_addr`](crate::Context::local_addr) names: on Linux and Android,
    /// with the feature `sys`, at the cost of some hundred instructions a datagram. Elsewhere the
    /// system chooses, and a client that asked another address may not take the answer; bind to each
    /// address there.
    ///
    /// # Errors
    /// What the system says, with the address.
    pub fn bind<H>(&mut self, addr: impl ToAddrs, handler: H) -> io::Result<SocketId>
    where
        H: DatagramHandler<S> + 'static,
    {
        let dispatcher = &mut self.reactor.dispatcher;
        dispatcher.io.update_clock();
        let id = dispatcher.registrar.bind(&mut dispatcher.io, addr, handler);
        dispatcher.install_pending();
        id
    }

    /// Exchanges datagrams with one peer: [`Io::send`] sends to it, and only what it sends is
    /// received. A Unix socket opened so has no name, so its peer cannot answer; for that,
    /// [`Server::bind`] one to a path and connect it with [`Io::connect_peer`].
    ///
    /// # Errors
    /// What the system says, with the address.
    pub fn connect_datagram<H>(&mut self, addr: impl ToAddrs, handler: H) -> io::Result<SocketId>
    where
        H: DatagramHandler<S> + 'static,
    {
        let dispatcher = &mut self.reactor.dispatcher;
        dispatcher.io.update_clock();
        let id = dispatcher.registrar.connect_datagram(&mut dispatcher.io, addr, handler);
        dispatcher.install_pending();
        id
    }

    /// Connects to a server: to an address, to a name, which is looked up beside the loop, or as a
    /// [`Connect`](crate::Connect) says. `setup` of `handler` runs when the connection stands; when
    /// it never does, only `finish`, with
    /// [`CloseReason::ConnectFailed`](crate::CloseReason::ConnectFailed). What is sent before leaves when it
    /// stands, for which it has [`Options::connect_timeout`], the look-up and all addresses together.
    ///
    /// # Errors
    /// What can be said at once; all else comes to `finish`. Once the grace of a shutdown is over,
    /// nothing is connected to.
    pub fn connect<H>(&mut self, to: impl IntoConnect, handler: H) -> io::Result<SocketId>
    where
        H: Handler<S> + 'static,
        S: 'static,
    {
        let dispatcher = &mut self.reactor.dispatcher;
        dispatcher.io.update_clock();
        let id = dispatcher.registrar.connect(&mut dispatcher.io, None, to, handler);
        dispatcher.install_pending();
        id
    }

    /// Lets any [`mio::event::Source`] share the loop: `ready` is called when it is ready. Events
    /// are edges, so it must take everything there is. An error closes the source, as
    /// [`Io::close`] does; then it is deregistered and dropped.
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
    /// What the registration says.
    pub fn watch<E, F>(&mut self, source: E, interests: Interest, ready: F) -> io::Result<SocketId>
    where
        E: Source + 'static,
        F: FnMut(&mut Context<'_, S>, &mut E, Readiness) -> io::Result<()> + 'static,
    {
        let dispatcher = &mut self.reactor.dispatcher;
        let id = dispatcher.registrar.watch(&mut dispatcher.io, source, interests, ready);
        dispatcher.install_pending();
        id
    }

    /// An owner for timers that belong to no connection: whenever one is due that was set for it with
    /// [`Io::set_timer`], `callback` is called. An error closes it, and its timers with it.
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
    /// When no id is left for it.
    pub fn add_timer_handler<F>(&mut self, callback: F) -> io::Result<SocketId>
    where
        F: FnMut(&mut Context<'_, S>) -> io::Result<()> + 'static,
    {
        let dispatcher = &mut self.reactor.dispatcher;
        let id = dispatcher.registrar.alarm(&mut dispatcher.io, callback);
        dispatcher.install_pending();
        id
    }
}
