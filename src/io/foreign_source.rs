//! A source of the user that the loop watches: its readiness, and whether its callback is due.

use crate::conn::transport::Readiness;

/// A registered [`mio::event::Source`] of the user.
#[derive(Debug, Default)]
pub(crate) struct ForeignSource {
    /// Readiness that was reported and not delivered yet.
    ready: Readiness,
    /// All readiness that was ever reported; the callback may not have used all of it.
    reported: Readiness,
    paused: bool,
    /// Its callback is running.
    in_call: bool,
    paused_inside: bool,
    pub(crate) closing: bool,
    pub(super) queued: bool,
}

impl ForeignSource {
    pub(super) fn note(&mut self, ready: Readiness) {
        self.ready = self.ready.or(ready);
        self.reported = self.reported.or(ready);
    }

    /// Begins a call of its callback and returns the readiness for it. A timer calls it too, also
    /// while it is paused.
    pub(crate) fn begin_call(&mut self) -> Readiness {
        self.in_call = true;
        if self.paused { Readiness::default() } else { std::mem::take(&mut self.ready) }
    }

    pub(crate) fn end_call(&mut self) {
        self.in_call = false;
        self.paused_inside = false;
    }

    /// Events are edges: readiness that a call did not use because it paused is not reported again
    /// by the system, so it is delivered again. A call that resumes before it returns has to use
    /// all of it.
    pub(super) fn pause(&mut self, on: bool) {
        if on {
            self.paused_inside |= self.in_call && !self.paused;
        } else if self.paused && !self.paused_inside {
            self.ready = self.reported;
        }
        self.paused = on;
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether a turn now would change anything.
    pub(crate) fn wants_service(&self) -> bool {
        self.closing || !self.paused && self.ready != Readiness::default()
    }
}
