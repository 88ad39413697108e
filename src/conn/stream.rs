//! One connection as a state machine over anything that reads and writes.
//!
//! It knows no descriptor, no poll and no clock. What may be done to it only changes its state;
//! [`Stream::fill`] and [`Stream::flush`] are the two places where bytes move, one system call a
//! call. What still needs doing is a question about the state; those stand in [`questions`].
//!
//! ```text
//!            close            output empty              peer's end, or linger over
//!   Open ───────────▶ Closing ────────────▶ Lingering ───────────────────────────▶ gone
//!    │ handler failed    │                     ▲
//!    ├───────────────────┴──▶ Leaving ─────────┘ output empty
//!    │ abort, limits, errors
//!    └───────────▶ Aborted ──▶ gone          Leaving, Lingering ── abort ──▶ Dropped ──▶ gone
//! ```
//!
//! # The rules
//!
//! `tests.rs` beside it plays every short script of arrivals, ends, resets, refusals and commands against a
//! small model of the kernel.
//!
//! * **Open**: reads while `readable` and not paused and not congested (or full duplex); writes while
//!   `writable` and there is output.
//! * **Closing**: the handler closed. No more input is shown; the output leaves, within
//!   `close_timeout` counted from the last byte that moved or was acknowledged; then `finish(Ok)`.
//! * **Leaving**: the handler failed and `finish(Err)` has run; what it had sent before still leaves.
//! * **Lingering**: all is sent and our end said. A descriptor closed with unread input would send a
//!   reset, which can destroy the answer on its way; so what still comes is read and thrown away until
//!   the peer's end, until nothing has come for `linger_timeout` and the answer is acknowledged, or for
//!   `linger_time` in all. Of more than `max_lingering` the oldest is closed; so it is when a client
//!   comes and there is no room, or no descriptor, for it.
//! * **Aborted**: closed in its next turn. When bytes were dropped the peer gets a reset and not an
//!   end, so that it can tell a cut answer from a whole one.
//!
//! What is movement? Bytes that we read or write are noted as they move. But the system takes what we
//! write at once, and reports room only when a third of its buffer is free, so a peer that reads slowly
//! and steadily looks dead for minutes. So when a deadline comes up at which nothing was noted, and only
//! then, the system is asked how much is not acknowledged (`SO_MEMINFO` on Linux: of TCP what is queued,
//! of a Unix socket what is not read); less than at the last look is movement, and the deadline is set
//! anew (`io/progress.rs`). Without a look before, one more deadline is granted, so a peer that is gone and
//! has left something unacknowledged ends after twice the time at the latest. Elsewhere, and without
//! the feature `sys`, only what the system takes counts. While a thread works for a connection, or its
//! handler has paused it with nothing unsent, the silence is ours and the idle time does not count.
//!
//! When is a short read the last one? On epoll every arrival is an edge, so after a read that did not
//! fill its buffer the next byte will be reported, with three exceptions, each of which has a test:
//!
//! | exception | how it is known | cost when it does not happen |
//! |---|---|---|
//! | the peer's end lies behind the data | the event said "read closed": read until 0 | none |
//! | urgent data: a read stops in front of it | `EPOLLPRI` is registered and was reported: read until `WouldBlock` | none |
//! | descriptors passed over a Unix stream: a read stops behind their bytes | the read is `recvmsg` without room for control data; the kernel drops the descriptors and sets `MSG_CTRUNC` | none (feature `sys`; without it a second read) |
//!
//! Elsewhere (kqueue, `poll(2)`) every read goes on until `WouldBlock`.
//!
//! Write interest: TCP raises a write edge only after a refused write, so both directions are
//! registered once. A Unix socket raises one whenever its peer reads: there room is asked for only
//! while a write is refused, two `epoll_ctl` a congestion.

use std::io;

use crate::conn::flags::Flags;
use crate::conn::input::Unconsumed;
use crate::conn::output::{BufferPool, Output};
use crate::conn::transport::{Readiness, Transport};

/// What one read came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReadOutcome {
    Bytes(usize),
    /// The peer said that nothing more will come.
    Eof,
    WouldBlock,
}

/// What one write came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WriteOutcome {
    Wrote(usize),
    /// The system has no room; it will report when it has.
    WouldBlock,
}

