//! Closing the descriptor of a socket and removing it from every table.

use mio::Registry;

use super::Io;
use crate::conn::output::BufferPool;
use crate::id::SocketId;
use crate::io::connection::Connection;
use crate::io::spare_memory::has_owner;
use crate::io::table::Entry;
use crate::stats::Stats;
use crate::trace::TraceEvent;

/// The entries that the queues of the loop still contain for a socket that is removed.
#[derive(Default)]
struct Stale {
    deadlines: usize,
    frame_deadlines: usize,
    lingered: bool,
}

impl Io {
    /// Closes the descriptor of a socket and removes everything that belongs to it. Output that was
    /// not written is dropped, and the peer then gets a reset.
    pub(crate) fn remove_socket(&mut self, id: SocketId) {
        let Some(stale) = self.release(id) else { return };
        self.sockets.remove(id);
        if !self.attempts.is_empty() {
            self.cancel_attempt(id);
        }
        if !self.detached.is_empty() {
            self.take_detached(id);
        }
        let sockets = &self.sockets;
        if stale.lingered {
            self.lingering.remove(|id| sockets.is_lingering(id));
        }
        self.deadlines.note_stale(stale.deadlines, |id| has_owner(sockets, id));
        self.frame_deadlines.note_stale(stale.frame_deadlines, |id| sockets.get(id).is_some());
        if self.has_first_deadline(id) {
            self.drop_stale_deadlines();
        }
        self.trace.step(|| TraceEvent::Removed(id));
    }

    /// Drops what a socket owns besides its entry in the table. `None` when the id is stale.
    fn release(&mut self, id: SocketId) -> Option<Stale> {
        let registry = self.poll.registry();
        match self.sockets.get_mut(id)? {
            Entry::Connection(connection) => {
                Some(release_connection(connection, registry, &mut self.pool, &mut self.stats))
            }
            Entry::Listener(listener) => {
                // On Linux the close deregisters too, but this path is rare.
                let _ = listener.socket.deregister(registry);
                Some(Stale::default())
            }
            Entry::Datagram(datagram) => {
                self.stats.packets_dropped += datagram.clear_queue() as u64;
                self.local_addrs.remove(id);
                let _ = datagram.deregister(registry);
                let deadlines =
                    usize::from(datagram.closes_at.is_some()) + usize::from(datagram.recv_backoff);
                Some(Stale { deadlines, ..Stale::default() })
            }
            Entry::Source(_) => Some(Stale::default()),
        }
    }
}

#[inline]
fn release_connection(
    connection: &mut Connection,
    registry: &Registry,
    pool: &mut BufferPool,
    stats: &mut Stats,
) -> Stale {
    let dropped = connection.stream.drop_output(pool);
    stats.bytes_dropped += dropped as u64;
    if dropped > 0 || connection.wants_reset() {
        connection.stream.transport().reset_on_close();
    }
    // epoll removes a descriptor when it is closed, unless another process has a copy of it.
    // Descriptors opened here are close-on-exec and never copied.
    if cfg!(not(any(target_os = "linux", target_os = "android"))) {
        let _ = connection.stream.transport_mut().deregister(registry);
    }
    Stale {
        deadlines: usize::from(connection.armed_deadlines),
        frame_deadlines: usize::from(connection.stream.is_frame_deadline_armed()),
        lingered: connection.is_lingering,
    }
}
