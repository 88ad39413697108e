//! A stream on a real socket: what one connection of a server consists of.

use mio::{Registry, Token};

use crate::ledger::Reason;
use crate::socket::StreamSocket;
use crate::stream::{Ending, Stream};

/// One connection. What it costs while it is idle is this and the handler, so the fields are few.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream<StreamSocket>,
    /// When a byte last moved, or since when it only waits for its end; see [`crate::timers`] for
    /// the unit.
    pub(crate) active_at: u64,
    pub(crate) phase: Phase,
    /// Bytes thrown away since it lingers, in units of [`LINGER_UNIT`], each read rounded up.
    lingered: u16,
    /// How many entries in the heap of deadlines are its own.
    pub(crate) deadlines: u8,
    /// Whether its id is in the queue.
    pub(crate) queued: bool,
    /// Whether room for output is reported by the poll, where that must be asked for.
    asked_for_room: bool,
    /// The server shuts down and the handler has not been told yet.
    pub(crate) shutdown_due: bool,
    /// A deadline for the flush after `close` is in the heap.
    pub(crate) close_watched: bool,
}

/// How far the beginning of a connection has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// An outgoing connection that does not stand yet.
    Connecting,
    /// It stands; `setup` has not run.
    Fresh,
    /// `setup` has run.
    Talking,
}

/// The grain in which lingering bytes are counted.
const LINGER_UNIT: usize = 4 << 10;

impl Connection {
    pub(crate) fn accepted(socket: StreamSocket, now: u64) -> Connection {
        Connection::new(Stream::new(socket, true), Phase::Fresh, now)
    }

    pub(crate) fn connecting(socket: StreamSocket, now: u64) -> Connection {
        Connection::new(Stream::new(socket, false), Phase::Connecting, now)
    }

    fn new(stream: Stream<StreamSocket>, phase: Phase, now: u64) -> Connection {
        Connection {
            stream,
            active_at: now,
            phase,
            lingered: 0,
            deadlines: 0,
            queued: false,
            asked_for_room: false,
            shutdown_due: false,
            close_watched: false,
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> std::io::Result<()> {
        let socket = self.stream.transport_mut();
        self.asked_for_room = self.phase == Phase::Connecting && !socket.reports_room();
        socket.register(registry, token, self.asked_for_room)
    }

    /// Has room reported exactly while output was refused.
    #[inline]
    pub(crate) fn ask_for_room(
        &mut self,
        registry: &Registry,
        token: Token,
    ) -> std::io::Result<()> {
        let ask = self.stream.is_refused();
        if ask == self.asked_for_room || self.stream.transport().reports_room() {
            return Ok(());
        }
        self.asked_for_room = ask;
        self.stream.transport_mut().ask_for_room(registry, token, ask)
    }

    #[inline]
    pub(crate) fn wants_service(&self) -> bool {
        match self.phase {
            Phase::Connecting => self.stream.has_verdict() || self.is_given_up(),
            Phase::Fresh => true,
            Phase::Talking => self.stream.wants_service() || self.shutdown_due,
        }
    }

    /// Whether an outgoing connection was closed before it stood.
    pub(crate) fn is_given_up(&self) -> bool {
        self.stream.ending() != Ending::Open
    }

    /// Counts bytes that came in after its end; says whether there have been too many.
    pub(crate) fn lingered_too_much(&mut self, n: usize, limit: usize) -> bool {
        let units = u16::try_from(n.div_ceil(LINGER_UNIT)).unwrap_or(u16::MAX);
        self.lingered = self.lingered.saturating_add(units);
        self.lingered == u16::MAX || usize::from(self.lingered) * LINGER_UNIT > limit
    }

    /// Why it is to be cut off now, if somebody said so.
    pub(crate) fn aborted(&self) -> Option<Reason> {
        if let Ending::Aborted(reason) = self.stream.ending() { Some(reason) } else { None }
    }
}
