//! The bound of blocking handlers that run at once, and those that wait for one of them to end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::executor::notify_handler;
use crate::id::SocketId;
use crate::io::Io;
use crate::io::mailbox::LoopControl;
use crate::io::table::Entry;
use crate::io::wait_queue::WaitQueue;

/// Bounds the handlers that run at once; hands out one [`WorkerPermit`] for each.
#[derive(Debug)]
pub(super) struct WorkerLimit {
    max: usize,
    in_use: AtomicUsize,
    /// Listeners and datagram sockets that wait for a permit. Their ids belong to the loop that calls.
    waiting: Mutex<WaitQueue>,
    /// The only server that uses it. Held weakly, so that no other server gets its address.
    owner: OnceLock<Weak<dyn LoopControl>>,
}

impl WorkerLimit {
    pub(super) fn new(max: usize) -> WorkerLimit {
        let (waiting, owner) = (Mutex::default(), OnceLock::new());
        WorkerLimit { max, in_use: AtomicUsize::new(0), waiting, owner }
    }

    /// Whether `server` may use it: the ids that wait belong to one server.
    pub(super) fn belongs_to(&self, server: &Arc<dyn LoopControl>) -> bool {
        let owner = self.owner.get_or_init(|| Arc::downgrade(server));
        std::ptr::addr_eq(owner.as_ptr(), Arc::as_ptr(server))
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Acquire)
    }

    pub(super) fn has_free(&self) -> bool {
        self.in_use() < self.max
    }

    /// Takes a permit; `None` while all are in use. Only the loop takes permits, so a permit that
    /// [`WorkerLimit::has_free`] reported is still free when the loop takes it.
    pub(super) fn try_acquire(self: &Arc<WorkerLimit>) -> Option<WorkerPermit> {
        self.has_free().then(|| self.acquire())
    }

    /// Takes a permit without checking; the caller has asked [`WorkerLimit::has_free`].
    pub(super) fn acquire(self: &Arc<WorkerLimit>) -> WorkerPermit {
        self.in_use.fetch_add(1, Ordering::AcqRel);
        WorkerPermit(Arc::clone(self))
    }

    /// Wakes the listener or datagram socket `id` when a permit is free; see [`WaitQueue::push`] for
    /// `served`.
    pub(super) fn wait(&self, id: SocketId, served: bool) {
        self.waiting().push(id, served);
    }

    /// Wakes the socket that has waited for a permit the longest, if one is free. A socket that does
    /// not use it calls this again for the next one.
    pub(super) fn wake(&self, io: &mut Io) {
        while self.has_free() {
            let Some(id) = self.waiting().pop() else { return };
            match io.sockets.get(id) {
                Some(Entry::Listener(_)) => return io.sockets.resume_listener(id),
                Some(_) => return notify_handler(io, id),
                None => {}
            }
        }
    }

    /// The socket is gone.
    pub(super) fn leave(&self, id: SocketId) {
        self.waiting().remove(id);
    }

    fn waiting(&self) -> MutexGuard<'_, WaitQueue> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to run one handler; dropping it returns the permit to its [`WorkerLimit`].
#[derive(Debug)]
pub(super) struct WorkerPermit(Arc<WorkerLimit>);

impl WorkerPermit {
    #[cfg(all(unix, feature = "processes"))]
    pub(super) fn limit(&self) -> Arc<WorkerLimit> {
        Arc::clone(&self.0)
    }
}

impl Drop for WorkerPermit {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Ordering::AcqRel);
    }
}
