//! A listening socket, and how errors of accept(2) are handled.

use std::io;

use crate::log_throttle::LogThrottle;
use crate::net::{AcceptError, ListenerSocket, accept_error};

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: ListenerSocket,
    /// The backlog may contain clients. Cleared only when `accept` would block, because an edge is
    /// reported once.
    pub(super) readable: bool,
    /// Paused by [`Io::pause`](crate::Io::pause).
    pub(super) paused: bool,
    /// Paused until a connection ends or the retry deadline expires.
    pub(super) paused_for_capacity: bool,
    /// Closed; it is removed in its next turn.
    pub(crate) closing: bool,
    /// Its index among the addresses of the group, when its clients are handed to other loops.
    pub(crate) addr_index: Option<usize>,
    /// Whether its id is in the queue.
    pub(super) queued: bool,
    /// How many transient errors of `accept` came in a row.
    transient_errors: u32,
    warnings: LogThrottle,
}

/// After this many transient errors in a row the cause is not a single client (a firewall rule, for
/// example), and retrying at once would spin.
const MAX_TRANSIENT_ERRORS: u32 = 64;

impl Listener {
    pub(crate) fn new(socket: ListenerSocket) -> Listener {
        Listener {
            socket,
            // A client may have connected before the socket was registered.
            readable: true,
            paused: false,
            paused_for_capacity: false,
            closing: false,
            addr_index: None,
            queued: false,
            transient_errors: 0,
            warnings: LogThrottle::default(),
        }
    }

    pub(super) fn wants_service(&self) -> bool {
        self.closing || self.may_accept()
    }

    /// Whether the backlog may contain clients and accepting is not paused.
    #[inline]
    pub(crate) fn may_accept(&self) -> bool {
        self.readable && !self.paused_for_capacity && !self.paused
    }

    /// Whether it is paused until a permit comes free, or until it retries.
    pub(crate) fn is_waiting(&self) -> bool {
        self.paused_for_capacity
    }

    /// Notes that `accept` succeeded.
    pub(crate) fn note_success(&mut self) {
        self.transient_errors = 0;
    }

    /// Classifies an error of `accept` by what has to be done about it.
    pub(crate) fn classify(&mut self, error: &io::Error) -> AcceptError {
        match accept_error(error) {
            AcceptError::WouldBlock => {
                self.readable = false;
                self.transient_errors = 0;
                AcceptError::WouldBlock
            }
            AcceptError::Transient if self.transient_errors == MAX_TRANSIENT_ERRORS => {
                self.transient_errors = 0;
                AcceptError::Exhausted
            }
            AcceptError::Transient => {
                self.transient_errors += 1;
                AcceptError::Transient
            }
            AcceptError::Exhausted => AcceptError::Exhausted,
        }
    }

    /// Returns how many errors were suppressed since the last logged one, or `None` when this one
    /// is to be suppressed too.
    pub(crate) fn allow_warning(&mut self, now: u64) -> Option<u64> {
        self.warnings.allow(now)
    }
}
