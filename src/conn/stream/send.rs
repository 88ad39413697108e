//! What a handler sends: it becomes output, or goes straight to the system, and may be too much.

use std::io;

use super::{CloseState, Stream, WriteOutcome};
use crate::conn::flags::Flags;
use crate::conn::output::BufferPool;
use crate::conn::transport::Transport;
use crate::stats::CloseReason;

/// What became of bytes handed to `send`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SendStatus {
    /// They are on their way.
    Queued,
    /// They are on their way, but the peer is slow: more than
    /// [`Options::high_water`](crate::Options::high_water) bytes wait for it. Its handler's
    /// `drained` tells when there is room again. A datagram found no room in the queue of its
    /// socket ([`Options::send_queue_packets`](crate::Options::send_queue_packets)) and was dropped.
    Congested,
    /// Nobody will get them: the connection is closed, closing, or was never there, or the sender
    /// of the datagram has no address.
    Closed,
}

/// Where the output of one connection is called too much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watermarks {
    pub(crate) high_water: usize,
    pub(crate) low_water: usize,
    pub(crate) output_limit: usize,
}

/// From this size on, bytes sent while nothing waits go straight to the system: there the copy
/// into a buffer costs more than a second system call would, if the handler sends more.
pub(crate) const DIRECT_WRITE_MIN: usize = 4 << 10;

/// From this size on that is so even when the turn has sent something before. A handler that goes
/// on while `send` says `Queued` must come to an end all the same, so this is for a few each turn.
const DIRECT_WRITE_AGAIN_MIN: usize = 64 << 10;

const MAX_DIRECT_WRITES: u8 = 4;

impl<T: Transport> Stream<T> {
    /// Queues `bytes`.
    #[inline]
    pub(crate) fn send(
        &mut self,
        bytes: &[u8],
        watermarks: Watermarks,
        pool: &mut BufferPool,
    ) -> SendStatus {
        if !self.accepts_output() {
            return SendStatus::Closed;
        }
        if self.push(bytes, pool) > watermarks.high_water {
            self.note_congestion(watermarks);
        }
        if self.is_congested() { SendStatus::Congested } else { SendStatus::Queued }
    }

    /// Puts `bytes` behind the output; says how much that is then.
    #[inline]
    fn push(&mut self, bytes: &[u8], pool: &mut BufferPool) -> usize {
        let unsent = self.output.push(bytes, pool);
        self.flags.set(Flags::HAS_OUTPUT, unsent > 0);
        unsent
    }

    /// As [`Stream::send`], but a part may go straight to the system. Says how much did.
    pub(crate) fn send_large(
        &mut self,
        bytes: &[u8],
        watermarks: Watermarks,
        pool: &mut BufferPool,
    ) -> (SendStatus, usize) {
        let left = if self.accepts_output() { self.try_write_direct(bytes) } else { 0 };
        (self.send(bytes.get(left..).unwrap_or_default(), watermarks, pool), left)
    }

    /// Errors stay with the transport: the flush meets them again, in the reactor's turn.
    pub(super) fn try_write_direct(&mut self, bytes: &[u8]) -> usize {
        let most = if bytes.len() >= DIRECT_WRITE_AGAIN_MIN { MAX_DIRECT_WRITES } else { 1 };
        let room = self.flags.matches(Flags::WRITABLE, Flags::WRITABLE.union(Flags::CONNECTING));
        if !room || !self.output.is_empty() || self.direct_writes >= most {
            return 0;
        }
        self.direct_writes += 1;
        self.flags.insert(Flags::WROTE_DIRECT);
        match self.transport.write(bytes) {
            Ok(n) => {
                if n < bytes.len() && self.transport.short_write_filled() {
                    self.flags.remove(Flags::WRITABLE);
                }
                n
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::WouldBlock {
                    self.flags.remove(Flags::WRITABLE);
                }
                0
            }
        }
    }

    /// What the system did not take of `bytes` becomes output.
    pub(crate) fn queue_rest(
        &mut self,
        bytes: &[u8],
        wrote: io::Result<usize>,
        pool: &mut BufferPool,
    ) -> io::Result<WriteOutcome> {
        match wrote {
            Ok(n) => {
                if self.transport.short_write_filled() {
                    self.flags.remove(Flags::WRITABLE);
                }
                self.push(bytes.get(n..).unwrap_or_default(), pool);
                Ok(WriteOutcome::Wrote(n))
            }
            Err(error) => {
                self.push(bytes, pool);
                match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        self.flags.remove(Flags::WRITABLE);
                        Ok(WriteOutcome::WouldBlock)
                    }
                    io::ErrorKind::Interrupted => Ok(WriteOutcome::WouldBlock),
                    _ => Err(error),
                }
            }
        }
    }

    /// Puts what was sent before everything that waits in front of it.
    #[cold]
    pub(crate) fn prepend_output(
        &mut self,
        bytes: &[u8],
        watermarks: Watermarks,
        pool: &mut BufferPool,
    ) {
        self.output.push_front(bytes, pool);
        self.flags.set(Flags::HAS_OUTPUT, !self.output.is_empty());
        if self.output.len() > watermarks.high_water {
            self.note_congestion(watermarks);
        }
    }

    #[cold]
    pub(super) fn note_congestion(&mut self, watermarks: Watermarks) {
        self.flags.insert(Flags::CONGESTED);
        self.flags.set(Flags::READ_STOPPED, !self.flags.intersects(Flags::READ_WHILE_CONGESTED));
        if self.output.len() > watermarks.output_limit {
            self.set_close_state(CloseState::Aborted(CloseReason::OutputLimit));
        }
    }

    /// Drops what is unsent and says how much that was.
    pub(crate) fn drop_output(&mut self, pool: &mut BufferPool) -> usize {
        let dropped = self.output.len();
        self.output.clear(pool);
        self.flags.remove(Flags::HAS_OUTPUT);
        dropped
    }
}
