//! Questions about the state of a [`Stream`]; nothing here changes it.

use super::{CloseState, Stream};
use crate::conn::flags::Flags;
use crate::conn::transport::Transport;

/// While one of these is set, the handler gets no input.
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

/// While one of these is set, a read does more than deliver its bytes: earlier input precedes them,
/// or the consequences of an EOF have to wait.
const EARLIER_WORK: Flags = Flags::HAS_UNCONSUMED.union(Flags::OFFLOADED).union(Flags::REDELIVERY);

/// With none of these set, the sends of a turn may be corked.
const NO_CORK: Flags = SLOW_PATH.union(Flags::HAS_OUTPUT);

/// With none of these set, a turn is done.
const TURN_PENDING: Flags =
    NO_CORK.union(Flags::READABLE).union(Flags::WROTE_DIRECT).union(INTERESTS_CHANGED);

/// While one of these is set, the socket is not registered as at first.
const INTERESTS_CHANGED: Flags = Flags::WRITE_INTEREST.union(Flags::INPUT_UNWATCHED);

impl<T: Transport> Stream<T> {
    /// Whether the sends of this turn may be collected in the cork buffer.
    #[inline]
    pub(crate) fn can_cork(&self) -> bool {
        !self.flags.intersects(NO_CORK)
    }

    /// Whether the turn is only to read into an empty buffer and to deliver: not queued, nothing on
    /// the slow path, no output, no unconsumed input, and readable.
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

    /// Whether the corked bytes may be written: no output, nothing on the slow path, and writable.
    #[inline]
    pub(crate) fn can_write_corked(&self) -> bool {
        self.flags.matches(Flags::WRITABLE, NO_CORK.union(Flags::WRITABLE))
    }

    /// Whether the id is in the queue, or the turn is not over.
    #[inline]
    pub(crate) fn is_queued(&self) -> bool {
        self.flags.intersects(Flags::QUEUED)
    }

