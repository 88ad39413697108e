//! The steps of the reactor, one event each, for tests that count and for programs that display
//! readiness-based IO. No event carries a byte of a peer.

use std::fmt;

use crate::foreign::{self, ForeignCode};
use crate::id::{SocketId, TimerId};
use crate::stats::CloseReason;

/// One step of the loop, passed to the callback of [`Server::set_trace`](crate::Server::set_trace).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TraceEvent {
    /// The poll returned; the number of its events.
    Polled(usize),
    /// The listener (first) accepted the connection (second).
    Accepted(SocketId, SocketId),
    /// A read returned this number of bytes; 0 is EOF.
    Read(SocketId, usize),
    /// A read would block.
    ReadWouldBlock(SocketId),
    /// The handler was called with this number of bytes.
    Handled(SocketId, usize),
    /// A write accepted this number of bytes.
    Wrote(SocketId, usize),
    /// A write would block: the send buffer is full.
    WriteWouldBlock(SocketId),
    /// One call received this number of datagrams.
    PacketsIn(SocketId, usize),
    /// One call sent this number of datagrams.
    PacketsOut(SocketId, usize),
    /// A datagram was dropped because the kernel rejected it.
    PacketDropped(SocketId),
    /// A timer of this socket fired.
    TimerFired(SocketId, TimerId),
    /// The conversation ended.
    Closed(SocketId, CloseReason),
    /// The descriptor was closed.
    Removed(SocketId),
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceEvent::Polled(events) => write!(f, "polled, {events} events"),
            TraceEvent::Accepted(listener, id) => write!(f, "{listener}: accepted {id}"),
            TraceEvent::Read(id, 0) => write!(f, "{id}: read EOF"),
            TraceEvent::Read(id, n) => write!(f, "{id}: read {n} bytes"),
            TraceEvent::ReadWouldBlock(id) => write!(f, "{id}: read would block"),
            TraceEvent::Handled(id, n) => write!(f, "{id}: handled {n} bytes"),
            TraceEvent::Wrote(id, n) => write!(f, "{id}: wrote {n} bytes"),
            TraceEvent::WriteWouldBlock(id) => write!(f, "{id}: write would block"),
            TraceEvent::PacketsIn(id, n) => write!(f, "{id}: received {n} datagrams"),
            TraceEvent::PacketsOut(id, n) => write!(f, "{id}: sent {n} datagrams"),
            TraceEvent::PacketDropped(id) => write!(f, "{id}: a datagram was dropped"),
            TraceEvent::TimerFired(id, timer) => write!(f, "{id}: {timer} fired"),
            TraceEvent::Closed(id, reason) => write!(f, "{id}: ended, {reason:?}"),
            TraceEvent::Removed(id) => write!(f, "{id}: closed"),
        }
    }
}

/// The callback of the user, if there is one.
#[derive(Default)]
pub(crate) struct Tracer(Option<Box<dyn FnMut(TraceEvent)>>);

impl Tracer {
    pub(crate) fn set(&mut self, watcher: impl FnMut(TraceEvent) + 'static) {
        self.0 = Some(Box::new(watcher));
    }

    pub(crate) fn discard(&mut self) {
        foreign::discard(ForeignCode::TraceCallback, None, self.0.take());
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Without a callback a step costs one comparison, and its event is not built.
    #[inline]
    pub(crate) fn step(&mut self, step: impl FnOnce() -> TraceEvent) {
        if self.is_on() {
            self.show(step);
        }
    }

    #[cold]
    #[inline(never)]
    fn show(&mut self, step: impl FnOnce() -> TraceEvent) {
        if let Some(watcher) = &mut self.0 {
            let event = step();
            foreign::run(ForeignCode::TraceCallback, None, || watcher(event));
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracer").field(&self.0.is_some()).finish()
    }
}
