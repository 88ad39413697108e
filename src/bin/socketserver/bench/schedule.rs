//! When each message of an open loop is to be sent, whatever became of those before.

use super::scenario::{LoadMode, Scenario};

/// All messages of a process at equal distances, on its connections in turn. So the time of each
/// follows from its number alone, and none of them needs to be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// Nanoseconds between two messages.
    distance: f64,
    connections: u64,
    begin: u64,
    /// The number of the next message.
    next: u64,
}

impl Schedule {
    pub(crate) fn new(terms: &Scenario) -> Schedule {
        let rate = if let LoadMode::Open { rate } = terms.mode { rate } else { 1.0 };
        let connections = u64::from(terms.connections.max(1));
        Schedule { distance: 1e9 / rate, connections, begin: u64::MAX, next: 0 }
    }

    /// The next message is due now, and the others follow.
    pub(crate) fn begin(&mut self, now: u64) {
        self.begin = 0;
        self.begin = now.saturating_sub(self.next_time());
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number of nanoseconds, and far fewer messages than 2^52"
    )]
    fn time(&self, nth: u64) -> u64 {
        self.begin.saturating_add((nth as f64 * self.distance) as u64)
    }

    /// When the next message is due.
    pub(crate) fn next_time(&self) -> u64 {
        self.time(self.next)
    }

    /// The connection of the next message, if it is due by now.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<u32> {
        if self.next_time() > now {
            return None;
        }
        let number = self.next % self.connections;
        self.next += 1;
        u32::try_from(number).ok()
    }

    /// When the message `seq` of a connection is to be sent.
    pub(crate) fn time_of(&self, number: u32, seq: u32) -> u64 {
        self.time(u64::from(seq) * self.connections + u64::from(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scenario::SocketKind;

    #[test]
    fn the_time_of_a_message_does_not_depend_on_when_it_is_sent() {
        let terms = Scenario {
            mode: LoadMode::Open { rate: 1_000.0 },
            transport: SocketKind::Tcp,
            connections: 3,
            size: 64,
            warmup_ns: 0,
            duration_ns: 1,
        };
        let mut schedule = Schedule::new(&terms);
        assert_eq!(schedule.take_due(u64::MAX - 1), None);
        schedule.begin(500);
        let due: Vec<u32> = std::iter::from_fn(|| schedule.take_due(4_000_500)).collect();
        assert_eq!(due, [0, 1, 2, 0, 1]);
        assert_eq!(schedule.next_time(), 5_000_500);
        assert_eq!((schedule.time_of(1, 1), schedule.time_of(0, 0)), (4_000_500, 500));
    }
}
