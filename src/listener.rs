//! A socket that gives connections, and its patience with the errors of `accept`.

use crate::socket::ListenerSocket;

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: ListenerSocket,
    /// Clients may wait. Cleared only when `accept` finds nobody: an edge comes once.
    pub(crate) readable: bool,
    /// Nobody is accepted until a connection ends or the retry time comes.
    pub(crate) waits_for_room: bool,
    /// Somebody closed it; it goes in its next turn.
    pub(crate) closing: bool,
    /// Whether its id is in the queue.
    pub(crate) queued: bool,
    warned: Limit,
}

impl Listener {
    pub(crate) fn new(socket: ListenerSocket) -> Listener {
        Listener {
            socket,
            // Whoever came before it was registered counts as well.
            readable: true,
            waits_for_room: false,
            closing: false,
            queued: false,
            warned: Limit::default(),
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

/// One line a second, however many errors there are.
#[derive(Debug, Default)]
struct Limit {
    not_before: u64,
    suppressed: u64,
}

const WARN_EVERY: u64 = 1_000_000_000;

impl Limit {
    fn pass(&mut self, now: u64) -> Option<u64> {
        if now < self.not_before {
            self.suppressed += 1;
            return None;
        }
        self.not_before = now + WARN_EVERY;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_a_second_tells_how_many_were_left_out() {
        let mut limit = Limit::default();
        assert_eq!(limit.pass(5), Some(0));
        assert_eq!(limit.pass(6), None);
        assert_eq!(limit.pass(WARN_EVERY), None);
        assert_eq!(limit.pass(WARN_EVERY + 5), Some(2));
    }
}
