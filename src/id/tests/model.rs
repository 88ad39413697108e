//! The slab against a map in which no key is ever used twice.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CASES: u32 = if cfg!(miri) { 8 } else { 256 };

#[derive(Clone, Debug)]
enum Act {
    Insert,
    Remove(usize),
    Change(usize),
    /// Keeps those whose value leaves no such rest when divided by 3.
    Retain(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => Just(Act::Insert),
        4 => any::<usize>().prop_map(Act::Remove),
        2 => any::<usize>().prop_map(Act::Change),
        1 => (0..3_u64).prop_map(Act::Retain),
    ]
}

fn all_are_found(slots: &Slots<u64>, live: &BTreeMap<Key, u64>) {
    let listed: BTreeMap<Key, u64> = slots.iter().map(|(key, value)| (key, *value)).collect();
    assert_eq!((slots.len(), &listed), (live.len(), live));
    for (key, value) in live {
        assert_eq!(slots.get(*key), Some(value));
        assert_eq!(slots.pick(*key, Some), Some(value));
        assert_eq!(slots.pick(*key, |_| None::<&u64>), None);
    }
}

fn none_is_found(slots: &mut Slots<u64>, dead: &[Key]) {
    for key in dead {
        assert_eq!(slots.get(*key), None);
        assert_eq!(slots.get_mut(*key), None);
        assert_eq!(slots.pick(*key, Some), None);
        assert_eq!(slots.pick_mut(*key, Some), None);
        assert_eq!(slots.remove(*key), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn a_key_finds_its_own_value_as_long_as_that_is_there(
        acts in vec(act(), 0..100),
        first in prop_oneof![Just(0), Just(LOW - 3), Just(LOW)],
    ) {
        let mut slots = Slots { slab: Slab::new(), generation: first };
        let mut live: BTreeMap<Key, u64> = BTreeMap::new();
        let mut dead: Vec<Key> = Vec::new();
        for (nth, act) in (0_u64..).zip(acts) {
            let pick = |at: usize| live.keys().copied().nth(at % live.len().max(1));
            match act {
                Act::Insert => {
                    let mut told = None;
                    let key = slots.insert_with(|key| { told = Some(key); nth }).unwrap();
                    prop_assert_eq!(told, Some(key));
                    prop_assert!(!dead.contains(&key), "a name was given twice");
                    prop_assert!(live.insert(key, nth).is_none());
                }
                Act::Remove(at) => if let Some(key) = pick(at) {
                    prop_assert_eq!(slots.remove(key), live.remove(&key));
                    dead.push(key);
                },
                Act::Change(at) => if let Some(key) = pick(at) {
                    *slots.get_mut(key).unwrap() += 3;
                    *slots.pick_mut(key, Some).unwrap() += 3;
                    *live.get_mut(&key).unwrap() += 6;
                    prop_assert_eq!(slots.pick_mut(key, |_| None::<&mut u64>), None);
                },
                Act::Retain(rest) => {
                    slots.retain(|key, value| live[&key] == *value && value % 3 != rest);
                    dead.extend(live.iter().filter(|(_, v)| **v % 3 == rest).map(|(k, _)| *k));
                    live.retain(|_, value| *value % 3 != rest);
                }
            }
            all_are_found(&slots, &live);
            none_is_found(&mut slots, &dead);
        }
    }
}

#[test]
fn ids_are_shown_by_index_and_generation() {
    let key = Key::new(3, 7);
    let (socket, timer) = (SocketId(key), TimerId(key));
    assert_eq!(format!("{socket} {socket:?}"), "socket 3@7 socket 3@7");
    assert_eq!(format!("{timer} {timer:?}"), "timer 3@7 timer 3@7");
    assert_eq!((socket.index(), SocketId::from_token(socket.token())), (3, socket));
}
