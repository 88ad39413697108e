//! An example as a server of which one sees the lines, as one does of the command.

#![allow(dead_code, clippy::unwrap_used, reason = "tests may stop, and not all use all of this")]

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::command::Server;

/// Where an example is. Plain `cargo test` builds all of them, `cargo test --test` does not.
pub(crate) fn path(example: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.ancestors().nth(2).unwrap().join("examples").join(example);
    assert!(path.is_file(), "{} is not built: cargo build --examples", path.display());
    path
}

/// Starts an example.
pub(crate) fn start(example: &str, words: &[&str]) -> Server {
    Server::of(Command::new(path(example)).args(words).stderr(Stdio::inherit()))
}

/// The address in the line `listening ADDR`.
pub(crate) fn addr(server: &mut Server) -> String {
    server.line().strip_prefix("listening ").unwrap().into()
}
