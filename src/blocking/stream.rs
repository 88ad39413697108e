//! A connection whose handler blocks: what it is to the loop.

use std::io;
use std::net::Shutdown;
use std::panic::resume_unwind;
use std::time::Instant;

use super::executor::{BlockingJob, JobResult, PendingJob, WorkerPermit};
use super::request::Request;
use super::socket::{BlockingSocket, Stop};
use super::workers::Workers;
use super::{Handler, Serving, serve};
use crate::addr::Addr;
use crate::conn::input::Input;
use crate::exit::Exit;
use crate::handler::{self, Context, HandlerFactory};
use crate::id::TimerId;
use crate::io::{Io, nanoseconds};

/// Makes a conversation for each client, while there are places for it.
pub(super) struct BlockingFactory<F> {
    pub(super) workers: Workers,
    pub(super) factory: F,
}

impl<S, F, H> HandlerFactory<S> for BlockingFactory<F>
where
    S: 'static,
    F: FnMut(&Addr) -> H,
    H: Handler<S> + Send + 'static,
{
    fn make(&mut self, peer: &Addr) -> Box<dyn handler::Handler<S>> {
        let handler = Box::new((self.factory)(peer));
        let place = self.workers.crew.places.take_one();
        let state = BlockingState::Due(handler, place);
        Box::new(BlockingConnection { workers: self.workers.clone(), peer: peer.clone(), state })
    }

    fn has_capacity(&self) -> bool {
        self.workers.crew.places.has_room()
    }
}

struct BlockingConnection<S> {
    workers: Workers,
    peer: Addr,
    state: BlockingState<S>,
}

enum BlockingState<S> {
    Due(Box<Serving<S>>, WorkerPermit),
    Pending(PendingJob),
    Over,
}

impl<S: 'static> BlockingConnection<S> {
    fn work(
        &self,
        cx: &mut Context<'_, S>,
        mut handler: Box<Serving<S>>,
    ) -> io::Result<BlockingJob<S>> {
        let stop = self.stop(cx.io)?;
        let socket = cx.io.detach(cx.id)?;
        let limits = self.workers.limits(cx.io.options.idle_timeout);
        let (limit, epoch) = (cx.io.options.input_limit, cx.io.epoch);
        let (hook, peer) = (self.workers.handle_error.clone(), self.peer.clone());
        Ok(Box::new(move |reach| {
            let mut silent_since = None;
            let result = match BlockingSocket::new(socket, limits, stop) {
                Ok(wire) => {
                    let mut request = Request::stream(wire, limit, peer.clone(), reach);
                    let result = serve(&mut *handler, &mut request);
                    silent_since = request.silent_since();
                    result
                }
                Err(error) => Ok(Err(error)),
            };
            super::report(hook.as_deref(), &peer, &result);
            let since = |at: Instant| nanoseconds(at.saturating_duration_since(epoch));
            let silent_since = silent_since.map(since);
            JobResult { result, reply: None, crashed: false, silent_since }
        }))
    }

    /// What ends the reads of its handler at a shutdown; `None` where nothing does.
    fn stop(&self, io: &mut Io) -> io::Result<Option<Stop>> {
        let ends = self.workers.crew.ends_reads_at_stop(self.workers.detach);
        ends.then(|| Ok(Stop::new(io.stop_token()?, io.now()))).transpose()
    }

    /// Whether it has ended, and how.
    fn conclude(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let BlockingState::Pending(away) = &mut self.state else { return Ok(()) };
        let is_here = matches!(away, PendingJob::Done(_));
        let Some(ended) = away.take(cx) else { return Ok(()) };
        self.state = BlockingState::Over;
        cx.io.reattach(cx.id, ended.silent_since)?;
        match ended.result {
            Ok(Ok(())) => {
                cx.close();
                Ok(())
            }
            Ok(Err(exit)) if Exit::is_exit(&exit) && is_here => Err(exit),
            Ok(Err(exit)) if Exit::is_exit(&exit) => Err(io::Error::other(exit.to_string())),
            Ok(Err(error)) => {
                if self.workers.handle_error.is_none() || ended.crashed {
                    self.workers.crew.warn(cx.io, &self.peer, &error);
                }
                Err(error)
            }
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl<S: 'static> handler::Handler<S> for BlockingConnection<S> {
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let BlockingState::Due(handler, place) =
            std::mem::replace(&mut self.state, BlockingState::Over)
        else {
            return Ok(());
        };
        let work = self.work(cx, handler)?;
        match self.workers.crew.clone().start(cx, place, work) {
            Ok(away) => self.state = BlockingState::Pending(away),
            Err(error) => {
                self.workers.crew.warn(cx.io, &self.peer, &error);
                cx.io.reattach(cx.id, None)?;
                return Err(error);
            }
        }
        self.conclude(cx)
    }

    /// Nothing is read here: the socket is away, and when it is back the conversation is over.
    fn handle(&mut self, _cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Context<'_, S>, _timer: TimerId) -> io::Result<()> {
        self.conclude(cx)
    }

    /// What has come in is still read; behind it lies the end, even for who waits for it now.
    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        match &self.state {
            BlockingState::Pending(away) if self.workers.detach && away.is_thread() => {
                self.state = BlockingState::Over;
                cx.close();
            }
            BlockingState::Pending(_) => cx.io.end_reads(cx.id),
            BlockingState::Due(..) | BlockingState::Over => cx.close(),
        }
        Ok(())
    }

    /// A handler that is still at it is cut off: its reads and writes fail, its process is killed.
    fn finish(&mut self, cx: &mut Context<'_, S>, _outcome: io::Result<()>) {
        if let (BlockingState::Pending(_), Some(socket)) =
            (&self.state, cx.io.detached_socket(cx.id))
        {
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.state = BlockingState::Over;
        // Its place is free, unless a thread is still on its way out of it.
        self.workers.crew.places.wake(cx.io);
    }
}
