//! The command, and what drives it. Everything is bounded in time and ends with the test.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "tests stop where a library may not, and no test file uses all of this"
)]

use std::ffi::OsStr;
use std::io::Read;
use std::process::{Command, Stdio};

mod process;
pub(crate) use process::*;

pub(crate) const BIN: &str = env!("CARGO_BIN_EXE_socketserver");

/// The built command, without words.
pub(crate) fn bin() -> Command {
    default_signals();
    Command::new(BIN)
}

impl Server {
    /// Starts `serve` with these words, and no more.
    pub(crate) fn start<S: AsRef<OsStr>>(words: &[S]) -> Server {
        Server::of(bin().arg("serve").args(words).stderr(Stdio::null()))
    }

    /// Starts `serve WORDS` in a shell that prepares `before`.
    pub(crate) fn start_in_shell(before: &str, words: &[&str]) -> Server {
        let script = format!("{before}; exec \"$0\" serve \"$@\"");
        let mut command = Command::new("sh");
        Server::of(command.args(["-c", &script, BIN]).args(words).stderr(Stdio::piped()))
    }
}

/// Runs the command to its end; gives its exit code and what it said.
pub(crate) fn run<S: AsRef<OsStr>>(words: &[S]) -> (i32, String, String) {
    let child = bin()
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let status = wait(&mut child);
    let (mut out, mut err) = (String::new(), Vec::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut err).unwrap();
    (status.code().unwrap_or(-1), out, String::from_utf8_lossy(&err).into_owned())
}
