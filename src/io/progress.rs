//! What counts as movement of a connection when its time is over, and what is silence of our own.
//!
//! Bytes that are read or written are noted as they move. What the peer acknowledges of what the
//! system has taken is asked for only when a deadline comes up and nothing was noted, so an ordinary
//! message pays nothing for it.
//!
//! A connection that lingers goes by nginx's rule: for a time in all, and for as long as something
//! comes or the answer is on its way; there are never more than so many, and the oldest goes.

use crate::conn::stream::CloseState;
use crate::id::SocketId;
use crate::io::connection::{Connection, SAMPLED};
use crate::io::{Io, ShutdownState, nanoseconds};

/// How long a connection may linger during a shutdown, in nanoseconds.
const LINGER_AT_SHUTDOWN: u64 = 2_000_000_000;

const MILLISECOND: u64 = 1_000_000;

impl Io {
    /// How much the system has taken for the peer of `id` that the peer has not acknowledged (TCP), or
    /// not read (Unix), as memory of the system, which is somewhat more than the bytes. A peer that
    /// reads slowly and steadily makes it fall although the system may report no room for minutes;
    /// so a handler whose timer asks whether its peer is still there adds this to [`Io::pending_output`]
    /// and compares that with what it was at the timer before. It costs a system call.
    ///
    /// `None` when there is no such connection, and where the system does not say: on all but Linux
    /// (since 4.12), without the feature `sys`, and while a handler that blocks has the socket.
    ///
    /// ```
    /// use socketserver::testing::TestServer;
    /// use socketserver::Echo;
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Echo)?;
    /// peer.set_unacknowledged(4_096);
    /// assert_eq!(server.io_mut().unacknowledged(peer.id()), Some(4_096));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn unacknowledged(&self, id: SocketId) -> Option<usize> {
        let connection = self.sockets.connection(id)?;
        connection.stream.transport().unacknowledged().map(|bytes| bytes as usize)
    }

    /// Whether the end of the peer was read.
    pub(crate) fn has_eof(&self, id: SocketId) -> bool {
        self.sockets.connection(id).is_some_and(|connection| connection.stream.has_eof())
    }

    /// The time of a connection is over. Whether its peer has acknowledged something meanwhile, or
    /// may have: then it begins anew. One look a deadline.
    pub(crate) fn goes_on(&mut self, id: SocketId) -> bool {
        let now = self.now;
        let Some(connection) = self.sockets.connection_mut(id) else { return false };
        let goes_on = match connection.stream.close_state() {
            CloseState::Open | CloseState::Closing | CloseState::Flushing => {
                connection.take_acknowledged(now)
            }
            CloseState::Lingering => return self.extend_lingering(id),
            CloseState::Aborted(_) | CloseState::Dropped => false,
        };
        if goes_on {
            self.restart_deadline(id);
        }
        goes_on
    }

    /// Whether the silence of a connection is our own doing: a thread works for it, or its handler
    /// has paused it and owes the peer the next word. Its idle time begins anew.
    pub(crate) fn extend_if_busy(&mut self, id: SocketId) -> bool {
        let Some(connection) = self.sockets.connection_mut(id) else { return false };
        let stream = &connection.stream;
        let is_ours = stream.close_state() == CloseState::Open
            && !stream.is_connecting()
            && (stream.is_paused() && stream.unsent() == 0 || self.offloaded.contains_key(&id));
        if is_ours {
            connection.active_at = self.now;
            self.restart_deadline(id);
        }
        is_ours
    }

    /// The time of a connection has begun anew.
    fn restart_deadline(&mut self, id: SocketId) {
        let Some(connection) = self.sockets.connection_mut(id) else { return };
        connection.stream.clear_idle_recheck();
        self.arm_deadline(id);
    }

    // Lingering.

    /// A connection lingers from now on.
    pub(crate) fn begin_lingering(&mut self, id: SocketId) {
        let now = self.now;
        let Some(connection) = self.sockets.connection_mut(id) else { return };
        connection.begin_lingering(now);
        self.arm_deadline(id);
        self.lingering.add(id);
        if self.lingering.len() > self.options.max_lingering {
            self.remove_oldest_lingering();
        }
    }

    /// Closes the connection that lingers for the longest time; says whether there was one.
    pub(crate) fn remove_oldest_lingering(&mut self) -> bool {
        let sockets = &self.sockets;
        let Some(id) = self.lingering.oldest(|id| sockets.is_lingering(id)) else { return false };
        self.remove_socket(id);
        true
    }

    /// When the present patience with a connection that lingers ends.
    pub(super) fn linger_deadline(&self, connection: &Connection) -> u64 {
        let silent =
            connection.last_active().saturating_add(nanoseconds(self.options.linger_timeout));
        silent.min(connection.lingering_since(self.now).saturating_add(self.linger_limit()))
    }

    fn linger_limit(&self) -> u64 {
        let time = nanoseconds(self.options.linger_time);
        if let ShutdownState::Draining { .. } = self.shutdown_state {
            time.min(LINGER_AT_SHUTDOWN)
        } else {
            time
        }
    }

    /// Whether one lingers on although nothing came in time: the answer is still on its way, or what
    /// came is read only in this turn.
    fn extend_lingering(&mut self, id: SocketId) -> bool {
        let (now, most) = (self.now, self.linger_limit());
        let Some(connection) = self.sockets.connection_mut(id) else { return false };
        let is_over = connection.lingering_since(now).saturating_add(most) <= now;
        if is_over {
            return false;
        }
        if connection.stream.is_readable() {
            connection.armed_deadlines = connection.armed_deadlines.saturating_add(1);
            self.deadlines.push(now + 1, id);
            self.sockets.enqueue(id);
            return true;
        }
        let left = connection.stream.transport().unacknowledged();
        if left.is_none_or(|left| left == 0) {
            return false;
        }
        connection.active_at = now;
        self.arm_deadline(id);
        true
    }

    /// A shutdown begins, which has less time for them.
    pub(super) fn rearm_lingering(&mut self) {
        for id in self.sockets.ids() {
            if self.sockets.is_lingering(id) {
                self.arm_deadline(id);
            }
        }
    }
}

