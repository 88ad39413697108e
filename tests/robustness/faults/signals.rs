//! A signal at any moment of a start, a run and a stop: each system call is one.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use super::trace;
use crate::command::{BIN, Server, exchange, tcp};
use crate::waits::{PATIENCE, within};

/// Starts a server that gets `signal` at a call, and says how it ended; `None` when it goes on.
fn end_of(words: &[&str], signal: &str, call: &str, nth: usize) -> Option<i32> {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:signal={signal}:when={nth}")]);
    command.args([BIN, "serve", "echo"]).args(words).stderr(Stdio::null());
    let mut server = Server::of(&mut command);
    let status = within(PATIENCE / 10, || server.child.try_wait().unwrap());
    status.and_then(|status| status.code().or(status.signal()))
}

/// The calls of a start, until it waits, each with its number.
fn calls_of_start(words: &[&str]) -> Vec<(String, usize)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-s0", "-o"]).arg(&path);
    command.args([BIN, "serve", "echo"]).args(words).stderr(Stdio::null());
    let mut server = Server::of(&mut command);
    // It has waited for events once it has answered, so the stop is no part of the start.
    exchange(&mut tcp(&server.tcp_addr()), b"hello");
    server.stop();
    let text = std::fs::read_to_string(path).unwrap();
    let calls = trace::read(&text, &[]);
    let first = text.split(' ').next().unwrap_or_default();
    let signals = calls.iter().position(|call| call.name == "epoll_create1").unwrap_or_default();
    assert!(!first.is_empty() && signals > 0, "{text}");
    // Those of one thread: the number of a call is that among the calls of its thread.
    let waits = calls.iter().position(|call| call.name == "epoll_wait").unwrap_or(calls.len());
    let start = calls.into_iter().take(waits + 1).skip(signals);
    start.map(|call| (call.name, call.nth)).collect()
}

pub(crate) fn no_signal_is_lost(all: bool) {
    for words in [&["--tcp", "127.0.0.1:0"][..], &["--tcp", "127.0.0.1:0", "--loops", "2"]] {
        let calls = calls_of_start(words);
        let (mut played, mut clean) = (0, 0);
        for (call, nth) in &calls {
            // Where handlers are set is where one may be missing.
            let sets = call == "rt_sigaction" || call == "socketpair" || call == "sendto";
            for (signal, number) in [("SIGTERM", 15), ("SIGINT", 2)] {
                let some = sets && signal == "SIGTERM" && words.len() == 2;
                if !(all || some) {
                    continue;
                }
                let end = end_of(words, signal, call, *nth);
                // Each thread has calls of its own, so there may be two signals.
                let twice = end == Some(128 + number);
                assert!(
                    end == Some(0) || end == Some(number) || twice,
                    "{signal} at {call} number {nth} of {words:?}: {end:?}"
                );
                played += 1;
                clean += usize::from(end == Some(0));
            }
        }
        println!("{words:?}: {played} signals, each at another call; {clean} stopped it cleanly");
    }
}
