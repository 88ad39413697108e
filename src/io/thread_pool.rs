//! Threads for work that blocks.
//!
//! At most a fixed number of threads, started on demand and ended when idle, and a bounded queue.
//! Results travel through the mailbox, not through here.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::foreign::{self, ForeignCode};

type Job = Box<dyn FnOnce() + Send>;

/// How long an idle thread waits for a job before it ends.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// On drop, threads end as soon as their present job is done, and queued jobs are dropped. The drop
/// does not wait for the threads, because a job may block for ever.
pub(crate) struct ThreadPool {
    shared: Arc<Shared>,
    /// The name of the threads.
    name: &'static str,
    max_threads: usize,
    limit: usize,
    keep_alive: Duration,
}

#[derive(Default)]
struct Shared {
    state: Mutex<PoolState>,
    changed: Condvar,
}

#[derive(Default)]
struct PoolState {
    queue: VecDeque<Job>,
    /// How many jobs are running.
    running: usize,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl ThreadPool {
    pub(crate) fn new(max_threads: usize, limit: usize) -> ThreadPool {
        ThreadPool::named("socketserver-worker", max_threads, limit)
    }

    /// A pool whose threads have this name.
    pub(super) fn named(name: &'static str, max_threads: usize, limit: usize) -> ThreadPool {
        ThreadPool { shared: Arc::default(), name, max_threads, limit, keep_alive: KEEP_ALIVE }
    }

    /// Queues `work` for a thread.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when the queue is full; the error of the system
    /// when not even one thread can be started.
    pub(crate) fn run(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.shared.lock();
        if state.queue.len() + state.running >= self.limit {
            let what = "too much offloaded work is waiting (Options::offload_queue)";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, what));
        }
        if state.idle <= state.queue.len() && state.threads < self.max_threads {
            let (shared, keep_alive) = (Arc::clone(&self.shared), self.keep_alive);
            let started = thread::Builder::new()
                .name(self.name.into())
                .spawn(move || shared.work(keep_alive));
            match started {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => return Err(error),
                Err(_) => {}
            }
        }
        state.queue.push_back(Box::new(work));
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let dropped = std::mem::take(&mut state.queue);
        drop(state);
        self.shared.changed.notify_all();
        foreign::discard_all(ForeignCode::OffloadedWork, dropped);
    }
}

impl Shared {
    /// No code panics while it holds the lock, so a poisoned lock is used as any other.
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs jobs until the thread has been idle for `keep_alive`, or the pool is closed.
    fn work(&self, keep_alive: Duration) {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.queue.pop_front() {
                state.running += 1;
                drop(state);
                // After a panic the thread goes on with the next job.
                foreign::run(ForeignCode::OffloadedWork, None, work);
                state = self.lock();
                state.running -= 1;
            } else if state.closed {
                return;
            } else {
                state.idle += 1;
                let waited = self.changed.wait_timeout(state, keep_alive);
                let timeout;
                (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                if timeout.timed_out() && state.queue.is_empty() {
                    state.threads -= 1;
                    return;
                }
            }
        }
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool")
            .field("threads", &self.shared.lock().threads)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn threads_are_started_on_demand_up_to_the_limit() {
        let workers = ThreadPool::new(2, 100);
        assert_eq!(workers.shared.lock().threads, 0);
        let (done, results) = mpsc::channel();
        for n in 0..50 {
            let done = done.clone();
            workers.run(move || done.send(n).unwrap()).unwrap();
            assert!(workers.shared.lock().threads <= 2);
        }
        let mut got: Vec<i32> = results.iter().take(50).collect();
        got.sort_unstable();
        assert_eq!(got, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn idle_threads_end_and_new_ones_start() {
        let mut workers = ThreadPool::new(1, 10);
        workers.keep_alive = Duration::from_millis(1);
        for _ in 0..3 {
            let (done, finished) = mpsc::channel();
            workers.run(move || done.send(()).unwrap()).unwrap();
            finished.recv().unwrap();
            while workers.shared.lock().threads > 0 {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn jobs_above_the_limit_are_refused_until_one_is_done() {
        let workers = ThreadPool::new(1, 2);
        let (go, gate) = mpsc::channel::<()>();
        let (done, finished) = mpsc::channel();
        let last = done.clone();
        workers.run(move || gate.recv().unwrap()).unwrap();
        workers.run(move || done.send(()).unwrap()).unwrap();
        assert_eq!(workers.run(|| ()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        go.send(()).unwrap();
        finished.recv().unwrap();
        while workers.shared.lock().running > 0 {
            thread::yield_now();
        }
        workers.run(move || last.send(()).unwrap()).unwrap();
        finished.recv().unwrap();
    }

    #[test]
    fn a_panic_in_a_job_keeps_the_thread() {
        let workers = ThreadPool::new(1, 10);
        let (done, finished) = mpsc::channel();
        workers.run(|| panic!("expected by this test")).unwrap();
        workers.run(move || done.send(()).unwrap()).unwrap();
        finished.recv().unwrap();
        assert_eq!(workers.shared.lock().threads, 1);
    }
}
