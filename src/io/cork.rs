//! What the connections of one round send, collected in one buffer of the loop.
//!
//! Most answers are small, and leave whole at the end of the round. Those never touch a buffer of
//! their own: while a connection has its turn, what it sends is copied in here, behind what the
//! turns before it sent, and leaves in the second half of the round. Only what the system refuses
//! then, or what finds no room here, moves to the [`Output`](crate::conn::output::Output) of the
//! connection.

use crate::id::SocketId;

#[derive(Debug)]
pub(crate) struct CorkBuffer {
    /// All the room there is so far; what lies behind `end` is left over from rounds before.
    bytes: Vec<u8>,
    /// Where the part of the one who is served begins: behind everything of the turns before.
    start: usize,
    /// Where that part ends. While nobody is served, the same.
    end: usize,
    /// Whose sends are collected; nobody's while this is the id that nobody has.
    serving: SocketId,
}

/// A connection whose first half of the round is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CorkedSpan {
    pub(crate) id: SocketId,
    /// How many bytes it sent meanwhile. They lie behind those of the turn before.
    pub(crate) sent: usize,
}

/// What each turn of a round sent, of all that was `sent` in it.
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

/// No more is collected in a round.
const CAPACITY: usize = 1 << 20;

/// The least that it grows to.
const MIN_CAPACITY: usize = 4 << 10;

const NOBODY: SocketId = SocketId::NOBODY;

impl CorkBuffer {
    pub(super) const fn new() -> CorkBuffer {
        CorkBuffer { bytes: Vec::new(), start: 0, end: 0, serving: NOBODY }
    }

    /// The turn of `id` begins. It must have no output of its own waiting.
    #[inline]
    pub(crate) fn begin_turn(&mut self, id: SocketId) {
        self.serving = id;
    }

    #[inline]
    pub(super) fn is_corked(&self, id: SocketId) -> bool {
        self.serving == id
    }

    /// Room for `n` more bytes of the one who is served, which count as sent from now on. `None`
    /// when there is none, or when it would then have sent more than `most` in this turn. It does
    /// not grow, so that it needs few registers; that is for [`CorkBuffer::grow`].
    #[inline]
    pub(super) fn reserve(&mut self, n: usize, most: usize) -> Option<&mut [u8]> {
        if self.corked_len() + n > most {
            return None;
        }
        let begin = self.end;
        let room = self.bytes.get_mut(begin..begin + n)?;
        self.end = begin + n;
        Some(room)
    }

    /// Makes room for `n` more bytes, unless there is or that would be too much in one round. Says
    /// whether it did.
    pub(super) fn grow(&mut self, n: usize) -> bool {
        let end = self.end + n;
        if end <= self.bytes.len() || end > CAPACITY {
            return false;
        }
        self.bytes.resize(end.next_power_of_two().max(MIN_CAPACITY), 0);
        true
    }

    /// How many bytes the one who is served has sent in this turn.
    #[inline]
    pub(super) fn corked_len(&self) -> usize {
        self.end - self.start
    }

    /// The turn ends: what was collected leaves in the second half of the round. Says how much
    /// that is.
    #[inline]
    pub(crate) fn end_turn(&mut self) -> usize {
        let sent = self.corked_len();
        self.serving = NOBODY;
        self.start = self.end;
        sent
    }

    /// The turn is no plain one any more: gives back what was collected in it.
    pub(super) fn take_current(&mut self) -> &[u8] {
        self.serving = NOBODY;
        let given_up = self.start..self.end;
        self.end = self.start;
        self.bytes.get(given_up).unwrap_or_default()
    }

    /// Whether no turn of this round that is over has left anything here.
    pub(super) fn is_empty(&self) -> bool {
        self.start == 0
    }

    /// Lends everything for the second half of the round, in which nobody is served; until
    /// [`CorkBuffer::restore`].
    #[inline]
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The round is over.
    #[inline]
    pub(crate) fn restore(&mut self, lent: Vec<u8>) {
        self.bytes = lent;
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
    fn each_turn_has_a_part_of_its_own() {
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
        assert!(!cork.is_empty(), "it is only lent");
        cork.restore(sent);
        assert!(cork.is_empty());
    }

    #[test]
    fn a_turn_collects_only_up_to_its_mark() {
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
    fn a_round_collects_only_up_to_the_limit() {
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
