//! The handler that the loop has for a connection with a blocking handler.

use std::cell::Cell;
use std::io;
use std::panic::resume_unwind;
use std::time::Instant;

use super::executor::{FinishedJob, PendingJob, Starving};
use super::request::Request;
use super::serve;
use super::socket::{BlockingSocket, Stop};
use super::work::{BlockingJob, Factory, HandlerSource, JobResult, Work};
use super::worker_limit::WorkerPermit;
use super::workers::Workers;
use crate::addr::Addr;
use crate::conn::input::Input;
use crate::exit::Exit;
use crate::handler::{self, Context, HandlerFactory};
use crate::id::{SocketId, TimerId};
use crate::io::{Io, nanoseconds};
use crate::net::is_shortage;

/// Makes a [`BlockingConnection`] for each client, while a permit is free.
pub(super) struct BlockingFactory<S> {
    workers: Workers,
    factory: Factory<S>,
    /// The listener, once it has waited for a permit.
    listener: Cell<Option<SocketId>>,
}

impl<S> BlockingFactory<S> {
    pub(super) fn new(workers: Workers, factory: Factory<S>) -> BlockingFactory<S> {
        BlockingFactory { workers, factory, listener: Cell::new(None) }
    }
}

impl<S> Drop for BlockingFactory<S> {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.get() {
            self.workers.executor.limit.leave(listener);
        }
    }
}

impl<S: 'static> HandlerFactory<S> for BlockingFactory<S> {
    fn make(&mut self, peer: &Addr) -> Box<dyn handler::Handler<S>> {
        let source = self.workers.executor.source(&self.factory, peer);
        let permit = self.workers.executor.limit.acquire();
        let state = BlockingState::New(source, permit);
        let (workers, peer) = (self.workers.clone(), peer.clone());
        Box::new(BlockingConnection { workers, peer, state, starving: None })
    }

    fn has_capacity(&self) -> bool {
        self.workers.executor.has_capacity()
    }

    fn wait_for_capacity(&self, listener: SocketId, served: bool) {
        self.listener.set(Some(listener));
        self.workers.executor.limit.wait(listener, served);
    }

    fn pass_capacity_on(&self, io: &mut Io) {
        if let Some(listener) = self.listener.take() {
            self.workers.executor.limit.leave(listener);
        }
        self.workers.executor.limit.wake(io);
    }
}

struct BlockingConnection<S> {
    workers: Workers,
    peer: Addr,
    state: BlockingState<S>,
    /// A shortage has kept its handler from being started; the timer tries again.
    starving: Option<(Starving, TimerId)>,
}

enum BlockingState<S> {
    New(HandlerSource<S>, WorkerPermit),
    Pending(PendingJob),
    Done,
}

