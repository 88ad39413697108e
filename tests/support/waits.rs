//! How tests wait: for what is to come about, as long as that takes, or on purpose, in a word that says why.

#![allow(dead_code, clippy::panic, reason = "tests may stop, and not all use all of this")]

use std::thread;
use std::time::{Duration, Instant};

/// No step of a test takes longer than this, however loaded the machine is; a test that passes never waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const GAP: Duration = Duration::from_millis(2);

/// Looks until there is something to find, but not for longer than `most`.
pub(crate) fn within<T>(most: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + most;
    loop {
        let found = look();
        if found.is_some() || Instant::now() >= end {
            return found;
        }
        thread::sleep(GAP);
    }
}

/// Looks until there is something to find, which must be in time.
#[track_caller]
pub(crate) fn find<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, look).unwrap_or_else(|| panic!("it never came: {what}"))
}

/// Asks again and again until it is so, which must be in time.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    find(what, || is_so().then_some(()));
}

/// Looks every `gap` until it has not changed in between, and says what it is.
#[track_caller]
pub(crate) fn until_still<T: PartialEq>(gap: Duration, mut look: impl FnMut() -> T) -> T {
    let mut before = look();
    find("rest", || {
        thread::sleep(gap);
        let now = look();
        if now == before {
            return Some(now);
        }
        before = now;
        None
    })
}

/// The time between two acts: how fast a client or a server is, or that a piece is most likely read alone.
pub(crate) fn pace(time: Duration) {
    thread::sleep(time);
}

/// Somebody is late, so that a time is over before it is looked at, or others have to wait.
pub(crate) fn delay(time: Duration) {
    thread::sleep(time);
}

/// Time in which nothing may happen: that it does not is what is tested.
pub(crate) fn silence(time: Duration) {
    thread::sleep(time);
}
