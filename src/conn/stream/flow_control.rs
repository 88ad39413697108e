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
            self.request_redelivery();
        }
    }

    pub(crate) fn set_read_while_congested(&mut self, on: bool) {
        let was_held_up = self.flags.intersects(Flags::READ_STOPPED);
        self.flags.set(Flags::READ_WHILE_CONGESTED, on);
        self.flags.set(Flags::READ_STOPPED, self.is_congested() && !on);
        if was_held_up && on {
            self.request_redelivery();
        }
    }

    /// What the handler left is to be shown to it again. While it is shown something, that is not
    /// held yet: what it leaves is known when it returns, in this turn.
    fn request_redelivery(&mut self) {
        if self.flags.intersects(Flags::HAS_UNCONSUMED) {
            self.flags.remove(Flags::REDELIVERY_FROM_HANDLER);
            self.flags.insert(Flags::REDELIVERY);
        } else if self.is_queued() {
            self.flags.insert(Flags::REDELIVERY.union(Flags::REDELIVERY_FROM_HANDLER));
        }
    }

    /// Nothing is shown again: nothing was left, or nobody took of it when it last was.
    pub(crate) fn clear_redelivery(&mut self) {
        self.flags.remove(Flags::REDELIVERY.union(Flags::REDELIVERY_FROM_HANDLER));
    }

    /// Whether the output fell to low water since it was congested; says so once. Reading goes on,
    /// and what was held back meanwhile is shown again.
    pub(crate) fn take_drained(&mut self, watermarks: Watermarks) -> bool {
        if !self.is_congested() || self.output.len() > watermarks.low_water {
            return false;
        }
        self.flags.remove(Flags::CONGESTED.union(Flags::READ_STOPPED));
        if !self.unconsumed.is_empty() {
            self.flags.remove(Flags::REDELIVERY_FROM_HANDLER);
            self.flags.insert(Flags::REDELIVERY);
        }
        true
    }
}
