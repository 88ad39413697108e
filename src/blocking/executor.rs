//! Who does the work of blocking handlers, how many at once, and what comes back from them.
//!
//! # How
//!
//! `blocking/mod.rs` is for straight-line code: one handler, one client, reads that wait. Its handlers run
//! in the loop, each in a thread, or each in a process, and a `Workers` says where;
//! the handler is the same. The loop stays who accepts and who ends a connection:
//!
//! ```text
//! accept ─▶ a place is free? ─▶ verify, factory, setup     reactor/accept.rs, blocking/stream.rs
//!                                 │ Io::detach                      io/detach.rs: out of the poll, made to block
//!                                 ▼
//!               loop, thread or process: setup, handle, finish on a Request
//!                                 │ a command, or the end of a pipe
//!                                 ▼
//!                               Io::reattach                into the poll again
//!                                 └▶ flush, end, linger     as any other connection
//! ```
//!
//! While it is away the connection keeps its id, its handler and its place in the counters, so
//! `max_connections`, `verify_request`, shutdowns and counters hold for it without another line. When
//! all places are taken the factory says so, and its listener waits as it does when there is no room:
//! accepting pauses, the backlog of the kernel absorbs. Datagrams go the same way, one place each; what
//! came in one batch waits in the handler, the rest in the kernel, and the socket does not close before
//! every answer that is owed has come back.
//!
//! A read waits in `poll(2)` for its socket and for the stop of its server: a pipe, one for each run
//! (`net/stop_token.rs`), into which a shutdown writes a byte that is never taken. A handler that sits
//! in `read` is woken by that, in a thread as in a process, and it cannot be missed, because it is a state
//! and not a signal. What had come in before is still read, as much as the system's buffer holds or 1 MiB,
//! whichever is more, so that a peer that never stops sending holds nothing up; behind it lies the end.
//! Then the connection comes back with both its directions and lingers as any other, so that all its
//! answers arrive. Only a peer that has been silent since before the shutdown is not waited for; when the
//! last read began is part of what comes back. `shutdown(2)` of the reading direction would need no `poll`,
//! but behind it Linux answers whatever the peer still sends with a reset once our end is said, a Unix peer
//! cannot write any more, and our own end looks like the peer's. It is what remains on Windows, and
//! without the features `sys` and `processes`.
//!
//! Who is not done when the grace is over is cut off: its socket ends in both directions, and its process
//! is killed (`SIGKILL`, which no handler can hold up or miss while it starts).
//!
//! Time is counted by us and not by `SO_SNDTIMEO`, which begins anew with each piece of a write that the
//! peer takes: the end of a read or a write is fixed when it begins, and each system call is given what is
//! left (`blocking/socket.rs`). A write sends without waiting what there is room for, and only a piece of
//! 2 KiB waits, because a Unix socket may wait once for each part of the size of its buffer.
//!
//! **Why fork and not re-execution.** A new program that inherits its socket is what one would do in a
//! program with threads. But it begins with `main`: everything before the server is done again in every
//! child, and a closure cannot be handed over at all, so a mode would no longer be one word. `fork(2)`
//! copies the running program, as Python's does. What makes it unsound is other threads: the child has
//! only the one that forked, and whatever lock another held stays locked in it. So it is done only while
//! `/proc` (or the like) says that there is one thread, which then cannot change, since only that thread
//! could start another. With others it is an error that says so. The system call is that of the crate
//! `fork`, the count that of `num_threads`, the exit without clean-up that of `signal-hook`; this crate
//! forbids itself `unsafe`.
//!
//! **Reaping.** The write end of a pipe goes with the child, and it says there how its handler fared.
//! The end of that pipe is an event of the loop, and then exactly that child is waited for. There is no
//! handler of `SIGCHLD`, no `waitpid(-1)` that could take somebody else's child, and no zombie. A child
//! closes its copies of all sockets first; a path of a Unix socket belongs to the process that bound it.
//!
//! **Signals.** A child has copies of its parent's handlers, and what they write into comes out at the
//! parent. Putting a handler back to the default is `unsafe` everywhere; so a child leaves blocked what the
//! program handles (`SigCgt` in proc(5)), and a thread of 64 KiB waits for it and does what it does by
//! default. Only a program that handles signals pays for that.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use log::warn;

