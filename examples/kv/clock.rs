//! The time as Redis counts it: milliseconds since 1970.
//!
//! Keys expire by a clock that is read from the system once and then goes by itself. So a step of the
//! system's clock changes no time that a key has left; times that a client names are understood by
//! the system's clock of that moment all the same.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(crate) type Millis = i64;

/// A system clock that differs by less than this goes as ours does, and only was read later.
const STEP: Millis = 1_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// What the system's clock said then.
    began: Duration,
}

impl Clock {
    pub(crate) fn new(started: Instant) -> Clock {
        Clock { started, began: since_1970() }
    }

    pub(crate) fn at(&self, now: Instant) -> Millis {
        millis(self.began + now.saturating_duration_since(self.started))
    }

    /// How far the system's clock was set since the start, seen at this time of ours.
    pub(crate) fn stepped(&self) -> Millis {
        let step = millis(since_1970()).saturating_sub(self.at(Instant::now()));
        if step.saturating_abs() < STEP { 0 } else { step }
    }

    pub(crate) fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }
}

/// Since 1970 by the clock of the system; a clock that was never set may say a time before.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn millis(duration: Duration) -> Millis {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
