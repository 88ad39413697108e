//! Deadlines and timers against sorted sets.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CASES: u32 = if cfg!(miri) { 4 } else { 256 };

#[derive(Clone, Debug)]
enum Act {
    /// A deadline so long ahead: some come in order, some do not.
    Set(u64),
    /// So many of those that are to come no longer matter.
    Kill(usize, usize),
    /// Time passes.
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(40).prop_map(Act::Set),
        3 => (0..60_u64).prop_map(Act::Set),
        2 => (any::<usize>(), 1..3_usize).prop_map(|(at, n)| Act::Kill(at, n)),
        1 => (any::<usize>(), 1..100_usize).prop_map(|(at, n)| Act::Kill(at, n)),
        2 => (0..20_u64).prop_map(Act::Pass),
    ];
    vec(act, 0..if cfg!(miri) { 60 } else { 300 })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn deadlines_come_up_soonest_first_and_the_dead_are_bounded(acts in acts()) {
        let mut deadlines = DeadlineQueue::new();
        let mut live: BTreeSet<(u64, u32)> = BTreeSet::new();
        let mut dead: BTreeSet<u32> = BTreeSet::new();
        let (mut now, mut named) = (0, 0);
        for act in acts {
            match act {
                Act::Set(after) => {
                    // The names do not come in the order of the times.
                    named += 1;
                    let name = named ^ 5;
                    deadlines.push(now + after, name);
                    live.insert((now + after, name));
                }
                Act::Kill(at, n) => {
                    let start = at % (live.len() + 1);
                    let killed: Vec<_> = live.iter().copied().skip(start).take(n).collect();
                    for one in &killed {
                        live.remove(one);
                        dead.insert(one.1);
                    }
                    let names: BTreeSet<u32> = live.iter().map(|(_, name)| *name).collect();
                    deadlines.forget(killed.len(), |name| names.contains(&name));
                    if deadlines.len() == live.len() {
                        dead.clear();
                    }
                    prop_assert!(dead.len() <= STALE_ALLOWED + deadlines.len() / 2);
                }
                Act::Pass(time) => {
                    now += time;
                    while let Some(name) = deadlines.pop_due(now) {
                        if dead.remove(&name) {
                            deadlines.stale_popped();
                        } else {
                            let first = live.pop_first();
                            prop_assert!(first.is_some_and(|(at, one)| one == name && at <= now));
                        }
                    }
                    prop_assert!(live.first().is_none_or(|(at, _)| *at > now));
                }
            }
            prop_assert_eq!(deadlines.len(), live.len() + dead.len());
            let first = live.first().map(|(at, _)| *at);
            if dead.is_empty() {
                prop_assert_eq!(deadlines.next(), first);
            } else {
                prop_assert!(deadlines.next() <= first || first.is_none());
            }
            prop_assert_eq!(deadlines.next().is_none(), deadlines.len() == 0);
        }
    }

    #[test]
    fn a_timer_comes_up_once_unless_it_was_cancelled(acts in acts()) {
        let mut timers = Timers::new();
        let mut model: BTreeMap<(u64, TimerId), SocketId> = BTreeMap::new();
        let mut gone = Vec::new();
        let mut now = 0;
        for (nth, act) in acts.into_iter().enumerate() {
            match act {
                Act::Set(after) => {
                    let timer = timers.insert(now + after, owner(nth), |_| true).unwrap();
                    prop_assert!(model.insert((now + after, timer), owner(nth)).is_none());
                }
                Act::Kill(at, n) => {
                    let start = at % (model.len() + 1);
                    let killed: Vec<_> = model.keys().copied().skip(start).take(n).collect();
                    for one in killed {
                        model.remove(&one);
                        prop_assert!(timers.cancel(one.1));
                        gone.push(one.1);
                    }
                }
                Act::Pass(time) => {
                    now += time;
                    while let Some(due) = timers.pop_due(now) {
                        if let Some(whose) = timers.fire(due) {
                            let ((at, timer), owner) = model.pop_first().unwrap();
                            prop_assert!(at <= now);
                            prop_assert_eq!((due, whose), (timer, owner));
                            gone.push(due);
                        }
                    }
                    prop_assert!(model.keys().all(|(at, _)| *at > now));
                }
            }
            prop_assert!(gone.iter().all(|timer| !timers.cancel(*timer)));
            prop_assert_eq!(timers.alarms.len(), model.len());
            if let Some((at, _)) = model.keys().next() {
                prop_assert!(timers.next().is_some_and(|next| next <= *at));
            }
        }
    }
}
