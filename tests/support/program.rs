//! A running example, and what drives it. Everything is bounded in time and ends with the test.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests stop where a library may not, and no test file uses all of this"
)]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use crate::command::default_signals;
use crate::waits::{PATIENCE, within};

/// An example that is killed when the test ends.
pub(crate) struct Program {
    child: Child,
    pub(crate) addr: String,
}

impl Program {
    /// Starts an example on a free port.
    pub(crate) fn start(example: &str, words: &[&str]) -> Program {
        Program::run(command(example).arg("127.0.0.1:0").args(words))
    }

    /// Starts a server whose first word is that it is `listening tcp ADDR`.
    pub(crate) fn run(command: &mut Command) -> Program {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim_end().strip_prefix("listening tcp ");
        let addr = addr.unwrap_or_else(|| panic!("it said {line:?}")).to_string();
        Program { child, addr }
    }

    pub(crate) fn client(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it ever had, in KiB; `None` where the system does not tell.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// Asks it to end, which it must do in time and with success.
    pub(crate) fn stop(self) {
        self.terminate();
        self.end();
    }

    pub(crate) fn terminate(&self) {
        let kill = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    /// It was asked to end.
    pub(crate) fn end(mut self) {
        let status = wait(&mut self.child);
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo puts an example, seen from a test. Plain `cargo test` builds all of them, `cargo test
/// --test` does not.
pub(crate) fn path(example: &str) -> PathBuf {
    // target/<profile>/deps/<this test>
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let path = profile.join("examples").join(example).with_extension(env::consts::EXE_EXTENSION);
    assert!(path.is_file(), "{} is not built: cargo build --examples", path.display());
    path
}

/// The same, ready to be given its words.
pub(crate) fn command(example: &str) -> Command {
    default_signals();
    Command::new(path(example))
}

/// Its exit status, or `None` when it was killed because it did not end.
fn wait(child: &mut Child) -> Option<std::process::ExitStatus> {
    let status = within(PATIENCE, || child.try_wait().unwrap());
    if status.is_none() {
        let _ = child.kill();
    }
    status
}

/// Runs a client to its end; gives what it wrote, which may be much. What it says on standard error
/// is shown when the test fails.
pub(crate) fn run(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let said = thread::spawn(move || {
        let mut said = Vec::new();
        stderr.read_to_end(&mut said).unwrap();
        said
    });
    let wrote = thread::spawn(move || {
        let mut wrote = Vec::new();
        stdout.read_to_end(&mut wrote).unwrap();
        wrote
    });
    let status = wait(&mut child).unwrap_or_else(|| panic!("{command:?} does not end"));
    let (stdout, stderr) = (wrote.join().unwrap(), said.join().unwrap());
    eprintln!("{}", String::from_utf8_lossy(&stderr));
    Output { status, stdout, stderr }
}

/// A Python that has this package, that of the variable first; says so when there is none, for the test then skips.
pub(crate) fn python_with(package: &str, variable: &str) -> Option<Command> {
    let pythons =
        [env::var(variable).ok(), Some("python3".into()), Some("/usr/bin/python3".into())];
    let knows = |python: &String| {
        let words = ["-c", &format!("import {package}")];
        Command::new(python).args(words).output().is_ok_and(|output| output.status.success())
    };
    let python = pythons.into_iter().flatten().find(knows);
    if python.is_none() {
        println!("skipped: the Python package {package} is not installed");
    }
    python.map(Command::new)
}

/// Whether a program is there, asked with words that make it end at once; says so when it is not,
/// for the test then skips.
pub(crate) fn has(program: &str, words: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let found = command.status().is_ok_and(|status| status.code() != Some(127));
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}
