//! Sending: bytes become output or go straight to the system, within the watermarks.

use std::io;

use super::{CloseState, Stream, WriteOutcome};
use crate::conn::flags::Flags;
use crate::conn::output::BufferPool;
use crate::conn::transport::Transport;
use crate::options::Options;
use crate::stats::CloseReason;

/// What became of bytes handed to `send`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SendStatus {
    /// The bytes are sent, or queued for sending. Of a datagram: it is queued; whether it can be
    /// sent at all is known only later (one of more than 65,507 bytes never leaves, and is counted
    /// as dropped).
    Queued,
    /// The bytes are queued, but the peer is slow: more than
    /// [`Options::high_water`](crate::Options::high_water) bytes wait for it. The handler's
    /// `drained` is called when the queue is short again. When they would be more than
    /// [`Options::output_limit`](crate::Options::output_limit), these bytes and all that wait are
    /// dropped and the connection ends; [`Io::is_open`](crate::Io::is_open) is `false` then. Of a
    /// datagram: the queue of its socket was full
    /// ([`Options::send_queue_packets`](crate::Options::send_queue_packets)) and the datagram was dropped.
    Congested,
    /// The bytes are dropped: the connection is closed, closing, or never existed, or the sender of
    /// the datagram has no address.
    Closed,
}

/// The sizes of the output at which a connection is congested, drained, or aborted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watermarks {
    pub(crate) high_water: usize,
    pub(crate) low_water: usize,
    pub(crate) output_limit: usize,
}

impl Watermarks {
    pub(crate) fn of(options: &Options) -> Watermarks {
        let &Options { high_water, low_water, output_limit, .. } = options;
        Watermarks { high_water, low_water, output_limit }
    }
}

/// The least size for a direct write while the output is empty. From here on the copy into a buffer
/// costs more than a second system call would, if the handler sends more.
pub(crate) const DIRECT_WRITE_MIN: usize = 4 << 10;

/// The least size for further direct writes in the same turn. Their number is limited, because a
/// handler that goes on while `send` returns `Queued` must come to an end.
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

    /// Appends `bytes` to the output and returns its length.
    #[inline]
    fn push(&mut self, bytes: &[u8], pool: &mut BufferPool) -> usize {
        let unsent = self.output.push(bytes, pool);
        self.flags.set(Flags::HAS_OUTPUT, unsent > 0);
        unsent
    }

    /// As [`Stream::send`], but may write directly. Also returns how many bytes that wrote.
    pub(crate) fn send_large(
        &mut self,
        bytes: &[u8],
        watermarks: Watermarks,
        pool: &mut BufferPool,
    ) -> (SendStatus, usize) {
        let left = if self.accepts_output() { self.try_write_direct(bytes) } else { 0 };
        (self.send(bytes.get(left..).unwrap_or_default(), watermarks, pool), left)
    }

    /// Writes directly if allowed, and returns how many bytes left. Errors stay with the transport;
    /// the flush in the reactor's turn meets them again.
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

    /// Appends what a [`Stream::write_direct`] did not write to the output.
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

    /// Puts `bytes` in front of the output.
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

    /// Drops the output and returns its length.
    pub(crate) fn drop_output(&mut self, pool: &mut BufferPool) -> usize {
        let dropped = self.output.len();
        self.output.clear(pool);
        self.flags.remove(Flags::HAS_OUTPUT);
        dropped
    }
}
