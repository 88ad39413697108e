//! A socket that gives connections, and its patience with the errors of `accept`.

use crate::socket::ListenerSocket;
use crate::warnings::Warnings;

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: ListenerSocket,
    /// Clients may wait. Cleared only when `accept` finds nobody: an edge comes once.
    pub(crate) readable: bool,
    /// Nobody is accepted until a connection ends or the retry time comes.
    pub(crate) waits_for_room: bool,
    /// Somebody closed it; it goes in its next turn.
    pub(crate) closing: bool,
    /// The number under which its clients are handed to other loops, if they are.
    pub(crate) door: Option<usize>,
    /// Whether its id is in the queue.
    pub(crate) queued: bool,
    warned: Warnings,
}

impl Listener {
    pub(crate) fn new(socket: ListenerSocket) -> Listener {
        Listener {
            socket,
            // Whoever came before it was registered counts as well.
            readable: true,
            waits_for_room: false,
            closing: false,
            door: None,
            queued: false,
            warned: Warnings::default(),
        }
    }

    pub(crate) fn wants_service(&self) -> bool {
        self.closing || self.readable && !self.waits_for_room
    }

    /// Whether an error may be logged now, and how many were not since the last one.
    pub(crate) fn may_warn(&mut self, now: u64) -> Option<u64> {
        self.warned.pass(now)
    }
}
