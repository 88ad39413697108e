//! Counters of connections, bytes and datagrams, which must balance, and the reasons of a close.

/// Why a conversation ended; `finish` gets it from [`Context::reason`](crate::Context::reason).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The handler called `close`, or the default of `eof` or `shutdown` did, and all output was sent.
    Closed,
    /// The handler called `abort`.
    Aborted,
    /// A callback of the handler returned an error.
    HandlerError,
    /// A callback of the handler panicked.
    Panicked,
    /// The peer reset the connection, or a system call on it failed.
    IoError,
    /// An outgoing connection was not established.
    ConnectFailed,
    /// No byte moved in either direction for
    /// [`Options::idle_timeout`](crate::Options::idle_timeout).
    IdleTimeout,
    /// The peer did not complete a frame within
    /// [`Options::frame_timeout`](crate::Options::frame_timeout).
    FrameTimeout,
    /// The handler left [`Options::input_limit`](crate::Options::input_limit) bytes unconsumed.
    InputLimit,
    /// More than [`Options::output_limit`](crate::Options::output_limit) bytes were unsent.
    OutputLimit,
    /// The handler closed, but the peer did not read the remaining output within
    /// [`Options::close_timeout`](crate::Options::close_timeout).
    CloseTimeout,
    /// The grace of a shutdown expired, or the server was dropped.
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

/// Counters of one server since its creation, from [`Io::stats`](crate::Io::stats).
///
/// They balance between the turns of the loop: each conversation is live or has ended for a reason, and each
/// byte and each datagram that a handler sent was passed to the kernel, is queued, or was dropped.
/// [`Io::verify_stats`](crate::Io::verify_stats) compares them with the sockets. In a callback they may not
/// balance yet, because a conversation that ends and the bytes of a turn are on their way. The bytes that a
/// blocking handler reads and writes are counted when it has ended, or when the server has ended its
/// connection; those that a process counted when it has reported, which one that was killed never does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Accepted clients for which a handler was made.
    pub accepted: u64,
    /// Outgoing connections begun.
    pub connected: u64,
    /// Clients that `verify_request` refused, or that got no handler: the factory panicked, or their
    /// listener or loop was closed.
    pub refused: u64,
    /// Clients that this loop handed to another loop of its [`LoopGroup`](crate::LoopGroup), which counts
    /// them as accepted or refused.
    pub handed_over: u64,
    /// Errors of accept(2), and how often a blocking handler could not be started for want of a thread, a
    /// process, a descriptor or memory.
    pub accept_errors: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes passed to `send`.
    pub bytes_sent: u64,
    /// Bytes passed to the kernel.
    pub bytes_out: u64,
    /// Bytes passed to `send`, or to a write of a blocking handler, and dropped, because their connection
    /// failed or was reset.
    pub bytes_dropped: u64,
    /// Datagrams received.
    pub packets_in: u64,
    /// Received datagrams that were longer than
    /// [`Options::max_packet_size`](crate::Options::max_packet_size).
    pub packets_truncated: u64,
    /// Received datagrams that no handler got: `verify_request` refused them, their source was a socket of
    /// this server, or their handler had closed the socket or connected it to another peer
    /// ([`Io::connect_peer`](crate::Io::connect_peer)).
    pub packets_refused: u64,
    /// Errors and panics of datagram handlers, including those in their timers.
    pub packets_failed: u64,
    /// Datagrams passed to `send`, `send_to` and `reply`.
    pub packets_sent: u64,
    /// Datagrams passed to the kernel.
    pub packets_out: u64,
    /// Datagrams dropped, because the send queue was full or the kernel rejected them.
    pub packets_dropped: u64,
    ended: [u64; CloseReason::ALL.len()],
}

impl Stats {
    /// The number of conversations that ended for `reason`.
    #[must_use]
    pub fn ended(&self, reason: CloseReason) -> u64 {
        self.ended.get(reason as usize).copied().unwrap_or(0)
    }

    /// The number of conversations that ended.
    #[must_use]
    pub fn all_ended(&self) -> u64 {
        self.ended.iter().sum()
    }

    /// The number of conversations that have not ended.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.accepted + self.connected - self.all_ended()
    }

    /// The number of bytes that handlers sent and the kernel has not accepted yet.
    #[must_use]
    pub fn pending_output(&self) -> u64 {
        self.bytes_sent - self.bytes_out - self.bytes_dropped
    }

    /// The number of datagrams in send queues.
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

/// The result of a graceful shutdown, from [`Server::report`](crate::Server::report).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Conversations that ended within the grace.
    pub drained: u64,
    /// Conversations that were aborted when the grace expired.
    pub forced: u64,
    /// Bytes passed to `send` and dropped since the shutdown began.
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
