//! Commands about one socket: pause, resume, half-close, close, abort.
//!
//! Each returns whether it took effect: an id may be stale, its socket closed, or of a kind that
//! the command does not apply to. All of them may be called in every callback, for the handler's
//! own socket too.

use std::io;

use super::Io;
use crate::conn::datagram::{AfterDrain, DatagramPhase};
use crate::conn::stream::CloseState;
use crate::id::SocketId;
use crate::io::table::Entry;
use crate::stats::CloseReason;

impl Io {
    /// Stops reading from `id` until [`Io::resume`]. The handler of a connection gets no input
    /// meanwhile; that of a datagram socket still gets the datagrams that were received in the same
    /// batch as the present one. A listener accepts no client: clients wait in its backlog. When
    /// several loops share one listener
    /// ([`LoadBalancing::LeastConnections`](crate::LoadBalancing::LeastConnections)), pause it in
    /// the loop that accepts. The callback of a watched source is then called by timers only.
    ///
    /// Returns `false` when the socket is closed.
    ///
    /// ```
    /// use socketserver::Echo;
    /// use socketserver::testing::TestServer;
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Echo)?;
    /// server.io_mut().pause(peer.id());
    /// peer.send("hello");
    /// server.run();
    /// assert_eq!(peer.received(), b"");
    /// server.io_mut().resume(peer.id());
    /// server.run();
    /// assert_eq!(peer.received(), b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn pause(&mut self, id: SocketId) -> bool {
        self.is_live(id)
            && (self.with_connection(id, |connection| connection.stream.pause())
                || self.with_datagram(id, |datagram| datagram.pause(true))
                || self.pause_other(id, true))
    }

    /// Reads from `id` again, or accepts again. Unconsumed input of a connection is delivered
    /// again, even if nothing new has arrived and it was not paused, and also when `handle` resumes
    /// its connection itself. If that second call consumes nothing, the input is delivered for the next
    /// time together with new input. The callback of a watched source is called again with the
    /// readiness that was reported to it. The idle timeout of a connection starts over.
    ///
    /// Returns `false` when the socket is closed.
    ///
    /// ```
    /// use socketserver::Echo;
    /// use socketserver::testing::TestServer;
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Echo)?;
    /// server.io_mut().pause(peer.id());
    /// peer.send("later");
    /// server.run();
    /// assert_eq!(peer.received(), b"");
    /// server.io_mut().resume(peer.id());
    /// server.run();
    /// assert_eq!(peer.received(), b"later");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn resume(&mut self, id: SocketId) -> bool {
        let now = self.now;
        self.is_live(id)
            && (self.resume_connection(id, now)
                || self.with_datagram(id, |datagram| datagram.pause(false))
                || self.pause_other(id, false))
    }

    fn resume_connection(&mut self, id: SocketId, now: u64) -> bool {
        let resumed = self.with_connection(id, |connection| connection.resume(now));
        if resumed {
            // At once, so that the next poll reports what arrived meanwhile. After an error the turn
            // of the connection tries again, and ends it.
            let _ = self.update_interests(id);
        }
        resumed
    }

    fn pause_other(&mut self, id: SocketId, on: bool) -> bool {
        match self.sockets.get_mut(id) {
            Some(Entry::Listener(listener)) => listener.paused = on,
            Some(Entry::Source(source)) => source.pause(on),
            _ => return false,
        }
        self.sockets.enqueue(id);
        true
    }

    /// Reads from `id` even while its own output is congested; input that its handler left
    /// unconsumed because of the congestion is delivered again. The caller must then bound the
    /// output itself; a relay does it by pausing the side that feeds it.
    ///
    /// Returns `false` when `id` is not an open connection.
    pub fn set_read_while_congested(&mut self, id: SocketId, on: bool) -> bool {
        self.is_live(id)
            && self.with_connection(id, |connection| connection.stream.set_read_while_congested(on))
    }

    /// Shuts down the sending side (half-close) once everything sent has left; reading goes on.
    /// While a blocking handler has the connection this is [`Io::close`].
    ///
    /// Returns `false` when `id` is not an open connection.
    ///
    /// ```
    /// use socketserver::Echo;
    /// use socketserver::testing::TestServer;
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Echo)?;
    /// server.io_mut().send(peer.id(), b"all there is");
    /// server.io_mut().shutdown_write(peer.id());
    /// server.run();
    /// assert_eq!(peer.received(), b"all there is");
    /// assert!(peer.has_end() && server.io().is_open(peer.id()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown_write(&mut self, id: SocketId) -> bool {
        if !self.is_live(id) {
            return false;
        }
        if let Some(is_first) = self.close_later(id) {
            return is_first;
        }
        self.with_connection(id, |connection| connection.stream.shutdown_write())
    }

    /// Closes a socket of any kind. A connection first sends its pending output, then its FIN, then
    /// waits for the peer's EOF for a bounded time; a datagram socket sends the datagrams that are
    /// queued, and the replies of blocking handlers that are at work. The handler gets no more input.
    /// A connection that is still connecting goes on to do so if something was sent to it, which then
    /// leaves.
    ///
    /// A connection that a [blocking handler](crate::blocking) has is closed when that handler has
    /// ended; neither its reads nor its writes notice. What [`Io::send`] was given meanwhile leaves
    /// then, behind what the handler wrote. [`Io::abort`] ends it at once.
    ///
    /// The address of a listener is free when this returns, that of a datagram socket when its
    /// `finish` has returned.
    ///
    /// Returns `false` when the socket is closed already.
    ///
    /// ```
    /// use socketserver::Echo;
    /// use socketserver::testing::TestServer;
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Echo)?;
    /// server.io_mut().send(peer.id(), b"bye");
    /// assert!(server.io_mut().close(peer.id()));
    /// assert!(!server.io_mut().close(peer.id()), "it is closed already");
    /// server.run();
    /// assert_eq!(peer.received(), b"bye");
    /// assert!(peer.has_end());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(&mut self, id: SocketId) -> bool {
        if !self.is_live(id) {
            return false;
        }
        if let Some(is_first) = self.close_later(id) {
            return is_first;
        }
        if self.with_connection(id, |connection| connection.stream.close()) {
            return true;
        }
        let registry = self.poll.registry();
        if let Some(listener) = self.sockets.listener_mut(id) {
            listener.closing = true;
            // A server that listens at the same address in this turn needs it.
            listener.socket.close(registry);
            if let (Some(addr_index), Some(member)) = (listener.addr_index, &self.sockets.member) {
                member.note_closed_addr(addr_index);
            }
        } else if let Some(datagram) = self.sockets.datagram_mut(id) {
            datagram.close();
        } else if let Some(source) = self.sockets.source_mut(id) {
            source.closing = true;
        }
        self.sockets.enqueue(id);
        true
    }

    /// Resets a connection now, or closes a socket of another kind; pending output is dropped. Where a
    /// blocking handler has the connection, its reads and writes fail from now on, and the reset leaves
    /// when it has noticed or ended. A
    /// handler may call this after it has closed the connection, and in its `finish`: the peer then
    /// gets a reset instead of an EOF.
    ///
    /// Returns `false` when the socket is removed or was aborted already.
    ///
    /// ```
    /// use socketserver::Echo;
    /// use socketserver::testing::TestServer;
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Echo)?;
    /// server.io_mut().send(peer.id(), b"dropped");
    /// server.io_mut().abort(peer.id());
    /// server.run();
    /// assert!(peer.was_reset());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn abort(&mut self, id: SocketId) -> bool {
        let mut aborted = false;
        if self.with_connection(id, |connection| {
            aborted = connection.stream.abort(CloseReason::Aborted);
        }) {
            return aborted;
        }
        if let Some(datagram) = self.sockets.datagram_mut(id) {
            let dropped = datagram.clear_queue();
            let owed = datagram.forget_replies();
            self.stats.packets_dropped += dropped as u64;
            // A closed socket may have waited for these datagrams only.
            self.sockets.enqueue(id);
            return self.close(id) || dropped > 0 || owed;
        }
        self.close(id)
    }

    /// Whether the socket exists and has not been closed.
    pub(super) fn is_live(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Connection(connection)) => {
                connection.stream.close_state() == CloseState::Open
            }
            Some(Entry::Listener(listener)) => !listener.closing,
            Some(Entry::Datagram(datagram)) => datagram.phase() != DatagramPhase::Closing,
            Some(Entry::Source(source)) => !source.closing,
            None => false,
        }
    }

    /// Sets `TCP_NODELAY` of one connection, overriding
    /// [`Options::nodelay`](crate::Options::nodelay). While the connection is connecting, the
    /// option is set once it is established. Unix streams do not have the option; for them this
    /// does nothing.
    ///
    /// # Errors
    /// The error of setsockopt(2); [`NotConnected`](io::ErrorKind::NotConnected) when `id` is not
    /// an open connection, or a blocking handler has its socket.
    pub fn set_nodelay(&mut self, id: SocketId, on: bool) -> io::Result<()> {
        if let Some(attempt) = self.attempts.get_mut(id) {
            attempt.nodelay = Some(on);
            return Ok(());
        }
        match self.sockets.connection(id) {
            Some(connection) => connection.stream.transport().set_nodelay(on),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Closes every listener and every bound datagram socket (Python's `server_close`). Datagrams
    /// that had arrived are answered first, also by other threads within
    /// [`Options::close_timeout`](crate::Options::close_timeout); connections go on.
    ///
    /// ```
    /// use socketserver::{Echo, Server};
    ///
    /// let mut server = Server::new()?;
    /// let listener = server.listen("127.0.0.1:0", |_peer| Echo)?;
    /// server.io_mut().server_close();
    /// assert!(!server.io().is_open(listener));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn server_close(&mut self) {
        let since = self.now;
        for id in self.sockets.ids() {
            match self.sockets.get(id) {
                Some(Entry::Listener(_)) => self.close(id),
                Some(Entry::Datagram(datagram)) if !datagram.is_connected => {
                    self.with_datagram(id, |datagram| {
                        datagram.begin_drain(since, AfterDrain::Close);
                    })
                }
                _ => false,
            };
        }
    }
}
