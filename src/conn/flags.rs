//! The state of a stream in one word, so that a question about it is one comparison.

/// A set of the bits below.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(super) struct Flags(u32);

impl Flags {
    // What the system said.

    /// A read may find something. Cleared only by what proves the contrary.
    pub(super) const READABLE: Flags = Flags(1);
    /// A write may find room. Cleared only by a refusal.
    pub(super) const WRITABLE: Flags = Flags(1 << 1);
    /// The peer's end was announced: read until it is there, no short read proves anything.
    pub(super) const RDHUP: Flags = Flags(1 << 2);
    /// A read may stop in front of urgent data: no short read proves anything.
    pub(super) const OOB: Flags = Flags(1 << 3);
    /// An error was announced that no call has returned yet.
    pub(super) const ERROR: Flags = Flags(1 << 4);
    /// The peer's end was read.
    pub(super) const EOF: Flags = Flags(1 << 5);
    /// The connection does not stand yet.
    pub(super) const CONNECTING: Flags = Flags(1 << 6);
    /// The peer's end was read, and its handler is to be told once it has seen what it left.
    pub(super) const EOF_DUE: Flags = Flags(1 << 25);

    // What the handler asked for.

    pub(super) const PAUSED: Flags = Flags(1 << 7);
    pub(super) const READ_WHILE_CONGESTED: Flags = Flags(1 << 8);
    /// What is held shall be shown again although nothing new came.
    pub(super) const REDELIVERY: Flags = Flags(1 << 9);
    /// That was asked for while the handler was shown it.
    pub(super) const REDELIVERY_FROM_HANDLER: Flags = Flags(1 << 24);
    /// No more output is taken: it ends, or has ended.
    pub(super) const SHUT_WR_REQUESTED: Flags = Flags(1 << 10);
    /// The end of the output was told to the peer.
    pub(super) const SHUT_WR_DONE: Flags = Flags(1 << 11);
    /// Its ending is not `Open` any more.
    pub(super) const CLOSING: Flags = Flags(1 << 12);

    // What follows from what lies here.

    /// It has been above high water and not yet fallen to low water since.
    pub(super) const CONGESTED: Flags = Flags(1 << 13);
    /// Congested and not full duplex: it is not read.
    pub(super) const READ_STOPPED: Flags = Flags(1 << 14);
    /// There is output that waits.
    pub(super) const HAS_OUTPUT: Flags = Flags(1 << 19);
    /// There is input that the handler left.
    pub(super) const HAS_UNCONSUMED: Flags = Flags(1 << 20);
    /// A send of this turn went straight to the system.
    pub(super) const WROTE_DIRECT: Flags = Flags(1 << 15);

    // What the loop noted.

    /// No conversation has begun it: it owes nobody an answer.
    pub(super) const UNSOLICITED: Flags = Flags(1 << 27);
    /// Work that its handler offloaded is under way.
    pub(super) const OFFLOADED: Flags = Flags(1 << 26);
    /// Its id is in the queue, or its turn is not over.
    pub(super) const QUEUED: Flags = Flags(1 << 18);
    /// The poll reports room for output, where that must be asked for.
    pub(super) const WRITE_INTEREST: Flags = Flags(1 << 21);
    /// The server shuts down and the handler has not been told.
    pub(super) const SHUTDOWN_DUE: Flags = Flags(1 << 16);
    /// A deadline is under way for input that is held, or was.
    pub(super) const FRAME_DEADLINE_ARMED: Flags = Flags(1 << 22);
    /// Input was held for too long, and the socket is looked into once more.
    pub(super) const FRAME_RECHECKED: Flags = Flags(1 << 23);
    /// The idle timeout has expired; one more read decides.
    pub(super) const IDLE_RECHECKED: Flags = Flags(1 << 17);

    #[inline]
    pub(super) const fn union(self, more: Flags) -> Flags {
        Flags(self.0 | more.0)
    }

    /// Whether at least one of `bits` is set.
    #[inline]
    pub(super) const fn intersects(self, bits: Flags) -> bool {
        self.0 & bits.0 != 0
    }

    /// Whether of the bits `among` exactly `these` are set.
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