    /// Whether a turn is nothing but reading, handling and writing.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        !self.flags.intersects(SLOW_PATH)
    }

    /// Whether nothing is left to do until the next event or command.
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
            return self.has_connect_result() || self.gives_up_connecting();
        }
        self.wants_redelivery()
            || self.has_failed()
            || self.is_eof_due()
            || self.flags.intersects(Flags::SHUTDOWN_DUE) && self.may_notify_shutdown()
            || self.output.is_empty() && self.wants_close_step()
            || self.is_aborted()
            || self.close_state == CloseState::Lingering && self.is_readable()
    }

    /// Whether the handler may be notified of a shutdown now. While it lingers its handler is gone.
    fn may_notify_shutdown(&self) -> bool {
        self.close_state != CloseState::Lingering && !self.has_pending_reply()
    }

    /// Whether the sending direction, or the whole connection, is due to be closed.
    fn wants_close_step(&self) -> bool {
        let asked = Flags::SHUT_WR_REQUESTED.union(Flags::SHUT_WR_DONE);
        self.is_closing() || self.flags.matches(Flags::SHUT_WR_REQUESTED, asked)
    }

    /// Whether to read for the handler.
    #[inline]
    pub(crate) fn wants_read(&self) -> bool {
        self.flags.matches(Flags::READABLE, Flags::READABLE.union(Flags::EOF).union(INPUT_BLOCKED))
    }

    #[inline]
    pub(crate) fn wants_write(&self) -> bool {
        self.flags.matches(Flags::WRITABLE, Flags::WRITABLE.union(Flags::CONNECTING))
            && !self.output.is_empty()
    }

    /// Whether a reply is still to come: offloaded work is running, or the handler sees its
    /// unconsumed input again when the output has drained. Until then it is notified neither of a
    /// shutdown nor of EOF, at which most handlers close.
    pub(crate) fn has_pending_reply(&self) -> bool {
        const OVER: Flags = Flags::CLOSING.union(Flags::CONNECTING);
        const LEFT: Flags = Flags::HAS_UNCONSUMED.union(Flags::CONGESTED);
        self.flags.matches(Flags::OFFLOADED, Flags::OFFLOADED.union(OVER))
            || self.flags.matches(LEFT, LEFT.union(OVER).union(Flags::PAUSED))
    }

    /// Whether to deliver the unconsumed input again.
    #[inline]
    pub(crate) fn wants_redelivery(&self) -> bool {
        const ASKED: Flags = Flags::REDELIVERY.union(Flags::HAS_UNCONSUMED);
        self.flags.matches(ASKED, ASKED.union(INPUT_BLOCKED))
    }

    /// Whether redelivery was requested, with or without unconsumed input.
    #[inline]
    pub(crate) fn is_redelivery_requested(&self) -> bool {
        self.flags.intersects(Flags::REDELIVERY)
    }

    /// Whether redelivery was requested while the handler ran.
    pub(crate) fn is_redelivery_from_handler(&self) -> bool {
        self.flags.intersects(Flags::REDELIVERY_FROM_HANDLER)
    }

    /// Whether earlier input, or offloaded work, precedes what a read brings.
    #[inline]
    pub(crate) fn has_earlier_work(&self) -> bool {
        self.flags.intersects(EARLIER_WORK)
    }

    /// Whether to notify the handler of EOF now: it has seen all the input before it.
    pub(super) fn is_eof_due(&self) -> bool {
        let may_be_told = self.flags.matches(Flags::EOF_DUE, Flags::EOF_DUE.union(INPUT_BLOCKED));
        may_be_told && !self.has_pending_reply() && !self.wants_redelivery()
    }

    /// Whether a notification of EOF or of a shutdown is due.
    #[inline]
    pub(crate) fn has_notifications(&self) -> bool {
        self.flags.intersects(Flags::EOF_DUE.union(Flags::SHUTDOWN_DUE))
    }

    /// Whether an error is pending that no read or write will return.
    pub(crate) fn has_failed(&self) -> bool {
        self.flags.intersects(Flags::ERROR) && !self.wants_read() && !self.wants_write()
    }

    #[inline]
    pub(super) fn accepts_output(&self) -> bool {
        !self.flags.intersects(Flags::CLOSING.union(Flags::SHUT_WR_REQUESTED))
    }

    /// Whether a connection that is connecting is to end: it is aborted, or closed and owes its peer
    /// nothing. What was sent before a close still leaves.
    pub(crate) fn gives_up_connecting(&self) -> bool {
        match self.close_state {
            CloseState::Open => false,
            CloseState::Closing => self.output.is_empty(),
            _ => true,
        }
    }

    /// Whether a connect attempt may have a result.
    pub(crate) fn has_connect_result(&self) -> bool {
        self.flags.intersects(Flags::WRITABLE.union(Flags::ERROR))
    }

    /// Whether this is the usual end: closed by us, EOF read, no output, nothing due.
    #[inline]
    pub(crate) fn is_cleanly_closed(&self) -> bool {
        const BOTH: Flags = Flags::CLOSING.union(Flags::EOF);
        let matters =
            BOTH.union(Flags::HAS_OUTPUT).union(Flags::SHUT_WR_REQUESTED).union(Flags::ERROR);
        self.flags.matches(BOTH, matters) && self.close_state == CloseState::Closing
    }

    /// Whether both directions are closed and no notification is due.
    pub(crate) fn is_complete(&self) -> bool {
        let both = Flags::EOF.union(Flags::SHUT_WR_DONE);
        self.flags.matches(both, both.union(Flags::CLOSING).union(Flags::EOF_DUE))
    }

    /// Whether the output is not to be sent any more.
    pub(crate) fn is_aborted(&self) -> bool {
        matches!(self.close_state, CloseState::Aborted(_) | CloseState::Dropped)
    }

    pub(crate) fn close_state(&self) -> CloseState {
        self.close_state
    }

    /// Whether the connection is closed once its output is sent.
    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.close_state, CloseState::Closing | CloseState::Flushing)
    }

    /// Whether the connection was opened outside of any handler.
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

    /// Whether a read returned EOF.
    pub(crate) fn has_eof(&self) -> bool {
        self.flags.intersects(Flags::EOF)
    }

    pub(crate) fn unsent(&self) -> usize {
        self.output.len()
    }

    /// Whether output waits for the system to report free space.
    #[inline]
    pub(crate) fn is_write_blocked(&self) -> bool {
        !self.output.is_empty() && !self.flags.intersects(Flags::WRITABLE)
    }

    /// Whether the socket is registered for write readiness, where that is optional.
    pub(crate) fn has_write_interest(&self) -> bool {
        self.flags.intersects(Flags::WRITE_INTEREST)
    }

    /// Whether input that arrives is to be reported, if it was not meanwhile: the connection is not
    /// paused any more, or it ends.
    pub(crate) fn wants_input_reported(&self) -> bool {
        self.flags.intersects(Flags::INPUT_UNWATCHED) && !self.leaves_input()
    }

    /// Whether input that arrives need not be reported, because it stays with the system anyway:
    /// the connection is paused. An event for each segment would wake the loop for nothing.
    pub(crate) fn may_leave_input(&self) -> bool {
        !self.flags.intersects(Flags::INPUT_UNWATCHED) && self.leaves_input()
    }

    pub(crate) fn leaves_input(&self) -> bool {
        const MATTERS: Flags = Flags::PAUSED.union(Flags::CLOSING).union(Flags::CONNECTING);
        self.flags.matches(Flags::PAUSED, MATTERS)
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
