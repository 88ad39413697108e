//! Every file of every corpus, run once.

use std::fs;
use std::path::{Path, PathBuf};

use crate::TARGETS;

/// This file is compiled for two packages, which lie in different places.
fn fuzz() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inside = package.join("../../../tests/fuzz");
    if inside.is_dir() { inside } else { package.to_path_buf() }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let stem = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    let mut names: Vec<String> = entries.map(|entry| stem(entry.unwrap().path())).collect();
    names.sort();
    names
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let targets = TARGETS.map(|(name, _)| name);
    assert_eq!(names(&fuzz().join("fuzz_targets")), targets);
    assert_eq!(names(&fuzz().join("corpus")), targets);
}

#[test]
fn nothing_in_the_corpora_shows_a_mistake() {
    for (name, run) in TARGETS {
        let files = fs::read_dir(fuzz().join("corpus").join(name)).unwrap();
        let paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        assert!((1..=200).contains(&paths.len()), "{name} has {} files", paths.len());
        for path in paths {
            // Should it panic, the last line says where.
            println!("{}", path.display());
            run(&fs::read(path).unwrap());
        }
    }
}

/// What no corpus has: nothing, and one byte over and over.
#[test]
fn nothing_fails_of_bytes_without_a_meaning() {
    for (name, run) in TARGETS {
        run(b"");
        for byte in 0..=255 {
            println!("{name} {byte}");
            run(&[byte; 40]);
        }
    }
}
