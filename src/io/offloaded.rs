//! Counts the offloaded work of each socket, because EOF and shutdown are delivered after its
//! results.

use super::Io;
use crate::id::SocketId;

impl Io {
    /// Counts one more job for this socket. Sources and listeners do not wait for jobs.
    pub(crate) fn begin_offloaded(&mut self, id: SocketId) {
        if let Some(connection) = self.sockets.connection_mut(id) {
            connection.stream.set_offloaded(true);
            // At most `Options::offload_queue` entries, because each counts a job that is not done.
            *self.offloaded.entry(id).or_default() += 1;
        } else {
            self.with_datagram(id, |datagram| datagram.track_reply(true));
        }
    }

    /// Counts one job less; the socket may be closed.
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
