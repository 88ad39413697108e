//! What the reactor did, one step at a time.
//!
//! For people who want to watch readiness-based IO at work, and for tests that count. Nothing here
//! carries a byte of what a peer sent.

use std::fmt;

use crate::id::{SocketId, TimerId};
use crate::stats::CloseReason;

/// One step of the loop, as [`Server::set_trace`](crate::Server::set_trace) shows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TraceEvent {
    /// The loop asked the system for events and got so many.
    Polled(usize),
    /// A listener (the first) gave a connection (the second).
    Accepted(SocketId, SocketId),
    /// So many bytes were read; 0 is the end of the peer's stream.
    Read(SocketId, usize),
    /// A read found nothing.
    ReadWouldBlock(SocketId),
    /// The handler was shown so many bytes.
    Handled(SocketId, usize),
    /// So many bytes were written.
    Wrote(SocketId, usize),
    /// A write was refused: the peer has to read first.
    WriteWouldBlock(SocketId),
    /// So many datagrams were received in one call.
    PacketsIn(SocketId, usize),
    /// So many datagrams left in one call.
    PacketsOut(SocketId, usize),
    /// A datagram was dropped because the system would not take it.
    PacketDropped(SocketId),
    /// A timer of this socket came up.
    TimerFired(SocketId, TimerId),
    /// The conversation ended.
    Closed(SocketId, CloseReason),
    /// The descriptor was closed.
    Removed(SocketId),
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceEvent::Polled(events) => write!(f, "waited, {events} events"),
            TraceEvent::Accepted(listener, id) => write!(f, "{listener}: accepted {id}"),
            TraceEvent::Read(id, 0) => write!(f, "{id}: read the end"),
            TraceEvent::Read(id, n) => write!(f, "{id}: read {n} bytes"),
            TraceEvent::ReadWouldBlock(id) => write!(f, "{id}: nothing to read"),
            TraceEvent::Handled(id, n) => write!(f, "{id}: handled {n} bytes"),
            TraceEvent::Wrote(id, n) => write!(f, "{id}: wrote {n} bytes"),
            TraceEvent::WriteWouldBlock(id) => write!(f, "{id}: write refused"),
            TraceEvent::PacketsIn(id, n) => write!(f, "{id}: {n} datagrams came"),
            TraceEvent::PacketsOut(id, n) => write!(f, "{id}: {n} datagrams left"),
            TraceEvent::PacketDropped(id) => write!(f, "{id}: a datagram was dropped"),
            TraceEvent::TimerFired(id, timer) => write!(f, "{id}: {timer} came up"),
            TraceEvent::Closed(id, reason) => write!(f, "{id}: ended, {reason:?}"),
            TraceEvent::Removed(id) => write!(f, "{id}: closed"),
        }
    }
}

/// Who watches, if anybody does.
#[derive(Default)]
pub(crate) struct Tracer(Option<Box<dyn FnMut(TraceEvent)>>);

impl Tracer {
    pub(crate) fn set(&mut self, watcher: impl FnMut(TraceEvent) + 'static) {
        self.0 = Some(Box::new(watcher));
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// While nobody watches, a step costs one comparison and is not even made.
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
            watcher(step());
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracer").field(&self.0.is_some()).finish()
    }
}
