//! Registering handlers together with the sockets that they serve.

use std::io;
use std::sync::Arc;

use mio::event::Source;
use mio::{Interest, Registry};

use super::{Context, DatagramHandler, Handler};
use crate::addr::{Addr, ToAddrs};
use crate::conn::transport::Readiness;
use crate::foreign::{self, ForeignCode, Guarded};
use crate::handler::server_handle::Command;
use crate::id::SocketId;
use crate::io::Io;
use crate::io::connect::{Connect, IntoConnect};
use crate::io::mailbox::{LoopControl, Mailbox};
use crate::io::thread_pool::ThreadPool;

/// The handler of one socket. The table of handlers is parallel to the table of sockets.
pub(crate) enum HandlerSlot<S> {
    Empty,
    Stream(Box<dyn Handler<S>>),
    Datagram(Box<dyn DatagramHandler<S>>),
    Listener(Box<dyn HandlerFactory<S>>),
    Source(Box<dyn SourceHandler<S>>),
}

/// Makes a handler for each client of a listener.
pub(crate) trait HandlerFactory<S> {
    fn make(&mut self, peer: &Addr) -> Box<dyn Handler<S>>;

    /// Whether another client may be accepted.
    fn has_capacity(&self) -> bool {
        true
    }

    /// Resumes the listener when there is capacity; see
    /// [`WaitQueue::push`](crate::io::wait_queue::WaitQueue::push) for `served`.
    fn wait_for_capacity(&self, _listener: SocketId, _served: bool) {}

    /// The capacity is not used by this listener; another socket may wait for it.
    fn pass_capacity_on(&self, _io: &mut Io) {}
}

impl<S, F: FnMut(&Addr) -> Box<dyn Handler<S>>> HandlerFactory<S> for F {
    fn make(&mut self, peer: &Addr) -> Box<dyn Handler<S>> {
        self(peer)
    }
}