impl<S: 'static> BlockingConnection<S> {
    /// The work of the handler, on the socket, which is detached.
    fn job(&self, io: &mut Io, id: SocketId) -> io::Result<BlockingJob<S>> {
        let stop = self.stop(io)?;
        let socket = io.detached_socket(id).cloned().ok_or(io::ErrorKind::NotConnected)?;
        let limits = self.workers.limits(io.options.idle_timeout);
        let (limit, epoch) = (io.options.input_limit, io.epoch);
        let (hook, peer) = (self.workers.handle_error.clone(), self.peer.clone());
        Ok(Box::new(move |handler, access| {
            let mut silent_since = None;
            let outcome = match BlockingSocket::new(socket, limits, stop) {
                Ok(socket) => {
                    let mut request = Request::stream(socket, limit, peer.clone(), access);
                    let outcome = serve(handler, &mut request);
                    silent_since = request.silent_since();
                    outcome
                }
                Err(error) => Ok(Err(error)),
            };
            super::report(hook.as_deref(), &peer, &outcome);
            let since = |at: Instant| nanoseconds(at.saturating_duration_since(epoch));
            JobResult { silent_since: silent_since.map(since), ..JobResult::of(outcome) }
        }))
    }

    /// Starts the handler, unless that was done. In a shortage it stays as it is until the timer.
    fn start(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let (source, permit) = match std::mem::replace(&mut self.state, BlockingState::Done) {
            BlockingState::New(source, permit) => (source, permit),
            started => {
                self.state = started;
                return Ok(());
            }
        };
        let waited = self.starving.take();
        if let Some((_, timer)) = &waited {
            cx.io.cancel_timer(*timer);
        }
        let executor = self.workers.executor.clone();
        let started = match self.job(cx.io, cx.id) {
            Ok(job) => executor
                .start(cx, Work { source, permit, job, finished: FinishedJob::default() })
                .map_err(|(error, Work { source, permit, .. })| (error, source, permit)),
            Err(error) => Err((error, source, permit)),
        };
        match started {
            Ok(pending) => {
                self.state = BlockingState::Pending(pending);
                if waited.is_some() {
                    drop(waited);
                    executor.limit.wake(cx.io);
                }
                self.complete(cx)
            }
            Err((error, source, permit)) if is_shortage(&error) => {
                self.state = BlockingState::New(source, permit);
                self.starving = Some(executor.starve(cx.io, cx.id, &error));
                Ok(())
            }
            Err((error, ..)) => {
                executor.warn(cx.io, &self.peer, &error);
                cx.io.reattach(cx.id, None, false)?;
                Err(error)
            }
        }
    }

    /// Ends the reads of the handler at a shutdown; `None` if a shutdown does not end them.
    fn stop(&self, io: &mut Io) -> io::Result<Option<Stop>> {
        let ends = self.workers.executor.ends_reads_at_stop(self.workers.daemon_threads);
        ends.then(|| Ok(Stop::new(io.stop_token()?, io.now()))).transpose()
    }

    /// Takes the result if there is one, reattaches the socket, and closes the connection.
    fn complete(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let BlockingState::Pending(pending) = &mut self.state else { return Ok(()) };
        let is_inline = matches!(pending, PendingJob::Done(_));
        let Some(result) = pending.take(cx) else { return Ok(()) };
        self.state = BlockingState::Done;
        cx.io.reattach(cx.id, result.silent_since, result.is_cut)?;
        match result.outcome {
            Ok(Ok(())) => {
                cx.close();
                Ok(())
            }
            Ok(Err(exit)) if Exit::is_exit(&exit) && is_inline => Err(exit),
            Ok(Err(exit)) if Exit::is_exit(&exit) => Err(io::Error::other(exit.to_string())),
            Ok(Err(error)) => {
                if self.workers.handle_error.is_none() || result.crashed {
                    self.workers.executor.warn(cx.io, &self.peer, &error);
                }
                Err(error)
            }
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl<S: 'static> handler::Handler<S> for BlockingConnection<S> {
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        cx.io.detach(cx.id)?;
        self.start(cx)
    }

    /// Discards the input: the loop reads nothing while the socket is detached, and closes it afterwards.
    fn handle(&mut self, _cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Context<'_, S>, _timer: TimerId) -> io::Result<()> {
        self.start(cx)?;
        self.complete(cx)
    }

    /// Ends the reads of the handler after the input that has arrived, also a read that blocks now.
    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        match &self.state {
            BlockingState::Pending(pending)
                if self.workers.daemon_threads && pending.is_thread() =>
            {
                self.state = BlockingState::Done;
                cx.io.leave_detached(cx.id);
                cx.close();
            }
            BlockingState::New(..) | BlockingState::Pending(_) => cx.io.end_reads(cx.id),
            BlockingState::Done => cx.close(),
        }
        Ok(())
    }

    /// Aborts a handler that still runs: its reads and writes fail, and its process is killed.
    fn finish(&mut self, cx: &mut Context<'_, S>, _outcome: io::Result<()>) {
        if let Some(socket) = cx.io.detached_socket(cx.id) {
            socket.abort();
        }
        self.state = BlockingState::Done;
        self.starving = None;
        // The permit is free, unless a thread has yet to return it.
        self.workers.executor.limit.wake(cx.io);
    }
}
