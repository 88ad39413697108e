//! Where blocking handlers run, and how many at once.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::executor::{Executor, ExecutorKind};
use super::socket::Limits;
use crate::addr::Addr;

/// Where the handlers of a blocking service run: in the loop itself, each in a thread, or each in a
/// process. What clones of one `Workers` serve counts together.
///
/// ```no_run
/// use std::io::{self, Write};
/// use std::time::Duration;
/// use socketserver::blocking::{Workers, Request};
/// use socketserver::Server;
///
/// let mut server = Server::new()?;
/// // For a process each, or none at all, this is the only line to change.
/// let workers = Workers::threads(64).deadline(Duration::from_secs(60));
/// server.listen_blocking("127.0.0.1:7000", &workers, |_peer| {
///     |request: &mut Request<'_>| -> io::Result<()> {
///         let name = request.take_line(80)?.unwrap_or_default().to_vec();
///         writeln!(request, "hello {}", String::from_utf8_lossy(&name))
///     }
/// })?;
/// server.serve_forever()?;
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Clone)]
pub struct Workers {
    pub(super) executor: Rc<Executor>,
    pub(super) daemon_threads: bool,
    timeout: Option<Duration>,
    deadline: Option<Duration>,
    pub(super) handle_error: Option<Arc<ErrorHook>>,
}

pub(super) type ErrorHook = dyn Fn(&Addr, &io::Error) + Send + Sync;

impl Workers {
    /// In the loop (Python's plain `TCPServer`): one at a time, and nothing else is served
    /// meanwhile, a stop included: a client that says nothing holds up the signal that asks for one, and
    /// [`ServerHandle::shutdown`](crate::ServerHandle::shutdown), until it leaves or [`Workers::timeout`] or
    /// [`Workers::deadline`] ends the wait. For trying things out, and for clients who all are quick.
    #[must_use]
    pub fn inline() -> Workers {
        Workers::new(ExecutorKind::Loop, usize::MAX)
    }

    /// Each in a thread (Python's `ThreadingMixIn`), but never more than `max_threads`, which is 1 at
    /// least; while so many are busy, more clients wait in the backlog of the kernel. Threads are started when they
    /// are needed, used again, and end when they have had nothing to do for a while.
    ///
    /// Among several loops ([`LoopGroup`](crate::LoopGroup) with
    /// [`LoadBalancing::LeastConnections`](crate::LoadBalancing::LeastConnections)) a client may come from the backlog of another
    /// loop; then it is connected already while it waits for a thread.
    #[must_use]
    pub fn threads(max_threads: usize) -> Workers {
        Workers::new(ExecutorKind::Threads, max_threads)
    }

    /// Each in a process (Python's `ForkingMixIn`, with its 40 as [`MAX_CHILDREN`]): a handler that
    /// crashes costs its own conversation. Never more than `max_children` at once, which is 1 at
    /// least; more clients wait in the backlog of the kernel.
    ///
    /// A process is a copy of this one at the moment in which the client came, so what its handler
    /// changes, nobody else sees. Only a program without other threads can be copied; listening,
    /// and every later fork, is an error as long as there are some.
    #[cfg(all(unix, feature = "processes"))]
    #[must_use]
    pub fn processes(max_children: usize) -> Workers {
        Workers::new(ExecutorKind::Processes, max_children)
    }

    fn new(kind: ExecutorKind, max: usize) -> Workers {
        let executor = Rc::new(Executor::new(kind, max));
        Workers {
            executor,
            daemon_threads: false,
            timeout: None,
            deadline: None,
            handle_error: None,
        }
    }

    /// Says what cannot work, before anything is opened.
    pub(super) fn check(&self) -> io::Result<()> {
        let unusable = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        for (name, time) in [("timeout", self.timeout), ("deadline", self.deadline)] {
            if time.is_some_and(|time| time.is_zero()) {
                return Err(unusable(format!("Workers::{name} must be longer than nothing")));
            }
        }
        if self.executor.limit.max() == 0 {
            let name = self.executor.name();
            return Err(unusable(format!("Workers::{name} must be at least 1: 0 serve nobody")));
        }
        self.executor.check()
    }

