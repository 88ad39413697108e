//! One connection as a state machine over anything that reads and writes.
//!
//! It knows no descriptor, no poll and no clock. Commands only change its state. Bytes move in
//! [`Stream::fill`], [`Stream::write_direct`] and [`Stream::flush`], one system call each.
//! `stream/state.rs` answers what is left to do.
//!
//! ```text
//!            close            output empty                 EOF, or linger over
//!   Open ───────────▶ Closing ────────────▶ Lingering ───────────────────────────▶ removed
//!    │ handler failed    │                     ▲
//!    ├───────────────────┴──▶ Flushing ────────┘ output empty
//!    │ abort, limits, errors
//!    └───────────▶ Aborted ──▶ removed       Flushing, Lingering ── abort ──▶ Dropped ──▶ removed
//! ```
//!
//! # The rules
//!
//! `stream/tests` plays every short script of arrivals, EOFs, resets, full buffers and commands
//! against a small model of the kernel.
//!
//! * **Open**: reads while `readable` and neither paused nor congested (congestion does not stop a
//!   handler that asked to read while congested); writes while `writable` and there is output.
//! * **Closing**: the handler closed. No more input is delivered; the output leaves, within
//!   `close_timeout` counted from the last byte that moved or was acknowledged; then `finish(Ok)`.
//! * **Flushing**: the handler failed and `finish(Err)` has run; the output from before still
//!   leaves.
//! * **Lingering**: all output was sent and the sending direction closed. Closing a descriptor with
//!   unread input would send a reset, which can destroy the answer on its way. Therefore input is
//!   read and discarded until EOF, until nothing has arrived for `linger_timeout` and the answer is
//!   acknowledged, or for `linger_time` in all. When more than `max_lingering` connections linger,
//!   the oldest is closed. The same happens when a client arrives and no permit, or no descriptor,
//!   is left for it.
//! * **Aborted**: closed in its next turn. If output was dropped the peer gets a reset and no EOF,
//!   so it can tell a truncated answer from a whole one.
//!
//! What counts as movement? Bytes that are read or written are recorded as they move. But the
//! system accepts writes at once, and reports free space only when a third of its buffer is free,
//! so a peer that reads slowly and steadily looks dead for minutes. Therefore, when a deadline
//! expires without any recorded movement, and only then, the system is asked how much is not
//! acknowledged (`SO_MEMINFO` on Linux: of TCP the queued bytes, of a Unix socket the unread ones).
//! Less than at the last check is movement, and the deadline is set anew (`io/progress.rs`).
//! Without an earlier check one more deadline is granted, so a dead peer with unacknowledged bytes
//! is closed after twice the time at the latest. On other systems, and without the feature `sys`,
//! only accepted writes count. While offloaded work runs for a connection, or its handler has
//! paused it with nothing unsent, the silence is ours and the idle time does not count.
//!
//! When is a short read the last one? On epoll every arrival is an edge, so after a read that did
//! not fill its buffer the next byte will be reported, with three exceptions, each of which has a
//! test:
//!
//! | exception | how it is known | cost when it does not happen |
//! |---|---|---|
//! | EOF lies behind the data | the event said "read closed": read until 0 | none |
//! | urgent data: a read stops in front of it | `EPOLLPRI` is registered and was reported: read until `WouldBlock` | none |
//! | descriptors passed over a Unix stream: a read stops behind their bytes | the read is `recvmsg` without a control buffer; the kernel drops the descriptors and sets `MSG_CTRUNC` | none (feature `sys`; without it a second read) |
//!
//! Elsewhere (kqueue, `poll(2)`) every read goes on until `WouldBlock`.
//!
//! Write interest: TCP raises a write edge only after a write would block, so both directions are
//! registered once. A Unix socket raises one whenever its peer reads. It is therefore registered
//! for writing only while a write is blocked, two `epoll_ctl` for each congestion.

use std::io;

use crate::conn::flags::Flags;
use crate::conn::input::Unconsumed;
use crate::conn::output::{BufferPool, Output};
use crate::conn::transport::{Readiness, Transport};

