//! An example as a server of which one sees the lines, as one does of the command.

#![allow(dead_code, clippy::unwrap_used, reason = "tests may stop, and not all use all of this")]

use std::process::{Command, Stdio};

use crate::command::Server;

/// Starts an example. `None`, and a message, when it was not built: plain `cargo test` does that,
/// and `cargo build --examples`.
pub(crate) fn start(example: &str, words: &[&str]) -> Option<Server> {
    let tests = std::env::current_exe().unwrap();
    let path = tests.ancestors().nth(2)?.join("examples").join(example);
    if !path.exists() {
        println!("skipped: the example {example} was not built");
        return None;
    }
    Some(Server::of(Command::new(path).args(words).stderr(Stdio::inherit())))
}

/// The address in the line `listening ADDR`.
pub(crate) fn addr(server: &mut Server) -> String {
    server.line().strip_prefix("listening ").unwrap().into()
}
