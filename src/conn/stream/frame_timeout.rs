//! How long the peer has left unfinished what it has begun.
//!
//! Lazy as the idle timeout is: what a connection holds is stamped with the time, and one deadline
//! a connection is under way, which looks at the stamp when it comes up.

use super::state::SHUT_OFF;
use super::{CloseState, Stream};
use crate::conn::flags::Flags;
use crate::conn::transport::Transport;

/// What is to be done about input that is held when its deadline comes up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FrameDeadline {
    /// Nothing is, until something is held again.
    None,
    /// It has time until then.
    At(u64),
    /// The time is over, but the rest may lie in the socket.
    Recheck,
    Expired,
}

impl<T: Transport> Stream<T> {
    /// Whether a deadline is to be set for what is held: there is none yet.
    pub(crate) fn arm_frame_deadline(&mut self) -> bool {
        let unwatched = !self.held.is_empty() && !self.is_unfinished_watched();
        self.flags.insert_if(Flags::UNFINISHED_WATCHED, unwatched);
        unwatched
    }

    pub(crate) fn is_unfinished_watched(&self) -> bool {
        self.flags.intersects(Flags::UNFINISHED_WATCHED)
    }

    /// No deadline is under way any more.
    pub(crate) fn forget_unfinished(&mut self) {
        self.flags.remove(Flags::UNFINISHED_WATCHED.union(Flags::UNFINISHED_LOOKED));
    }

    /// The deadline came up. Where another is to follow, it counts as set.
    pub(crate) fn look_at_unfinished(&mut self, now: u64, patience: u64) -> FrameDeadline {
        if self.ending == CloseState::Open && self.flags.intersects(SHUT_OFF) {
            // It is not read, so it is not the peer that is slow.
            self.held.restart(now);
        }
        let until = self.held.since().saturating_add(patience);
        if self.held.is_empty() || self.ending != CloseState::Open {
            self.forget_unfinished();
            FrameDeadline::None
        } else if until > now {
            self.flags.remove(Flags::UNFINISHED_LOOKED);
            FrameDeadline::At(until)
        } else if self.flags.intersects(Flags::UNFINISHED_LOOKED) {
            FrameDeadline::Expired
        } else {
            self.flags.insert(Flags::READABLE.union(Flags::UNFINISHED_LOOKED));
            FrameDeadline::Recheck
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::stream::tests::{Kernel, System};

    #[test]
    fn what_is_unfinished_has_its_time_and_one_more_look() {
        let mut stream = Stream::new(Kernel::new(System::Tcp), false);
        assert!(!stream.arm_frame_deadline(), "nothing is held");
        let hold = |stream: &mut Stream<Kernel>, since| {
            let mut held = stream.take_unconsumed();
            held.append(b"x");
            held.restart(since);
            stream.put_unconsumed(held);
        };
        hold(&mut stream, 5);
        assert!(stream.arm_frame_deadline() && !stream.arm_frame_deadline());
        assert_eq!(stream.look_at_unfinished(10, 10), FrameDeadline::At(15));
        assert!(!stream.wants_read());
        assert_eq!(stream.look_at_unfinished(15, 10), FrameDeadline::Recheck);
        assert!(stream.wants_read());
        assert_eq!(stream.look_at_unfinished(16, 10), FrameDeadline::Expired);
        // A look that helped counts, and the next deadline has a look of its own.
        hold(&mut stream, 16);
        assert_eq!(stream.look_at_unfinished(17, 10), FrameDeadline::At(26));
        assert_eq!(stream.look_at_unfinished(26, 10), FrameDeadline::Recheck);
        stream.pause();
        assert_eq!(stream.look_at_unfinished(27, 10), FrameDeadline::At(37));
        stream.take_unconsumed();
        assert_eq!(stream.look_at_unfinished(40, 10), FrameDeadline::None);
        assert!(!stream.is_unfinished_watched());
    }
}
