//! Runs the jobs of blocking handlers in the loop, in threads or in processes, and collects their results.
//!
//! # How
//!
//! `blocking/mod.rs` is for straight-line code: one handler, one client, reads that block. `Workers` says
//! whether the handlers run in the loop, each in a thread, or each in a process; the handler is the same.
//! The loop still accepts and closes every connection:
//!
//! ```text
//! accept ─▶ a permit is free? ─▶ verify, factory, setup    reactor/accept.rs, blocking/stream.rs
//!                                 │ Io::detach              io/detach.rs: out of the poll, made to block
//!                                 ▼
//!               loop, thread or process: setup, handle, finish on a Request
//!                                 │ a command, or the end of a pipe
//!                                 ▼
//!                               Io::reattach                into the poll again
//!                                 └▶ flush, end, linger     as any other connection
//! ```
//!
//! A detached connection keeps its id, its handler and its entry in the socket table, so
//! `max_connections`, `verify_request`, shutdowns and counters cover it without further code. When no
//! permit is free, `HandlerFactory::has_capacity` returns false and the listener waits for one; further
//! clients wait in the backlog of the kernel. One permit wakes one of those that wait. Each datagram needs
//! one permit too. The rest of a received batch waits in the handler, further datagrams wait in the kernel, and the socket does not close before
//! every reply that is due has been returned.
//!
//! **Shutdown.** A read waits in `poll(2)` for its socket and for the stop token (`net/stop_token.rs`): a
//! pipe, one for each run, into which a shutdown writes a byte that is never read. The byte wakes a
//! handler that blocks in `read`, in a thread or in a process, and the wake-up cannot be lost, because
//! the pipe stays readable. Reads still return the input that arrived before the shutdown, up to the size
//! of the receive buffer or 1 MiB, whichever is more, so a peer that never stops sending does not delay
//! the shutdown; then they return EOF. The connection is reattached with both directions open and lingers
//! like any other, so its answers arrive. The loop does not linger for a peer that has been silent since
//! before the shutdown; `JobResult::silent_since` carries that time. `shutdown(SHUT_RD)` would need no
//! `poll`, but after it Linux answers further input with a reset once we have sent our FIN, a Unix peer
//! cannot write any more, and our own EOF looks like the peer's. It is the fallback on Windows, and
//! without the features `sys` and `processes`.
//!
//! When the grace expires, a handler that still runs is aborted: its reads and writes fail, and its
//! process gets `SIGKILL`, which cannot be handled or blocked. The peer gets a reset and no FIN, which
//! would make a part of an answer look whole. Only the close of the last descriptor sends a reset
//! (`SO_LINGER` of 0), so it leaves when the thread has noticed: a read at once, a write within 100 ms.
//!
//! **Whole or reset.** Each write counts what it was given and what the system took (`LentSocket`). Where
//! the two differ, or a process ended in the middle, the connection is aborted when it is reattached.
//!
//! **Timeouts.** `SO_SNDTIMEO` starts again with each part of a write that the kernel accepts. So the
//! deadline of a read or a write is computed once, when it begins, and each system call gets the time
//! left (`blocking/socket.rs`). A write sends without blocking what the send buffer has capacity for, and
//! polls for more.
//!
//! **Shortage.** A handler for which the system has no thread, process, descriptor or memory stays as it
//! is, with its socket and its permit, and is tried again after `ACCEPT_RETRY`; `has_capacity` is false
//! meanwhile.
//!
//! **Why fork, and not exec.** A program with threads would execute itself again and let the new process
//! inherit the socket. But a new process begins with `main`: every child would repeat everything before
//! the server, and a closure cannot be passed to it. `fork(2)` copies the running program, as Python's
//! `ForkingMixIn` does. Other threads make it unsound: the child has only the thread that forked, and a
//! lock that another thread held stays locked. So the library forks only while `/proc` (or its
//! equivalent) reports one thread, which cannot change meanwhile, since only that thread could start
//! another. Otherwise forking is an error that says so. The crate `fork` makes the system call,
//! `num_threads` counts, and `signal-hook` exits without clean-up, since this crate forbids `unsafe`.
//!
//! **A child keeps to itself.** It makes its handler, uses it and drops it, and what panics there ends in
//! `run_child`, which never returns. It closes its copies of the sockets and of the pipes of its siblings,
//! and ends with its parent (`PR_SET_PDEATHSIG`).
//!
//! **Reaping.** The child has the write end of a pipe and reports its result there. A whole report, or EOF
//! on that pipe, is an event of the loop, which then waits for exactly that child. There is no handler of `SIGCHLD`, no
//! `waitpid(-1)` that could reap a child of other code, and no zombie. A child first closes its copies of
//! all sockets. It does not unlink the path of a Unix socket, which belongs to the process that bound it.
//!
//! **Signals.** A child has copies of its parent's signal handlers, and the pipes that they write into
//! are the parent's. Restoring the default disposition is `unsafe` in every crate. So the child keeps the
//! signals that the program handles (`SigCgt` in proc(5)) blocked, and a thread with a stack of 64 KiB
//! waits for them and applies their default action. Only a program that handles signals pays for this. After
//! SIGTERM it first waits for a stop of the parent, for which the signal may have been meant too.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::warn;

