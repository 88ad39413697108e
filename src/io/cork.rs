//! The cork buffer: what the connections of one round send, collected in one buffer of the loop.
//!
//! Most answers are small and leave whole at the end of the round. They never use a buffer of the
//! connection: during the turn of a connection its sends are copied here, behind those of earlier
//! turns, and are written in the write phase of the round. Only what the kernel does not take then,
//! or what exceeds the capacity, moves to the [`Output`](crate::conn::output::Output) of the
//! connection.

use crate::id::SocketId;

#[derive(Debug)]
pub(crate) struct CorkBuffer {
    /// The whole capacity so far; bytes behind `end` are left over from earlier rounds.
    bytes: Vec<u8>,
    /// Where the span of the present turn begins.
    start: usize,
    /// Where that span ends; equal to `start` between turns.
    end: usize,
    /// The connection whose turn it is; `SocketId::NOBODY` between turns.
    serving: SocketId,
}

/// A connection whose read phase is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CorkedSpan {
    pub(crate) id: SocketId,
    /// How many bytes it sent meanwhile. They lie behind those of the turn before.
    pub(crate) sent: usize,
}

/// Splits `sent`, the bytes of a whole round, into the span of each turn.
#[inline]
pub(crate) fn spans<'a>(
    round: &'a [CorkedSpan],
    sent: &'a [u8],
) -> impl Iterator<Item = (SocketId, &'a [u8])> {
    let mut rest = sent;
    round.iter().map_while(move |turn| {
        let (part, behind) = rest.split_at_checked(turn.sent)?;
        rest = behind;
        Some((turn.id, part))
    })
}

/// The most bytes that are collected in one round.
const CAPACITY: usize = 1 << 20;

/// What is kept when a burst is over.
const QUIET_CAPACITY: usize = 64 << 10;

/// The smallest allocation.
const MIN_CAPACITY: usize = 4 << 10;

const NOBODY: SocketId = SocketId::NOBODY;

impl CorkBuffer {
    pub(super) const fn new() -> CorkBuffer {
        CorkBuffer { bytes: Vec::new(), start: 0, end: 0, serving: NOBODY }
    }

    /// Begins the turn of `id`, whose own output must be empty.
    #[inline]
    pub(crate) fn begin_turn(&mut self, id: SocketId) {
        self.serving = id;
    }

    #[inline]
    pub(super) fn is_corked(&self, id: SocketId) -> bool {
        self.serving == id
    }

    /// Returns a slice for `n` more bytes of the present turn, which count as sent from now on.
    /// `None` when the buffer is too short, or when the turn would have sent more than `most`
    /// bytes. This never grows the buffer, which keeps it small enough to inline;
    /// [`CorkBuffer::grow`] does.
    #[inline]
    pub(super) fn reserve(&mut self, n: usize, most: usize) -> Option<&mut [u8]> {
        if self.corked_len() + n > most {
            return None;
        }
        let begin = self.end;
        let reserved = self.bytes.get_mut(begin..begin + n)?;
        self.end = begin + n;
        Some(reserved)
    }

    /// Grows the buffer by `n` bytes. `false` when it is large enough already, or would exceed the
    /// capacity of one round.
    pub(super) fn grow(&mut self, n: usize) -> bool {
        let end = self.end + n;
        if end <= self.bytes.len() || end > CAPACITY {
            return false;
        }
        self.bytes.resize(end.next_power_of_two().max(MIN_CAPACITY), 0);
        true
    }

    /// Whether it is larger than a quiet loop needs.
    pub(super) fn has_spare(&self) -> bool {
        self.bytes.len() > QUIET_CAPACITY
    }

    /// Gives back what a quiet loop does not need, between rounds.
    pub(super) fn trim(&mut self) {
        if self.has_spare() && self.end == 0 {
            self.bytes = Vec::new();
        }
    }

    /// How many bytes the present turn has sent.
    #[inline]
    pub(super) fn corked_len(&self) -> usize {
        self.end - self.start
    }

