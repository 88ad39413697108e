//! Every script up to a length: whatever may happen, each act followed by turns or not.
//!
//! What a script leads to is a state, and what follows depends on nothing else; so a script is not
//! played again from a state that a shorter one has reached. `MACHINE_LENGTH` chooses the length:
//!
//! ```text
//! MACHINE_LENGTH=7 cargo test --release --lib every_script -- --nocapture
//! ```

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::acts::{ACTS, Act};
use super::kernel::System;
use super::world::{Habit, Setting, World};

/// One choice of a script: an act, and whether turns follow before the next.
type Choice = (Act, bool);

const SETTINGS: [Setting; 5] = [
    Setting { system: System::Tcp, habit: Habit::TakesAll, connecting: false },
    Setting { system: System::Tcp, habit: Habit::TakesThrees, connecting: true },
    Setting { system: System::Tcp, habit: Habit::Closes, connecting: false },
    Setting { system: System::Unix, habit: Habit::TakesThrees, connecting: false },
    Setting { system: System::Poll, habit: Habit::TakesThrees, connecting: false },
];

/// Plays one choice; the world must be sound after it.
fn play(world: &mut World, (act, settles): Choice) {
    world.act(act);
    if settles {
        world.settle();
        world.check_settled();
    }
    world.check_always();
}

/// As [`play`], but says which script failed.
fn play_of(world: &mut World, script: &[Choice], choice: Choice, setting: Setting) {
    let played = catch_unwind(AssertUnwindSafe(|| play(world, choice)));
    assert!(played.is_ok(), "the script was {script:?} and then {choice:?}, in {setting:?}");
}

/// How many states all scripts of less than `length` reach, and how many choices were played from
/// those.
fn explore(setting: Setting, length: u32) -> (usize, u64) {
    let mut seen = HashSet::new();
    let mut frontier = vec![(World::new(setting), Vec::new())];
    let mut played = 0;
    for left in (0..length).rev() {
        let mut next = Vec::new();
        for (world, script) in frontier {
            for choice in ACTS.into_iter().flat_map(|act| [(act, false), (act, true)]) {
                let mut after = world.clone();
                play_of(&mut after, &script, choice, setting);
                played += 1;
                if left > 0 && after.over.is_none() && seen.insert(after.key()) {
                    let mut script: Vec<Choice> = script.clone();
                    script.push(choice);
                    next.push((after, script));
                }
            }
        }
        frontier = next;
    }
    (seen.len(), played)
}

/// As many as take some seconds without optimization.
const LENGTH: u32 = if cfg!(miri) { 1 } else { 4 };

#[test]
fn every_script_loses_no_edge_no_byte_and_no_end() {
    let length = std::env::var("MACHINE_LENGTH").map_or(LENGTH, |length| length.parse().unwrap());
    let choices = 2 * ACTS.len() as u128;
    for setting in SETTINGS {
        let (states, played) = explore(setting, length);
        println!(
            "{setting:?}: {} scripts of {length} acts pass {states} states; {played} acts played",
            choices.pow(length)
        );
        assert!(length < 3 || states > 100, "the scripts lead nowhere");
    }
}

/// The same without leaving out what was seen, so that it shows if states are not told apart.
#[test]
#[cfg_attr(miri, ignore = "too many")]
fn random_long_scripts_lose_nothing_either() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut draw = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (ACTS[(random >> 8) as usize % ACTS.len()], random.is_multiple_of(2))
    };
    for setting in SETTINGS {
        for _ in 0..1_000 {
            let mut world = World::new(setting);
            let mut script = Vec::new();
            for _ in 0..24 {
                let choice = draw();
                play_of(&mut world, &script, choice, setting);
                script.push(choice);
            }
        }
    }
}
