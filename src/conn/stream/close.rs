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
        self.flags.insert(Flags::OUTPUT_CLOSED);
    }

    /// Ends the outgoing direction if that was asked for and nothing is left to send.
    pub(crate) fn send_fin(&mut self) {
        let asked = Flags::OUTPUT_CLOSED.union(Flags::OUTPUT_ENDED);
        if self.flags.matches(Flags::OUTPUT_CLOSED, asked) && self.output.is_empty() {
            self.flags.insert(Flags::OUTPUT_ENDED);
            // The only errors say that the connection is gone already, and reading will tell.
            let _ = self.transport.shutdown_write();
        }
    }

    /// The peer's end was read behind input that is held, or while an answer is awaited.
    pub(crate) fn note_end(&mut self) {
        self.flags.insert(Flags::END_DUE);
    }

    /// Whether the handler shall be told of the peer's end now; says so once.
    pub(crate) fn take_end(&mut self) -> bool {
        let due = self.is_end_due();
        self.flags.set(Flags::END_DUE, self.flags.intersects(Flags::END_DUE) && !due);
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
        if self.ending == CloseState::Open {
            self.end(CloseState::Closing);
        }
    }

    /// A conversation that the server cuts off may be aborted by its handler still, in `finish`:
    /// then the peer gets a reset although nothing was unsent. Says whether that changed anything.
    pub(crate) fn abort(&mut self, reason: CloseReason) -> bool {
        let ending = match self.ending {
            CloseState::Open
            | CloseState::Closing
            | CloseState::Aborted(CloseReason::ShutdownTimeout | CloseReason::IdleTimeout) => {
                CloseState::Aborted(reason)
            }
            CloseState::Flushing | CloseState::Lingering => CloseState::Dropped,
            CloseState::Aborted(_) | CloseState::Dropped => return false,
        };
        self.end(ending);
        true
    }

    /// The conversation is over, the bytes it had sent are not.
    pub(crate) fn leave(&mut self) {
        self.end(CloseState::Flushing);
        drop(self.take_unconsumed());
    }

    /// Everything is sent; only the peer's end is still waited for.
    pub(crate) fn linger(&mut self) {
        debug_assert!(self.output.is_empty());
        self.shutdown_write();
        self.send_fin();
        self.end(CloseState::Lingering);
        drop(self.take_unconsumed());
    }

    pub(super) fn end(&mut self, ending: CloseState) {
        self.ending = ending;
        self.flags.insert(Flags::ENDING);
    }
}
