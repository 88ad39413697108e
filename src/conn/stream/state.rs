//! What may be asked about a [`Stream`]; nothing here changes it.

use super::{CloseState, Stream};
use crate::conn::flags::Flags;
use crate::conn::transport::Transport;

/// The handler is shown nothing while one of these is set.
pub(super) const SHUT_OFF: Flags =
    Flags::PAUSED.union(Flags::HELD_UP).union(Flags::ENDING).union(Flags::CONNECTING);

/// With none of these set, a turn is nothing but reading, handling and writing.
const UNUSUAL: Flags = Flags::BROKEN
    .union(Flags::CONNECTING)
    .union(Flags::REPLAY)
    .union(Flags::OUTPUT_CLOSED)
    .union(Flags::ENDING)
    .union(Flags::CONGESTED)
    .union(Flags::END_DUE)
    .union(Flags::SHUTDOWN_DUE);

/// With one of these set, a read is more than what it brings: there is something before it, or what
/// follows from the peer's end has to wait.
const READ_AFTER: Flags = Flags::HELD.union(Flags::OFFLOADED).union(Flags::REPLAY);

/// With none of these set, what it sends may be collected.
const IN_THE_WAY: Flags = UNUSUAL.union(Flags::OUTPUT);

/// With none of these set, a turn is over.
const NOT_QUIET: Flags =
    IN_THE_WAY.union(Flags::READABLE).union(Flags::SENT_AT_ONCE).union(Flags::ROOM_ASKED);

impl<T: Transport> Stream<T> {
    /// Whether what it sends in its turn may be collected: nothing waits and nothing is unusual.
    #[inline]
    pub(crate) fn can_cork(&self) -> bool {
        !self.flags.intersects(IN_THE_WAY)
    }

    /// Whether all that is to be done is to read into an empty buffer and to show that: it has no
    /// turn yet, nothing is unusual, nothing waits or is held, and something may be read.
    #[inline]
    pub(crate) fn is_plain_readable(&self) -> bool {
        const MATTERS: Flags = IN_THE_WAY
            .union(SHUT_OFF)
            .union(Flags::READABLE)
            .union(READ_AFTER)
            .union(Flags::ENDED)
            .union(Flags::QUEUED);
        self.flags.matches(Flags::READABLE, MATTERS)
    }

    /// Whether what was collected may be written: nothing waits, nothing is unusual, and there may
    /// be room.
    #[inline]
    pub(crate) fn can_write_corked(&self) -> bool {
        self.flags.matches(Flags::WRITABLE, IN_THE_WAY.union(Flags::WRITABLE))
    }

    /// Whether it is in the queue, or its turn is not over.
    #[inline]
    pub(crate) fn is_queued(&self) -> bool {
        self.flags.intersects(Flags::QUEUED)
    }

