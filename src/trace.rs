//! What the reactor did, one step at a time.
//!
//! For people who want to watch readiness-based IO at work, and for tests that count. Nothing here
//! carries a byte of what a peer sent.

use std::fmt;

use crate::id::{SocketId, TimerId};
use crate::ledger::Reason;

/// One step of the loop, as [`Server::trace`](crate::Server::trace) shows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// The loop asked the system for events and got so many.
    Waited(usize),
    /// A listener (the first) gave a connection (the second).
    Accepted(SocketId, SocketId),
    /// So many bytes were read; 0 is the end of the peer's stream.
    Read(SocketId, usize),
    /// A read found nothing.
    ReadNothing(SocketId),
    /// The handler was shown so many bytes.
    Handled(SocketId, usize),
    /// So many bytes were written.
    Wrote(SocketId, usize),
    /// A write was refused: the peer has to read first.
    WroteNothing(SocketId),
    /// So many datagrams were received in one call.
    PacketsIn(SocketId, usize),
    /// So many datagrams left in one call.
    PacketsOut(SocketId, usize),
    /// A datagram was dropped because the system would not take it.
    PacketDropped(SocketId),
    /// A timer of this socket came up.
    TimerDue(SocketId, TimerId),
    /// The conversation ended.
    Ended(SocketId, Reason),
    /// The descriptor was closed.
    Closed(SocketId),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Waited(events) => write!(f, "waited, {events} events"),
            Step::Accepted(listener, id) => write!(f, "{listener}: accepted {id}"),
            Step::Read(id, 0) => write!(f, "{id}: read the end"),
            Step::Read(id, n) => write!(f, "{id}: read {n} bytes"),
            Step::ReadNothing(id) => write!(f, "{id}: nothing to read"),
            Step::Handled(id, n) => write!(f, "{id}: handled {n} bytes"),
            Step::Wrote(id, n) => write!(f, "{id}: wrote {n} bytes"),
            Step::WroteNothing(id) => write!(f, "{id}: write refused"),
            Step::PacketsIn(id, n) => write!(f, "{id}: {n} datagrams came"),
            Step::PacketsOut(id, n) => write!(f, "{id}: {n} datagrams left"),
            Step::PacketDropped(id) => write!(f, "{id}: a datagram was dropped"),
            Step::TimerDue(id, timer) => write!(f, "{id}: {timer} came up"),
            Step::Ended(id, reason) => write!(f, "{id}: ended, {reason:?}"),
            Step::Closed(id) => write!(f, "{id}: closed"),
        }
    }
}

/// Who watches, if anybody does.
#[derive(Default)]
pub(crate) struct Trace(Option<Box<dyn FnMut(Step)>>);

impl Trace {
    pub(crate) fn set(&mut self, watcher: impl FnMut(Step) + 'static) {
        self.0 = Some(Box::new(watcher));
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// While nobody watches, a step costs one comparison and is not even made.
    #[inline]
    pub(crate) fn step(&mut self, step: impl FnOnce() -> Step) {
        if self.is_on() {
            self.show(step);
        }
    }

    #[cold]
    #[inline(never)]
    fn show(&mut self, step: impl FnOnce() -> Step) {
        if let Some(watcher) = &mut self.0 {
            watcher(step());
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trace").field(&self.0.is_some()).finish()
    }
}
