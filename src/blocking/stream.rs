//! The handler that the loop has for a connection with a blocking handler.

use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::panic::resume_unwind;
use std::time::Instant;

use super::executor::{BlockingJob, FinishedJob, JobResult, PendingJob};
use super::request::Request;
use super::socket::{BlockingSocket, Stop};
use super::worker_limit::WorkerPermit;
use super::workers::Workers;
use super::{Handler, Serving, serve};
use crate::addr::Addr;
use crate::conn::input::Input;
use crate::exit::Exit;
use crate::handler::{self, Context, HandlerFactory};
use crate::id::{SocketId, TimerId};
use crate::io::{Io, nanoseconds};

/// Makes a [`BlockingConnection`] for each client, while a permit is free.
pub(super) struct BlockingFactory<F> {
    workers: Workers,
    factory: F,
    /// The listener, once it has waited for a permit.
    listener: Cell<Option<SocketId>>,
}

impl<F> BlockingFactory<F> {
    pub(super) fn new(workers: Workers, factory: F) -> BlockingFactory<F> {
        BlockingFactory { workers, factory, listener: Cell::new(None) }
    }
}

impl<F> Drop for BlockingFactory<F> {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.get() {
            self.workers.executor.limit.leave(listener);
        }
    }
}

impl<S, F, H> HandlerFactory<S> for BlockingFactory<F>
where
    S: 'static,
    F: FnMut(&Addr) -> H,
    H: Handler<S> + Send + 'static,
{
    fn make(&mut self, peer: &Addr) -> Box<dyn handler::Handler<S>> {
        let handler = Box::new((self.factory)(peer));
        let permit = self.workers.executor.limit.acquire();
        let state = BlockingState::New(handler, permit);
        Box::new(BlockingConnection { workers: self.workers.clone(), peer: peer.clone(), state })
    }

    fn has_capacity(&self) -> bool {
        self.workers.executor.limit.has_free()
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
}

enum BlockingState<S> {
    New(Box<Serving<S>>, WorkerPermit),
    Pending(PendingJob),
    Done,
}

impl<S: 'static> BlockingConnection<S> {
    fn job(&self, cx: &mut Context<'_, S>, handler: Box<Serving<S>>) -> io::Result<BlockingJob<S>> {
        let stop = self.stop(cx.io)?;
        let socket = cx.io.detach(cx.id)?;
        let limits = self.workers.limits(cx.io.options.idle_timeout);
        let (limit, epoch) = (cx.io.options.input_limit, cx.io.epoch);
        let (hook, peer) = (self.workers.handle_error.clone(), self.peer.clone());
        Ok(Box::new(move |access| {
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
            let silent_since = silent_since.map(since);
            JobResult { outcome, reply: None, crashed: false, silent_since }
        }))
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
        cx.io.reattach(cx.id, result.silent_since)?;
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
        let BlockingState::New(handler, permit) =
            std::mem::replace(&mut self.state, BlockingState::Done)
        else {
            return Ok(());
        };
        let job = self.job(cx, handler)?;
        match self.workers.executor.clone().start(cx, permit, job, FinishedJob::default()) {
            Ok(pending) => self.state = BlockingState::Pending(pending),
            Err(error) => {
                self.workers.executor.warn(cx.io, &self.peer, &error);
                cx.io.reattach(cx.id, None)?;
                return Err(error);
            }
        }
        self.complete(cx)
    }

    /// Discards the input: the loop reads nothing while the socket is detached, and closes it afterwards.
    fn handle(&mut self, _cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Context<'_, S>, _timer: TimerId) -> io::Result<()> {
        self.complete(cx)
    }

    /// Ends the reads of the handler after the input that has arrived, also a read that blocks now.
    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        match &self.state {
            BlockingState::Pending(pending)
                if self.workers.daemon_threads && pending.is_thread() =>
            {
                self.state = BlockingState::Done;
                cx.close();
            }
            BlockingState::Pending(_) => cx.io.end_reads(cx.id),
            BlockingState::New(..) | BlockingState::Done => cx.close(),
        }
        Ok(())
    }

    /// Aborts a handler that still runs: its reads and writes fail, and its process is killed.
    fn finish(&mut self, cx: &mut Context<'_, S>, _outcome: io::Result<()>) {
        if let (BlockingState::Pending(_), Some(socket)) =
            (&self.state, cx.io.detached_socket(cx.id))
        {
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.state = BlockingState::Done;
        // The permit is free, unless a thread has yet to return it.
        self.workers.executor.limit.wake(cx.io);
    }
}
