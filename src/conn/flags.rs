//! The state of a stream as one word, so that each question about it is one comparison.

/// A set of the flags below.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(super) struct Flags(u32);

impl Flags {
    // Readiness, as the system reported it.

    /// A read may return bytes. Cleared only by proof of the contrary.
    pub(super) const READABLE: Flags = Flags(1);
    /// A write may succeed. Cleared only when a write would block.
    pub(super) const WRITABLE: Flags = Flags(1 << 1);
    /// The peer closed its sending direction (`EPOLLRDHUP`). A short read proves nothing; read
    /// until EOF.
    pub(super) const RDHUP: Flags = Flags(1 << 2);
    /// A read may stop in front of urgent data (`EPOLLPRI`). A short read proves nothing.
    pub(super) const OOB: Flags = Flags(1 << 3);
    /// The system reported an error that no call has returned yet.
    pub(super) const ERROR: Flags = Flags(1 << 4);
    /// A read returned EOF.
    pub(super) const EOF: Flags = Flags(1 << 5);
    /// The connection is not established yet.
    pub(super) const CONNECTING: Flags = Flags(1 << 6);
    /// A read returned EOF, and the handler is notified once it has seen its unconsumed input.
    pub(super) const EOF_DUE: Flags = Flags(1 << 25);

    // Requests of the handler.

    pub(super) const PAUSED: Flags = Flags(1 << 7);
    pub(super) const READ_WHILE_CONGESTED: Flags = Flags(1 << 8);
    /// The unconsumed input is delivered again although no new bytes arrived.
    pub(super) const REDELIVERY: Flags = Flags(1 << 9);
    /// Redelivery was requested while the handler ran.
    pub(super) const REDELIVERY_FROM_HANDLER: Flags = Flags(1 << 24);
    /// Output is closed: a half-close or a close was requested.
    pub(super) const SHUT_WR_REQUESTED: Flags = Flags(1 << 10);
    /// The sending direction was closed (`SHUT_WR`).
    pub(super) const SHUT_WR_DONE: Flags = Flags(1 << 11);
    /// The close state is not `Open`.
    pub(super) const CLOSING: Flags = Flags(1 << 12);

    // Facts that follow from other fields.

    /// The output rose above high water and has not fallen to low water since.
    pub(super) const CONGESTED: Flags = Flags(1 << 13);
    /// Congested, and the handler did not ask to read while congested.
    pub(super) const READ_STOPPED: Flags = Flags(1 << 14);
    /// The output is not empty.
    pub(super) const HAS_OUTPUT: Flags = Flags(1 << 19);
    /// There is unconsumed input.
    pub(super) const HAS_UNCONSUMED: Flags = Flags(1 << 20);
    /// A send of this turn wrote directly to the transport.
    pub(super) const WROTE_DIRECT: Flags = Flags(1 << 15);

    // Bookkeeping of the loop.

    /// The connection was opened outside of any handler, so no other conversation waits for it.
    pub(super) const UNSOLICITED: Flags = Flags(1 << 27);
    /// Offloaded work of the handler is running.
    pub(super) const OFFLOADED: Flags = Flags(1 << 26);
    /// The id is in the queue, or the turn is not over.
    pub(super) const QUEUED: Flags = Flags(1 << 18);
    /// The socket is registered for write readiness, where that is optional.
    pub(super) const WRITE_INTEREST: Flags = Flags(1 << 21);
    /// Input is not reported: it arrived while the connection was paused.
    pub(super) const INPUT_UNWATCHED: Flags = Flags(1 << 17);
    /// The server shuts down and the handler was not notified yet.
    pub(super) const SHUTDOWN_DUE: Flags = Flags(1 << 16);
    /// A deadline for unconsumed input is in the deadline queue.
    pub(super) const FRAME_DEADLINE_ARMED: Flags = Flags(1 << 22);

    #[inline]
    pub(super) const fn union(self, more: Flags) -> Flags {
        Flags(self.0 | more.0)
    }

    /// Whether at least one of `bits` is set.
    #[inline]
    pub(super) const fn intersects(self, bits: Flags) -> bool {
        self.0 & bits.0 != 0
    }

    /// Whether, of the bits in `among`, exactly `these` are set.
    #[inline]
    pub(super) const fn matches(self, these: Flags, among: Flags) -> bool {
        self.0 & among.0 == these.0
    }

    #[inline]
    pub(super) fn insert(&mut self, bits: Flags) {
        self.0 |= bits.0;
    }

    #[inline]
    pub(super) fn remove(&mut self, bits: Flags) {
        self.0 &= !bits.0;
    }

    #[inline]
    pub(super) fn insert_if(&mut self, bits: Flags, on: bool) {
        self.0 |= if on { bits.0 } else { 0 };
    }

    #[inline]
    pub(super) fn set(&mut self, bits: Flags, on: bool) {
        if on { self.insert(bits) } else { self.remove(bits) }
    }
}

impl std::fmt::Debug for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Flags({:#b})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    mod model;

    #[test]
    fn exactly_looks_at_the_bits_named_and_at_no_others() {
        let mut flags = Flags::READABLE.union(Flags::PAUSED);
        assert!(!flags.matches(Flags::READABLE, Flags::READABLE.union(Flags::PAUSED)));
        assert!(flags.matches(Flags::READABLE, Flags::READABLE.union(Flags::EOF)));
        flags.remove(Flags::PAUSED);
        assert_eq!(flags, Flags::READABLE);
        assert!(!flags.intersects(Flags::PAUSED.union(Flags::EOF)));
    }
}
