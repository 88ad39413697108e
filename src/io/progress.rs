//! Whether a connection whose deadline has expired gets more time: its peer makes progress, or the
//! silence is our own.
//!
//! Reads and writes are recorded as they happen. What the peer has acknowledged of the bytes in the
//! kernel is asked for only when a deadline expires and no byte has moved, so an ordinary message
//! pays nothing for it.
//!
//! A lingering connection follows nginx's rule: it has a time in all, and lingers on while input
//! arrives or the answer is not acknowledged. At most `Options::max_lingering` linger; the oldest
//! is removed.

use crate::conn::stream::CloseState;
use crate::id::SocketId;
use crate::io::connection::{Connection, SAMPLED};
use crate::io::{Io, ShutdownState, nanoseconds};

/// How long a connection may linger during a shutdown, in nanoseconds.
const LINGER_AT_SHUTDOWN: u64 = 2_000_000_000;

const MILLISECOND: u64 = 1_000_000;

impl Io {
    /// How many bytes of memory the kernel uses for output that the peer of `id` has not
    /// acknowledged (TCP) or not read (Unix); that is somewhat more than the bytes themselves. A
    /// peer that reads slowly and steadily makes the figure fall although the socket may not become
    /// writable for minutes. A handler whose timer checks whether its peer makes progress adds this
    /// to [`Io::pending_output`] and compares the sum with that of the timer before. It costs a
    /// system call.
    ///
    /// `None` when there is no such connection, and where the system does not report it: everywhere
    /// but on Linux (since 4.12), without the feature `sys`, and while a blocking handler has the
    /// socket.
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

    /// Whether EOF was read.
    pub(crate) fn has_eof(&self, id: SocketId) -> bool {
        self.sockets.connection(id).is_some_and(|connection| connection.stream.has_eof())
    }

    /// Restarts the expired deadline of a connection if its peer has acknowledged something
    /// meanwhile, or may have. Costs one system call a deadline.
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
            self.arm_deadline(id);
        }
        goes_on
    }

    /// Restarts the expired idle timeout of a connection if the silence is our own: another thread
    /// works for it, or its handler has paused it and the peer waits for an answer.
    pub(crate) fn extend_if_busy(&mut self, id: SocketId) -> bool {
        let Some(connection) = self.sockets.connection_mut(id) else { return false };
        let stream = &connection.stream;
        let is_ours = stream.close_state() == CloseState::Open
            && !stream.is_connecting()
            && (stream.is_paused() && stream.unsent() == 0 || self.offloaded.contains_key(&id));
        if is_ours {
            connection.active_at = self.now;
            self.arm_deadline(id);
        }
        is_ours
    }

    // Lingering.

    /// Begins to linger.
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

    /// Removes the connection that has lingered for the longest time. `false` when none lingers.
    pub(crate) fn remove_oldest_lingering(&mut self) -> bool {
        let sockets = &self.sockets;
        let Some(id) = self.lingering.oldest(|id| sockets.is_lingering(id)) else { return false };
        self.remove_socket(id);
        true
    }

    /// The present deadline of a lingering connection.
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

    /// Extends the linger deadline although nothing arrived in time, if the answer is not
    /// acknowledged yet, or if input is read in this turn.
    fn extend_lingering(&mut self, id: SocketId) -> bool {
        let (now, most) = (self.now, self.linger_limit());
        let Some(connection) = self.sockets.connection_mut(id) else { return false };
        let is_over = connection.lingering_since(now).saturating_add(most) <= self.looked_at;
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

    /// Arms the deadlines of lingering connections again, because a shutdown shortens them.
    pub(super) fn rearm_lingering(&mut self) {
        for id in self.sockets.ids() {
            if self.sockets.is_lingering(id) {
                self.arm_deadline(id);
            }
        }
    }
}

impl Connection {
    /// Delivers input to the handler again.
    pub(super) fn resume(&mut self, now: u64) {
        self.restart_idle(now);
        self.stream.resume();
    }

    /// Starts the idle time over, because the connection waits for the peer from now on. No byte
    /// has moved, so the last sample of acknowledgements stays valid.
    pub(super) fn restart_idle(&mut self, now: u64) {
        if self.stream.close_state() == CloseState::Open && !self.stream.is_connecting() {
            self.active_at = now | self.active_at & SAMPLED;
        }
    }

    /// When a byte was last known to move.
    pub(super) fn last_active(&self) -> u64 {
        self.active_at & !SAMPLED
    }

    /// Samples how much the peer has not acknowledged. If no byte moves, the next deadline compares
    /// with that sample, and counts from now.
    pub(crate) fn sample_unacknowledged(&mut self, now: u64) {
        self.sample = self.stream.transport().unacknowledged().unwrap_or(0);
        self.active_at = now | SAMPLED;
    }

    /// Samples again, and returns whether less is unacknowledged than at the last sample. When a
    /// byte has moved since, the samples cannot be compared, and anything that is unacknowledged
    /// counts as progress.
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
        // Rounded up, so that no connection ends early. The lower 32 bits of the milliseconds are
        // enough.
        self.sample = now.div_ceil(MILLISECOND) as u32;
    }

    fn lingering_since(&self, now: u64) -> u64 {
        let milliseconds = now.div_ceil(MILLISECOND);
        let lingered = (milliseconds as u32).wrapping_sub(self.sample);
        milliseconds.saturating_sub(u64::from(lingered)).saturating_mul(MILLISECOND)
    }
}
