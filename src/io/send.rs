//! Sending to a connection: into the cork buffer, into its output, or directly.
//!
//! A large message to many connections (`Io::send_shared`) is one copy: each output holds a
//! reference to it between its own bytes, and one `writev` writes both. That pays: a head of 16
//! bytes and a body of 4, 16 or 64 KiB over loopback cost 12, 10 and 27 us of CPU in one vectored
//! write, and 20, 17 and 29 us in two writes. Below 4 KiB a copy is cheaper, so there `send_shared`
//! is `send`.

use std::sync::Arc;

use super::Io;
use crate::conn::stream::{DIRECT_WRITE_MIN, SendStatus};
use crate::id::SocketId;
use crate::trace::TraceEvent;

impl Io {
    /// Sends `bytes` to the peer of `id`, after everything sent before. Never blocks.
    ///
    /// Everything that a handler sends in one turn is written together at the end of the turn.
    /// While the connection is still connecting, the bytes wait until it is established.
    ///
    /// ```
    /// use socketserver::Echo;
    /// use socketserver::testing::TestServer;
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Echo)?;
    /// server.io_mut().send(peer.id(), b"news");
    /// server.run();
    /// assert_eq!(peer.received(), b"news");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn send(&mut self, id: SocketId, bytes: &[u8]) -> SendStatus {
        if self.cork.is_corked(id) && bytes.len() < DIRECT_WRITE_MIN {
            if let Some(reserved) = self.cork.reserve(bytes.len(), self.watermarks.high_water) {
                self.stats.bytes_sent += bytes.len() as u64;
                // The copy comes last, so that no register has to be saved across it.
                reserved.copy_from_slice(bytes);
                return SendStatus::Queued;
            }
        }
        self.send_slow(id, bytes)
    }

    /// A send to another connection than the one whose turn it is, to one with pending output, or
    /// of more than the cork buffer takes. A function of its own, so that the usual send saves few
    /// registers.
    #[inline(never)]
    fn send_slow(&mut self, id: SocketId, bytes: &[u8]) -> SendStatus {
        let own = self.cork.is_corked(id);
        if own && bytes.len() < DIRECT_WRITE_MIN && self.cork.grow(bytes.len()) {
            if self.cork.has_spare() {
                self.arm_trim();
            }
            return self.send(id, bytes);
        }
        self.uncork(id);
        if bytes.len() >= DIRECT_WRITE_MIN && (own || self.can_write_directly(id)) {
            return self.send_large(id, bytes);
        }
        let Some(connection) = self.sockets.connection_mut(id) else {
            return self.send_packet(id, bytes, None);
        };
        let sent = connection.stream.send(bytes, self.watermarks, &mut self.pool);
        if sent != SendStatus::Closed {
            self.stats.bytes_sent += bytes.len() as u64;
        }
        if !connection.stream.is_queued() {
            self.sockets.enqueue(id);
        }
        sent
    }

    /// Like [`Io::send`], but a large message is not copied: each connection keeps a reference to
    /// it until it is written. It counts in full against the limits of each connection.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use socketserver::testing::TestServer;
    /// use socketserver::{Echo, SendStatus};
    ///
    /// let mut server = TestServer::new()?;
    /// let peers = [server.connect(Echo)?, server.connect(Echo)?];
    /// let news: Arc<[u8]> = vec![b'x'; 50_000].into();
    /// for peer in &peers {
    ///     peer.set_room(10_000);
    ///     assert_eq!(server.io_mut().send_shared(peer.id(), &news), SendStatus::Queued);
    /// }
    /// server.run();
    /// assert_eq!(Arc::strong_count(&news), 3, "ours, and a share for each of them");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_shared(&mut self, id: SocketId, bytes: &Arc<[u8]>) -> SendStatus {
        if bytes.len() < DIRECT_WRITE_MIN {
            return self.send(id, bytes);
        }
        let at_once = self.cork.is_corked(id) || self.can_write_directly(id);
        self.uncork(id);
        let Some(connection) = self.sockets.connection_mut(id) else {
            return self.send_packet(id, bytes, None);
        };
        let (sent, left) =
            connection.stream.send_shared(bytes, at_once, self.watermarks, &mut self.pool);
        self.record_direct_write(id, bytes.len(), sent, left)
    }

    /// Whether no bytes that `id` has sent in this round are in the cork buffer.
    fn can_write_directly(&self, id: SocketId) -> bool {
        self.cork.is_empty()
            || self.sockets.connection(id).is_none_or(|one| !one.stream.is_queued())
    }

    #[cold]
    fn send_large(&mut self, id: SocketId, bytes: &[u8]) -> SendStatus {
        let Some(connection) = self.sockets.connection_mut(id) else {
            return self.send_packet(id, bytes, None);
        };
        let (sent, left) = connection.stream.send_large(bytes, self.watermarks, &mut self.pool);
        self.record_direct_write(id, bytes.len(), sent, left)
    }

    /// Counts a large message of `len` bytes, of which `left` were written at once.
    fn record_direct_write(
        &mut self,
        id: SocketId,
        len: usize,
        sent: SendStatus,
        left: usize,
    ) -> SendStatus {
        if sent != SendStatus::Closed {
            self.stats.bytes_sent += len as u64;
        }
        if left > 0 {
            self.stats.bytes_out += left as u64;
            self.trace.step(|| TraceEvent::Wrote(id, left));
            if let Some(connection) = self.sockets.connection_mut(id) {
                connection.active_at = self.now;
            }
        }
        self.sockets.enqueue(id);
        sent
    }

    /// Moves what `id` has sent in its turn from the cork buffer to its own output, because the
    /// rest of its turn takes the slow path.
    pub(crate) fn uncork(&mut self, id: SocketId) {
        if !self.cork.is_corked(id) {
            return;
        }
        if self.cork.corked_len() == 0 {
            self.cork.end_turn();
            return;
        }
        let collected = self.cork.take_current();
        if let Some(connection) = self.sockets.connection_mut(id) {
            connection.stream.prepend_output(collected, self.watermarks, &mut self.pool);
        }
    }
}
