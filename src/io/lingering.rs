//! The lingering connections, oldest first, and never more than a limit.
//!
//! A connection that is removed is not searched for in the FIFO: its entry is dropped when it
//! reaches the front, or when stale entries outnumber the others.

use std::collections::VecDeque;

use crate::id::SocketId;

/// The connections that linger.
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    /// In the order in which they began to linger; some entries are stale.
    fifo: VecDeque<SocketId>,
    /// How many entries are not stale.
    count: usize,
}

/// How many stale entries are tolerated, however few live ones there are.
const STALE_ALLOWED: usize = 64;

impl Lingering {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    #[inline]
    pub(super) fn add(&mut self, id: SocketId) {
        self.fifo.push_back(id);
        self.count += 1;
    }

    /// Notes that one connection was removed; `is_lingering` returns whether another still lingers.
    #[inline]
    pub(super) fn remove(&mut self, is_lingering: impl Fn(SocketId) -> bool) {
        self.count -= 1;
        if self.fifo.len() > STALE_ALLOWED + 2 * self.count {
            self.fifo.retain(|id| is_lingering(*id));
        }
    }

    /// The connection that has lingered for the longest time.
    pub(super) fn oldest(&mut self, is_lingering: impl Fn(SocketId) -> bool) -> Option<SocketId> {
        while let Some(id) = self.fifo.front().copied() {
            if is_lingering(id) {
                return Some(id);
            }
            self.fifo.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;
    use mio::Token;

    fn id(n: usize) -> SocketId {
        SocketId::from_token(Token(n))
    }

    #[test]
    fn the_oldest_live_entry_is_found() {
        let mut lingering = Lingering::default();
        let there = RefCell::new(BTreeSet::new());
        let is_lingering = |id| there.borrow().contains(&id);
        assert_eq!(lingering.oldest(is_lingering), None);
        for n in 0..10 {
            lingering.add(id(n));
            there.borrow_mut().insert(id(n));
        }
        for gone in [0, 1, 5] {
            there.borrow_mut().remove(&id(gone));
            lingering.remove(is_lingering);
        }
        assert_eq!((lingering.oldest(is_lingering), lingering.len()), (Some(id(2)), 7));
        assert_eq!(
            lingering.oldest(is_lingering),
            Some(id(2)),
            "it goes with its connection alone"
        );
    }

    #[test]
    fn stale_entries_behind_a_live_one_are_bounded() {
        let mut lingering = Lingering::default();
        let last = RefCell::new(id(0));
        let is_lingering = |one| one == id(0) || one == *last.borrow();
        lingering.add(id(0));
        for n in 1..100_000 {
            lingering.add(id(n));
            *last.borrow_mut() = id(n);
            // It is removed at once.
            *last.borrow_mut() = id(0);
            lingering.remove(is_lingering);
            assert!(lingering.fifo.len() <= STALE_ALLOWED + 4, "{}", lingering.fifo.len());
        }
        assert_eq!(lingering.oldest(is_lingering), Some(id(0)));
    }
}
