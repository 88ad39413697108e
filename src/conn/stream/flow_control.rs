//! What stops and resumes the input of a handler: a pause, and output above high water.

use super::{Stream, Watermarks};
use crate::conn::flags::Flags;
use crate::conn::transport::Transport;

impl<T: Transport> Stream<T> {
    pub(crate) fn pause(&mut self) {
        self.flags.insert(Flags::PAUSED);
    }

    pub(crate) fn resume(&mut self) {
        if self.is_paused() {
            self.flags.remove(Flags::PAUSED);
            self.show_again();
        }
    }

    pub(crate) fn set_full_duplex(&mut self, on: bool) {
        let was_held_up = self.flags.intersects(Flags::HELD_UP);
        self.flags.set(Flags::FULL_DUPLEX, on);
        self.flags.set(Flags::HELD_UP, self.is_congested() && !on);
        if was_held_up && on {
            self.show_again();
        }
    }

    /// What the handler left is to be shown to it again. While it is shown something, that is not
    /// held yet: what it leaves is known when it returns, in this turn.
    fn show_again(&mut self) {
        if self.flags.intersects(Flags::HELD) {
            self.flags.remove(Flags::REPLAY_FROM_INSIDE);
            self.flags.insert(Flags::REPLAY);
        } else if self.is_queued() {
            self.flags.insert(Flags::REPLAY.union(Flags::REPLAY_FROM_INSIDE));
        }
    }

    /// Nothing is shown again: nothing was left, or nobody took of it when it last was.
    pub(crate) fn forget_replay(&mut self) {
        self.flags.remove(Flags::REPLAY.union(Flags::REPLAY_FROM_INSIDE));
    }

    /// Whether the output fell to low water since it was congested; says so once. Reading goes on,
    /// and what was held back meanwhile is shown again.
    pub(crate) fn take_drained(&mut self, marks: Watermarks) -> bool {
        if !self.is_congested() || self.output.len() > marks.low_water {
            return false;
        }
        self.flags.remove(Flags::CONGESTED.union(Flags::HELD_UP));
        if !self.held.is_empty() {
            self.flags.remove(Flags::REPLAY_FROM_INSIDE);
            self.flags.insert(Flags::REPLAY);
        }
        true
    }
}