impl Connection {
    /// Its handler is shown input again.
    pub(super) fn resume(&mut self, now: u64) {
        if self.stream.is_paused() {
            self.restart_idle(now);
        }
        self.stream.resume();
    }

    /// From now on it is the peer who is waited for, if the connection is open. No byte has moved
    /// for that, so what was last seen of its acknowledgements is still good to compare with.
    pub(super) fn restart_idle(&mut self, now: u64) {
        if self.stream.close_state() == CloseState::Open && !self.stream.is_connecting() {
            self.active_at = now | self.active_at & SAMPLED;
        }
    }

    /// When a byte last moved, as far as is known.
    pub(super) fn last_active(&self) -> u64 {
        self.active_at & !SAMPLED
    }

    /// Looks how much the peer has not acknowledged; if no byte moves, the next deadline compares
    /// with that, and counts from now.
    pub(crate) fn sample_unacknowledged(&mut self, now: u64) {
        self.sample = self.stream.transport().unacknowledged().unwrap_or(0);
        self.active_at = now | SAMPLED;
    }

    /// Whether less is not acknowledged than at the last look. When a byte has moved since, there is
    /// no telling; then whether anything is not.
    fn take_acknowledged(&mut self, now: u64) -> bool {
        let before = (self.active_at & SAMPLED != 0).then_some(self.sample);
        let left = self.stream.transport().unacknowledged().unwrap_or(0);
        let moved = before.map_or(left > 0, |before| left < before);
        if moved {
            (self.sample, self.active_at) = (left, now | SAMPLED);
        }
        moved
    }

    fn begin_lingering(&mut self, now: u64) {
        self.is_lingering = true;
        self.active_at = now;
        // Rounded up, so that none ends early; of so many milliseconds the lower half is enough.
        self.sample = now.div_ceil(MILLISECOND) as u32;
    }

    fn lingering_since(&self, now: u64) -> u64 {
        let milliseconds = now.div_ceil(MILLISECOND);
        let lingered = (milliseconds as u32).wrapping_sub(self.sample);
        milliseconds.saturating_sub(u64::from(lingered)).saturating_mul(MILLISECOND)
    }
}