/// A foreign source together with its callback.
pub(crate) trait SourceHandler<S> {
    fn ready(&mut self, cx: &mut Context<'_, S>, readiness: Readiness) -> io::Result<()>;
    fn deregister(&mut self, registry: &Registry) -> io::Result<()>;
}

struct WatchedSource<E, F> {
    source: E,
    ready: F,
}

impl<S, E, F> SourceHandler<S> for WatchedSource<E, F>
where
    E: Source,
    F: FnMut(&mut Context<'_, S>, &mut E, Readiness) -> io::Result<()>,
{
    fn ready(&mut self, cx: &mut Context<'_, S>, readiness: Readiness) -> io::Result<()> {
        (self.ready)(cx, &mut self.source, readiness)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source.deregister(registry)
    }
}

/// A callback that only timers call.
struct TimerHandler<F>(F);

impl<S, F> SourceHandler<S> for TimerHandler<F>
where
    F: FnMut(&mut Context<'_, S>) -> io::Result<()>,
{
    fn ready(&mut self, cx: &mut Context<'_, S>, _readiness: Readiness) -> io::Result<()> {
        (self.0)(cx)
    }

    fn deregister(&mut self, _registry: &Registry) -> io::Result<()> {
        Ok(())
    }
}

/// Collects the handlers of sockets that a callback opens, because the table of handlers is
/// borrowed while it runs; and holds what leads to other threads.
pub(crate) struct Registrar<S> {
    pub(crate) pending_handlers: Vec<(SocketId, HandlerSlot<S>)>,
    pub(crate) mailbox: Arc<Mailbox<Command<S>>>,
    pub(crate) thread_pool: ThreadPool,
}

impl<S> Registrar<S> {
    pub(crate) fn listen<H, F>(
        &mut self,
        io: &mut Io,
        addr: impl ToAddrs,
        mut factory: F,
    ) -> io::Result<SocketId>
    where
        F: FnMut(&Addr) -> H + 'static,
        H: Handler<S> + 'static,
    {
        let factory = move |peer: &Addr| Box::new(factory(peer)) as Box<dyn Handler<S>>;
        self.listen_with(io, addr, Box::new(factory))
    }

    pub(crate) fn listen_with(
        &mut self,
        io: &mut Io,
        addr: impl ToAddrs,
        factory: Box<dyn HandlerFactory<S>>,
    ) -> io::Result<SocketId> {
        let id = io.open_listener(&addr.to_addrs()?)?;
        Ok(self.add(id, HandlerSlot::Listener(factory)))
    }

    pub(crate) fn connect<H>(
        &mut self,
        io: &mut Io,
        requester: Option<SocketId>,
        to: impl IntoConnect,
        handler: H,
    ) -> io::Result<SocketId>
    where
        H: Handler<S> + 'static,
        S: 'static,
    {
        let connect = to.into_connect()?;
        self.connect_or_return(io, requester, connect, handler).map_err(|(error, _)| error)
    }

    /// Like [`Registrar::connect`], but returns the handler when no connection begins.
    pub(crate) fn connect_or_return<H>(
        &mut self,
        io: &mut Io,
        requester: Option<SocketId>,
        connect: Connect,
        handler: H,
    ) -> Result<SocketId, (io::Error, H)>
    where
        H: Handler<S> + 'static,
        S: 'static,
    {
        io.resolver.set_waker(|| Arc::clone(&self.mailbox) as Arc<dyn LoopControl>);
        match io.open_connection(connect, requester) {
            Ok(id) => Ok(self.add(id, HandlerSlot::Stream(Box::new(handler)))),
            Err(error) => Err((error, handler)),
        }
    }

    pub(crate) fn bind<H>(
        &mut self,
        io: &mut Io,
        addr: impl ToAddrs,
        handler: H,
    ) -> io::Result<SocketId>
    where
        H: DatagramHandler<S> + 'static,
    {
        let id = io.open_bound(&addr.to_addrs()?)?;
        Ok(self.add(id, HandlerSlot::Datagram(Box::new(handler))))
    }

    pub(crate) fn connect_datagram<H>(
        &mut self,
        io: &mut Io,
        addr: impl ToAddrs,
        handler: H,
    ) -> io::Result<SocketId>
    where
        H: DatagramHandler<S> + 'static,
    {
        let id = io.open_connected(&addr.to_addrs()?)?;
        Ok(self.add(id, HandlerSlot::Datagram(Box::new(handler))))
    }

    pub(crate) fn watch<E, F>(
        &mut self,
        io: &mut Io,
        mut source: E,
        interests: Interest,
        ready: F,
    ) -> io::Result<SocketId>
    where
        E: Source + 'static,
        F: FnMut(&mut Context<'_, S>, &mut E, Readiness) -> io::Result<()> + 'static,
    {
        let register =
            |registry: &Registry, token| registry.register(&mut source, token, interests);
        let id = io.open_source(register)?;
        Ok(self.add(id, HandlerSlot::Source(Box::new(WatchedSource { source, ready }))))
    }

    pub(crate) fn alarm<F>(&mut self, io: &mut Io, callback: F) -> io::Result<SocketId>
    where
        F: FnMut(&mut Context<'_, S>) -> io::Result<()> + 'static,
    {
        let id = io.open_source(|_, _| Ok(()))?;
        Ok(self.add(id, HandlerSlot::Source(Box::new(TimerHandler(callback)))))
    }

    /// Runs `work` in another thread, and then `then` in the loop.
    pub(crate) fn offload<T, W, F>(&mut self, owner: SocketId, work: W, then: F) -> io::Result<()>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        F: FnOnce(&mut S, &mut Io, io::Result<T>) + Send + 'static,
        S: 'static,
    {
        let mailbox = Arc::clone(&self.mailbox);
        let then = Guarded::new(ForeignCode::OffloadedThen, then);
        self.thread_pool.run(move || {
            let result = foreign::run(ForeignCode::OffloadedWork, Some(owner), work);
            let result = result.ok_or_else(|| io::Error::other("the offloaded work panicked"));
            let result = Guarded::new(ForeignCode::OffloadedThen, result);
            mailbox.post_unbounded(Box::new(move |shared, io| {
                // EOF and shutdown wait for the next turn, so what `then` sends comes first.
                io.end_offloaded(owner);
                let (Some(then), Some(result)) = (then.take(), result.take()) else { return };
                let call = || then(shared, io, result);
                foreign::run(ForeignCode::OffloadedThen, Some(owner), call);
            }));
        })
    }

    /// Leaves the handler of a new socket to be installed.
    fn add(&mut self, id: SocketId, slot: HandlerSlot<S>) -> SocketId {
        self.pending_handlers.push((id, slot));
        id
    }
}