#[cfg(all(unix, feature = "processes"))]
use super::child::{ChildBegin, ChildJob};
use super::request::SharedAccess;
use super::work::{Factory, HandlerSource, JobResult, Work};
use super::worker_limit::WorkerLimit;
use crate::addr::Addr;
use crate::foreign::ErrorText;
use crate::handler::Context;
use crate::id::{SocketId, TimerId};
#[cfg(all(unix, feature = "processes"))]
use crate::io::about;
use crate::io::thread_pool::ThreadPool;
use crate::io::{ACCEPT_RETRY, Io};
use crate::log_throttle::LogThrottle;

#[cfg(all(unix, feature = "processes"))]
const CANNOT_FORK: &str = "cannot run handlers in processes";

/// Runs the jobs of one [`Workers`](super::Workers) and its clones.
pub(super) struct Executor {
    kind: ExecutorKind,
    pub(super) limit: Arc<WorkerLimit>,
    workers: ThreadPool,
    warnings: RefCell<LogThrottle>,
    /// How many handlers could not be started for a shortage, and are to be started later.
    starving: Cell<usize>,
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

/// While one exists, a handler waits for a thread or a process that cannot be started now, and further
/// clients wait in the backlog.
pub(super) struct Starving(Rc<Executor>);

impl Drop for Starving {
    fn drop(&mut self) {
        self.0.starving.set(self.0.starving.get().saturating_sub(1));
    }
}

impl Executor {
    pub(super) fn new(kind: ExecutorKind, max: usize) -> Executor {
        Executor {
            kind,
            limit: Arc::new(WorkerLimit::new(max)),
            // The permits bound the queue.
            workers: ThreadPool::new(max, usize::MAX),
            warnings: RefCell::default(),
            starving: Cell::new(0),
            #[cfg(all(unix, feature = "processes"))]
            child: RefCell::default(),
        }
    }

    /// An executor whose threads cannot be started.
    #[cfg(test)]
    pub(super) fn that_fails() -> Executor {
        Executor { workers: ThreadPool::new(1, 0), ..Executor::new(ExecutorKind::Threads, 1) }
    }

