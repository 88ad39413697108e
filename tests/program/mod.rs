//! An example that runs as the program it is, from where cargo built it: beside the tests.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "no test uses all of this")]

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The program of this example.
pub(crate) fn path(example: &str) -> PathBuf {
    // target/<profile>/deps/<this test>
    let this = env::current_exe().unwrap();
    let profile = this.parent().unwrap().parent().unwrap();
    let path = profile.join("examples").join(example).with_extension(env::consts::EXE_EXTENSION);
    assert!(path.exists(), "{} is not built: cargo build --examples", path.display());
    path
}

/// The same, ready to be given its words.
pub(crate) fn command(example: &str) -> Command {
    Command::new(path(example))
}
