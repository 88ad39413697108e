//! What may be asked about a [`Stream`]; nothing here changes it.

use super::{CloseState, Stream};
use crate::conn::flags::Flags;
use crate::conn::transport::Transport;

/// The handler is shown nothing while one of these is set.
pub(super) const INPUT_BLOCKED: Flags =
    Flags::PAUSED.union(Flags::READ_STOPPED).union(Flags::CLOSING).union(Flags::CONNECTING);

/// With none of these set, a turn is nothing but reading, handling and writing.
const SLOW_PATH: Flags = Flags::ERROR
    .union(Flags::CONNECTING)
    .union(Flags::REDELIVERY)
    .union(Flags::SHUT_WR_REQUESTED)
    .union(Flags::CLOSING)
    .union(Flags::CONGESTED)
    .union(Flags::EOF_DUE)
    .union(Flags::SHUTDOWN_DUE);

/// With one of these set, a read is more than what it brings: there is something before it, or what
/// follows from the peer's end has to wait.
const EARLIER_WORK: Flags = Flags::HAS_UNCONSUMED.union(Flags::OFFLOADED).union(Flags::REDELIVERY);

/// With none of these set, what it sends may be collected.
const NO_CORK: Flags = SLOW_PATH.union(Flags::HAS_OUTPUT);

/// With none of these set, a turn is over.
const TURN_PENDING: Flags =
    NO_CORK.union(Flags::READABLE).union(Flags::WROTE_DIRECT).union(Flags::WRITE_INTEREST);

impl<T: Transport> Stream<T> {
    /// Whether what it sends in its turn may be collected: nothing waits and nothing is unusual.
    #[inline]
    pub(crate) fn can_cork(&self) -> bool {
        !self.flags.intersects(NO_CORK)
    }

    /// Whether all that is to be done is to read into an empty buffer and to show that: it has no
    /// turn yet, nothing is unusual, nothing waits or is held, and something may be read.
    #[inline]
    pub(crate) fn is_plain_readable(&self) -> bool {
        const MATTERS: Flags = NO_CORK
            .union(INPUT_BLOCKED)
            .union(Flags::READABLE)
            .union(EARLIER_WORK)
            .union(Flags::EOF)
            .union(Flags::QUEUED);
        self.flags.matches(Flags::READABLE, MATTERS)
    }

    /// Whether what was collected may be written: nothing waits, nothing is unusual, and there may
    /// be room.
    #[inline]
    pub(crate) fn can_write_corked(&self) -> bool {
        self.flags.matches(Flags::WRITABLE, NO_CORK.union(Flags::WRITABLE))
    }

    /// Whether it is in the queue, or its turn is not over.
    #[inline]
    pub(crate) fn is_queued(&self) -> bool {
        self.flags.intersects(Flags::QUEUED)
    }

