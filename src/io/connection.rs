//! One connection: a stream on a socket, and its deadlines.

use std::io;

use mio::{Registry, Token};

use crate::conn::stream::{CloseState, ReadOutcome, Stream};
use crate::net::StreamSocket;
use crate::stats::{CloseReason, Stats};

/// One connection. An idle connection costs this and its handler, so the fields are few.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream<StreamSocket>,
    /// When a byte last moved, or when it began to linger, in nanoseconds since the start of the
    /// loop. With the bit [`SAMPLED`] it is the time of `sample`, until a byte moves.
    pub(crate) active_at: u64,
    /// How much the peer had not acknowledged at the last sample; while lingering, when that began,
    /// in milliseconds. One field for both, so that an idle connection is smaller.
    pub(super) sample: u32,
    /// Whether it lingers.
    pub(super) is_lingering: bool,
    /// How many entries in the queue of deadlines belong to it.
    pub(crate) armed_deadlines: u8,
    /// Whether the close timeout is armed.
    pub(crate) close_timeout_armed: bool,
}

/// A bit that no time of the loop has.
pub(super) const SAMPLED: u64 = 1 << 63;

impl Connection {
    /// An established connection, or one that is connecting.
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
        self.stream.note_input_interest(true);
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

    /// Whether it has something to do in a turn.
    pub(super) fn wants_service(&self) -> bool {
        let unwatched = self.stream.is_closing() && !self.close_timeout_armed;
        self.stream.wants_service()
            || !self.stream.is_connecting() && (unwatched || self.wants_interests())
    }

    /// Whether [`Connection::update_interests`] would change something.
    #[inline]
    fn wants_interests(&self) -> bool {
        self.wants_write_interest() || self.stream.wants_input_reported()
    }

    #[inline]
    fn wants_write_interest(&self) -> bool {
        self.stream.is_write_blocked() != self.stream.has_write_interest()
            && !self.stream.transport().reports_writable()
    }

    /// Registers write interest exactly while writing would block, and input again after a pause.
    pub(super) fn update_interests(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if !self.wants_interests() {
            return Ok(());
        }
        self.register_again(registry, token, !self.stream.leaves_input())
    }

    /// Has input that arrives not reported any more while the connection is paused.
    pub(super) fn leave_input(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if !self.stream.may_leave_input() {
            return Ok(());
        }
        self.register_again(registry, token, false)
    }

    fn register_again(&mut self, registry: &Registry, token: Token, input: bool) -> io::Result<()> {
        let is_optional = !self.stream.transport().reports_writable();
        let write = is_optional && self.stream.is_write_blocked();
        self.stream.transport_mut().update_interests(registry, token, input, write)?;
        self.stream.note_write_interest(write);
        self.stream.note_input_interest(input);
        Ok(())
    }

    /// Whether its handler's `finish` has run, or is running.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(
            self.stream.close_state(),
            CloseState::Flushing | CloseState::Lingering | CloseState::Dropped
        )
    }

    /// Whether its handler has finished and all output was passed to the system.
    pub(super) fn is_delivered(&self) -> bool {
        matches!(self.stream.close_state(), CloseState::Lingering | CloseState::Dropped)
    }

    /// Whether the peer has to get a reset even if no output is pending.
    pub(super) fn wants_reset(&self) -> bool {
        matches!(
            self.stream.close_state(),
            CloseState::Aborted(CloseReason::Aborted) | CloseState::Dropped
        )
    }

    /// Why it is to be aborted, if it is.
    pub(crate) fn abort_reason(&self) -> Option<CloseReason> {
        if let CloseState::Aborted(reason) = self.stream.close_state() {
            Some(reason)
        } else {
            None
        }
    }
}
