//! Control of all loops of a group from other threads.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::io::group::GroupState;
use crate::stats::ShutdownReport;

/// Controls all loops of a [`LoopGroup`](super::LoopGroup) from any thread, at any time: before
/// they serve, from inside their handlers, repeatedly, and after their end.
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
    /// The grace of a stop that was requested before.
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

    /// Shuts down every loop: no client is accepted any more, each handler's `shutdown` is called
    /// after the handler has got all input that had arrived, and connections that are left after
    /// `grace` are aborted. Before the loops serve, this ends their run at once. When called twice,
    /// the shorter grace applies.
    pub fn shutdown(&self, grace: Duration) {
        let mut state = self.control.lock();
        match &state.group {
            Some(group) => group.stop(grace),
            None => state.stop = Some(state.stop.map_or(grace, |before| before.min(grace))),
        }
    }

    /// Waits until all loops have ended, and returns the sum of their shutdown reports. `None` when
    /// that takes longer than `timeout`, or a loop failed. A handler must not call this: it would
    /// wait for itself.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Option<ShutdownReport> {
        let state = self.control.lock();
        let waited =
            self.control.ended.wait_timeout_while(state, timeout, |state| state.end.is_none());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match state.end {
            Some(GroupEnd::ShutDown(report)) => Some(report),
            Some(GroupEnd::Failed) | None => None,
        }
    }
}

impl GroupControl {
    /// Begins a run: the loops of this group are about to be built.
    pub(super) fn begin(&self, group: &Arc<GroupState>) -> RunGuard<'_> {
        let mut state = self.lock();
        if let Some(grace) = state.stop {
            group.stop(grace);
        }
        state.group = Some(Arc::clone(group));
        RunGuard(self)
    }

    /// Ends the run, because the loops are never built.
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

    /// No code panics while it holds the lock, so a poisoned lock is used as any other.
    fn lock(&self) -> MutexGuard<'_, ControlState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run; dropping it without [`RunGuard::end_with`] means that the loops have failed.
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
