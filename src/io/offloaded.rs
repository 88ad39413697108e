//! Work that handlers have offloaded, so that the ends of their sockets wait for its answers.

use super::Io;
use crate::id::SocketId;

impl Io {
    /// Another thread is at work for this socket. What has no conversation waits for nothing.
    pub(crate) fn begin_offloaded(&mut self, id: SocketId) {
        if let Some(connection) = self.sockets.connection_mut(id) {
            connection.stream.set_offloaded(true);
            // At most Options::offload_queue entries, since each counts work that is under way.
            *self.offloaded.entry(id).or_default() += 1;
        } else {
            self.with_datagram(id, |datagram| datagram.track_reply(true));
        }
    }

    /// A piece of that work is done; its socket may be gone.
    pub(crate) fn end_offloaded(&mut self, id: SocketId) {
        let Some(count) = self.offloaded.get_mut(&id) else {
            self.with_datagram(id, |datagram| datagram.track_reply(false));
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.offloaded.remove(&id);
            let now = self.now;
            self.with_connection(id, |connection| {
                connection.stream.set_offloaded(false);
                connection.restart_idle(now);
            });
        }
    }
}
