//! The time as Redis counts it: milliseconds since 1970.
//!
//! Keys expire by the monotonic clock: the system's clock is read once and the time since then
//! added. A step of the system's clock therefore changes no time to live. Absolute times that a
//! client sends are corrected by that step.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) type Millis = i64;

/// A smaller difference to the system's clock is no step.
const STEP: Millis = 1_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// The system's time at `started`.
    began: Duration,
}

impl Clock {
    pub(crate) fn new(started: Instant) -> Clock {
        Clock { started, began: since_1970() }
    }

    pub(crate) fn at(&self, now: Instant) -> Millis {
        millis(self.began + now.saturating_duration_since(self.started))
    }

    /// How far the system's clock was set since the start.
    pub(crate) fn stepped(&self) -> Millis {
        let step = millis(since_1970()).saturating_sub(self.at(Instant::now()));
        if step.saturating_abs() < STEP { 0 } else { step }
    }

    pub(crate) fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }
}

/// The system's time since 1970; zero for a clock that is set to an earlier time.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn millis(duration: Duration) -> Millis {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
