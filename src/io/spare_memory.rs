//! The memory that a burst leaves in buffers: it goes back some seconds later.
//!
//! A busy connection needs its buffers again at once, so nothing is given back where it comes free. It
//! is only noted, and one deadline of the loop later all that was noted is looked at. So a steady
//! stream allocates its buffer again every few seconds at most, and an idle process wakes once.

use super::Io;
use crate::conn::byte_buffer;
use crate::id::SocketId;
use crate::io::table::{Entry, SocketTable};

/// The sockets that hold much more memory than bytes.
#[derive(Debug, Default)]
pub(crate) struct SpareMemory {
    /// Each at most once, except of those that have closed.
    noted: Vec<SocketId>,
    is_armed: bool,
}

/// How long spare memory is kept, in nanoseconds.
const KEEP_TIME: u64 = 5_000_000_000;

/// The owner of the deadline.
pub(crate) const NO_SOCKET: SocketId = SocketId::NOBODY;

/// Whether the owner of a deadline is still there.
pub(super) fn has_owner(sockets: &SocketTable, id: SocketId) -> bool {
    id == NO_SOCKET || sockets.get(id).is_some()
}

impl Io {
    /// Notes a socket whose `take_spare` was `true`.
    pub(crate) fn note_spare(&mut self, id: SocketId) {
        self.spare.noted.push(id);
        self.arm_trim();
    }

    /// Arms the deadline, once.
    pub(crate) fn arm_trim(&mut self) {
        if !self.spare.is_armed {
            self.spare.is_armed = true;
            self.deadlines.push(self.now.saturating_add(KEEP_TIME), NO_SOCKET);
        }
    }

    /// Gives back what is still spare.
    pub(crate) fn trim(&mut self) {
        self.spare.is_armed = false;
        for id in std::mem::take(&mut self.spare.noted) {
            match self.sockets.get_mut(id) {
                Some(Entry::Connection(connection)) => connection.stream.trim(),
                Some(Entry::Datagram(datagram)) => datagram.trim(),
                _ => {}
            }
        }
        self.pool.trim();
        self.cork.trim();
        byte_buffer::drop_kept_pages();
    }
}
