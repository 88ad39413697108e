//! One connection as a state machine over anything that reads and writes.
//!
//! It knows no descriptor, no poll and no clock. What may be done to it only changes its state;
//! [`Stream::fill`] and [`Stream::flush`] are the two places where bytes move, one system call a
//! call. What still needs doing is a question about the state: [`Stream::wants_service`].
//!
//! ```text
//!            close            output empty              peer's end, or linger over
//!   Open ───────────▶ Closing ────────────▶ Lingering ───────────────────────────▶ gone
//!    │ handler failed    │                     ▲
//!    ├───────────────────┴──▶ Leaving ─────────┘ output empty
//!    │ abort, limits, errors
//!    └───────────▶ Aborted ──▶ gone
//! ```

use std::io;

use crate::input::Held;
use crate::ledger::Reason;
use crate::output::{Output, Pool};
use crate::transport::{Readiness, Transport};

/// What became of bytes handed to `send`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    /// They are on their way.
    Queued,
    /// They are on their way, but the peer is slow: more than
    /// [`Options::high_water`](crate::Options::high_water) bytes wait for it. Its handler's
    /// `drained` tells when there is room again.
    Congested,
    /// Nobody will get them: the connection is closed, closing, or was never there.
    Gone,
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    Open,
    /// The handler closed; its `finish` runs once everything is sent.
    Closing,
    /// The handler's `finish` has run; what it had sent before still leaves.
    Leaving,
    /// Everything is sent and its end told; what still comes in is thrown away.
    Lingering,
    /// Nothing more is read or written.
    Aborted(Reason),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum WriteHalf {
    Open,
    /// Ends as soon as everything queued has been sent.
    Ending,
    Ended,
}

/// What one read came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Filled {
    Bytes(usize),
    /// The peer said that nothing more will come.
    End,
    Nothing,
}

/// What one write came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flushed {
    Wrote(usize),
    /// The system has no room; it will report when it has.
    Refused,
}

/// Where the output of one connection is called too much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    pub(crate) high_water: usize,
    pub(crate) low_water: usize,
    pub(crate) output_limit: usize,
}

/// From this size on, bytes sent while nothing waits go straight to the system: there the copy
/// into a buffer costs more than a second system call would, if the handler sends more.
const SEND_AT_ONCE: usize = 4 << 10;

#[derive(Debug)]
pub(crate) struct Stream<T> {
    transport: T,
    output: Output,
    held: Held,
    ending: Ending,
    write_half: WriteHalf,
    /// A read may find something. Cleared only by what proves the contrary.
    readable: bool,
    /// A write may find room. Cleared only by a refusal.
    writable: bool,
    /// The peer's end was announced: read until it is there, no short read proves anything.
    read_closed: bool,
    /// A read may stop in front of urgent data: no short read proves anything.
    urgent: bool,
    /// The system announced an error that no call has returned yet.
    broken: bool,
    /// The peer's end was read.
    ended: bool,
    paused: bool,
    full_duplex: bool,
    /// Output has been above high water and not yet fallen to low water since.
    congested: bool,
    /// What is held shall be shown again although nothing new came.
    replay: bool,
    /// One send in this turn went straight to the system; the others of the turn are collected.
    sent_at_once: bool,
}

impl<T: Transport> Stream<T> {
    /// A stream that stands (`writable`) or whose connection is still being made.
    pub(crate) fn new(transport: T, writable: bool) -> Stream<T> {
        Stream {
            transport,
            output: Output::default(),
            held: Held::default(),
            ending: Ending::Open,
            write_half: WriteHalf::Open,
            readable: false,
            writable,
            read_closed: false,
            urgent: false,
            broken: false,
            ended: false,
            paused: false,
            full_duplex: false,
            congested: false,
            replay: false,
            sent_at_once: false,
        }
    }

    // What happens to it.

    #[inline]
    pub(crate) fn note(&mut self, ready: Readiness) {
        self.readable |= ready.readable | ready.read_closed | ready.error;
        self.writable |= ready.writable | ready.error;
        self.read_closed |= ready.read_closed;
        self.urgent |= ready.urgent;
        self.broken |= ready.error;
    }

