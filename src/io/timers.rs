//! A deadline queue: a FIFO for deadlines that arrive in order, a heap for the others; cancellation is
//! lazy; the caller passes the time.
//!
//! Most deadlines lie the same time ahead, as those of idle connections do, so each is the last so
//! far: appending it to a row costs less than finding its place in a heap.
//!
//! Times are nanoseconds since the start of the loop. A deadline that was put off or whose owner
//! is gone stays in its heap until it comes up or until the dead outnumber the living, so neither
//! costs more than a comparison.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::id::{Slots, SocketId, TimerId};

/// Deadlines of things named by a `K`, soonest first. It does not know which of them still hold:
/// who asks must look.
#[derive(Debug)]
pub(crate) struct DeadlineQueue<K> {
    /// Those that were not due before the last one here when they came.
    row: VecDeque<(u64, K)>,
    heap: BinaryHeap<Reverse<(u64, K)>>,
    /// How many of them no longer matter, as far as was told.
    stale: usize,
}

/// Stale entries that are tolerated however few live ones there are.
const STALE_ALLOWED: usize = 64;

impl<K: Copy + Ord> DeadlineQueue<K> {
    pub(crate) const fn new() -> DeadlineQueue<K> {
        DeadlineQueue { row: VecDeque::new(), heap: BinaryHeap::new(), stale: 0 }
    }

    #[inline]
    pub(crate) fn push(&mut self, at: u64, key: K) {
        match self.row.back() {
            Some(last) if (at, key) < *last => self.heap.push(Reverse((at, key))),
            _ => self.row.push_back((at, key)),
        }
    }

    /// When to look again.
    #[inline]
    pub(crate) fn next(&self) -> Option<u64> {
        match (self.row.front(), self.heap.peek()) {
            (Some((at, _)), None) | (None, Some(Reverse((at, _)))) => Some(*at),
            (Some((at, _)), Some(Reverse((other, _)))) => Some(*at.min(other)),
            (None, None) => None,
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
        match (self.row.front(), self.heap.peek()) {
            (Some(first), Some(Reverse(other))) if other < first => {}
            (Some(_), _) => return self.row.pop_front().map(|(_, key)| key),
            (None, _) => {}
        }
        self.heap.pop().map(|Reverse((_, key))| key)
    }

    fn len(&self) -> usize {
        self.row.len() + self.heap.len()
    }

    /// Notes that `n` entries became stale, and drops all that are not `live` once they are more
    /// than the others.
    pub(crate) fn forget(&mut self, n: usize, live: impl Fn(K) -> bool) {
        self.stale += n;
        if self.stale > STALE_ALLOWED + self.len() / 2 {
            self.sweep(live);
        }
    }

    #[inline(never)]
    fn sweep(&mut self, live: impl Fn(K) -> bool) {
        self.row.retain(|(_, key)| live(*key));
        self.row.shrink_to(2 * self.row.len());
        self.heap.retain(|Reverse((_, key))| live(*key));
        self.heap.shrink_to(2 * self.heap.len());
        self.stale = 0;
    }

    /// Notes that an entry that had been called stale came up by itself.
    pub(crate) fn stale_popped(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }
}

/// The timers that handlers set.
#[derive(Debug)]
pub(crate) struct Timers {
    alarms: Slots<SocketId>,
    deadlines: DeadlineQueue<TimerId>,
    /// How many alarms there may be before those of owners that are gone are swept out.
    sweep_at: usize,
}

/// Alarms that are not worth a sweep.
const SWEEP_FROM: usize = 1_024;

impl Timers {
    pub(crate) const fn new() -> Timers {
        Timers { alarms: Slots::new(), deadlines: DeadlineQueue::new(), sweep_at: SWEEP_FROM }
    }

    /// A new timer of `owner`. `None` when no name is left for it.
    pub(crate) fn insert(
        &mut self,
        at: u64,
        owner: SocketId,
        is_open: impl Fn(SocketId) -> bool,
    ) -> Option<TimerId> {
        if self.alarms.len() >= self.sweep_at {
            self.sweep(is_open);
        }
        let timer = TimerId(self.alarms.insert_with(|_| owner)?);
        self.deadlines.push(at, timer);
        Some(timer)
    }

    /// Whether it was still to come.
    pub(crate) fn cancel(&mut self, timer: TimerId) -> bool {
        let was_set = self.alarms.remove(timer.0).is_some();
        if was_set {
            let alarms = &self.alarms;
            self.deadlines.forget(1, |timer| alarms.get(timer.0).is_some());
        }
        was_set
    }

    #[inline]
    pub(crate) fn next(&self) -> Option<u64> {
        self.deadlines.next()
    }

    /// A timer whose time has come; [`Timers::fire`] says whether it still holds.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<TimerId> {
        self.deadlines.pop_due(now)
    }

    /// Whose timer it is, unless it was cancelled.
    pub(crate) fn owner(&self, timer: TimerId) -> Option<SocketId> {
        self.alarms.get(timer.0).copied()
    }

    /// A timer that came up and was left alone comes up once more.
    pub(crate) fn put_back(&mut self, at: u64, timer: TimerId) {
        if self.alarms.get(timer.0).is_some() {
            self.deadlines.push(at, timer);
        }
    }

    /// Whose timer it is, unless it was cancelled, even by the one that came up just before it.
    pub(crate) fn fire(&mut self, timer: TimerId) -> Option<SocketId> {
        let owner = self.alarms.remove(timer.0);
        if owner.is_none() {
            self.deadlines.stale_popped();
        }
        owner
    }