/// A short read proves nothing while one of these is set.
const SHORT_READ_INCONCLUSIVE: Flags = Flags::RDHUP.union(Flags::OOB).union(Flags::ERROR);

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Stream<T> {
    transport: T,
    /// [`Flags::HAS_OUTPUT`] is set exactly when it is not empty.
    output: Output,
    /// [`Flags::HAS_UNCONSUMED`] is set exactly when it is not empty.
    unconsumed: Unconsumed,
    flags: Flags,
    /// [`Flags::CLOSING`] is set exactly when this is not `Open`.
    close_state: CloseState,
    /// How many sends of this turn went straight to the system.
    /// [`Flags::WROTE_DIRECT`] is set exactly when it is not 0.
    direct_writes: u8,
}

impl<T: Transport> Stream<T> {
    /// A stream that stands, or whose connection is still being made.
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

    // What happens to it.

    /// The usual thing: something came in, perhaps the peer's end, and perhaps there is room.
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

    /// There is news about a connection in the making.
    pub(crate) fn set_connect_result(&mut self) {
        self.flags.insert(Flags::WRITABLE);
    }

    /// What was taken for such news was none.
    pub(crate) fn clear_connect_result(&mut self) {
        self.flags.remove(Flags::WRITABLE.union(Flags::ERROR));
    }

    /// The connection is tried again, over another transport.
    pub(crate) fn replace_transport(&mut self, transport: T) -> T {
        let noted = Flags::READABLE.union(Flags::WRITABLE).union(SHORT_READ_INCONCLUSIVE);
        self.flags.remove(noted);
        std::mem::replace(&mut self.transport, transport)
    }

    /// The connection stands.
    pub(crate) fn set_connected(&mut self) {
        self.flags.remove(Flags::CONNECTING);
    }

    /// No conversation has begun it.
    pub(crate) fn set_unsolicited(&mut self) {
        self.flags.insert(Flags::UNSOLICITED);
    }

    /// Whether work that its handler offloaded is under way.
    pub(crate) fn set_offloaded(&mut self, under_way: bool) {
        self.flags.set(Flags::OFFLOADED, under_way);
    }

    // What is done for it in its turn.

    /// Whether the poll reports room from now on, where that must be asked for.
    pub(crate) fn note_write_interest(&mut self, asked: bool) {
        self.flags.set(Flags::WRITE_INTEREST, asked);
    }

    /// It is queued, or has its turn at once; until [`Stream::end_turn`].
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
                // Still readable, so it is tried again in the next turn.
                io::ErrorKind::Interrupted => Ok(ReadOutcome::WouldBlock),
                _ => Err(error),
            },
        }
    }

    /// Writes once. There must be something unsent.
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

    /// Writes `bytes` once, straight from where they lie. There must be no output before. Unless
    /// all of them left, [`Stream::queue_rest`] has to follow.
    #[inline]
    pub(crate) fn write_direct(&mut self, bytes: &[u8]) -> io::Result<usize> {
        debug_assert!(self.output.is_empty());
        self.transport.write(bytes)
    }

    /// The idle timeout has expired, as far as was noted. When the loop was held up, input may have come that
    /// was not reported yet: returns `true` once, and the connection gets one more turn.
    pub(crate) fn recheck_idle(&mut self) -> bool {
        let in_vain = Flags::IDLE_RECHECKED.union(Flags::CONNECTING).union(Flags::CLOSING);
        let looks = !self.flags.intersects(in_vain);
        if looks {
            self.flags.insert(Flags::READABLE.union(Flags::WRITABLE).union(Flags::IDLE_RECHECKED));
        }
        looks
    }

    /// It was not idle after all.
    pub(crate) fn clear_idle_recheck(&mut self) {
        self.flags.remove(Flags::IDLE_RECHECKED);
    }

    /// The end of a turn: it may be queued again, and the next large send may go straight to the
    /// system again.
    #[inline]
    pub(crate) fn end_turn(&mut self) {
        self.flags.remove(Flags::QUEUED.union(Flags::WROTE_DIRECT));
        self.direct_writes = 0;
    }

    /// What was held, lent to a handler while everything else may be changed.
    #[inline]
    pub(crate) fn take_unconsumed(&mut self) -> Unconsumed {
        const ALL: Flags =
            Flags::HAS_UNCONSUMED.union(Flags::REDELIVERY).union(Flags::REDELIVERY_FROM_HANDLER);
        self.flags.remove(ALL);
        std::mem::take(&mut self.unconsumed)
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
