//! An example as a server of which one sees the lines, as one does of the command.

#![allow(dead_code, clippy::unwrap_used, reason = "tests may stop, and not all use all of this")]

use std::process::{Command, Stdio};

use crate::command::Server;
pub(crate) use crate::program::path;

/// Starts an example.
pub(crate) fn start(example: &str, words: &[&str]) -> Server {
    Server::of(Command::new(path(example)).args(words).stderr(Stdio::inherit()))
}

/// The address in the line `listening ADDR`.
pub(crate) fn addr(server: &mut Server) -> String {
    server.line().strip_prefix("listening ").unwrap().into()
}
