//! Timers against a sorted map.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CASES: u32 = if cfg!(miri) { 4 } else { 256 };

#[derive(Clone, Debug)]
enum Act {
    /// Sets a timer so far ahead: some come in order, some do not.
    Set(u64),
    /// Cancels timers: from the first index on, as many as the second says.
    Cancel(usize, usize),
    /// Time passes.
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(40).prop_map(Act::Set),
        3 => (0..60_u64).prop_map(Act::Set),
        2 => (any::<usize>(), 1..3_usize).prop_map(|(at, n)| Act::Cancel(at, n)),
        1 => (any::<usize>(), 1..100_usize).prop_map(|(at, n)| Act::Cancel(at, n)),
        2 => (0..20_u64).prop_map(Act::Pass),
    ];
    vec(act, 0..if cfg!(miri) { 60 } else { 300 })
}

/// The timers, and what they should be.
struct Checked {
    timers: Timers,
    set: BTreeMap<(u64, TimerId), SocketId>,
    /// Those that have fired or were cancelled.
    over: Vec<TimerId>,
    now: u64,
}

impl Checked {
    fn set(&mut self, ahead: u64, owner: SocketId) -> Result<(), TestCaseError> {
        let at = self.now + ahead;
        let timer = self.timers.insert(at, owner, |_| true).unwrap();
        prop_assert!(self.set.insert((at, timer), owner).is_none());
        Ok(())
    }

    fn cancel(&mut self, at: usize, n: usize) -> Result<(), TestCaseError> {
        let start = at % (self.set.len() + 1);
        let cancelled: Vec<_> = self.set.keys().copied().skip(start).take(n).collect();
        for key in cancelled {
            self.set.remove(&key);
            prop_assert!(self.timers.cancel(key.1));
            self.over.push(key.1);
        }
        Ok(())
    }

    fn pass(&mut self, time: u64) -> Result<(), TestCaseError> {
        self.now += time;
        while let Some(due) = self.timers.pop_due(self.now) {
            if let Some(fired) = self.timers.fire(due) {
                let ((at, timer), owner) = self.set.pop_first().unwrap();
                prop_assert!(at <= self.now);
                prop_assert_eq!((due, fired), (timer, owner));
                self.over.push(due);
            }
        }
        prop_assert!(self.set.keys().all(|(at, _)| *at > self.now));
        Ok(())
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let timers = &mut self.timers;
        prop_assert!(self.over.iter().all(|timer| !timers.cancel(*timer)));
        prop_assert_eq!(timers.owners.len(), self.set.len());
        let most = 2 * self.set.len() + 2 * STALE_ALLOWED + 2;
        prop_assert!(timers.deadlines.len() <= most);
        if let Some((at, _)) = self.set.keys().next() {
            prop_assert!(timers.next().is_some_and(|next| next <= *at));
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn a_timer_fires_once_unless_it_was_cancelled(acts in acts()) {
        let (timers, set) = (Timers::new(), BTreeMap::new());
        let mut checked = Checked { timers, set, over: Vec::new(), now: 0 };
        for (nth, act) in acts.into_iter().enumerate() {
            match act {
                Act::Set(ahead) => checked.set(ahead, owner(nth))?,
                Act::Cancel(at, n) => checked.cancel(at, n)?,
                Act::Pass(time) => checked.pass(time)?,
            }
            checked.check()?;
        }
    }
}
