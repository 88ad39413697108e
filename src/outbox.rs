//! What the connections of one round send, collected in one buffer of the loop.
//!
//! Most answers are small, and leave whole at the end of the round. Those never touch a buffer of
//! their own: while a connection has its turn, what it sends is appended here, and the part that is
//! its own travels with its id to the second half of the round. Only what the system refuses then
//! moves to the [`Output`](crate::output::Output) of the connection.

use crate::id::SocketId;

#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// Whose sends are collected; nobody's while this is the id that nobody has.
    serving: SocketId,
    /// Where the part of the one who is served begins.
    start: usize,
}

/// What one connection sent in its turn, as a place in the outbox.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Part {
    start: usize,
    end: usize,
}

/// A connection whose first half of the round is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) id: SocketId,
    /// What it sent meanwhile.
    pub(crate) part: Part,
}

/// From this size on nothing more is collected in a round. It also bounds what the buffer keeps.
const OUTBOX_LIMIT: usize = 1 << 20;

const NOBODY: SocketId = SocketId::NOBODY;

impl Outbox {
    pub(crate) const fn new() -> Outbox {
        Outbox { bytes: Vec::new(), serving: NOBODY, start: 0 }
    }

    /// The turn of `id` begins. It must have no output of its own waiting.
    #[inline]
    pub(crate) fn begin(&mut self, id: SocketId) {
        if self.bytes.len() < OUTBOX_LIMIT {
            self.serving = id;
            self.start = self.bytes.len();
        }
    }

    #[inline]
    pub(crate) fn is_serving(&self, id: SocketId) -> bool {
        self.serving == id
    }

    /// Takes bytes of the one who is served; says how many that makes in this turn.
    #[inline]
    pub(crate) fn collect(&mut self, bytes: &[u8]) -> usize {
        self.bytes.extend_from_slice(bytes);
        self.bytes.len() - self.start
    }

    /// How many bytes the one who is served has sent in this turn.
    pub(crate) fn collected(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The turn ends: what was collected leaves in the second half of the round.
    #[inline]
    pub(crate) fn end(&mut self) -> Part {
        if self.serving == NOBODY {
            return Part::default();
        }
        self.serving = NOBODY;
        Part { start: self.start, end: self.bytes.len() }
    }

    /// The turn is no plain one any more: gives back what was collected in it.
    pub(crate) fn give_up(&mut self) -> Vec<u8> {
        self.serving = NOBODY;
        self.bytes.split_off(self.start)
    }

    /// Whether nobody has sent anything in this round.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    pub(crate) fn part(&self, part: Part) -> &[u8] {
        self.bytes.get(part.start..part.end).unwrap_or_default()
    }

    /// The round is over.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > 2 * OUTBOX_LIMIT {
            self.bytes = Vec::new();
        }
    }
}

impl Part {
    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub(crate) fn len(self) -> usize {
        self.end - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Token;

    #[test]
    fn each_turn_has_a_part_of_its_own() {
        let (one, two) = (SocketId::from_token(Token(1)), SocketId::from_token(Token(2)));
        let mut outbox = Outbox::new();
        outbox.begin(one);
        assert_eq!(outbox.collect(b"ab"), 2);
        assert_eq!(outbox.collect(b"c"), 3);
        let first = outbox.end();
        outbox.begin(two);
        let second = outbox.end();
        outbox.begin(two);
        outbox.collect(b"given up");
        assert_eq!(outbox.give_up(), b"given up");
        assert!(!outbox.is_serving(two));
        outbox.begin(two);
        outbox.collect(b"d");
        let third = outbox.end();
        assert_eq!(outbox.part(first), b"abc");
        assert!(second.is_empty());
        assert_eq!(outbox.part(third), b"d");
        outbox.clear();
        assert_eq!(outbox.part(first), b"");
    }

    #[test]
    fn a_round_collects_only_up_to_the_limit() {
        let id = SocketId::from_token(Token(1));
        let mut outbox = Outbox::new();
        outbox.begin(id);
        outbox.collect(&vec![0; 3 * OUTBOX_LIMIT]);
        outbox.end();
        outbox.begin(id);
        assert!(!outbox.is_serving(id) && outbox.end().is_empty());
        outbox.clear();
        assert_eq!(outbox.bytes.capacity(), 0);
    }
}
