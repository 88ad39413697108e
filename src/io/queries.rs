//! Questions about a socket, and about the server.

use super::Io;
use crate::addr::Addr;
use crate::conn::datagram::DatagramPhase;
use crate::conn::stream::CloseState;
use crate::id::SocketId;
use crate::io::table::Entry;
use crate::net::{local_addr_of, peer_addr_of};
use crate::stats::Stats;

impl Io {
    /// Whether the socket exists and this program has not closed it.
    ///
    /// ```
    /// use socketserver::Echo;
    /// use socketserver::testing::TestServer;
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Echo)?;
    /// assert!(server.io().is_open(peer.id()));
    /// peer.end();
    /// server.run();
    /// assert!(!server.io().is_open(peer.id()), "an echo server closes at EOF");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn is_open(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Connection(connection)) => {
                connection.stream.close_state() == CloseState::Open && !self.closes_later(id)
            }
            Some(Entry::Listener(listener)) => !listener.closing,
            Some(Entry::Datagram(datagram)) => {
                matches!(datagram.phase(), DatagramPhase::Open | DatagramPhase::Stopped)
            }
            Some(Entry::Source(source)) => !source.closing,
            None => false,
        }
    }

    /// Whether pending output has exceeded high water and has not fallen to low water since. For a
    /// datagram socket, whether a datagram was dropped because the send queue was full, and the
    /// queue has not been empty since.
    #[must_use]
    pub fn is_congested(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Connection(connection)) => connection.stream.is_congested(),
            Some(Entry::Datagram(datagram)) => datagram.is_congested(),
            _ => false,
        }
    }

    /// Whether the socket is paused ([`Io::pause`]).
    ///
    /// ```
    /// use socketserver::Echo;
    /// use socketserver::testing::TestServer;
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Echo)?;
    /// server.io_mut().pause(peer.id());
    /// assert!(server.io().is_paused(peer.id()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn is_paused(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Connection(connection)) => connection.stream.is_paused(),
            Some(Entry::Datagram(datagram)) => datagram.is_paused(),
            Some(Entry::Listener(listener)) => listener.paused,
            Some(Entry::Source(source)) => source.is_paused(),
            None => false,
        }
    }

    /// How many bytes wait to be sent. Bytes that other connections have sent to `id` in this round
    /// are counted only where they do not leave at the end of it.
    ///
    /// ```
    /// use socketserver::Echo;
    /// use socketserver::testing::TestServer;
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Echo)?;
    /// peer.set_room(3);
    /// server.io_mut().send(peer.id(), b"12345");
    /// server.run();
    /// assert_eq!(server.io().pending_output(peer.id()), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn pending_output(&self, id: SocketId) -> usize {
        let waiting = self.sockets.connection(id).map_or(0, |c| c.stream.unsent());
        waiting + if self.cork.is_corked(id) { self.cork.corked_len() } else { 0 }
    }

    /// The address of the peer (`getpeername`, Python's `client_address`). `None` when the peer has
    /// disconnected, so a handler that needs the address in `finish` has to keep a copy.
    ///
    /// ```
    /// use socketserver::{Context, Handler, Input};
    /// use std::io;
    ///
    /// struct WhoAmI;
    ///
    /// impl Handler for WhoAmI {
    ///     fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
    ///         if let Some(peer) = cx.io.peer_addr(cx.id) {
    ///             cx.send(format!("{peer}\n").as_bytes());
    ///         }
    ///         cx.close();
    ///         Ok(())
    ///     }
    ///
    ///     fn handle(&mut self, _cx: &mut Context<'_>, _input: &mut Input<'_>) -> io::Result<()> {
    ///         Ok(())
    ///     }
    /// }
    /// # socketserver::Server::new()?.listen("127.0.0.1:0", |_peer| WhoAmI)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    #[must_use]
    pub fn peer_addr(&self, id: SocketId) -> Option<Addr> {
        match self.sockets.get(id)? {
            Entry::Connection(connection) => {
                let peer = connection.stream.transport().peer_addr();
                peer.or_else(|| self.detached_socket(id).and_then(|one| peer_addr_of(one)))
            }
            Entry::Datagram(datagram) => datagram.transport().peer_addr(),
            Entry::Listener(_) | Entry::Source(_) => None,
        }
    }

    /// The local address (`getsockname`, Python's `server_address`); of a listener on port 0, with
    /// the port that the system chose. A connection that is connecting has one only while exactly
    /// one socket is being connected for it.
    ///
    /// ```
    /// use socketserver::{Echo, Server};
    ///
    /// let mut server = Server::new()?;
    /// let listener = server.listen("127.0.0.1:0", |_peer| Echo)?;
    /// let port = server.io().local_addr(listener).and_then(|addr| addr.port());
    /// assert_ne!(port, Some(0), "the system has chosen one");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn local_addr(&self, id: SocketId) -> Option<Addr> {
        match self.sockets.get(id)? {
            Entry::Connection(connection) if connection.stream.is_connecting() => {
                self.attempts.get(id)?.local_addr()
            }
            Entry::Connection(connection) => {
                let own = connection.stream.transport().local_addr();
                own.or_else(|| self.detached_socket(id).and_then(|one| local_addr_of(one)))
            }
            Entry::Listener(listener) => listener.socket.local_addr(),
            Entry::Datagram(datagram) => datagram.transport().local_addr(),
            Entry::Source(_) => None,
        }
    }

    /// How many connections are open, including those that linger.
    ///
    /// ```
    /// use socketserver::Echo;
    /// use socketserver::testing::TestServer;
    ///
    /// let mut server = TestServer::new()?;
    /// let _peer = server.connect(Echo)?;
    /// assert_eq!(server.io().connection_count(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.sockets.connection_count()
    }

    /// The counters of this server.
    ///
    /// ```
    /// use socketserver::Echo;
    /// use socketserver::testing::TestServer;
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Echo)?;
    /// peer.send("hello");
    /// server.run();
    /// assert_eq!(server.io().stats().bytes_in, 5);
    /// assert_eq!(server.io().stats().bytes_out, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Compares the counters with the sockets, between two turns; for tests and soak runs, because it
    /// visits every connection.
    ///
    /// # Errors
    /// Describes the counters that do not balance.
    pub fn verify_stats(&self) -> Result<(), String> {
        let unsent: usize = self.sockets.connections().map(|(_, c)| c.stream.unsent()).sum();
        let live = self.sockets.connections().filter(|(_, c)| !c.is_finished()).count();
        let stats = &self.stats;
        if stats.accepted + stats.connected != stats.all_ended() + live as u64 {
            return Err(format!("{live} connections are not finished, but {stats:?}"));
        }
        if stats.bytes_sent != stats.bytes_out + stats.bytes_dropped + unsent as u64 {
            return Err(format!("{unsent} bytes are unsent, but {stats:?}"));
        }
        let waiting: usize =
            self.sockets.datagrams().map(|(_, datagram)| datagram.queue_len()).sum();
        if stats.packets_sent != stats.packets_out + stats.packets_dropped + waiting as u64 {
            return Err(format!("{waiting} datagrams are queued, but {stats:?}"));
        }
        Ok(())
    }
}
