//! What became of every connection and every byte: counters that must balance.

/// Why a conversation ended. `finish` finds it in [`Context::reason`](crate::Context::reason).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The handler called `close`, or let the default of `eof` or `shutdown` do so, and everything
    /// it had sent has left.
    Closed,
    /// The handler called `abort`.
    Aborted,
    /// A callback of the handler returned an error.
    HandlerError,
    /// A callback of the handler panicked.
    Panicked,
    /// The connection broke: the peer reset it, or the system reported another error.
    IoError,
    /// An outgoing connection never stood.
    ConnectFailed,
    /// Not a byte in either direction for
    /// [`Options::idle_timeout`](crate::Options::idle_timeout).
    IdleTimeout,
    /// The peer left unfinished what it had begun for
    /// [`Options::frame_timeout`](crate::Options::frame_timeout).
    FrameTimeout,
    /// [`Options::input_limit`](crate::Options::input_limit) bytes came in that the handler did not
    /// take.
    InputLimit,
    /// More than [`Options::output_limit`](crate::Options::output_limit) bytes waited for a peer
    /// that does not read.
    OutputLimit,
    /// The handler closed, but the peer did not read the rest within
    /// [`Options::close_timeout`](crate::Options::close_timeout).
    CloseTimeout,
    /// The grace of a shutdown ran out, or the server was dropped.
    ShutdownTimeout,
}

impl CloseReason {
    /// Every reason, in the order of declaration.
    pub const ALL: [CloseReason; 12] = [
        CloseReason::Closed,
        CloseReason::Aborted,
        CloseReason::HandlerError,
        CloseReason::Panicked,
        CloseReason::IoError,
        CloseReason::ConnectFailed,
        CloseReason::IdleTimeout,
        CloseReason::FrameTimeout,
        CloseReason::InputLimit,
        CloseReason::OutputLimit,
        CloseReason::CloseTimeout,
        CloseReason::ShutdownTimeout,
    ];
}

/// Counters of one server since it was made, from [`Io::stats`](crate::Io::stats).
///
/// They balance at all times: every conversation that was begun is live or ended for a reason,
/// and every byte and every datagram that a handler sent has left, waits, or was dropped.
/// [`Io::verify_stats`](crate::Io::verify_stats) compares them with what is really there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Clients accepted for which a handler was made.
    pub accepted: u64,
    /// Outgoing connections begun.
    pub connected: u64,
    /// Clients that `verify_request` refused, or for which no handler could be made.
    pub refused: u64,
    /// Clients accepted here and handed to another loop of [`LoopGroup`](crate::LoopGroup), which counts
    /// them as accepted or refused.
    pub handed_over: u64,
    /// Errors of `accept`, whatever was done about them.
    pub accept_errors: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes handed to `send`.
    pub bytes_sent: u64,
    /// Bytes that the system took.
    pub bytes_out: u64,
    /// Bytes handed to `send` that never left, because their connection broke or was reset.
    pub bytes_dropped: u64,
    /// Datagrams received, whatever was done about them.
    pub packets_in: u64,
    /// Those of them that were longer than
    /// [`Options::max_packet_size`](crate::Options::max_packet_size).
    pub packets_truncated: u64,
    /// Those of them that no handler saw: `verify_request` refused them, they said that this server
    /// itself had sent them, or their handler had closed the socket or chosen another peer
    /// ([`Io::connect_peer`](crate::Io::connect_peer)).
    pub packets_refused: u64,
    /// Those of them that cost their handler an error or a panic.
    pub packets_failed: u64,
    /// Datagrams handed to `send`, `send_to` and `reply`.
    pub packets_sent: u64,
    /// Those of them that the system took.
    pub packets_out: u64,
    /// Those of them that were dropped: the queue had no room, or the system did not take them.
    pub packets_dropped: u64,
    ended: [u64; CloseReason::ALL.len()],
}

impl Stats {
    /// How many conversations ended for this reason.
    #[must_use]
    pub fn ended(&self, reason: CloseReason) -> u64 {
        self.ended.get(reason as usize).copied().unwrap_or(0)
    }

    /// How many conversations ended.
    #[must_use]
    pub fn all_ended(&self) -> u64 {
        self.ended.iter().sum()
    }

    /// How many conversations were begun and did not end yet.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.accepted + self.connected - self.all_ended()
    }

    /// How many bytes were sent by handlers and wait for their peer.
    #[must_use]
    pub fn pending_output(&self) -> u64 {
        self.bytes_sent - self.bytes_out - self.bytes_dropped
    }

    /// How many datagrams were sent by handlers and wait to leave.
    #[must_use]
    pub fn queued_packets(&self) -> u64 {
        self.packets_sent - self.packets_out - self.packets_dropped
    }

    pub(crate) fn end(&mut self, reason: CloseReason) {
        if let Some(count) = self.ended.get_mut(reason as usize) {
            *count += 1;
        }
    }
}

/// What a graceful shutdown came to, from [`Server::report`](crate::Server::report).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Conversations that ended by themselves within the grace.
    pub drained: u64,
    /// Conversations that were cut off when it ran out.
    pub forced: u64,
    /// Bytes that handlers had sent and that never left since the shutdown began.
    pub bytes_dropped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let mut stats = Stats { accepted: 20, ..Stats::default() };
        for (n, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, n);
            stats.end(reason);
            assert_eq!(stats.ended(reason), 1);
        }
        assert_eq!(stats.live(), 20 - CloseReason::ALL.len() as u64);
    }
}
