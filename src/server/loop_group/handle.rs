//! The way to all loops from other threads.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::io::group::GroupState;
use crate::stats::ShutdownReport;

/// Reaches all loops of [`LoopGroup`](super::LoopGroup) from any thread, at any time: before they serve,
/// from inside their handlers, twice, and after their end.
#[derive(Clone, Debug)]
pub struct LoopGroupHandle {
    control: Arc<GroupControl>,
}

#[derive(Debug, Default)]
pub(super) struct GroupControl {
    state: Mutex<ControlState>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct ControlState {
    /// While they serve.
    group: Option<Arc<GroupState>>,
    /// An order that came before.
    stop: Option<Duration>,
    end: Option<GroupEnd>,
}

#[derive(Clone, Copy, Debug)]
enum GroupEnd {
    ShutDown(ShutdownReport),
    Failed,
}

impl LoopGroupHandle {
    pub(super) fn new(control: Arc<GroupControl>) -> LoopGroupHandle {
        LoopGroupHandle { control }
    }

    /// Ends every loop: no client is accepted any more, and each handler's `shutdown` runs after it
    /// has seen everything that had come in; what is left after `grace` is cut off. Before they
    /// serve it ends that at once. Asked for twice, the shorter grace holds.
    pub fn shutdown(&self, grace: Duration) {
        let mut state = self.control.lock();
        match &state.group {
            Some(group) => group.stop(grace),
            None => state.stop = Some(state.stop.map_or(grace, |before| before.min(grace))),
        }
    }

    /// Waits until all loops have ended; gives what their shutdowns came to together. `None` when
    /// that takes longer than `timeout`, or they failed. Never to be called by a handler, which
    /// would wait for itself.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Option<ShutdownReport> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.control.lock();
        loop {
            match state.end {
                Some(GroupEnd::ShutDown(report)) => return Some(report),
                Some(GroupEnd::Failed) => return None,
                None => {}
            }
            let left = match deadline {
                None => Duration::MAX,
                Some(deadline) => deadline.checked_duration_since(Instant::now())?,
            };
            let waited = self.control.ended.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl GroupControl {
    /// The loops of this group are about to be built.
    pub(super) fn begin(&self, group: &Arc<GroupState>) -> RunGuard<'_> {
        let mut state = self.lock();
        if let Some(grace) = state.stop {
            group.stop(grace);
        }
        state.group = Some(Arc::clone(group));
        RunGuard(self)
    }

    /// They are never built.
    pub(super) fn fail(&self) {
        self.end(GroupEnd::Failed);
    }

    fn end(&self, end: GroupEnd) {
        let mut state = self.lock();
        state.group = None;
        state.end.get_or_insert(end);
        drop(state);
        self.ended.notify_all();
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, ControlState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loops run; without [`RunGuard::end_with`] they have failed.
pub(crate) struct RunGuard<'a>(&'a GroupControl);

impl RunGuard<'_> {
    pub(super) fn end_with(self, report: ShutdownReport) {
        self.0.end(GroupEnd::ShutDown(report));
    }
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        self.0.end(GroupEnd::Failed);
    }
}
