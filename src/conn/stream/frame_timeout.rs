//! The frame timeout: how long unconsumed input may wait for the rest of its frame.
//!
//! The timeout is lazy, as the idle timeout is. Unconsumed input carries the time of its first
//! byte, and each connection has at most one deadline, which compares that time when it expires.

use super::state::INPUT_BLOCKED;
use super::{CloseState, Stream};
use crate::conn::flags::Flags;
use crate::conn::transport::Transport;

/// The action that an expired deadline asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FrameDeadline {
    /// Nothing, until there is unconsumed input again.
    None,
    /// The frame has time until then.
    At(u64),
    Expired,
}

impl<T: Transport> Stream<T> {
    /// Whether to set a deadline; `true` if there is unconsumed input and no deadline yet.
    pub(crate) fn arm_frame_deadline(&mut self) -> bool {
        let unwatched = !self.unconsumed.is_empty() && !self.is_frame_deadline_armed();
        self.flags.insert_if(Flags::FRAME_DEADLINE_ARMED, unwatched);
        unwatched
    }

    pub(crate) fn is_frame_deadline_armed(&self) -> bool {
        self.flags.intersects(Flags::FRAME_DEADLINE_ARMED)
    }

    /// No deadline is set any more.
    pub(crate) fn clear_frame_deadline(&mut self) {
        self.flags.remove(Flags::FRAME_DEADLINE_ARMED);
    }

    /// Called when the deadline expires, in a turn that began at `now`; everything that had arrived
    /// by `looked_at` was read, unless the connection is still queued. The returned action that
    /// sets another deadline counts as set.
    pub(crate) fn check_frame_deadline(
        &mut self,
        now: u64,
        looked_at: u64,
        timeout: u64,
    ) -> FrameDeadline {
        if self.close_state == CloseState::Open && self.flags.intersects(INPUT_BLOCKED) {
            // The input is blocked on our side, so the peer is not to blame.
            self.unconsumed.restart_wait(now);
        }
        let until = self.unconsumed.waiting_since().saturating_add(timeout);
        if self.unconsumed.is_empty() || self.close_state != CloseState::Open {
            self.clear_frame_deadline();
            FrameDeadline::None
        } else if until > looked_at {
            FrameDeadline::At(until)
        } else if self.is_queued() {
            // Its budget is used up, or a read was interrupted.
            FrameDeadline::At(now + 1)
        } else {
            FrameDeadline::Expired
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::stream::tests::{Kernel, System};

    #[test]
    fn what_is_unfinished_has_its_time_and_what_had_arrived_is_read() {
        let mut stream = Stream::new(Kernel::new(System::Tcp), false);
        assert!(!stream.arm_frame_deadline(), "nothing is unconsumed");
        let hold = |stream: &mut Stream<Kernel>, since| {
            let mut unconsumed = stream.take_unconsumed();
            unconsumed.append(b"x");
            unconsumed.restart_wait(since);
            stream.put_unconsumed(unconsumed);
        };
        hold(&mut stream, 5);
        assert!(stream.arm_frame_deadline() && !stream.arm_frame_deadline());
        assert_eq!(stream.check_frame_deadline(10, 10, 10), FrameDeadline::At(15));
        // What came after 14 is not known at 20.
        assert_eq!(stream.check_frame_deadline(20, 14, 10), FrameDeadline::At(15));
        stream.begin_turn();
        assert_eq!(stream.check_frame_deadline(20, 20, 10), FrameDeadline::At(21));
        stream.end_turn();
        assert_eq!(stream.check_frame_deadline(21, 15, 10), FrameDeadline::Expired);
        // Progress counts.
        hold(&mut stream, 16);
        assert_eq!(stream.check_frame_deadline(25, 25, 10), FrameDeadline::At(26));
        stream.pause();
        assert_eq!(stream.check_frame_deadline(27, 27, 10), FrameDeadline::At(37));
        stream.take_unconsumed();
        assert_eq!(stream.check_frame_deadline(40, 40, 10), FrameDeadline::None);
        assert!(!stream.is_frame_deadline_armed());
    }
}
