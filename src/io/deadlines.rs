//! The deadlines of connections and datagram sockets: when each is, and how it is armed.

use super::{Io, nanoseconds};
use crate::conn::stream::CloseState;
use crate::id::SocketId;
use crate::io::ShutdownState;
use crate::io::connection::Connection;
use crate::io::spare_memory::has_owner;
use crate::net::StreamSocket;

impl Io {
    /// Pushes the present deadline of a connection, if it has one.
    #[inline]
    pub(crate) fn arm_deadline(&mut self, id: SocketId) {
        let Some(at) = self.deadline(id) else { return };
        let Some(connection) = self.sockets.connection_mut(id) else { return };
        connection.armed_deadlines = connection.armed_deadlines.saturating_add(1);
        self.deadlines.push(at, id);
    }

    /// Arms the frame timeout for unconsumed input, unless it is armed.
    #[inline]
    pub(crate) fn arm_frame_deadline(&mut self, id: SocketId) {
        if self.frame_timeout_ns == u64::MAX {
            return;
        }
        let Some(connection) = self.sockets.connection_mut(id) else { return };
        if connection.stream.arm_frame_deadline() {
            self.frame_deadlines.push(self.now.saturating_add(self.frame_timeout_ns), id);
        }
    }

    /// The present deadline of a connection; `None` when it has none.
    pub(crate) fn deadline(&self, id: SocketId) -> Option<u64> {
        let connection = self.sockets.connection(id)?;
        self.deadline_of(connection)
    }

    pub(super) fn deadline_of(&self, connection: &Connection) -> Option<u64> {
        let patience = match connection.stream.close_state() {
            // The connector has its own deadlines.
            _ if connection.stream.is_connecting() => u64::MAX,
            // The blocking handler that has the socket has its own timeouts.
            CloseState::Open if matches!(connection.stream.transport(), StreamSocket::Detached) => {
                u64::MAX
            }
            CloseState::Open => self.idle_timeout_ns,
            CloseState::Closing | CloseState::Flushing => nanoseconds(self.options.close_timeout),
            CloseState::Lingering => return Some(self.linger_deadline(connection)),
            CloseState::Aborted(_) | CloseState::Dropped => u64::MAX,
        };
        let at = connection.last_active().saturating_add(patience);
        (at != u64::MAX).then_some(at)
    }

    /// Arms the close timeout of a closed datagram socket, once.
    pub(crate) fn arm_datagram_close_timeout(&mut self, id: SocketId) {
        let over = self.deadline_in(self.options.close_timeout);
        let Some(datagram) = self.sockets.datagram_mut(id) else { return };
        if datagram.closes_at.is_none() {
            datagram.closes_at = Some(over);
            self.deadlines.push(over, id);
        }
    }

    /// Stops receiving; the datagram socket closes when all replies are sent, within the grace of a
    /// shutdown or else within the close timeout.
    pub(crate) fn await_answers(&mut self, id: SocketId) {
        if let Some(datagram) = self.sockets.datagram_mut(id) {
            datagram.suspend();
            self.sockets.note_stopped(id);
        }
        if !self.is_shutting_down() {
            self.arm_datagram_close_timeout(id);
        }
    }

    /// Whether the earliest deadline of a kind, or the earliest timer, belongs to `id`.
    #[inline]
    pub(super) fn has_first_deadline(&self, id: SocketId) -> bool {
        self.deadlines.next_key() == Some(id)
            || self.frame_deadlines.next_key() == Some(id)
            || self.timers.first_owner() == Some(id)
    }

    /// Removes the deadlines of closed sockets and cancelled timers that would wake the loop for
    /// nothing. It is called when the earliest deadline is removed or has expired, so that waiting
    /// costs nothing more.
    pub(crate) fn drop_stale_deadlines(&mut self) {
        let sockets = &self.sockets;
        self.deadlines.drop_stale_front(|id| has_owner(sockets, id));
        self.frame_deadlines.drop_stale_front(|id| sockets.get(id).is_some());
        self.timers.drop_stale_front(|id| sockets.get(id).is_some());
    }

    /// The sockets whose deadlines or timers are the earliest of each kind.
    #[cfg(all(test, feature = "testing"))]
    pub(crate) fn first_deadlines(&self) -> impl Iterator<Item = SocketId> {
        let keys = [self.deadlines.next_key(), self.frame_deadlines.next_key()];
        keys.into_iter().chain([self.timers.first_owner()]).flatten()
    }

    /// The earliest deadline of any kind; `u64::MAX` when there is none.
    #[inline]
    pub(crate) fn next_deadline(&self) -> u64 {
        let timers = self.timers.next().unwrap_or(u64::MAX);
        let deadlines = self.deadlines.next().unwrap_or(u64::MAX);
        let drained = if let ShutdownState::Draining { deadline, .. } = self.shutdown_state {
            deadline
        } else {
            u64::MAX
        };
        let frame_deadlines = self.frame_deadlines.next().unwrap_or(u64::MAX);
        timers.min(deadlines).min(drained).min(frame_deadlines)
    }
}
