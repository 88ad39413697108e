//! Flow control: a pause, or output above high water, stops the delivery of input.

use super::{Stream, Watermarks};
use crate::conn::flags::Flags;
use crate::conn::transport::Transport;

impl<T: Transport> Stream<T> {
    pub(crate) fn pause(&mut self) {
        self.flags.insert(Flags::PAUSED);
    }

    pub(crate) fn resume(&mut self) {
        self.flags.remove(Flags::PAUSED);
        self.request_redelivery();
    }

    pub(crate) fn set_read_while_congested(&mut self, on: bool) {
        let was_held_up = self.flags.intersects(Flags::READ_STOPPED);
        self.flags.set(Flags::READ_WHILE_CONGESTED, on);
        self.flags.set(Flags::READ_STOPPED, self.is_congested() && !on);
        if was_held_up && on {
            self.request_redelivery();
        }
    }

    /// Requests that unconsumed input is delivered again. While the handler runs its input is lent
    /// to it, so the amount left is known only when it returns, in this turn.
    fn request_redelivery(&mut self) {
        if self.flags.intersects(Flags::HAS_UNCONSUMED) {
            self.flags.remove(Flags::REDELIVERY_FROM_HANDLER);
            self.flags.insert(Flags::REDELIVERY);
        } else if self.is_queued() {
            self.flags.insert(Flags::REDELIVERY.union(Flags::REDELIVERY_FROM_HANDLER));
        }
    }

    /// Cancels the redelivery: there is no unconsumed input, or the handler took none of it last
    /// time.
    pub(crate) fn clear_redelivery(&mut self) {
        self.flags.remove(Flags::REDELIVERY.union(Flags::REDELIVERY_FROM_HANDLER));
    }

    /// Whether the output has fallen to low water since it was congested; `true` once. Reading
    /// continues, and unconsumed input is delivered again.
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