/// The result of one read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReadOutcome {
    Bytes(usize),
    /// The peer closed its sending direction.
    Eof,
    WouldBlock,
}

/// The result of one write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WriteOutcome {
    Wrote(usize),
    /// The send buffer is full; the system will report free space.
    WouldBlock,
}

/// While one of these is set, a short read does not prove that the receive buffer is empty.
const SHORT_READ_INCONCLUSIVE: Flags = Flags::RDHUP.union(Flags::OOB).union(Flags::ERROR);

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Stream<T> {
    transport: T,
    /// [`Flags::HAS_OUTPUT`] is set exactly when this is not empty.
    output: Output,
    /// [`Flags::HAS_UNCONSUMED`] is set exactly when this is not empty.
    unconsumed: Unconsumed,
    flags: Flags,
    /// [`Flags::CLOSING`] is set exactly when this is not `Open`.
    close_state: CloseState,
    /// The number of direct writes in this turn. [`Flags::WROTE_DIRECT`] is set exactly when this
    /// is not 0.
    direct_writes: u8,
}

impl<T: Transport> Stream<T> {
    /// A stream that is established, or still connecting.
    pub(crate) fn new(transport: T, connecting: bool) -> Stream<T> {
        Stream {
            transport,
            output: Output::default(),
            unconsumed: Unconsumed::default(),
            flags: if connecting { Flags::CONNECTING } else { Flags::WRITABLE },
            close_state: CloseState::Open,
            direct_writes: 0,
        }
    }

    // Events.

    /// Records the usual event: readable, perhaps writable, perhaps with an EOF behind the data.
    #[inline]
    pub(crate) fn set_readable(&mut self, writable: bool, read_closed: bool) {
        self.flags.insert(Flags::READABLE);
        self.flags.insert_if(Flags::WRITABLE, writable);
        self.flags.insert_if(Flags::RDHUP, read_closed);
    }

    pub(crate) fn set_ready(&mut self, ready: Readiness) {
        let Readiness { readable, writable, read_closed, urgent, error } = ready;
        self.flags.insert_if(Flags::READABLE, readable || read_closed || error);
        self.flags.insert_if(Flags::WRITABLE, writable || error);
        self.flags.insert_if(Flags::RDHUP, read_closed);
        self.flags.insert_if(Flags::OOB, urgent);
        self.flags.insert_if(Flags::ERROR, error);
    }

    /// Records that a connect attempt may have a result.
    pub(crate) fn set_connect_result(&mut self) {
        self.flags.insert(Flags::WRITABLE);
    }

    /// The reported result was spurious: waits for the next event.
    pub(crate) fn clear_connect_result(&mut self) {
        self.flags.remove(Flags::WRITABLE.union(Flags::ERROR));
    }

    /// Goes on with another transport after a failed attempt; returns the old one.
    pub(crate) fn replace_transport(&mut self, transport: T) -> T {
        let noted = Flags::READABLE.union(Flags::WRITABLE).union(SHORT_READ_INCONCLUSIVE);
        self.flags.remove(noted);
        std::mem::replace(&mut self.transport, transport)
    }

    /// The connection is established.
    pub(crate) fn set_connected(&mut self) {
        self.flags.remove(Flags::CONNECTING);
    }

    /// Records that the connection was opened outside of any handler.
    pub(crate) fn set_unsolicited(&mut self) {
        self.flags.insert(Flags::UNSOLICITED);
    }

    /// Records whether offloaded work of the handler is running.
    pub(crate) fn set_offloaded(&mut self, under_way: bool) {
        self.flags.set(Flags::OFFLOADED, under_way);
    }

    // The turn.

    /// Records whether the socket is registered for write readiness, where that is optional.
    pub(crate) fn note_write_interest(&mut self, asked: bool) {
        self.flags.set(Flags::WRITE_INTEREST, asked);
    }

    /// Records whether input is reported.
    pub(crate) fn note_input_interest(&mut self, watched: bool) {
        self.flags.set(Flags::INPUT_UNWATCHED, !watched);
    }

