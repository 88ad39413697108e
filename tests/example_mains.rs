//! What every example does as a program, whatever its protocol: it starts although nobody reads its
//! first line, takes arguments that are no text for what they are, and keeps to what surrounds it.

#![cfg(all(unix, feature = "cli"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop anywhere"
)]

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

mod command;
mod program;
use command::PATIENCE;
use program::path;

/// How each of them is started with an address, and whether it stops in good order at signals.
const SERVERS: &[(&str, &[&str], bool)] = &[
    ("chat", &["ADDR"], false),
    ("chat_cluster", &["ADDR", "127.0.0.1:1"], true),
    ("echo", &["ADDR"], false),
    ("files", &["serve", "DIR", "ADDR"], true),
    ("hello", &["ADDR"], false),
    ("http", &["ADDR"], true),
    ("kv", &["ADDR"], true),
    ("modes", &["ADDR", "threads"], false),
    ("proxy", &["ADDR", "127.0.0.1:1"], false),
    ("socks5", &["ADDR"], true),
    ("websocket", &["ADDR"], true),
];

/// Killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn wait(&mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(2));
        }
        panic!("it does not end");
    }

    /// Waits until it has served a client, which comes behind its first line and its handlers.
    fn serves<S: Read>(&mut self, what: &str, connect: impl Fn() -> io::Result<S>) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(mut stream) = connect() {
                // How it ends is a matter of its protocol.
                let _ = stream.read_to_end(&mut Vec::new());
                return;
            }
            let ended = self.0.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: it ended: {ended:?}");
            assert!(Instant::now() < end, "{what}: it does not listen");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn serves_at(&mut self, path: &Path, what: &str) {
        self.serves(what, || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.shutdown(Shutdown::Write)?;
            Ok(stream)
        });
    }

    fn serves_on(&mut self, addr: &str, what: &str) {
        self.serves(what, || {
            let stream = TcpStream::connect(addr)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.shutdown(Shutdown::Write)?;
            Ok(stream)
        });
    }
}

/// The words that start an example at this address.
fn words(words: &[&str], dir: &Path, addr: &OsStr) -> Vec<std::ffi::OsString> {
    let word = |word: &&str| match *word {
        "ADDR" => addr.to_owned(),
        "DIR" => dir.as_os_str().to_owned(),
        other => other.into(),
    };
    words.iter().map(word).collect()
}

/// A directory, a path in it, and that path as an address.
fn place() -> (tempfile::TempDir, PathBuf, String) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let addr = format!("unix:{}", socket.display());
    (dir, socket, addr)
}

fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

fn closed() -> Stdio {
    OwnedFd::from(UnixStream::pair().unwrap().1).into()
}

/// Every program is in the table.
#[test]
fn no_example_is_left_out() {
    let mut all: Vec<String> = fs::read_dir("examples")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").exists())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_string())
        .collect();
    all.sort();
    let named: Vec<&str> = SERVERS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(all, named);
}

#[test]
fn a_first_line_that_nobody_reads_stops_nothing() {
    for (name, typed, _) in SERVERS {
        for (how, out, err) in [("full", full(), full()), ("closed", closed(), closed())] {
            let dir = tempfile::tempdir().unwrap();
            let addr = command::free_addr().to_string();
            let mut command = Command::new(path(name));
            command.args(words(typed, dir.path(), addr.as_ref())).stdin(Stdio::null());
            let mut child = Running(command.stdout(out).stderr(err).spawn().unwrap());
            child.serves_on(&addr, &format!("{name}, {how}"));
            child.serves_on(&addr, &format!("{name}, {how}"));
        }
    }
}

#[test]
fn arguments_that_are_no_text_are_no_panic_wherever_they_stand() {
    let odd = OsStr::from_bytes(b"\xFF\xFE");
    for (name, typed, _) in SERVERS {
        for nth in 0..=typed.len() {
            for err in [Stdio::piped(), full(), closed()] {
                let (dir, _, addr) = place();
                let mut words = words(typed, dir.path(), addr.as_ref());
                words.truncate(nth);
                words.push(odd.to_owned());
                words.extend(typed.iter().skip(nth + 1).map(Into::into));
                let mut command = Command::new(path(name));
                command.args(&words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(err);
                let mut child = Running(command.spawn().unwrap());
                if *name == "chat" && nth == 1 || takes_more(name, nth, typed.len()) {
                    // One that takes no notice of more words than it needs is served.
                    child.signal("-KILL");
                    continue;
                }
                let code = child.wait();
                assert!(matches!(code, Some(1 | 2)), "{name} {words:?}: {code:?}");
            }
        }
    }
}

/// The smallest look at no more words than they need, and a name is looked up for each client.
fn takes_more(name: &str, nth: usize, len: usize) -> bool {
    let smallest = ["chat", "echo", "hello", "modes", "proxy"].contains(&name);
    smallest && nth == len || ["proxy", "chat_cluster"].contains(&name) && nth > 0
}

/// What is typed is taken byte by byte.
#[test]
fn a_path_that_is_no_text_is_listened_at() {
    for name in ["chat", "echo", "hello"] {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join(OsStr::from_bytes(b"\xFF socket"));
        let addr = [b"unix:", socket.as_os_str().as_bytes()].concat();
        let mut command = Command::new(path(name));
        command.arg(OsStr::from_bytes(&addr)).stdout(Stdio::null());
        let mut child = Running(command.spawn().unwrap());
        child.serves_at(&socket, name);
    }
}

#[test]
fn a_hang_up_stops_it_in_good_order_unless_it_was_ignored() {
    for (name, typed, stops) in SERVERS {
        if !stops {
            continue;
        }
        for ignores in [false, true] {
            let (dir, socket, addr) = place();
            let before = if ignores { "trap '' HUP; " } else { "" };
            let mut command = Command::new("sh");
            command.args(["-c", &format!("{before}exec \"$0\" \"$@\"")]).arg(path(name));
            command.args(words(typed, dir.path(), addr.as_ref())).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = Running(command.spawn().unwrap());
            child.serves_at(&socket, name);
            child.signal("-HUP");
            if ignores && cfg!(target_os = "linux") {
                child.serves_at(&socket, name);
                child.serves_at(&socket, name);
                child.signal("-TERM");
            }
            assert_eq!(child.wait(), Some(0), "{name}");
            assert!(!socket.exists(), "{name} left its path");
        }
    }
}
