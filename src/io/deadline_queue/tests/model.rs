//! Deadlines against sorted sets.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CASES: u32 = if cfg!(miri) { 4 } else { 256 };

#[derive(Clone, Debug)]
enum Act {
    /// Pushes a deadline so far ahead: some come in order, some do not.
    Push(u64),
    /// Makes entries stale: from the first index on, as many as the second says.
    MakeStale(usize, usize),
    /// Time passes.
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(40).prop_map(Act::Push),
        3 => (0..60_u64).prop_map(Act::Push),
        2 => (any::<usize>(), 1..3_usize).prop_map(|(at, n)| Act::MakeStale(at, n)),
        1 => (any::<usize>(), 1..100_usize).prop_map(|(at, n)| Act::MakeStale(at, n)),
        2 => (0..20_u64).prop_map(Act::Pass),
    ];
    vec(act, 0..if cfg!(miri) { 60 } else { 300 })
}

/// A queue of deadlines, and what it should contain.
struct Checked {
    deadlines: DeadlineQueue<u32>,
    live: BTreeSet<(u64, u32)>,
    stale: BTreeSet<u32>,
    now: u64,
    pushed: u32,
}

impl Checked {
    fn push(&mut self, ahead: u64) {
        self.pushed += 1;
        // The keys do not come in the order of the times.
        let key = self.pushed ^ 5;
        self.deadlines.push(self.now + ahead, key);
        self.live.insert((self.now + ahead, key));
    }

    fn make_stale(&mut self, at: usize, n: usize) -> Result<(), TestCaseError> {
        let start = at % (self.live.len() + 1);
        let made: Vec<_> = self.live.iter().copied().skip(start).take(n).collect();
        for entry in &made {
            self.live.remove(entry);
            self.stale.insert(entry.1);
        }
        let keys: BTreeSet<u32> = self.live.iter().map(|(_, key)| *key).collect();
        self.deadlines.note_stale(made.len(), |key| keys.contains(&key));
        if self.deadlines.len() == self.live.len() {
            self.stale.clear();
        }
        prop_assert!(self.stale.len() <= STALE_ALLOWED + self.deadlines.len() / 2);
        Ok(())
    }

    fn pass(&mut self, time: u64) -> Result<(), TestCaseError> {
        self.now += time;
        while let Some(key) = self.deadlines.pop_due(self.now) {
            if self.stale.remove(&key) {
                self.deadlines.stale_popped();
            } else {
                let first = self.live.pop_first();
                prop_assert!(first.is_some_and(|(at, one)| one == key && at <= self.now));
            }
        }
        prop_assert!(self.live.first().is_none_or(|(at, _)| *at > self.now));
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let deadlines = &self.deadlines;
        prop_assert_eq!(deadlines.len(), self.live.len() + self.stale.len());
        let first = self.live.first().map(|(at, _)| *at);
        if self.stale.is_empty() {
            prop_assert_eq!(deadlines.next(), first);
        } else {
            prop_assert!(deadlines.next() <= first || first.is_none());
        }
        prop_assert_eq!(deadlines.next().is_none(), deadlines.len() == 0);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn deadlines_expire_in_order_and_stale_entries_are_bounded(acts in acts()) {
        let deadlines = DeadlineQueue::new();
        let (live, stale) = (BTreeSet::new(), BTreeSet::new());
        let mut checked = Checked { deadlines, live, stale, now: 0, pushed: 0 };
        for act in acts {
            match act {
                Act::Push(ahead) => checked.push(ahead),
                Act::MakeStale(at, n) => checked.make_stale(at, n)?,
                Act::Pass(time) => checked.pass(time)?,
            }
            checked.check()?;
        }
    }
}