    /// Ends the turn; its bytes are written in the write phase of the round. Returns how many they
    /// are.
    #[inline]
    pub(crate) fn end_turn(&mut self) -> usize {
        let sent = self.corked_len();
        self.serving = NOBODY;
        self.start = self.end;
        sent
    }

    /// Ends the turn and returns its bytes, which must leave by the slow path.
    pub(super) fn take_current(&mut self) -> &[u8] {
        self.serving = NOBODY;
        let given_up = self.start..self.end;
        self.end = self.start;
        self.bytes.get(given_up).unwrap_or_default()
    }

    /// Whether no earlier turn of this round has bytes in the buffer.
    pub(super) fn is_empty(&self) -> bool {
        self.start == 0
    }

    /// Takes all bytes out for the write phase, until [`CorkBuffer::restore`].
    #[inline]
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Puts the emptied buffer back at the end of the round.
    #[inline]
    pub(crate) fn restore(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
        self.start = 0;
        self.end = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Token;

    mod model;

    fn collect(cork: &mut CorkBuffer, bytes: &[u8]) {
        cork.grow(bytes.len());
        cork.reserve(bytes.len(), usize::MAX).unwrap().copy_from_slice(bytes);
    }

    #[test]
    fn each_turn_has_its_own_span() {
        let (one, two) = (SocketId::from_token(Token(1)), SocketId::from_token(Token(2)));
        let mut cork = CorkBuffer::new();
        cork.begin_turn(one);
        collect(&mut cork, b"ab");
        collect(&mut cork, b"c");
        assert_eq!(cork.corked_len(), 3);
        assert!(cork.is_empty(), "its own turn is not over");
        let mut round = vec![CorkedSpan { id: one, sent: cork.end_turn() }];
        assert!(!cork.is_empty());
        cork.begin_turn(two);
        round.push(CorkedSpan { id: two, sent: cork.end_turn() });
        cork.begin_turn(two);
        collect(&mut cork, b"given up");
        assert_eq!(cork.take_current(), b"given up");
        assert!(!cork.is_corked(two));
        cork.begin_turn(two);
        collect(&mut cork, b"d");
        round.push(CorkedSpan { id: two, sent: cork.end_turn() });
        let sent = cork.take();
        let parts: Vec<_> = spans(&round, &sent).collect();
        assert_eq!(parts, [(one, &b"abc"[..]), (two, b""), (two, b"d")]);
        assert!(!cork.is_empty(), "it is only bytes");
        cork.restore(sent);
        assert!(cork.is_empty());
    }

    #[test]
    fn a_turn_corks_up_to_high_water() {
        let id = SocketId::from_token(Token(1));
        let mut cork = CorkBuffer::new();
        cork.begin_turn(id);
        assert!(cork.grow(10) && !cork.grow(10));
        assert!(cork.reserve(10, 10).is_some());
        assert!(cork.reserve(1, 10).is_none());
        cork.end_turn();
        cork.begin_turn(id);
        assert!(cork.reserve(10, 10).is_some(), "the next turn counts anew");
    }

    #[test]
    #[cfg_attr(miri, ignore = "too long")]
    fn a_round_corks_up_to_the_capacity() {
        let id = SocketId::from_token(Token(1));
        let mut cork = CorkBuffer::new();
        cork.begin_turn(id);
        assert!(cork.reserve(1, usize::MAX).is_none());
        assert!(cork.grow(CAPACITY - 1));
        assert!(cork.reserve(CAPACITY - 1, usize::MAX).is_some());
        assert!(!cork.grow(2));
        assert!(cork.reserve(2, usize::MAX).is_none());
        cork.end_turn();
        cork.begin_turn(id);
        assert!(cork.reserve(1, usize::MAX).is_some());
        assert!(cork.reserve(1, usize::MAX).is_none());
        cork.end_turn();
        let sent = cork.take();
        cork.restore(sent);
        cork.begin_turn(id);
        assert!(cork.reserve(CAPACITY, usize::MAX).is_some());
        assert_eq!(cork.bytes.capacity(), CAPACITY);
        let mut at_once = CorkBuffer::new();
        at_once.begin_turn(id);
        assert!(!at_once.grow(CAPACITY + 1) && at_once.grow(CAPACITY));
    }
}
