//! How a connection leaves the loop for a handler that blocks, and how it comes back.
//!
//! It keeps its id, its place among the connections and its handler; only its socket is away. So
//! limits, counters and shutdowns hold for it as for any other.

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
    /// Takes the socket of a connection out of the loop. It blocks, and all shares of it must be
    /// gone before it can come back.
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

    /// The socket of a connection, if it is away.
    pub(crate) fn detached_socket(&self, id: SocketId) -> Option<&Socket> {
        self.detached.get(&id).map(|detached| &**detached.socket())
    }

    /// The stop of this run, for reads that are to end with it.
    pub(crate) fn stop_token(&mut self) -> io::Result<Arc<StopToken>> {
        if let Some(token) = &self.stop_token {
            return Ok(Arc::clone(token));
        }
        let token = Arc::new(StopToken::new()?);
        self.stop_token = Some(Arc::clone(&token));
        Ok(token)
    }

    /// Has the reads of a socket that is away come to their end, behind what has come in.
    pub(crate) fn end_reads(&self, id: SocketId) {
        if self.stop_token.as_ref().is_some_and(|token| token.request()) {
            return;
        }
        if let Some(socket) = self.detached_socket(id) {
            // It fails when the peer is gone already.
            let _ = socket.shutdown(Shutdown::Read);
        }
    }

    /// Puts the socket of a connection back. One that somebody else still uses stays away, and the
    /// connection ends without it. `silent_since`: nothing has moved since then but the stop.
    pub(crate) fn reattach(&mut self, id: SocketId, silent_since: Option<u64>) -> io::Result<()> {
        let Some(detached) = self.detached.remove(&id) else { return Ok(()) };
        let silent_since = silent_since.filter(|_| detached.has_no_input());
        let Some(socket) = detached.end()? else { return Ok(()) };
        self.replace_socket(id, socket)?;
        // Unless it was looked into, there is no telling what happened meanwhile.
        let readable = silent_since.is_none();
        let ready = Readiness { readable, writable: true, ..Readiness::default() };
        self.with_connection(id, |connection| {
            connection.active_at = silent_since.unwrap_or(connection.active_at);
            connection.stream.set_ready(ready);
        });
        Ok(())
    }

    /// An answer to one more datagram is owed, or to one less; the socket stays until none is.
    pub(crate) fn track_reply(&mut self, id: SocketId, on: bool) {
        self.with_datagram(id, |datagram| datagram.track_reply(on));
    }

    /// Closes the descriptors of all sockets and forgets them: those of a forked child are copies.
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