#[cfg(all(unix, feature = "processes"))]
use super::child::{ChildBegin, ChildJob};
use super::request::SharedAccess;
use crate::addr::Addr;
use crate::conn::log_throttle::LogThrottle;
use crate::handler::Context;
use crate::id::SocketId;
use crate::io::Io;
use crate::io::thread_pool::ThreadPool;

/// Those who serve one [`Workers`](super::Workers) and its clones.
pub(super) struct Executor {
    kind: ExecutorKind,
    pub(super) limit: Arc<WorkerLimit>,
    workers: ThreadPool,
    warnings: RefCell<LogThrottle>,
    #[cfg(all(unix, feature = "processes"))]
    pub(super) child: RefCell<ChildBegin>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ExecutorKind {
    Loop,
    Threads,
    #[cfg(all(unix, feature = "processes"))]
    Processes,
}

/// What is to be done for one client.
pub(super) type BlockingJob<S> = Box<dyn FnOnce(SharedAccess<'_, S>) -> JobResult + Send>;

/// What came of it.
pub(super) struct JobResult {
    pub(super) outcome: thread::Result<io::Result<()>>,
    /// The answer to a datagram.
    pub(super) reply: Option<Vec<u8>>,
    /// Its process ended before it could tell the hook of the user anything.
    pub(super) crashed: bool,
    /// Since when no byte of a connection has moved, in nanoseconds of the loop's clock, if a shutdown
    /// has ended its last read.
    pub(super) silent_since: Option<u64>,
}

impl Executor {
    pub(super) fn new(kind: ExecutorKind, max: usize) -> Executor {
        Executor {
            kind,
            limit: Arc::new(WorkerLimit::new(max)),
            // The places are the bound.
            workers: ThreadPool::new(max, usize::MAX),
            warnings: RefCell::default(),
            #[cfg(all(unix, feature = "processes"))]
            child: RefCell::default(),
        }
    }

    /// Threads none of which can be started.
    #[cfg(test)]
    pub(super) fn that_fails() -> Executor {
        Executor { workers: ThreadPool::new(1, 0), ..Executor::new(ExecutorKind::Threads, 1) }
    }

    /// How [`Workers`](super::Workers) calls it.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            ExecutorKind::Loop => "inline",
            ExecutorKind::Threads => "threads",
            #[cfg(all(unix, feature = "processes"))]
            ExecutorKind::Processes => "processes",
        }
    }

    /// Whether a shutdown ends their reads. In the loop it cannot begin while they run.
    pub(super) fn ends_reads_at_stop(&self, daemon_threads: bool) -> bool {
        match self.kind {
            ExecutorKind::Loop => false,
            ExecutorKind::Threads => !daemon_threads,
            #[cfg(all(unix, feature = "processes"))]
            ExecutorKind::Processes => true,
        }
    }

    /// Whether such handlers can run at all.
    #[cfg_attr(
        not(all(unix, feature = "processes")),
        expect(clippy::unnecessary_wraps, reason = "only processes may not run")
    )]
    pub(super) fn check(&self) -> io::Result<()> {
        match self.kind {
            ExecutorKind::Loop | ExecutorKind::Threads => Ok(()),
            #[cfg(all(unix, feature = "processes"))]
            ExecutorKind::Processes => crate::blocking::fork::check_threads(),
        }
    }

    /// Begins work for the socket of `cx`, whose `timeout` is called when it may have ended.
    pub(super) fn start<S: 'static>(
        &self,
        cx: &mut Context<'_, S>,
        permit: WorkerPermit,
        job: BlockingJob<S>,
    ) -> io::Result<PendingJob> {
        match self.kind {
            ExecutorKind::Loop => Ok(PendingJob::Done(job(SharedAccess::Local(cx.shared)))),
            ExecutorKind::Threads => self.start_thread(cx, permit, job),
            #[cfg(all(unix, feature = "processes"))]
            ExecutorKind::Processes => {
                ChildJob::fork(cx, permit, job, &self.child.borrow()).map(PendingJob::Process)
            }
        }
    }

    fn start_thread<S: 'static>(
        &self,
        cx: &Context<'_, S>,
        permit: WorkerPermit,
        job: BlockingJob<S>,
    ) -> io::Result<PendingJob> {
        let cell = Arc::new(ResultCell::default());
        let (returned, owner) = (Arc::clone(&cell), cx.id);
        let (limit, mailbox) = (Arc::clone(&self.limit), Arc::clone(&cx.registrar.mailbox));
        self.workers.run(move || {
            returned.put(job(SharedAccess::Remote(Arc::clone(&mailbox))));
            drop(permit);
            mailbox.post_unbounded(Box::new(move |_, io| {
                limit.wake(io);
                notify_handler(io, owner);
            }));
        })?;
        Ok(PendingJob::Thread(cell))
    }

    /// Logs the failure of a handler, as long as there are few. Bytes of the peer are not in it,
    /// unless the handler put them there.
    pub(super) fn warn(&self, io: &Io, peer: &Addr, error: &io::Error) {
        if let Some(before) = self.warnings.borrow_mut().allow(io.now) {
            warn!("a handler failed for {peer}: {error} ({before} more such failures before)");
        }
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Executor { kind, limit, .. } = self;
        f.debug_struct("Executor").field("kind", kind).field("limit", limit).finish_non_exhaustive()
    }
}

