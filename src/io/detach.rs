//! Detaching the socket of a connection for a blocking handler, and reattaching it.
//!
//! The connection keeps its id, its permit and its handler; only its socket is out of the poll. So
//! limits, counters and shutdowns apply to it as to any other.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;

use socket2::Socket;

use crate::conn::transport::Readiness;
use crate::id::SocketId;
use crate::io::Io;
use crate::io::table::SocketTable;
use crate::net::{DetachedSocket, StopToken, StreamSocket};

impl Io {
    /// Takes the socket of a connection out of the poll and makes it blocking. All clones of the
    /// returned socket must be dropped before it can be reattached.
    pub(crate) fn detach(&mut self, id: SocketId) -> io::Result<Arc<Socket>> {
        self.uncork(id);
        let registry = self.poll.registry();
        let Some(connection) = self.sockets.connection_mut(id) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        connection.stream.transport_mut().deregister(registry)?;
        let detached =
            DetachedSocket::detach(connection.stream.replace_transport(StreamSocket::Detached))?;
        let socket = Arc::clone(detached.socket());
        self.detached.insert(id, detached);
        Ok(socket)
    }

    /// The socket of a connection, if it is detached.
    pub(crate) fn detached_socket(&self, id: SocketId) -> Option<&Socket> {
        self.detached.get(&id).map(|detached| &**detached.socket())
    }

    /// The token that ends blocking reads when this run of the server shuts down.
    pub(crate) fn stop_token(&mut self) -> io::Result<Arc<StopToken>> {
        if let Some(token) = &self.stop_token {
            return Ok(Arc::clone(token));
        }
        let token = Arc::new(StopToken::new()?);
        self.stop_token = Some(Arc::clone(&token));
        Ok(token)
    }

    /// Makes reads of a detached socket return EOF, behind what has arrived.
    pub(crate) fn end_reads(&self, id: SocketId) {
        if self.stop_token.as_ref().is_some_and(|token| token.request()) {
            return;
        }
        if let Some(socket) = self.detached_socket(id) {
            // It fails when the peer has closed the connection already.
            let _ = socket.shutdown(Shutdown::Read);
        }
    }

    /// Registers a detached socket again. If another clone of it is still in use, the connection
    /// ends without a socket. `silent_since` is given when nothing has happened on the socket since
    /// then but the stop.
    pub(crate) fn reattach(&mut self, id: SocketId, silent_since: Option<u64>) -> io::Result<()> {
        let Some(detached) = self.detached.remove(&id) else { return Ok(()) };
        let silent_since = silent_since.filter(|_| detached.has_no_input());
        let Some(socket) = detached.end()? else { return Ok(()) };
        self.replace_socket(id, socket)?;
        // Without that, what happened meanwhile is unknown.
        let readable = silent_since.is_none();
        let ready = Readiness { readable, writable: true, ..Readiness::default() };
        self.with_connection(id, |connection| {
            connection.active_at = silent_since.unwrap_or(connection.active_at);
            connection.stream.set_ready(ready);
        });
        Ok(())
    }

    /// Counts one more reply that is due (`on`), or one less; the socket stays open until none is.
    pub(crate) fn track_reply(&mut self, id: SocketId, on: bool) {
        self.with_datagram(id, |datagram| datagram.track_reply(on));
    }

    /// Closes the descriptors of all sockets: those of a forked child are copies.
    #[cfg_attr(
        not(all(unix, feature = "processes")),
        expect(dead_code, reason = "nothing is forked")
    )]
    pub(crate) fn close_inherited(&mut self) {
        drop(std::mem::replace(&mut self.sockets, SocketTable::new()));
        drop(std::mem::take(&mut self.attempts));
        self.detached.clear();
        self.stop_token = None;
    }
}
