//! A deadline queue: a FIFO for deadlines that arrive in order, a heap for the others; cancellation is
//! lazy; the caller passes the time.
//!
//! Most deadlines lie the same time ahead, as those of idle connections do, so each is the latest
//! so far: appending it to a FIFO costs less than inserting it into a heap.
//!
//! Times are nanoseconds since the start of the loop. A deadline that was moved, or whose owner is
//! removed, stays in the queue until it expires or until stale entries outnumber the live ones, so
//! neither costs more than a comparison.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Deadlines with keys of type `K`, earliest first. The queue does not know which of them are
/// stale: the caller checks each that expires.
#[derive(Debug)]
pub(crate) struct DeadlineQueue<K> {
    /// Deadlines that were not earlier than the last one here when they were pushed.
    fifo: VecDeque<(u64, K)>,
    heap: BinaryHeap<Reverse<(u64, K)>>,
    /// How many entries were reported as stale and are still in the queue.
    stale: usize,
}

/// How many stale entries are tolerated, however few live ones there are.
pub(super) const STALE_ALLOWED: usize = 64;

impl<K: Copy + Ord> DeadlineQueue<K> {
    pub(super) const fn new() -> DeadlineQueue<K> {
        DeadlineQueue { fifo: VecDeque::new(), heap: BinaryHeap::new(), stale: 0 }
    }

    #[inline]
    pub(crate) fn push(&mut self, at: u64, key: K) {
        match self.fifo.back() {
            Some(last) if (at, key) < *last => self.heap.push(Reverse((at, key))),
            _ => self.fifo.push_back((at, key)),
        }
    }

    /// The earliest deadline.
    #[inline]
    pub(super) fn next(&self) -> Option<u64> {
        match (self.fifo.front(), self.heap.peek()) {
            (Some((at, _)), None) | (None, Some(Reverse((at, _)))) => Some(*at),
            (Some((at, _)), Some(Reverse((other, _)))) => Some(*at.min(other)),
            (None, None) => None,
        }
    }

    /// The key of the earliest deadline.
    #[inline]
    pub(super) fn next_key(&self) -> Option<K> {
        match (self.fifo.front(), self.heap.peek()) {
            (Some(first), Some(Reverse(other))) => Some(first.min(other).1),
            (Some((_, key)), None) | (None, Some(Reverse((_, key)))) => Some(*key),
            (None, None) => None,
        }
    }

    /// Removes stale deadlines that are the earliest, because they would wake the loop for nothing.
    pub(super) fn drop_stale_front(&mut self, mut live: impl FnMut(K) -> bool) {
        while let Some(key) = self.next_key() {
            if live(key) {
                return;
            }
            self.pop();
            self.stale_popped();
        }
    }

    #[inline]
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        self.pop()
    }

    fn pop(&mut self) -> Option<K> {
        match (self.fifo.front(), self.heap.peek()) {
            (Some(first), Some(Reverse(other))) if other < first => {}
            (Some(_), _) => return self.fifo.pop_front().map(|(_, key)| key),
            (None, _) => {}
        }
        self.heap.pop().map(|Reverse((_, key))| key)
    }

    pub(super) fn len(&self) -> usize {
        self.fifo.len() + self.heap.len()
    }

    /// Notes that `n` entries became stale, and removes all that are not `live` once stale entries
    /// outnumber the others.
    pub(super) fn note_stale(&mut self, n: usize, live: impl Fn(K) -> bool) {
        self.stale += n;
        if self.stale > STALE_ALLOWED + self.len() / 2 {
            self.sweep(live);
        }
    }

    #[inline(never)]
    fn sweep(&mut self, live: impl Fn(K) -> bool) {
        self.fifo.retain(|(_, key)| live(*key));
        self.fifo.shrink_to(2 * self.fifo.len());
        self.heap.retain(|Reverse((_, key))| live(*key));
        self.heap.shrink_to(2 * self.heap.len());
        self.stale = 0;
    }

    /// Notes that an entry that was reported as stale has expired.
    pub(crate) fn stale_popped(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    mod model;

    #[test]
    #[cfg_attr(miri, ignore = "too long")]
    fn stale_deadlines_are_bounded() {
        let mut deadlines = DeadlineQueue::new();
        for n in 0..100_000_u64 {
            deadlines.push(1_000_000 + n, n);
            // All but the newest are stale.
            if n > 0 {
                deadlines.note_stale(1, |key| key == n);
            }
            assert!(deadlines.len() <= 2 * STALE_ALLOWED + 4);
        }
        let mut last = None;
        while let Some(key) = deadlines.pop_due(u64::MAX) {
            last = Some(key);
        }
        assert_eq!(last, Some(99_999));
    }

    #[test]
    fn ordered_deadlines_use_the_fifo_and_others_the_heap() {
        let mut deadlines = DeadlineQueue::new();
        for (at, key) in [(5, 'a'), (5, 'a'), (5, 'b'), (7, 'a')] {
            deadlines.push(at, key);
        }
        assert_eq!((deadlines.fifo.len(), deadlines.heap.len()), (4, 0));
        deadlines.push(6, 'c');
        deadlines.push(7, 'b');
        assert_eq!((deadlines.fifo.len(), deadlines.heap.len()), (5, 1));
    }

    #[test]
    fn stale_entries_are_swept_when_they_outnumber_the_live() {
        let mut deadlines = DeadlineQueue::new();
        for n in 0..1_000 {
            deadlines.push(n, n);
        }
        deadlines.note_stale(STALE_ALLOWED + 500, |_| false);
        assert_eq!(deadlines.len(), 1_000, "not yet");
        deadlines.stale_popped();
        deadlines.note_stale(1, |_| false);
        assert_eq!(deadlines.len(), 1_000, "one came up by itself");
        deadlines.note_stale(1, |_| false);
        assert_eq!((deadlines.len(), deadlines.stale), (0, 0));
        assert_eq!((deadlines.fifo.capacity(), deadlines.heap.capacity()), (0, 0));
    }

    #[test]
    fn stale_entries_in_front_of_the_first_live_one_are_removed() {
        let mut deadlines = DeadlineQueue::new();
        for (at, key) in [(5, 'a'), (9, 'b'), (6, 'c'), (7, 'd'), (10, 'a')] {
            deadlines.push(at, key);
        }
        assert_eq!(deadlines.next_key(), Some('a'));
        deadlines.drop_stale_front(|key| ['b', 'd'].contains(&key));
        assert_eq!(
            (deadlines.next(), deadlines.next_key(), deadlines.len()),
            (Some(7), Some('d'), 3)
        );
        deadlines.drop_stale_front(|_| false);
        assert_eq!((deadlines.next_key(), deadlines.len()), (None, 0));
    }

    #[test]
    fn no_deadline_expires_early() {
        let mut deadlines = DeadlineQueue::new();
        deadlines.push(10, 'a');
        assert_eq!((deadlines.next(), deadlines.pop_due(9)), (Some(10), None));
        assert_eq!((deadlines.pop_due(10), deadlines.next()), (Some('a'), None));
    }
}