    /// The name of the constructor of [`Workers`](super::Workers), for errors.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            ExecutorKind::Loop => "inline",
            ExecutorKind::Threads => "threads",
            #[cfg(all(unix, feature = "processes"))]
            ExecutorKind::Processes => "processes",
        }
    }

    /// Whether a shutdown ends the reads of the handlers. It cannot begin while one runs in the loop.
    pub(super) fn ends_reads_at_stop(&self, daemon_threads: bool) -> bool {
        match self.kind {
            ExecutorKind::Loop => false,
            ExecutorKind::Threads => !daemon_threads,
            #[cfg(all(unix, feature = "processes"))]
            ExecutorKind::Processes => true,
        }
    }

    /// Checks that handlers of this kind can run in this process.
    #[cfg_attr(
        not(all(unix, feature = "processes")),
        expect(clippy::unnecessary_wraps, reason = "only processes may not run")
    )]
    pub(super) fn check(&self) -> io::Result<()> {
        match self.kind {
            ExecutorKind::Loop | ExecutorKind::Threads => Ok(()),
            #[cfg(all(unix, feature = "processes"))]
            ExecutorKind::Processes => {
                crate::blocking::fork::check_threads().map_err(about(CANNOT_FORK))
            }
        }
    }

    /// Where the handler for `peer` comes from.
    pub(super) fn source<S>(&self, factory: &Factory<S>, peer: &Addr) -> HandlerSource<S> {
        match self.kind {
            ExecutorKind::Loop | ExecutorKind::Threads => {
                HandlerSource::Made((factory.borrow_mut())(peer))
            }
            #[cfg(all(unix, feature = "processes"))]
            ExecutorKind::Processes => {
                HandlerSource::InChild { factory: Rc::clone(factory), peer: peer.clone() }
            }
        }
    }

    /// Whether another client may be accepted.
    pub(super) fn has_capacity(&self) -> bool {
        self.limit.has_free() && self.starving.get() == 0
    }

    /// Starts work for the socket of `cx`. When a result may be there, that is noted where the work says,
    /// and `timeout` of its handler runs.
    pub(super) fn start<S: 'static>(
        &self,
        cx: &mut Context<'_, S>,
        work: Work<S>,
    ) -> Result<PendingJob, (io::Error, Work<S>)> {
        match self.kind {
            ExecutorKind::Loop => {
                let Work { source, permit, job, finished } = work;
                let result = job(source.into_handler(), SharedAccess::Local(cx.shared));
                drop(permit);
                finished.note();
                Ok(PendingJob::Done(result))
            }
            ExecutorKind::Threads => self.start_thread(cx, work),
            #[cfg(all(unix, feature = "processes"))]
            ExecutorKind::Processes => {
                ChildJob::fork(cx, work, &self.child.borrow()).map(PendingJob::Process)
            }
        }
    }

    fn start_thread<S: 'static>(
        &self,
        cx: &Context<'_, S>,
        work: Work<S>,
    ) -> Result<PendingJob, (io::Error, Work<S>)> {
        let Work { source, permit, job, finished } = work;
        let handler = source.into_handler();
        let cell = Arc::new(ResultCell::default());
        let (returned, owner, ended) = (Arc::clone(&cell), cx.id, finished.clone());
        let (limit, mailbox) = (Arc::clone(&self.limit), Arc::clone(&cx.registrar.mailbox));
        // Shared, so that it comes back when no thread takes it.
        let parts = Arc::new(Mutex::new(Some((handler, permit, job))));
        let taken = Arc::clone(&parts);
        let started = self.workers.run(move || {
            let Some((handler, permit, job)) = lock(&taken).take() else { return };
            returned.put(job(handler, SharedAccess::Remote(Arc::clone(&mailbox))));
            ended.note();
            drop(permit);
            mailbox.post_unbounded(Box::new(move |_, io| {
                limit.wake(io);
                notify_handler(io, owner);
            }));
        });
        match started.map_err(|error| (error, lock(&parts).take())) {
            Err((error, Some((handler, permit, job)))) => {
                Err((error, Work { source: HandlerSource::Made(handler), permit, job, finished }))
            }
            _ => Ok(PendingJob::Thread(cell)),
        }
    }

    /// A handler cannot be started for want of a thread, a process, a descriptor or memory: `timeout`
    /// of the handler of `id` runs after [`ACCEPT_RETRY`], by the timer that is returned. Further clients
    /// wait until the caller drops what it got.
    pub(super) fn starve(
        self: &Rc<Executor>,
        io: &mut Io,
        id: SocketId,
        error: &io::Error,
    ) -> (Starving, TimerId) {
        io.stats.accept_errors += 1;
        if let Some(before) = self.warnings.borrow_mut().allow(io.now) {
            let what = self.name();
            warn!(
                "{id}: cannot start a handler ({what}), so its client waits: {error} ({before} more \
                 such failures before)"
            );
        }
        self.starving.set(self.starving.get() + 1);
        (Starving(Rc::clone(self)), io.arm_timer(id, ACCEPT_RETRY))
    }

    /// Logs the failure of a handler, at a limited rate. The line has no bytes of the peer, unless the
    /// error of the handler has.
    pub(super) fn warn(&self, io: &Io, peer: &Addr, error: &io::Error) {
        if let Some(before) = self.warnings.borrow_mut().allow(io.now) {
            let error = ErrorText(error);
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

/// Calls `timeout` of the handler of `id` in the next turn, so that it takes its result.
pub(super) fn notify_handler(io: &mut Io, id: SocketId) {
    if io.sockets.get(id).is_some() {
        io.arm_timer(id, Duration::ZERO);
    }
}

/// A job that runs, or its result.
pub(super) enum PendingJob {
    Done(JobResult),
    Thread(Arc<ResultCell>),
    #[cfg(all(unix, feature = "processes"))]
    Process(ChildJob),
    /// The result was taken.
    Taken,
}

impl PendingJob {
    /// Takes the result, once. `None` while the job runs, and after the result was taken.
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

/// The numbers of the jobs of one socket that may have a result, so that it need not ask all of them.
#[derive(Debug, Default)]
pub(super) struct FinishedJobs(Mutex<Vec<u64>>);

impl FinishedJobs {
    /// The job of this number will be noted here.
    pub(super) fn job(self: &Arc<FinishedJobs>, number: u64) -> FinishedJob {
        FinishedJob(Some((Arc::clone(self), number)))
    }

    pub(super) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *lock(&self.0))
    }
}

/// Where the end of a job is noted; by default nowhere, for a socket with a single one.
#[derive(Clone, Debug, Default)]
pub(super) struct FinishedJob(Option<(Arc<FinishedJobs>, u64)>);

impl FinishedJob {
    pub(super) fn note(&self) {
        if let Some((jobs, number)) = &self.0 {
            lock(&jobs.0).push(*number);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries the result from the thread to the loop.
#[derive(Default)]
pub(super) struct ResultCell(Mutex<Option<JobResult>>);

impl ResultCell {
    fn put(&self, result: JobResult) {
        *lock(&self.0) = Some(result);
    }

    fn take(&self) -> Option<JobResult> {
        lock(&self.0).take()
    }
}
