//! The threads that look names up, beside the loop.
//!
//! They have threads of their own, so that offloaded work and names do not wait for each other.
//! What they find goes into a list, and the loop is woken to look there.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::id::SocketId;
use crate::io::mailbox::LoopControl;
use crate::io::names::{Names, Owner};
use crate::io::thread_pool::ThreadPool;

/// Looks a name up, and may block; the ports of what it gives do not matter.
type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// What became of a name.
pub(super) struct Resolved {
    pub(super) host: String,
    pub(super) result: io::Result<Vec<SocketAddr>>,
}

pub(crate) struct Resolver {
    names: Names,
    threads: ThreadPool,
    look_up: Arc<LookUp>,
    results: Arc<Mutex<Vec<Resolved>>>,
    /// The way to wake the loop, once something was asked for.
    waker: Option<Arc<dyn LoopControl>>,
    /// The simulated world says itself what is found, and when.
    #[cfg(all(test, feature = "testing"))]
    pub(crate) is_simulated: bool,
}

impl Resolver {
    /// With so many threads at most.
    pub(super) fn new(threads: usize) -> Resolver {
        Resolver {
            names: Names::new(threads),
            // A thread that has told its result is not free for a moment yet.
            threads: ThreadPool::named("socketserver-names", threads, threads.saturating_mul(2)),
            look_up: Arc::new(system_lookup),
            results: Arc::default(),
            waker: None,
            #[cfg(all(test, feature = "testing"))]
            is_simulated: false,
        }
    }

    /// Has names looked up by this from now on.
    #[cfg(feature = "testing")]
    pub(crate) fn set_lookup(&mut self, look_up: Arc<LookUp>) {
        self.look_up = look_up;
    }

    /// The loop can be woken so.
    pub(crate) fn set_waker(&mut self, waker: impl FnOnce() -> Arc<dyn LoopControl>) {
        self.waker.get_or_insert_with(waker);
    }

    /// A connection waits for a name. What comes of it is among [`Resolver::take_results`] later.
    pub(super) fn request(&mut self, host: &str, owner: Owner, id: SocketId) {
        #[cfg(all(test, feature = "testing"))]
        if self.is_simulated {
            return;
        }
        self.names.request(host, owner, id);
        self.start();
    }

    /// A connection waits no more.
    pub(super) fn cancel(&mut self, host: &str, id: SocketId) {
        self.names.cancel(host, id);
    }

    /// What was found since the last look.
    pub(super) fn take_results(&mut self) -> Vec<Resolved> {
        std::mem::take(&mut *lock(&self.results))
    }

    /// These connections wait for a name that was looked up; its thread is free again.
    pub(super) fn finish(&mut self, host: &str) -> Vec<SocketId> {
        let waiting = self.names.finish(host);
        self.start();
        waiting
    }

    /// Gives each free thread a name.
    fn start(&mut self) {
        while let Some(host) = self.names.next() {
            let (look_up, results) = (Arc::clone(&self.look_up), Arc::clone(&self.results));
            let (waker, name) = (self.waker.clone(), host.clone());
            let begun = self.threads.run(move || {
                let result = catch_unwind(AssertUnwindSafe(|| look_up(&name)));
                let panicked = |_| Err(io::Error::other("looking it up panicked"));
                report(&results, waker.as_deref(), name, result.unwrap_or_else(panicked));
            });
            if let Err(error) = begun {
                report(&self.results, self.waker.as_deref(), host, Err(error));
            }
        }
    }
}

fn report(
    results: &Mutex<Vec<Resolved>>,
    waker: Option<&dyn LoopControl>,
    host: String,
    result: io::Result<Vec<SocketAddr>>,
) {
    lock(results).push(Resolved { host, result });
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// getaddrinfo(3).
fn system_lookup(host: &str) -> io::Result<Vec<SocketAddr>> {
    Ok((host, 0).to_socket_addrs()?.collect())
}

/// Nothing panics while it holds the lock, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("names", &self.names).finish_non_exhaustive()
    }
}