    /// Whether a turn is nothing but reading, handling and writing.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        !self.flags.intersects(UNUSUAL)
    }

    /// Whether a plain turn is over and nothing is left to do until something is noted.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        !self.flags.intersects(NOT_QUIET)
    }

    /// Whether a turn now would change anything.
    #[inline]
    pub(crate) fn wants_service(&self) -> bool {
        self.wants_read() || self.wants_write() || !self.is_plain() && self.wants_attention()
    }

    #[cold]
    fn wants_attention(&self) -> bool {
        if self.flags.intersects(Flags::CONNECTING) {
            return self.has_verdict() || self.ending != CloseState::Open;
        }
        self.wants_replay()
            || self.is_dead()
            || self.is_end_due()
            || self.flags.intersects(Flags::SHUTDOWN_DUE) && self.is_to_be_told()
            || self.output.is_empty() && self.wants_end()
            || self.is_cut_off()
            || self.ending == CloseState::Lingering && self.is_readable()
    }

    /// Whether a shutdown is told now. Once it lingers there is nobody left to tell.
    fn is_to_be_told(&self) -> bool {
        self.ending != CloseState::Lingering && !self.owes_an_answer()
    }

    /// Whether the end of the output is to be told, or that of the whole connection to be made.
    fn wants_end(&self) -> bool {
        let asked = Flags::OUTPUT_CLOSED.union(Flags::OUTPUT_ENDED);
        self.is_closing() || self.flags.matches(Flags::OUTPUT_CLOSED, asked)
    }

    /// Whether the handler shall get what can be read.
    #[inline]
    pub(crate) fn wants_read(&self) -> bool {
        self.flags.matches(Flags::READABLE, Flags::READABLE.union(Flags::ENDED).union(SHUT_OFF))
    }

    #[inline]
    pub(crate) fn wants_write(&self) -> bool {
        self.flags.matches(Flags::WRITABLE, Flags::WRITABLE.union(Flags::CONNECTING))
            && !self.output.is_empty()
    }

    /// Whether an answer is still to come: work that was offloaded is under way, or the handler will
    /// see again what it left when its output has drained. Before that it is told of no shutdown and
    /// of no peer's end, at which most handlers close.
    pub(crate) fn owes_an_answer(&self) -> bool {
        const OVER: Flags = Flags::ENDING.union(Flags::CONNECTING);
        const LEFT: Flags = Flags::HELD.union(Flags::CONGESTED);
        self.flags.matches(Flags::OFFLOADED, Flags::OFFLOADED.union(OVER))
            || self.flags.matches(LEFT, LEFT.union(OVER).union(Flags::PAUSED))
    }

    /// Whether the handler shall see again what it left.
    #[inline]
    pub(crate) fn wants_replay(&self) -> bool {
        const ASKED: Flags = Flags::REPLAY.union(Flags::HELD);
        self.flags.matches(ASKED, ASKED.union(SHUT_OFF))
    }

    /// Whether what is left, if anything is, was asked to be shown again.
    #[inline]
    pub(crate) fn is_replay_asked(&self) -> bool {
        self.flags.intersects(Flags::REPLAY)
    }

    /// Whether that was asked for while the handler was shown it.
    pub(crate) fn is_replay_from_inside(&self) -> bool {
        self.flags.intersects(Flags::REPLAY_FROM_INSIDE)
    }

    /// Whether there is something to be seen before what a read brings, or before its end.
    #[inline]
    pub(crate) fn reads_behind(&self) -> bool {
        self.flags.intersects(READ_AFTER)
    }

    /// Whether the handler is to be told of the peer's end now: it has seen all that came before.
    pub(super) fn is_end_due(&self) -> bool {
        let may_be_told = self.flags.matches(Flags::END_DUE, Flags::END_DUE.union(SHUT_OFF));
        may_be_told && !self.owes_an_answer() && !self.wants_replay()
    }

    /// Whether the handler is still to be told of the peer's end, or of a shutdown.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.flags.intersects(Flags::END_DUE.union(Flags::SHUTDOWN_DUE))
    }

    /// Whether it broke and nothing will be read or written that could tell.
    pub(crate) fn is_dead(&self) -> bool {
        self.flags.intersects(Flags::BROKEN) && !self.wants_read() && !self.wants_write()
    }

    #[inline]
    pub(super) fn takes_output(&self) -> bool {
        !self.flags.intersects(Flags::ENDING.union(Flags::OUTPUT_CLOSED))
    }

    /// Whether a connection in the making stands or failed.
    pub(crate) fn has_verdict(&self) -> bool {
        self.flags.intersects(Flags::WRITABLE.union(Flags::BROKEN))
    }

    /// The usual end: closed here, ended by the peer, and nothing waits or is still to be told.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        const BOTH: Flags = Flags::ENDING.union(Flags::ENDED);
        let matters = BOTH.union(Flags::OUTPUT).union(Flags::OUTPUT_CLOSED).union(Flags::BROKEN);
        self.flags.matches(BOTH, matters) && self.ending == CloseState::Closing
    }

    /// Whether both directions have ended, so that there is nothing left to wait for.
    pub(crate) fn is_complete(&self) -> bool {
        let both = Flags::ENDED.union(Flags::OUTPUT_ENDED);
        self.flags.matches(both, both.union(Flags::ENDING).union(Flags::END_DUE))
    }

    /// Whether what waits is not to be sent any more.
    pub(crate) fn is_cut_off(&self) -> bool {
        matches!(self.ending, CloseState::Aborted(_) | CloseState::Dropped)
    }

    pub(crate) fn ending(&self) -> CloseState {
        self.ending
    }

    /// Whether only the rest of its output keeps it.
    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.ending, CloseState::Closing | CloseState::Flushing)
    }

    /// Whether no conversation has begun it.
    pub(crate) fn is_beside(&self) -> bool {
        self.flags.intersects(Flags::BESIDE)
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
    pub(crate) fn has_ended(&self) -> bool {
        self.flags.intersects(Flags::ENDED)
    }

    pub(crate) fn unsent(&self) -> usize {
        self.output.len()
    }

    /// Whether output waits for the system to have room.
    #[inline]
    pub(crate) fn is_refused(&self) -> bool {
        !self.output.is_empty() && !self.flags.intersects(Flags::WRITABLE)
    }

    /// Whether the poll reports room, where that must be asked for.
    pub(crate) fn has_write_interest(&self) -> bool {
        self.flags.intersects(Flags::ROOM_ASKED)
    }

    #[inline]
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    pub(crate) fn transport(&self) -> &T {
        &self.transport
    }

    pub(crate) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }
}
