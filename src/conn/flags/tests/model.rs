//! The word against a list of booleans.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CASES: u32 = if cfg!(miri) { 8 } else { 512 };

const ALL: [Flags; 23] = [
    Flags::READABLE,
    Flags::WRITABLE,
    Flags::RDHUP,
    Flags::OOB,
    Flags::ERROR,
    Flags::EOF,
    Flags::CONNECTING,
    Flags::PAUSED,
    Flags::READ_WHILE_CONGESTED,
    Flags::REDELIVERY,
    Flags::SHUT_WR_REQUESTED,
    Flags::SHUT_WR_DONE,
    Flags::CLOSING,
    Flags::CONGESTED,
    Flags::READ_STOPPED,
    Flags::HAS_OUTPUT,
    Flags::HAS_UNCONSUMED,
    Flags::WROTE_DIRECT,
    Flags::QUEUED,
    Flags::WRITE_INTEREST,
    Flags::SHUTDOWN_DUE,
    Flags::FRAME_DEADLINE_ARMED,
    Flags::INPUT_UNWATCHED,
];

type Set = [bool; ALL.len()];

/// The word for a set.
fn word(set: Set) -> Flags {
    let none = Flags(0);
    ALL.into_iter().zip(set).filter(|(_, on)| *on).fold(none, |word, (flag, _)| word.union(flag))
}

#[derive(Clone, Debug)]
enum Act {
    Set,
    Clear,
    SetIf(bool),
    Put(bool),
}

fn act() -> impl Strategy<Value = (Act, Set)> {
    let act = prop_oneof![
        Just(Act::Set),
        Just(Act::Clear),
        any::<bool>().prop_map(Act::SetIf),
        any::<bool>().prop_map(Act::Put),
    ];
    (act, any::<Set>())
}

/// What each bit becomes that is named.
fn becomes(act: &Act, was: bool) -> bool {
    match act {
        Act::Set => true,
        Act::Clear => false,
        Act::SetIf(on) => was || *on,
        Act::Put(on) => *on,
    }
}

#[test]
fn each_flag_is_one_bit_of_its_own() {
    for (nth, flag) in ALL.into_iter().enumerate() {
        assert_eq!((flag.0.count_ones(), flag.union(flag)), (1, flag));
        assert!(ALL[..nth].iter().all(|other| !flag.intersects(*other)));
    }
    assert_eq!(format!("{:?}", Flags::WRITABLE), "Flags(0b10)");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn the_word_is_a_list_of_booleans(
        acts in vec(act(), 0..20),
        asked in any::<Set>(),
        among in any::<Set>(),
    ) {
        let mut flags = Flags(0);
        let mut model: Set = [false; ALL.len()];
        for (act, named) in acts {
            match act {
                Act::Set => flags.insert(word(named)),
                Act::Clear => flags.remove(word(named)),
                Act::SetIf(on) => flags.insert_if(word(named), on),
                Act::Put(on) => flags.set(word(named), on),
            }
            for (is, _) in model.iter_mut().zip(named).filter(|(_, named)| *named) {
                *is = becomes(&act, *is);
            }
            prop_assert_eq!(flags, word(model));
            prop_assert_eq!(flags.intersects(word(asked)), model.iter().zip(asked).any(|(is, a)| *is && a));
            let these: Set = std::array::from_fn(|nth| asked[nth] && among[nth]);
            let same = (0..ALL.len()).all(|nth| !among[nth] || model[nth] == these[nth]);
            prop_assert_eq!(flags.matches(word(these), word(among)), same);
            let mine: Set = std::array::from_fn(|nth| model[nth] && among[nth]);
            prop_assert!(flags.matches(word(mine), word(among)));
        }
    }
}