/// How many may be busy at once, and how many are.
#[derive(Debug)]
pub(super) struct WorkerLimit {
    max: usize,
    in_use: AtomicUsize,
    /// Datagram sockets with work for which there was no place.
    waiting: Mutex<Vec<SocketId>>,
}

impl WorkerLimit {
    fn new(max: usize) -> WorkerLimit {
        WorkerLimit { max, in_use: AtomicUsize::new(0), waiting: Mutex::default() }
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

    /// A place, if one is free. Only the loop takes them, so between a look and the taking they
    /// only become more.
    pub(super) fn try_acquire(self: &Arc<WorkerLimit>) -> Option<WorkerPermit> {
        self.has_free().then(|| self.acquire())
    }

    pub(super) fn acquire(self: &Arc<WorkerLimit>) -> WorkerPermit {
        self.in_use.fetch_add(1, Ordering::AcqRel);
        WorkerPermit(Arc::clone(self))
    }

    /// Has a datagram socket told when a place is free.
    pub(super) fn wait(&self, id: SocketId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.contains(&id) {
            waiting.push(id);
        }
    }

    /// A place has become free.
    pub(super) fn wake(&self, io: &mut Io) {
        io.sockets.resume_listeners();
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for id in waiting {
            notify_handler(io, id);
        }
    }
}

/// One of the [`WorkerLimit`], until it is dropped.
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

/// Has the handler of a socket look at what has come back.
pub(super) fn notify_handler(io: &mut Io, id: SocketId) {
    if io.sockets.get(id).is_some() {
        io.set_timer(id, Duration::ZERO);
    }
}

/// Work that is under way, or its result.
pub(super) enum PendingJob {
    Done(JobResult),
    Thread(Arc<ResultCell>),
    #[cfg(all(unix, feature = "processes"))]
    Process(ChildJob),
    /// The result was taken.
    Taken,
}

impl PendingJob {
    /// What came of it, if it has ended; says so once.
    #[cfg_attr(
        not(all(unix, feature = "processes")),
        expect(unused_variables, reason = "only a child has anything to do with the loop")
    )]
    pub(super) fn take<S>(&mut self, cx: &mut Context<'_, S>) -> Option<JobResult> {
        match std::mem::replace(self, PendingJob::Taken) {
            PendingJob::Done(result) => return Some(result),
            PendingJob::Thread(cell) => match cell.take() {
                None => *self = PendingJob::Thread(cell),
                result => return result,
            },
            #[cfg(all(unix, feature = "processes"))]
            PendingJob::Process(mut child) => match child.take(cx) {
                None => *self = PendingJob::Process(child),
                result => return result,
            },
            PendingJob::Taken => {}
        }
        None
    }

    pub(super) fn is_thread(&self) -> bool {
        matches!(self, PendingJob::Thread(_))
    }
}

/// Where a thread leaves its result.
#[derive(Default)]
pub(super) struct ResultCell(Mutex<Option<JobResult>>);

impl ResultCell {
    fn put(&self, result: JobResult) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }

    fn take(&self) -> Option<JobResult> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Runs a callback of the user; its panic is a result.
pub(super) fn catch_panic(
    callback: impl FnOnce() -> io::Result<()>,
) -> thread::Result<io::Result<()>> {
    catch_unwind(AssertUnwindSafe(callback))
}
