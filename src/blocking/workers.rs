//! The settings of a blocking service: where its handlers run, how many at once, and for how long.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::executor::{Executor, ExecutorKind};
use super::socket::Limits;
use crate::addr::Addr;
use crate::io::mailbox::LoopControl;
use crate::server::Server;

/// Where the handlers of a blocking service run: in the loop itself, each in a thread, or each in a
/// process. Clones of one `Workers` share its bound, and belong to the server that uses one of them first.
///
/// ```no_run
/// use std::io::{self, Write};
/// use std::time::Duration;
/// use socketserver::blocking::{Workers, Request};
/// use socketserver::Server;
///
/// let mut server = Server::new()?;
/// // `Workers::processes` and `Workers::inline` go here as well; nothing else changes.
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
    /// Runs handlers in the loop, one at a time (Python's plain `TCPServer`). The loop does nothing else
    /// meanwhile. A silent client therefore delays a shutdown, by a signal or by
    /// [`ServerHandle::shutdown`](crate::ServerHandle::shutdown), until it closes its connection or
    /// [`Workers::timeout`] or [`Workers::deadline`] expires. Use it for experiments, and for clients
    /// that are all fast.
    ///
    /// ```
    /// use std::io::{self, Read, Write};
    /// use std::net::TcpStream;
    /// use socketserver::blocking::{Request, Workers};
    /// use socketserver::{Addr, Server};
    ///
    /// let mut server = Server::new()?;
    /// let greet = |request: &mut Request<'_>| request.send_all(b"hello\n");
    /// let id = server.listen_blocking("127.0.0.1:0", &Workers::inline(), move |_: &Addr| greet)?;
    /// let port = server.io().local_addr(id).and_then(|addr| addr.port()).unwrap();
    /// let mut client = TcpStream::connect(("127.0.0.1", port))?;
    /// client.shutdown(std::net::Shutdown::Write)?;
    /// server.handle_request(None)?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer)?;
    /// assert_eq!(answer, "hello\n");
    /// # Ok::<(), io::Error>(())
    /// ```
    #[must_use]
    pub fn inline() -> Workers {
        Workers::new(ExecutorKind::Loop, usize::MAX)
    }

    /// Runs each handler in a thread (Python's `ThreadingMixIn`), at most `max_threads` at once. While
    /// all are busy, further clients wait in the backlog of the kernel. `max_threads` must be at least 1.
    /// Threads start when they are needed, are reused, and end after 10 s without a job. While not even one
    /// can be started, clients wait, and a warning says so.
    ///
    /// In a [`LoopGroup`](crate::LoopGroup) with
    /// [`LoadBalancing::LeastConnections`](crate::LoadBalancing::LeastConnections), another loop may
    /// accept the client; the client then waits for a thread on an established connection.
    #[must_use]
    pub fn threads(max_threads: usize) -> Workers {
        Workers::new(ExecutorKind::Threads, max_threads)
    }

    /// Runs each handler in a process (Python's `ForkingMixIn`), at most `max_children` at once. While
    /// all are busy, further clients wait in the backlog of the kernel. `max_children` must be at least
    /// 1; Python's default is [`MAX_CHILDREN`]. A handler that crashes ends its own conversation only.
    ///
    /// The process is a copy of this one, forked when the client is accepted, so no other process sees
    /// what its handler changes. The factory runs in that process, and its handler is made, used and dropped
    /// there, as in Python: what the factory captured and changes, such as a count of its clients, is a copy.
    /// The process has no socket of other clients and no pipe of its siblings. It ends when its parent is
    /// gone (SIGKILL, on Linux); elsewhere it goes on until its handler has ended. While the system has no
    /// process or descriptor left, clients wait, and a warning says for what. Only a program with one thread
    /// can fork:
    /// [`Server::listen_blocking`](crate::Server::listen_blocking) fails with
    /// [`Unsupported`](io::ErrorKind::Unsupported) while other threads run, and so does each later fork.
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

    /// Checks the settings before a socket of `server` is opened.
    pub(super) fn check<S: 'static>(&self, server: &Server<S>) -> io::Result<()> {
        let unusable = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        for (name, time) in [("timeout", self.timeout), ("deadline", self.deadline)] {
            if time.is_some_and(|time| time.is_zero()) {
                return Err(unusable(format!("Workers::{name} must not be zero")));
            }
        }
        if self.executor.limit.max() == 0 {
            let name = self.executor.name();
            return Err(unusable(format!("Workers::{name} must be at least 1")));
        }
        let server: Arc<dyn LoopControl> = server.handle().mailbox;
        if !self.executor.limit.belongs_to(&server) {
            let name = self.executor.name();
            let what = format!("Workers::{name}: another server uses it; make one for each server");
            return Err(unusable(what));
        }
        self.executor.check()
    }

    /// The time limits of a request that begins now.
    pub(super) fn limits(&self, idle_timeout: Option<Duration>) -> Limits {
        let deadline = self.deadline.and_then(|time| Instant::now().checked_add(time));
        Limits { timeout: self.timeout.or(idle_timeout), deadline }
    }

    /// Whether a shutdown ignores handlers that are still busy in threads (Python's `daemon_threads`).
    /// It then neither ends their reads nor waits for them. Default: false; their reads return EOF, and
    /// they have the grace of the shutdown to end (Python's `block_on_close`).
    #[must_use]
    pub fn daemon_threads(mut self, on: bool) -> Workers {
        self.daemon_threads = on;
        self
    }

    /// How long one read, or one write of any length, may take (Python's `timeout`). After that it
    /// fails with [`TimedOut`](io::ErrorKind::TimedOut); a connection whose write has failed ends with a
    /// reset, whatever its handler does then. A peer that sends one byte before each timeout
    /// never exceeds it; [`Workers::deadline`] bounds such a peer. Must not be zero. Default:
    /// [`Options::idle_timeout`](crate::Options).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Workers {
        self.timeout = Some(timeout);
        self
    }

    /// How long all reads and writes of one connection may take together, from the start of its
    /// handler. After that each of them fails with [`TimedOut`](io::ErrorKind::TimedOut). So a client
    /// that sends or reads slowly holds a thread or a process no longer than this, provided that the
    /// handler blocks in nothing else. A handler may move the deadline
    /// ([`Request::set_deadline`](super::Request::set_deadline)). Must not be zero. Default: no deadline.
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Workers {
        self.deadline = Some(time);
        self
    }

    /// Calls `hook` with the error of a handler, or with the message of its panic, in the thread or
    /// process of that handler (Python's `handle_error`). Default: one line in the log for an error or a
    /// panic, each at most once a second. That line is logged with a hook as well when a process ended without a report.
    ///
    /// ```
    /// use socketserver::blocking::Workers;
    ///
    /// let workers = Workers::threads(8).handle_error(|peer, error| eprintln!("{peer}: {error}"));
    /// ```
    #[must_use]
    pub fn handle_error(
        mut self,
        hook: impl Fn(&Addr, &io::Error) + Send + Sync + 'static,
    ) -> Workers {
        self.handle_error = Some(Arc::new(hook));
        self
    }

    /// Calls `hook` in each new process before its handler, to replace what must not be shared with
    /// the parent. Signals to the new process stay blocked until the hook has returned.
    #[cfg(all(unix, feature = "processes"))]
    #[must_use]
    pub fn after_fork(self, hook: impl Fn() + 'static) -> Workers {
        self.executor.child.borrow_mut().after_fork = Some(Box::new(hook));
        self
    }

    /// Whether the signal handlers of the program run in its children as well. In a child they do what
    /// they do in the parent; a handler that writes into a pipe of the parent would stop the parent.
    ///
    /// Default: false. A signal that the program handles then has its default action in a child, so
    /// SIGTERM ends the child alone, a second later: when the parent stops within that second, the signal
    /// was for the whole group, and the child finishes what it has. SIGINT, SIGQUIT and SIGHUP have no
    /// effect in a child, because a terminal sends them to all processes at once and the parent decides;
    /// nor has SIGXFSZ, of which the write learns by its error. A blocked signal stays
    /// blocked. If the program handles any signal, each child has a second thread for this.
    ///
    /// With true, the inherited handlers run in a child, and so do those that [`Workers::after_fork`] or
    /// a blocking handler installs there.
    #[cfg(all(unix, feature = "processes"))]
    #[must_use]
    pub fn inherit_signals(self, on: bool) -> Workers {
        self.executor.child.borrow_mut().inherit_signals = on;
        self
    }

    /// The number of handlers that are busy now (Python's `active_children`).
    #[must_use]
    pub fn active_count(&self) -> usize {
        self.executor.limit.in_use()
    }
}

/// The default of Python's `ForkingMixIn.max_children`, for `Workers::processes`, which needs the feature
/// `processes`.
pub const MAX_CHILDREN: usize = 40;

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("executor", &self.executor).finish_non_exhaustive()
    }
}
