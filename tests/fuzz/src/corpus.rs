//! Every seed, run once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::TARGETS;

/// This file is compiled for two packages, which lie in different places.
fn fuzz() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inside = package.join("../../../tests/fuzz");
    if inside.is_dir() { inside } else { package.to_path_buf() }
}

#[test]
fn every_target_has_a_program() {
    let entries = fs::read_dir(fuzz().join("fuzz_targets")).unwrap();
    let stem = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    let programs: BTreeSet<String> = entries.map(|entry| stem(entry.unwrap().path())).collect();
    assert_eq!(programs, TARGETS.iter().map(|target| target.name.to_string()).collect());
}

/// So few that a person reads them, and under names that are those of files.
#[test]
fn every_target_has_some_seeds_of_different_names() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!((8..=16).contains(&seeds.len()), "{} has {} seeds", target.name, seeds.len());
        let names: BTreeSet<&str> = seeds.iter().map(|(name, _)| *name).collect();
        let inputs: BTreeSet<&[u8]> = seeds.iter().map(|(_, bytes)| &bytes[..]).collect();
        assert_eq!((names.len(), inputs.len()), (seeds.len(), seeds.len()), "{}", target.name);
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(names.iter().all(|name| name.chars().all(is_plain)), "{names:?}");
    }
}

#[test]
fn no_seed_shows_a_mistake() {
    for target in TARGETS {
        for (name, bytes) in (target.seeds)() {
            // Should it panic, the last line says where.
            println!("{} {name}", target.name);
            (target.run)(&bytes);
        }
    }
}

/// What no seed has: nothing, and one byte over and over.
#[test]
fn nothing_fails_of_bytes_without_a_meaning() {
    for target in TARGETS {
        (target.run)(b"");
        for byte in 0..=255 {
            println!("{} {byte}", target.name);
            (target.run)(&[byte; 40]);
        }
    }
}
