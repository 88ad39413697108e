//! A socket that gives connections, and its patience with the errors of `accept`.

use std::io;

use crate::conn::log_throttle::LogThrottle;
use crate::net::{AcceptError, ListenerSocket, accept_error};

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: ListenerSocket,
    /// Clients may wait. Cleared only when `accept` finds nobody: an edge comes once.
    pub(super) readable: bool,
    /// Nobody is accepted until somebody resumes it.
    pub(super) paused: bool,
    /// Nobody is accepted until a connection ends or the retry time comes.
    pub(super) paused_for_capacity: bool,
    /// Somebody closed it; it goes in its next turn.
    pub(crate) closing: bool,
    /// The number under which its clients are handed to other loops, if they are.
    pub(crate) addr_index: Option<usize>,
    /// Whether its id is in the queue.
    pub(super) queued: bool,
    /// Errors of `accept` in a row that were one client's each.
    transient_errors: u32,
    warnings: LogThrottle,
}

/// After so many clients were lost in a row it is not about them: something forbids to accept, and
/// would again and again.
const MAX_TRANSIENT_ERRORS: u32 = 64;

impl Listener {
    pub(crate) fn new(socket: ListenerSocket) -> Listener {
        Listener {
            socket,
            // Whoever came before it was registered counts as well.
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

    /// Whether clients may wait, and nothing forbids to accept them.
    #[inline]
    pub(crate) fn may_accept(&self) -> bool {
        self.readable && !self.paused_for_capacity && !self.paused
    }

    /// A client was accepted.
    pub(crate) fn note_success(&mut self) {
        self.transient_errors = 0;
    }

    /// Says what to do about an error of `accept`.
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

    /// Whether an error may be logged now, and how many were not since the last one.
    pub(crate) fn allow_warning(&mut self, now: u64) -> Option<u64> {
        self.warnings.allow(now)
    }
}
