//! How a connection ends: half-close, close, abort, linger.

use super::Stream;
use crate::conn::flags::Flags;
use crate::conn::transport::Transport;
use crate::stats::CloseReason;

/// The progress of a close.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum CloseState {
    Open,
    /// The handler closed; its `finish` runs once the output is sent.
    Closing,
    /// The handler's `finish` has run; the output from before still leaves.
    Flushing,
    /// The output is sent and the sending direction closed; input is read and discarded.
    Lingering,
    /// Nothing more is read or written.
    Aborted(CloseReason),
    /// As `Aborted`, after `finish` has run.
    Dropped,
}

impl<T: Transport> Stream<T> {
    pub(crate) fn shutdown_write(&mut self) {
        self.flags.insert(Flags::SHUT_WR_REQUESTED);
    }

    /// Closes the sending direction if that was requested and the output is empty.
    pub(crate) fn send_fin(&mut self) {
        let asked = Flags::SHUT_WR_REQUESTED.union(Flags::SHUT_WR_DONE);
        if self.flags.matches(Flags::SHUT_WR_REQUESTED, asked) && self.output.is_empty() {
            self.flags.insert(Flags::SHUT_WR_DONE);
            // An error means that the connection is already broken, which the next read reports.
            let _ = self.transport.shutdown_write();
        }
    }

    /// Records an EOF that has to wait for unconsumed input or for a pending reply.
    pub(crate) fn note_eof(&mut self) {
        self.flags.insert(Flags::EOF_DUE);
    }

    /// Whether to notify the handler of the EOF now; `true` once.
    pub(crate) fn take_eof(&mut self) -> bool {
        let due = self.is_eof_due();
        self.flags.set(Flags::EOF_DUE, self.flags.intersects(Flags::EOF_DUE) && !due);
        due
    }

    /// Requests a notification of the shutdown, after one more read.
    pub(crate) fn note_shutdown(&mut self) {
        self.flags.insert(Flags::READABLE.union(Flags::SHUTDOWN_DUE));
    }

    /// Whether to notify the handler of the shutdown; `true` once.
    pub(crate) fn take_shutdown(&mut self) -> bool {
        let due = self.flags.intersects(Flags::SHUTDOWN_DUE);
        self.flags.remove(Flags::SHUTDOWN_DUE);
        due
    }

    pub(crate) fn close(&mut self) {
        if self.close_state == CloseState::Open {
            self.set_close_state(CloseState::Closing);
        }
    }

    /// Aborts, and returns whether that changed anything. A handler may still abort, in its
    /// `finish`, a conversation that the server has aborted for a timeout. The peer then gets a
    /// reset although nothing was unsent.
    pub(crate) fn abort(&mut self, reason: CloseReason) -> bool {
        let close_state = match self.close_state {
            CloseState::Open
            | CloseState::Closing
            | CloseState::Aborted(CloseReason::ShutdownTimeout | CloseReason::IdleTimeout) => {
                CloseState::Aborted(reason)
            }
            CloseState::Flushing | CloseState::Lingering => CloseState::Dropped,
            CloseState::Aborted(_) | CloseState::Dropped => return false,
        };
        self.set_close_state(close_state);
        true
    }

    /// The conversation is over; the output still leaves.
    pub(crate) fn start_flushing(&mut self) {
        self.set_close_state(CloseState::Flushing);
        drop(self.take_unconsumed());
    }

    /// The output is sent; only EOF is awaited.
    pub(crate) fn linger(&mut self) {
        debug_assert!(self.output.is_empty());
        self.shutdown_write();
        self.send_fin();
        self.set_close_state(CloseState::Lingering);
        drop(self.take_unconsumed());
    }

    pub(super) fn set_close_state(&mut self, close_state: CloseState) {
        self.close_state = close_state;
        self.flags.insert(Flags::CLOSING);
    }
}
