//! The threads that look up names, beside the loop.
//!
//! Look-ups do not share threads with offloaded work, so neither waits for the other. Results are
//! put into a list, and the loop is woken.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use crate::foreign::{self, ForeignCode};
use crate::id::SocketId;
use crate::io::mailbox::LoopControl;
use crate::io::names::{Names, Owner};
use crate::io::thread_pool::ThreadPool;

/// Looks up a name, and may block; the ports of the addresses are ignored.
type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The result of one look-up.
pub(super) struct Resolved {
    pub(super) host: String,
    pub(super) result: io::Result<Vec<SocketAddr>>,
}

pub(crate) struct Resolver {
    names: Names,
    threads: ThreadPool,
    look_up: Arc<LookUp>,
    results: Arc<Mutex<Vec<Resolved>>>,
    /// Wakes the loop; set before the first request.
    waker: Option<Arc<dyn LoopControl>>,
    /// The simulated world supplies the results itself.
    #[cfg(all(test, feature = "testing"))]
    pub(crate) is_simulated: bool,
}

impl Resolver {
    /// Looks up with at most `threads` threads.
    pub(super) fn new(threads: usize) -> Resolver {
        Resolver {
            names: Names::new(threads),
            // A thread that has reported its result is not idle at once.
            threads: ThreadPool::named("socketserver-names", threads, threads.saturating_mul(2)),
            look_up: Arc::new(system_lookup),
            results: Arc::default(),
            waker: None,
            #[cfg(all(test, feature = "testing"))]
            is_simulated: false,
        }
    }

    /// Replaces the function that looks up names.
    #[cfg(feature = "testing")]
    pub(crate) fn set_lookup(&mut self, look_up: Arc<LookUp>) {
        self.look_up = look_up;
    }

    /// Sets how the loop is woken.
    pub(crate) fn set_waker(&mut self, waker: impl FnOnce() -> Arc<dyn LoopControl>) {
        self.waker.get_or_insert_with(waker);
    }

    /// Requests a look-up for a connection. [`Resolver::take_results`] returns the result later.
    pub(super) fn request(&mut self, host: &str, owner: Owner, id: SocketId) {
        #[cfg(all(test, feature = "testing"))]
        if self.is_simulated {
            return;
        }
        self.names.request(host, owner, id);
        self.start();
    }

    /// Cancels the request of a connection.
    pub(super) fn cancel(&mut self, host: &str, id: SocketId) {
        self.names.cancel(host, id);
    }

    /// The results since the last call.
    pub(super) fn take_results(&mut self) -> Vec<Resolved> {
        std::mem::take(&mut *lock(&self.results))
    }

    /// Returns the connections that wait for a name that was looked up, and frees its thread.
    pub(super) fn finish(&mut self, host: &str) -> Vec<SocketId> {
        let waiting = self.names.finish(host);
        self.start();
        waiting
    }

    /// Starts a look-up on each free thread.
    fn start(&mut self) {
        while let Some(host) = self.names.next() {
            let (look_up, results) = (Arc::clone(&self.look_up), Arc::clone(&self.results));
            let (waker, name) = (self.waker.clone(), host.clone());
            let begun = self.threads.run(move || {
                let result = foreign::run(ForeignCode::LookUp, None, || look_up(&name));
                let panicked = || Err(io::Error::other("the look-up panicked"));
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

/// No code panics while it holds the lock, so a poisoned lock is used as any other.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("names", &self.names).finish_non_exhaustive()
    }
}
