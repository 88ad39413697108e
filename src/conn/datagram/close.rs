//! How a datagram socket comes to rest at a shutdown, or closes: first it answers what has come.

use super::Datagram;
use crate::conn::transport::DatagramTransport;

/// How near its end a socket is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DatagramPhase {
    Open,
    /// What has come by now is still answered.
    Draining {
        since: u64,
        then: AfterDrain,
    },
    /// Nothing is read until the server runs again.
    Stopped,
    /// What waits still leaves.
    Closing,
}

/// What follows on the last look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AfterDrain {
    Stop,
    Close,
}

impl<T: DatagramTransport> Datagram<T> {
    /// Nothing more is shown; what waits still leaves.
    pub(crate) fn close(&mut self) {
        self.phase = DatagramPhase::Closing;
        self.rejects_some = true;
        self.update_plain_send();
    }

    /// Answers what has come, and then rests or closes. It may have come without an edge.
    pub(crate) fn begin_drain(&mut self, since: u64, then: AfterDrain) {
        match &mut self.phase {
            DatagramPhase::Closing => {}
            DatagramPhase::Draining { then: before, .. } => {
                if then == AfterDrain::Close {
                    *before = then;
                }
            }
            DatagramPhase::Open | DatagramPhase::Stopped => {
                self.phase = DatagramPhase::Draining { since, then };
                self.readable = true;
            }
        }
    }

    /// Takes nothing more until the server runs again; what waits still leaves.
    pub(crate) fn suspend(&mut self) {
        self.suspended = true;
    }

    /// Whether the handler is to be told of a shutdown; says so once in each run, and not when it
    /// closes anyway.
    pub(crate) fn take_shutdown(&mut self) -> bool {
        let due = !self.shutdown_notified && self.phase != DatagramPhase::Closing;
        self.shutdown_notified = true;
        due
    }

    /// The server runs again.
    pub(crate) fn resume_all(&mut self) {
        self.suspended = false;
        self.shutdown_notified = false;
        if self.phase == DatagramPhase::Stopped {
            self.phase = DatagramPhase::Open;
            self.readable = true;
        }
    }

    /// The last look is over.
    pub(crate) fn end_drain(&mut self) {
        match self.phase {
            DatagramPhase::Draining { then: AfterDrain::Close, .. } => self.close(),
            DatagramPhase::Draining { then: AfterDrain::Stop, .. } => {
                self.phase = DatagramPhase::Stopped;
            }
            _ => {}
        }
    }

    pub(crate) fn phase(&self) -> DatagramPhase {
        self.phase
    }

    /// Whether nothing is left to do before the server ends its run.
    pub(crate) fn is_drained(&self) -> bool {
        self.phase == DatagramPhase::Stopped && self.is_flushed()
    }

    /// One that was taken will be answered later, or was now.
    pub(crate) fn track_reply(&mut self, on: bool) {
        self.replies_due =
            if on { self.replies_due + 1 } else { self.replies_due.saturating_sub(1) };
    }

    /// Whether nothing waits to leave, here or with a handler that blocks.
    pub(crate) fn is_flushed(&self) -> bool {
        self.packets.is_empty() && self.replies_due == 0
    }

    /// Whether some that were taken are being answered by handlers that block.
    pub(crate) fn has_replies_due(&self) -> bool {
        self.replies_due > 0
    }

    /// Whether more can be read only when something that is owed was answered.
    pub(crate) fn is_read_blocked(&self) -> bool {
        self.paused && self.replies_due > 0
    }

    /// Whether it is about to close, and answers are owed that could not leave then.
    pub(crate) fn awaits_answers(&self) -> bool {
        self.replies_due > 0
            && matches!(self.phase, DatagramPhase::Draining { then: AfterDrain::Close, .. })
    }
}
