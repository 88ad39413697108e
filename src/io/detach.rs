//! Detaching the socket of a connection for a blocking handler, and reattaching it.
//!
//! The connection keeps its id, its permit and its handler; only its socket is out of the poll. So
//! limits, counters and shutdowns apply to it as to any other.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;

use crate::conn::transport::Readiness;
use crate::id::SocketId;
use crate::io::Io;
use crate::io::table::SocketTable;
#[cfg(all(unix, feature = "processes"))]
use crate::net::ByteCounts;
use crate::net::{DetachedSocket, LentSocket, StopToken, StreamSocket};
use crate::stats::CloseReason;

impl Io {
    /// Takes the socket of a connection out of the poll and makes it blocking.
    pub(crate) fn detach(&mut self, id: SocketId) -> io::Result<()> {
        self.uncork(id);
        let registry = self.poll.registry();
        let Some(connection) = self.sockets.connection_mut(id) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        connection.stream.transport_mut().deregister(registry)?;
        let detached =
            DetachedSocket::detach(connection.stream.replace_transport(StreamSocket::Detached))?;
        self.detached.insert(id, detached);
        Ok(())
    }

    /// The socket of a connection, if it is detached. All clones must be dropped before it can be
    /// reattached.
    pub(crate) fn detached_socket(&self, id: SocketId) -> Option<&Arc<LentSocket>> {
        self.detached.get(&id).map(DetachedSocket::socket)
    }

    /// Notes a close or a half-close of a connection that a blocking handler has: it follows when the
    /// handler has ended, for until then the sending direction is the handler's. `None` when no handler
    /// has it, or else whether this is the first one.
    pub(super) fn close_later(&mut self, id: SocketId) -> Option<bool> {
        let detached = self.detached.get_mut(&id)?;
        Some(!std::mem::replace(&mut detached.close_requested, true))
    }

    /// Whether a close waits for the blocking handler of a connection.
    pub(super) fn closes_later(&self, id: SocketId) -> bool {
        !self.detached.is_empty()
            && self.detached.get(&id).is_some_and(|detached| detached.close_requested)
    }

    /// Leaves the socket to its blocking handler: no shutdown waits for it any more. What that reads
    /// and writes from now on is not counted.
    pub(crate) fn leave_detached(&mut self, id: SocketId) {
        self.take_detached(id);
    }

    /// Adds the bytes that a child process has counted for a connection.
    #[cfg(all(unix, feature = "processes"))]
    pub(crate) fn add_counts(&self, id: SocketId, counts: ByteCounts) {
        if let Some(socket) = self.detached_socket(id) {
            socket.add(counts);
        }
    }

    /// Takes a socket from its blocking handler, which may still run, and counts its bytes. What the
    /// handler passed to a write and the system has not taken is dropped.
    pub(super) fn take_detached(&mut self, id: SocketId) -> Option<DetachedSocket> {
        let detached = self.detached.remove(&id)?;
        let counts = detached.socket().counts();
        self.stats.bytes_in += counts.bytes_in;
        self.stats.bytes_sent += counts.bytes_sent;
        self.stats.bytes_out += counts.bytes_out;
        self.stats.bytes_dropped += counts.bytes_sent - counts.bytes_out;
        Some(detached)
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
        if self.request_stop() {
            return;
        }
        if let Some(socket) = self.detached_socket(id) {
            // It fails when the peer has closed the connection already.
            let _ = socket.shutdown(Shutdown::Read);
        }
    }

    /// Tells the blocking handlers of this run that the server shuts down; `false` if they cannot be
    /// told so.
    pub(crate) fn request_stop(&self) -> bool {
        self.stop_token.as_ref().is_some_and(|token| token.request())
    }

    /// Registers a detached socket again. If another clone of it is still in use, the connection
    /// ends without a socket. `silent_since` is given when nothing has happened on the socket since
    /// then but the stop. A connection whose answer was cut, as a write that failed or `is_cut` says,
    /// is aborted: its peer gets a reset.
    pub(crate) fn reattach(
        &mut self,
        id: SocketId,
        silent_since: Option<u64>,
        is_cut: bool,
    ) -> io::Result<()> {
        let Some(detached) = self.take_detached(id) else { return Ok(()) };
        let is_cut = is_cut || detached.socket().counts().is_cut();
        if is_cut {
            detached.socket().reset_on_close();
        }
        let silent_since = silent_since.filter(|_| detached.has_no_input());
        let close_requested = detached.close_requested;
        let Some(socket) = detached.end()? else { return Ok(()) };
        self.replace_socket(id, socket)?;
        // Without that, what happened meanwhile is unknown.
        let readable = silent_since.is_none();
        let ready = Readiness { readable, writable: true, ..Readiness::default() };
        self.with_connection(id, |connection| {
            connection.active_at = silent_since.unwrap_or(connection.active_at);
            connection.stream.set_ready(ready);
            if is_cut {
                connection.stream.abort(CloseReason::IoError);
            } else if close_requested {
                connection.stream.close();
            }
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