    /// Looks into the socket once more although nothing was reported.
    pub(crate) fn note_readable(&mut self) {
        self.readable = true;
    }

    /// Queues `bytes`, or a part of them straight to the system. Says also how many left at once.
    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8], marks: Marks, pool: &mut Pool) -> (Sent, usize) {
        if !self.takes_output() {
            return (Sent::Gone, 0);
        }
        let left = if bytes.len() >= SEND_AT_ONCE { self.send_at_once(bytes) } else { 0 };
        self.output.push(bytes.get(left..).unwrap_or_default(), pool);
        let unsent = self.output.len();
        if unsent > marks.high_water {
            self.congested = true;
        }
        if unsent > marks.output_limit {
            self.ending = Ending::Aborted(Reason::OutputLimit);
        }
        (if self.congested { Sent::Congested } else { Sent::Queued }, left)
    }

    /// Errors stay with the transport: the flush meets them again, in the reactor's turn.
    fn send_at_once(&mut self, bytes: &[u8]) -> usize {
        if !self.writable || !self.output.is_empty() || self.sent_at_once {
            return 0;
        }
        self.sent_at_once = true;
        match self.transport.write(bytes) {
            Ok(n) => {
                if n < bytes.len() && self.transport.short_write_was_last() {
                    self.writable = false;
                }
                n
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::WouldBlock {
                    self.writable = false;
                }
                0
            }
        }
    }

    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    pub(crate) fn resume(&mut self) {
        if self.paused {
            self.paused = false;
            self.replay = !self.held.is_empty();
        }
    }

    pub(crate) fn set_full_duplex(&mut self, on: bool) {
        self.full_duplex = on;
    }

    pub(crate) fn shutdown_write(&mut self) {
        if self.write_half == WriteHalf::Open {
            self.write_half = WriteHalf::Ending;
        }
    }

    pub(crate) fn close(&mut self) {
        if self.ending == Ending::Open {
            self.ending = Ending::Closing;
        }
    }

    pub(crate) fn abort(&mut self, reason: Reason) {
        if matches!(self.ending, Ending::Open | Ending::Closing) {
            self.ending = Ending::Aborted(reason);
        }
    }

    /// The conversation is over, the bytes it had sent are not.
    pub(crate) fn leave(&mut self) {
        self.ending = Ending::Leaving;
        self.held = Held::default();
    }

    // What is done for it in its turn.

    /// Reads once.
    #[inline]
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<Filled> {
        match self.transport.read(buffer) {
            Ok(0) => {
                self.readable = false;
                self.ended = true;
                Ok(Filled::End)
            }
            Ok(n) => {
                let full = n == buffer.len();
                let last = self.transport.short_read_was_last();
                self.readable = full | self.read_closed | self.urgent | self.broken | !last;
                Ok(Filled::Bytes(n))
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    self.urgent = false;
                    Ok(Filled::Nothing)
                }
                // Still readable, so it is tried again in the next turn.
                io::ErrorKind::Interrupted => Ok(Filled::Nothing),
                _ => Err(error),
            },
        }
    }

    /// Writes once. There must be something unsent.
    #[inline]
    pub(crate) fn flush(&mut self, pool: &mut Pool) -> io::Result<Flushed> {
        let unsent = self.output.unsent();
        debug_assert!(!unsent.is_empty());
        match self.transport.write(unsent) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                if n < unsent.len() && self.transport.short_write_was_last() {
                    self.writable = false;
                }
                self.output.advance(n, pool);
                Ok(Flushed::Wrote(n))
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    Ok(Flushed::Refused)
                }
                io::ErrorKind::Interrupted => Ok(Flushed::Refused),
                _ => Err(error),
            },
        }
    }

    /// Whether the output fell to low water since it was congested; says so once. Reading goes on,
    /// and what was held back meanwhile is shown again.
    #[inline]
    pub(crate) fn take_drained(&mut self, marks: Marks) -> bool {
        if !self.congested || self.output.len() > marks.low_water {
            return false;
        }
        self.congested = false;
        self.replay |= !self.held.is_empty();
        true
    }

    /// Ends the outgoing direction if that was asked for and nothing is left to send. Says whether
    /// it ended just now.
    #[inline]
    pub(crate) fn end_output(&mut self) -> bool {
        if self.write_half != WriteHalf::Ending || !self.output.is_empty() {
            return false;
        }
        self.write_half = WriteHalf::Ended;
        // The only errors say that the connection is gone already, and reading will tell.
        let _ = self.transport.shutdown_write();
        true
    }

    /// Both directions have ended, so there is nothing left to wait for.
    #[inline]
    pub(crate) fn is_complete(&self) -> bool {
        self.ended && self.write_half == WriteHalf::Ended && self.ending == Ending::Open
    }

    /// Everything is sent; only the peer's end is still waited for.
    pub(crate) fn linger(&mut self) {
        debug_assert!(self.output.is_empty());
        self.shutdown_write();
        self.end_output();
        self.ending = Ending::Lingering;
        self.held = Held::default();
    }

    /// The end of a turn: the next large send may go straight to the system again.
    #[inline]
    pub(crate) fn end_turn(&mut self) {
        self.sent_at_once = false;
    }

    /// What was held, lent to a handler while everything else may be changed.
    #[inline]
    pub(crate) fn take_held(&mut self) -> Held {
        self.replay = false;
        std::mem::take(&mut self.held)
    }

    #[inline]
    pub(crate) fn put_held(&mut self, held: Held) {
        self.held = held;
    }

    /// Drops what is unsent and says how much that was.
    pub(crate) fn drop_output(&mut self, pool: &mut Pool) -> usize {
        let dropped = self.output.len();
        self.output.clear(pool);
        dropped
    }

    // Questions.

    /// Whether a turn now would change anything.
    #[inline]
    pub(crate) fn wants_service(&self) -> bool {
        self.wants_read()
            | self.wants_write()
            | self.wants_replay()
            | self.is_dead()
            | self.wants_end()
            | (self.ending == Ending::Lingering && self.readable)
    }

    /// Whether the handler shall get what can be read.
    #[inline]
    pub(crate) fn wants_read(&self) -> bool {
        self.readable & !self.ended && self.shows_input()
    }

    #[inline]
    pub(crate) fn wants_write(&self) -> bool {
        self.writable && !self.output.is_empty()
    }

    /// Whether the handler shall see again what it left.
    #[inline]
    pub(crate) fn wants_replay(&self) -> bool {
        self.replay && self.shows_input()
    }

    #[inline]
    fn wants_end(&self) -> bool {
        (self.ending != Ending::Open || self.write_half == WriteHalf::Ending)
            && !matches!(self.ending, Ending::Lingering)
            && self.output.is_empty()
            || matches!(self.ending, Ending::Aborted(_))
    }

    /// Whether it broke and nothing will be read or written that could tell.
    #[inline]
    pub(crate) fn is_dead(&self) -> bool {
        self.broken && !self.wants_read() && !self.wants_write()
    }

    #[inline]
    fn shows_input(&self) -> bool {
        !self.paused && self.ending == Ending::Open && (!self.congested || self.full_duplex)
    }

    #[inline]
    pub(crate) fn takes_output(&self) -> bool {
        self.ending == Ending::Open && self.write_half == WriteHalf::Open
    }

    /// Whether a connection in the making stands or failed.
    pub(crate) fn has_verdict(&self) -> bool {
        self.writable || self.broken
    }

    pub(crate) fn ending(&self) -> Ending {
        self.ending
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.readable
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.congested
    }

    /// Whether the peer's end was read.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn unsent(&self) -> usize {
        self.output.len()
    }

    pub(crate) fn is_refused(&self) -> bool {
        !self.writable && !self.output.is_empty()
    }

    pub(crate) fn transport(&self) -> &T {
        &self.transport
    }

    pub(crate) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }
}

#[cfg(test)]
mod tests;
