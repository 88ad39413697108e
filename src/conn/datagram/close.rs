//! How a datagram socket stops at a shutdown, or closes: it first answers what has arrived.

use super::Datagram;
use crate::conn::transport::DatagramTransport;

/// The progress of a shutdown or close.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DatagramPhase {
    Open,
    /// Datagrams that have already arrived are still answered.
    Draining {
        since: u64,
        then: AfterDrain,
    },
    /// Nothing is received until the server runs again.
    Stopped,
    /// Nothing is received; the queue still leaves.
    Closing,
}

/// What follows the drain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AfterDrain {
    Stop,
    Close,
}

impl<T: DatagramTransport> Datagram<T> {
    /// Stops receiving; the queue still leaves.
    pub(crate) fn close(&mut self) {
        self.phase = DatagramPhase::Closing;
        self.rejects_some = true;
        self.update_plain_send();
    }

    /// Answers what has arrived, and then stops or closes. Datagrams may have arrived without an
    /// edge, so the socket is readable.
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

    /// Receives nothing more in this run of the server; the queue still leaves.
    pub(crate) fn suspend(&mut self) {
        self.suspended = true;
    }

    /// Whether to notify the handler of the shutdown; `true` once a run, and not while closing.
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

    /// The drain is over.
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

    /// Whether the socket lets the server end its run.
    pub(crate) fn is_drained(&self) -> bool {
        self.phase == DatagramPhase::Stopped && self.is_flushed()
    }

    /// Counts a reply that a blocking handler will send (`on`), or has sent.
    pub(crate) fn track_reply(&mut self, on: bool) {
        self.replies_due =
            if on { self.replies_due + 1 } else { self.replies_due.saturating_sub(1) };
    }

    /// Waits for no reply any more, and returns whether one was due.
    pub(crate) fn forget_replies(&mut self) -> bool {
        std::mem::take(&mut self.replies_due) > 0
    }

    /// Whether the queue is empty and no reply is due.
    pub(crate) fn is_flushed(&self) -> bool {
        self.packets.is_empty() && self.replies_due == 0
    }

    /// Whether blocking handlers are still answering datagrams.
    pub(crate) fn has_replies_due(&self) -> bool {
        self.replies_due > 0
    }

    /// Whether receiving waits for a due reply.
    pub(crate) fn is_read_blocked(&self) -> bool {
        self.paused && self.replies_due > 0
    }

    /// Whether replies are due that could not be sent after the close.
    pub(crate) fn awaits_answers(&self) -> bool {
        self.replies_due > 0
            && matches!(self.phase, DatagramPhase::Draining { then: AfterDrain::Close, .. })
    }
}