    /// Drops the alarms of owners that are gone. It is due when there are twice as many alarms as
    /// the last sweep left, so all sweeps together cost a constant for each timer set.
    fn sweep(&mut self, is_open: impl Fn(SocketId) -> bool) {
        let before = self.alarms.len();
        self.alarms.retain(|_, owner| is_open(*owner));
        let alarms = &self.alarms;
        self.deadlines.forget(before - alarms.len(), |timer| alarms.get(timer.0).is_some());
        self.sweep_at = SWEEP_FROM.max(2 * alarms.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Token;

    mod model;

    fn owner(n: usize) -> SocketId {
        SocketId::from_token(Token(n))
    }

    /// Random insertions, cancellations and steps of the clock, against a plain sorted list.
    #[test]
    #[cfg_attr(miri, ignore = "too long")]
    fn timers_come_up_in_order_and_once_whatever_is_done_to_them() {
        let mut timers = Timers::new();
        let mut model: Vec<(u64, TimerId, SocketId)> = Vec::new();
        let mut now = 0;
        let mut random = 1_u64;
        for step in 0..50_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            let roll = random >> 33;
            match roll % 8 {
                0..=3 => {
                    let at = now + roll % 1_000;
                    let timer = timers.insert(at, owner(step), |_| true).unwrap();
                    model.push((at, timer, owner(step)));
                }
                4..=6 if !model.is_empty() => {
                    let (_, timer, _) = model.swap_remove(roll as usize % model.len());
                    assert!(timers.cancel(timer));
                    assert!(!timers.cancel(timer));
                }
                _ => {
                    now += roll % 200;
                    model.sort();
                    while let Some(due) = timers.pop_due(now) {
                        let Some(its_owner) = timers.fire(due) else { continue };
                        let (at, timer, owner) = model.remove(0);
                        assert!(at <= now);
                        assert_eq!((due, its_owner), (timer, owner));
                    }
                    assert!(model.iter().all(|(at, ..)| *at > now));
                }
            }
            assert!(timers.deadlines.len() <= 2 * model.len() + 2 * STALE_ALLOWED + 2);
            assert_eq!(timers.alarms.len(), model.len());
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "too long")]
    fn timers_of_owners_that_are_gone_are_swept_out() {
        let mut timers = Timers::new();
        for n in 0..1_000_000 {
            // Of all owners so far only the last hundred are open.
            let is_open = |id: SocketId| id.token().0 + 100 > n;
            timers.insert(u64::MAX, owner(n), is_open).unwrap();
            assert!(timers.alarms.len() <= SWEEP_FROM);
            assert!(timers.deadlines.len() <= 2 * SWEEP_FROM + 2 * STALE_ALLOWED);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "too long")]
    fn a_deadline_that_was_forgotten_does_not_stay_for_ever() {
        let mut deadlines = DeadlineQueue::new();
        for n in 0..100_000_u64 {
            deadlines.push(1_000_000 + n, n);
            // All but the newest are dead.
            if n > 0 {
                deadlines.forget(1, |key| key == n);
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
    fn what_comes_in_order_lies_in_the_row_and_the_rest_in_the_heap() {
        let mut deadlines = DeadlineQueue::new();
        for (at, key) in [(5, 'a'), (5, 'a'), (5, 'b'), (7, 'a')] {
            deadlines.push(at, key);
        }
        assert_eq!((deadlines.row.len(), deadlines.heap.len()), (4, 0));
        deadlines.push(6, 'c');
        deadlines.push(7, 'b');
        assert_eq!((deadlines.row.len(), deadlines.heap.len()), (5, 1));
    }

    #[test]
    fn the_stale_are_swept_out_when_they_are_more_than_half_and_some() {
        let mut deadlines = DeadlineQueue::new();
        for n in 0..1_000 {
            deadlines.push(n, n);
        }
        deadlines.forget(STALE_ALLOWED + 500, |_| false);
        assert_eq!(deadlines.len(), 1_000, "not yet");
        deadlines.stale_popped();
        deadlines.forget(1, |_| false);
        assert_eq!(deadlines.len(), 1_000, "one came up by itself");
        deadlines.forget(1, |_| false);
        assert_eq!((deadlines.len(), deadlines.stale), (0, 0));
        assert_eq!((deadlines.row.capacity(), deadlines.heap.capacity()), (0, 0));
    }

    #[test]
    fn few_alarms_are_not_worth_a_sweep() {
        let mut timers = Timers::new();
        assert_eq!(timers.next(), None);
        for n in 0..SWEEP_FROM {
            timers.insert(10 + n as u64, owner(n), |_| panic!("a sweep")).unwrap();
        }
        assert_eq!(timers.next(), Some(10));
        timers.insert(5, owner(0), |_| true).unwrap();
        assert_eq!((timers.next(), timers.sweep_at), (Some(5), 2 * SWEEP_FROM));

        let mut timers = Timers::new();
        for n in 0..=SWEEP_FROM {
            timers.insert(u64::MAX, owner(n), |id| id.token().0 < SWEEP_FROM / 2).unwrap();
        }
        assert_eq!(timers.alarms.len(), SWEEP_FROM / 2 + 1);
        assert_eq!(timers.deadlines.len(), SWEEP_FROM + 1, "half of them are not too many");
    }

    #[test]
    fn nothing_comes_up_before_its_time() {
        let mut deadlines = DeadlineQueue::new();
        deadlines.push(10, 'a');
        assert_eq!((deadlines.next(), deadlines.pop_due(9)), (Some(10), None));
        assert_eq!((deadlines.pop_due(10), deadlines.next()), (Some('a'), None));
    }
}
