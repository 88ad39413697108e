//! A stream on a real socket: what one connection of a server consists of.

use std::io;

use mio::{Registry, Token};

use crate::conn::stream::{CloseState, ReadOutcome, Stream};
use crate::net::StreamSocket;
use crate::stats::{CloseReason, Stats};

/// One connection. What it costs while it is idle is this and the handler, so the fields are few.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream<StreamSocket>,
    /// When a byte last moved, or since when it only waits for its end; see [`crate::io::timers`] for
    /// the unit. With [`SAMPLED`] it is when `noted` was; so it is no more when a byte moves.
    pub(crate) active_at: u64,
    /// How much the peer had not acknowledged then; once it lingers, since when it does, in
    /// milliseconds. One field for both, so that an idle connection pays for none.
    pub(super) sample: u32,
    /// Whether it is counted among those that linger.
    pub(super) is_lingering: bool,
    /// How many entries in the heap of deadlines are its own.
    pub(crate) armed_deadlines: u8,
    /// Whether a deadline for the rest of a closed connection is in the heap.
    pub(crate) close_timeout_armed: bool,
}

/// No clock of ours comes so far.
pub(super) const SAMPLED: u64 = 1 << 63;

impl Connection {
    /// A connection that stands, or one that is being made.
    pub(super) fn new(socket: StreamSocket, connecting: bool, now: u64) -> Connection {
        Connection {
            stream: Stream::new(socket, connecting),
            active_at: now,
            sample: 0,
            is_lingering: false,
            armed_deadlines: 0,
            close_timeout_armed: false,
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.stream.note_write_interest(false);
        self.stream.transport_mut().register(registry, token, false)
    }

    /// Reads once.
    #[inline(always)]
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        now: u64,
        stats: &mut Stats,
    ) -> io::Result<ReadOutcome> {
        let filled = self.stream.fill(buffer);
        if let Ok(ReadOutcome::Bytes(n)) = filled {
            self.active_at = now;
            stats.bytes_in += n as u64;
        }
        filled
    }

    /// Whether a turn now would change anything.
    pub(super) fn wants_service(&self) -> bool {
        let unwatched = self.stream.is_closing() && !self.close_timeout_armed;
        self.stream.wants_service()
            || !self.stream.is_connecting() && (unwatched || self.wants_write_interest())
    }

    /// Whether [`Connection::update_write_interest`] has something to change.
    #[inline]
    fn wants_write_interest(&self) -> bool {
        self.stream.is_write_blocked() != self.stream.has_write_interest()
            && !self.stream.transport().reports_writable()
    }

    /// Has room reported exactly while output is refused.
    pub(super) fn update_write_interest(
        &mut self,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        if !self.wants_write_interest() {
            return Ok(());
        }
        let ask = self.stream.is_write_blocked();
        self.stream.note_write_interest(ask);
        self.stream.transport_mut().update_write_interest(registry, token, ask)
    }

    /// Whether its handler's `finish` has run, or is running.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(
            self.stream.close_state(),
            CloseState::Flushing | CloseState::Lingering | CloseState::Dropped
        )
    }

    /// Whether the peer is to be told by a reset, though nothing may be unsent.
    pub(super) fn wants_reset(&self) -> bool {
        matches!(
            self.stream.close_state(),
            CloseState::Aborted(CloseReason::Aborted) | CloseState::Dropped
        )
    }

    /// Why it is to be cut off now, if somebody said so.
    pub(crate) fn abort_reason(&self) -> Option<CloseReason> {
        if let CloseState::Aborted(reason) = self.stream.close_state() {
            Some(reason)
        } else {
            None
        }
    }
}