    /// Whether a turn is nothing but reading, handling and writing.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        !self.flags.intersects(SLOW_PATH)
    }

    /// Whether a plain turn is over and nothing is left to do until something is noted.
    #[inline]
    pub(crate) fn is_turn_done(&self) -> bool {
        !self.flags.intersects(TURN_PENDING)
    }

    /// Whether a turn now would change anything.
    #[inline]
    pub(crate) fn wants_service(&self) -> bool {
        self.wants_read() || self.wants_write() || !self.is_plain() && self.wants_slow_path()
    }

    #[cold]
    fn wants_slow_path(&self) -> bool {
        if self.flags.intersects(Flags::CONNECTING) {
            return self.has_connect_result() || self.close_state != CloseState::Open;
        }
        self.wants_redelivery()
            || self.has_failed()
            || self.is_eof_due()
            || self.flags.intersects(Flags::SHUTDOWN_DUE) && self.may_notify_shutdown()
            || self.output.is_empty() && self.wants_close_step()
            || self.is_aborted()
            || self.close_state == CloseState::Lingering && self.is_readable()
    }

    /// Whether a shutdown is told now. Once it lingers there is nobody left to tell.
    fn may_notify_shutdown(&self) -> bool {
        self.close_state != CloseState::Lingering && !self.has_pending_reply()
    }

    /// Whether the end of the output is to be told, or that of the whole connection to be made.
    fn wants_close_step(&self) -> bool {
        let asked = Flags::SHUT_WR_REQUESTED.union(Flags::SHUT_WR_DONE);
        self.is_closing() || self.flags.matches(Flags::SHUT_WR_REQUESTED, asked)
    }

    /// Whether the handler shall get what can be read.
    #[inline]
    pub(crate) fn wants_read(&self) -> bool {
        self.flags.matches(Flags::READABLE, Flags::READABLE.union(Flags::EOF).union(INPUT_BLOCKED))
    }

    #[inline]
    pub(crate) fn wants_write(&self) -> bool {
        self.flags.matches(Flags::WRITABLE, Flags::WRITABLE.union(Flags::CONNECTING))
            && !self.output.is_empty()
    }

    /// Whether an answer is still to come: work that was offloaded is under way, or the handler will
    /// see again what it left when its output has drained. Before that it is told of no shutdown and
    /// of no peer's end, at which most handlers close.
    pub(crate) fn has_pending_reply(&self) -> bool {
        const OVER: Flags = Flags::CLOSING.union(Flags::CONNECTING);
        const LEFT: Flags = Flags::HAS_UNCONSUMED.union(Flags::CONGESTED);
        self.flags.matches(Flags::OFFLOADED, Flags::OFFLOADED.union(OVER))
            || self.flags.matches(LEFT, LEFT.union(OVER).union(Flags::PAUSED))
    }

    /// Whether the handler shall see again what it left.
    #[inline]
    pub(crate) fn wants_redelivery(&self) -> bool {
        const ASKED: Flags = Flags::REDELIVERY.union(Flags::HAS_UNCONSUMED);
        self.flags.matches(ASKED, ASKED.union(INPUT_BLOCKED))
    }

    /// Whether what is left, if anything is, was asked to be shown again.
    #[inline]
    pub(crate) fn is_redelivery_requested(&self) -> bool {
        self.flags.intersects(Flags::REDELIVERY)
    }

    /// Whether that was asked for while the handler was shown it.
    pub(crate) fn is_redelivery_from_handler(&self) -> bool {
        self.flags.intersects(Flags::REDELIVERY_FROM_HANDLER)
    }

    /// Whether there is something to be seen before what a read brings, or before its end.
    #[inline]
    pub(crate) fn has_earlier_work(&self) -> bool {
        self.flags.intersects(EARLIER_WORK)
    }

    /// Whether the handler is to be told of the peer's end now: it has seen all that came before.
    pub(super) fn is_eof_due(&self) -> bool {
        let may_be_told = self.flags.matches(Flags::EOF_DUE, Flags::EOF_DUE.union(INPUT_BLOCKED));
        may_be_told && !self.has_pending_reply() && !self.wants_redelivery()
    }

    /// Whether the handler is still to be told of the peer's end, or of a shutdown.
    #[inline]
    pub(crate) fn has_notifications(&self) -> bool {
        self.flags.intersects(Flags::EOF_DUE.union(Flags::SHUTDOWN_DUE))
    }

    /// Whether it broke and nothing will be read or written that could tell.
    pub(crate) fn has_failed(&self) -> bool {
        self.flags.intersects(Flags::ERROR) && !self.wants_read() && !self.wants_write()
    }

    #[inline]
    pub(super) fn accepts_output(&self) -> bool {
        !self.flags.intersects(Flags::CLOSING.union(Flags::SHUT_WR_REQUESTED))
    }

    /// Whether a connection in the making stands or failed.
    pub(crate) fn has_connect_result(&self) -> bool {
        self.flags.intersects(Flags::WRITABLE.union(Flags::ERROR))
    }

    /// The usual end: closed here, ended by the peer, and nothing waits or is still to be told.
    #[inline]
    pub(crate) fn is_cleanly_closed(&self) -> bool {
        const BOTH: Flags = Flags::CLOSING.union(Flags::EOF);
        let matters =
            BOTH.union(Flags::HAS_OUTPUT).union(Flags::SHUT_WR_REQUESTED).union(Flags::ERROR);
        self.flags.matches(BOTH, matters) && self.close_state == CloseState::Closing
    }

    /// Whether both directions have ended, so that there is nothing left to wait for.
    pub(crate) fn is_complete(&self) -> bool {
        let both = Flags::EOF.union(Flags::SHUT_WR_DONE);
        self.flags.matches(both, both.union(Flags::CLOSING).union(Flags::EOF_DUE))
    }

    /// Whether what waits is not to be sent any more.
    pub(crate) fn is_aborted(&self) -> bool {
        matches!(self.close_state, CloseState::Aborted(_) | CloseState::Dropped)
    }

    pub(crate) fn close_state(&self) -> CloseState {
        self.close_state
    }

    /// Whether only the rest of its output keeps it.
    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.close_state, CloseState::Closing | CloseState::Flushing)
    }

    /// Whether no conversation has begun it.
    pub(crate) fn is_unsolicited(&self) -> bool {
        self.flags.intersects(Flags::UNSOLICITED)
    }

    pub(crate) fn is_connecting(&self) -> bool {
        self.flags.intersects(Flags::CONNECTING)
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.flags.intersects(Flags::READABLE)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.flags.intersects(Flags::PAUSED)
    }

    #[inline]
    pub(crate) fn is_congested(&self) -> bool {
        self.flags.intersects(Flags::CONGESTED)
    }

    /// Whether the peer's end was read.
    pub(crate) fn has_eof(&self) -> bool {
        self.flags.intersects(Flags::EOF)
    }

    pub(crate) fn unsent(&self) -> usize {
        self.output.len()
    }

    /// Whether output waits for the system to have room.
    #[inline]
    pub(crate) fn is_write_blocked(&self) -> bool {
        !self.output.is_empty() && !self.flags.intersects(Flags::WRITABLE)
    }

    /// Whether the poll reports room, where that must be asked for.
    pub(crate) fn has_write_interest(&self) -> bool {
        self.flags.intersects(Flags::WRITE_INTEREST)
    }

    #[inline]
    pub(crate) fn has_unconsumed(&self) -> bool {
        !self.unconsumed.is_empty()
    }

    pub(crate) fn transport(&self) -> &T {
        &self.transport
    }

    pub(crate) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }
}
