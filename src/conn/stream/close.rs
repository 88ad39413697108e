//! How a connection ends: half-close, close, abort, linger.

use super::Stream;
use crate::conn::flags::Flags;
use crate::conn::transport::Transport;
use crate::stats::CloseReason;

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum CloseState {
    Open,
    /// The handler closed; its `finish` runs once everything is sent.
    Closing,
    /// The handler's `finish` has run; what it had sent before still leaves.
    Flushing,
    /// Everything is sent and its end told; what still comes in is thrown away.
    Lingering,
    /// Nothing more is read or written.
    Aborted(CloseReason),
    /// The same, after its `finish` has run.
    Dropped,
}

impl<T: Transport> Stream<T> {
    pub(crate) fn shutdown_write(&mut self) {
        self.flags.insert(Flags::SHUT_WR_REQUESTED);
    }

    /// Ends the outgoing direction if that was asked for and nothing is left to send.
    pub(crate) fn send_fin(&mut self) {
        let asked = Flags::SHUT_WR_REQUESTED.union(Flags::SHUT_WR_DONE);
        if self.flags.matches(Flags::SHUT_WR_REQUESTED, asked) && self.output.is_empty() {
            self.flags.insert(Flags::SHUT_WR_DONE);
            // The only errors say that the connection is gone already, and reading will tell.
            let _ = self.transport.shutdown_write();
        }
    }

    /// The peer's end was read behind input that is held, or while an answer is awaited.
    pub(crate) fn note_eof(&mut self) {
        self.flags.insert(Flags::EOF_DUE);
    }

    /// Whether the handler shall be told of the peer's end now; says so once.
    pub(crate) fn take_eof(&mut self) -> bool {
        let due = self.is_eof_due();
        self.flags.set(Flags::EOF_DUE, self.flags.intersects(Flags::EOF_DUE) && !due);
        due
    }

    /// The server shuts down: looks into the socket once more, then the handler is to be told.
    pub(crate) fn note_shutdown(&mut self) {
        self.flags.insert(Flags::READABLE.union(Flags::SHUTDOWN_DUE));
    }

    /// Whether the handler shall be told of the shutdown; says so once.
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

    /// A conversation that the server cuts off may be aborted by its handler still, in `finish`:
    /// then the peer gets a reset although nothing was unsent. Says whether that changed anything.
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

    /// The conversation is over, the bytes it had sent are not.
    pub(crate) fn start_flushing(&mut self) {
        self.set_close_state(CloseState::Flushing);
        drop(self.take_unconsumed());
    }

    /// Everything is sent; only the peer's end is still waited for.
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