    /// What holds for a request that begins now.
    pub(super) fn limits(&self, idle_timeout: Option<Duration>) -> Limits {
        let deadline = self.deadline.and_then(|time| Instant::now().checked_add(time));
        Limits { timeout: self.timeout.or(idle_timeout), deadline }
    }

    /// Whether a shutdown leaves handlers in threads alone that are still busy, and does not wait
    /// for them (Python's `daemon_threads`). Default: false; they are told that nothing more
    /// comes in, and have the grace of the shutdown to end (Python's `block_on_close`).
    #[must_use]
    pub fn daemon_threads(mut self, on: bool) -> Workers {
        self.daemon_threads = on;
        self
    }

    /// How long one read, or one write of any length, may take (Python's `timeout`), which is
    /// [`TimedOut`](io::ErrorKind::TimedOut) then. A peer that sends a byte before each of its ends is
    /// served for ever: for that there is [`Workers::deadline`]. Longer than nothing. Default:
    /// [`Options::idle_timeout`](crate::Options).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Workers {
        self.timeout = Some(timeout);
        self
    }

    /// How long all reads and writes of one connection may take together, from when its handler has
    /// its turn; each is [`TimedOut`](io::ErrorKind::TimedOut) after that. So no client holds a thread
    /// or a process for longer, however slowly it sends or takes, as long as the handler does nothing
    /// else that waits. A handler may move it
    /// ([`Request::set_deadline`](super::Request::set_deadline)). Longer than nothing. Default: never.
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Workers {
        self.deadline = Some(time);
        self
    }

    /// Has `hook` called with the error of a handler, or the message of its panic, where it
    /// happened: in its thread or in its process (Python's `handle_error`). Default: one line in
    /// the log, once a second at most; that line is also written when a process ended without a word.
    #[must_use]
    pub fn handle_error(
        mut self,
        hook: impl Fn(&Addr, &io::Error) + Send + Sync + 'static,
    ) -> Workers {
        self.handle_error = Some(Arc::new(hook));
        self
    }

    /// Has `hook` called in each new process before its handler, for what must not be shared with
    /// the parent. Signals for the new process wait until the hook has run.
    #[cfg(all(unix, feature = "processes"))]
    #[must_use]
    pub fn after_fork(self, hook: impl Fn() + 'static) -> Workers {
        self.executor.child.borrow_mut().after_fork = Some(Box::new(hook));
        self
    }

    /// Whether the handlers of signals that the program has installed run in its children as well.
    /// They would do there what they do in the parent, such as stopping it, if they write into a
    /// pipe that it watches. Default: false. A signal that the program handles then has its default
    /// action in a child (SIGTERM ends it, and nothing else); but SIGINT, SIGQUIT and SIGHUP, which a
    /// terminal sends to all processes at once, are left to the parent, and do nothing. A signal that
    /// is blocked stays blocked. For this a child has a second thread, as long as the program handles
    /// any signal.
    ///
    /// With true, handlers run in a child as they are, and those that [`Workers::after_fork`] or a blocking
    /// handler installs there.
    #[cfg(all(unix, feature = "processes"))]
    #[must_use]
    pub fn inherit_signals(self, on: bool) -> Workers {
        self.executor.child.borrow_mut().inherit_signals = on;
        self
    }

    /// How many handlers are busy now (Python's `active_children`).
    #[must_use]
    pub fn active_count(&self) -> usize {
        self.executor.limit.in_use()
    }
}

/// How many children at once Python's `ForkingMixIn` allows: its default for `Workers::processes`, which
/// needs the feature `processes`.
pub const MAX_CHILDREN: usize = 40;

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("executor", &self.executor).finish_non_exhaustive()
    }
}