    /// The connection is queued, or served at once, until [`Stream::end_turn`].
    #[inline]
    pub(crate) fn begin_turn(&mut self) {
        self.flags.insert(Flags::QUEUED);
    }

    /// Reads once.
    #[inline(always)]
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<ReadOutcome> {
        match self.transport.read(buffer) {
            Ok(0) => {
                self.flags.remove(Flags::READABLE);
                self.flags.insert(Flags::EOF);
                Ok(ReadOutcome::Eof)
            }
            Ok(n) => {
                let short = n < buffer.len() && self.transport.short_read_drained();
                if short && !self.flags.intersects(SHORT_READ_INCONCLUSIVE) {
                    self.flags.remove(Flags::READABLE);
                }
                Ok(ReadOutcome::Bytes(n))
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    self.flags.remove(Flags::READABLE.union(Flags::OOB));
                    Ok(ReadOutcome::WouldBlock)
                }
                // The socket stays readable, so the next turn tries again.
                io::ErrorKind::Interrupted => Ok(ReadOutcome::WouldBlock),
                _ => Err(error),
            },
        }
    }

    /// Writes once from the output, which must not be empty.
    #[inline(always)]
    pub(crate) fn flush(&mut self, pool: &mut BufferPool) -> io::Result<WriteOutcome> {
        debug_assert!(!self.output.is_empty());
        let (wrote, offered) = match self.output.unsent() {
            Some(unsent) => (self.transport.write(unsent), unsent.len()),
            None => self.write_gathered(),
        };
        match wrote {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                if n < offered && self.transport.short_write_filled() {
                    self.flags.remove(Flags::WRITABLE);
                }
                self.output.advance(n, pool);
                self.flags.set(Flags::HAS_OUTPUT, !self.output.is_empty());
                Ok(WriteOutcome::Wrote(n))
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    self.flags.remove(Flags::WRITABLE);
                    Ok(WriteOutcome::WouldBlock)
                }
                io::ErrorKind::Interrupted => Ok(WriteOutcome::WouldBlock),
                _ => Err(error),
            },
        }
    }

    /// Writes `bytes` once without copying them. The output must be empty. Unless all of them were
    /// written, the caller passes the result to [`Stream::queue_rest`].
    #[inline]
    pub(crate) fn write_direct(&mut self, bytes: &[u8]) -> io::Result<usize> {
        debug_assert!(self.output.is_empty());
        self.transport.write(bytes)
    }

    /// Ends the turn: the connection may be queued again, and the next large send may write
    /// directly.
    #[inline]
    pub(crate) fn end_turn(&mut self) {
        self.flags.remove(Flags::QUEUED.union(Flags::WROTE_DIRECT));
        self.direct_writes = 0;
    }

    /// Lends the unconsumed input to a handler while the rest of the connection may change.
    #[inline]
    pub(crate) fn take_unconsumed(&mut self) -> Unconsumed {
        const ALL: Flags =
            Flags::HAS_UNCONSUMED.union(Flags::REDELIVERY).union(Flags::REDELIVERY_FROM_HANDLER);
        self.flags.remove(ALL);
        std::mem::take(&mut self.unconsumed)
    }

    /// Whether it holds much more memory than bytes; `true` once, until [`Stream::trim`].
    pub(crate) fn take_spare(&mut self) -> bool {
        self.unconsumed.take_spare() | self.output.take_spare()
    }

    /// Gives back the memory that is not needed.
    pub(crate) fn trim(&mut self) {
        self.unconsumed.trim();
        self.output.trim();
    }

    #[inline]
    pub(crate) fn put_unconsumed(&mut self, unconsumed: Unconsumed) {
        self.flags.set(Flags::HAS_UNCONSUMED, !unconsumed.is_empty());
        self.unconsumed = unconsumed;
    }
}

mod close;
mod flow_control;
mod frame_timeout;
mod send;
mod send_shared;
mod state;

pub(crate) use close::CloseState;
pub(crate) use frame_timeout::FrameDeadline;
pub use send::SendStatus;
pub(crate) use send::{DIRECT_WRITE_MIN, Watermarks};

#[cfg(test)]
mod tests;
