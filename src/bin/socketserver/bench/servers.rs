//! What a run drives: servers of our own in child processes, or any other server.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use super::client_processes;
use super::scenario::SocketKind;
use super::thread_usage::{self, Had};
use crate::private_dir::PrivateDir;
use crate::system;

/// How long a server of ours may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it may take to end before it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Targets {
    children: Vec<Child>,
    /// Where they listen.
    pub(crate) addrs: Vec<OsString>,
    /// Whose CPU time and memory are told.
    pub(crate) pids: Vec<u32>,
    scratch: Option<PrivateDir>,
}

impl Targets {
    /// A server that is there already.
    pub(crate) fn foreign(
        transport: SocketKind,
        addr: OsString,
        pid: Option<u32>,
    ) -> io::Result<Targets> {
        let is_unixgram = transport == SocketKind::Unixgram;
        let scratch = if is_unixgram { Some(PrivateDir::new()?) } else { None };
        let addrs = vec![addr];
        Ok(Targets { children: Vec::new(), addrs, pids: pid.into_iter().collect(), scratch })
    }

    /// Echo servers of ours, with their number, their addresses each, and further words on
    /// the command line of each.
    pub(crate) fn own(
        transport: SocketKind,
        n: Servers,
        words: &[String],
        counts_loops: bool,
    ) -> io::Result<Targets> {
        let needs_paths = counts_loops || !transport.is_ip();
        let scratch = if needs_paths { Some(PrivateDir::new()?) } else { None };
        let mut targets =
            Targets { children: Vec::new(), addrs: Vec::new(), pids: Vec::new(), scratch };
        for nth in 0..n.processes {
            let addr = match &targets.scratch {
                Some(scratch) if !transport.is_ip() => {
                    scratch.path().join(format!("s{nth}")).into_os_string()
                }
                _ => "127.0.0.1:0".into(),
            };
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["serve", "echo", "--heed-ignored-signals"]);
            for _ in 0..n.addrs_each {
                command.arg(format!("--{}", transport.name())).arg(&addr);
            }
            if let Some(path) = targets.counters(nth).filter(|_| counts_loops) {
                command.arg("--counters").arg(path);
            }
            command.args(words).stdin(Stdio::null()).stdout(Stdio::piped());
            system::keep_from_terminal(&mut command);
            targets.children.push(command.spawn()?);
        }
        for child in &mut targets.children {
            targets.pids.push(child.id());
            targets.addrs.extend(listening(child, transport, n.addrs_each)?);
        }
        Ok(targets)
    }

    /// The processes that end with us.
    pub(crate) fn own_pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// Ends our servers, as they should or else at once; gives what each of their loops had.
    pub(crate) fn end(&mut self) -> Vec<Had> {
        for child in &self.children {
            system::terminate(child.id());
        }
        let end = Instant::now() + END_TIMEOUT;
        for child in &mut self.children {
            client_processes::wait(child, end);
        }
        let servers = self.children.drain(..).count();
        let written =
            (0..servers).filter_map(|nth| std::fs::read_to_string(self.counters(nth)?).ok());
        written.flat_map(|text| thread_usage::had(&text)).collect()
    }

    /// Where a server writes what its loops had.
    fn counters(&self, nth: usize) -> Option<PathBuf> {
        self.scratch.as_ref().map(|scratch| scratch.path().join(format!("counters-{nth}")))
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.scratch.as_ref().map(|scratch| scratch.path().to_path_buf()).unwrap_or_default()
    }
}

/// How many servers of ours there are, and at how many addresses each of them listens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Servers {
    pub(crate) processes: usize,
    pub(crate) addrs_each: usize,
}

/// The addresses in the lines that a server prints once it listens.
fn listening(child: &mut Child, transport: SocketKind, addrs: usize) -> io::Result<Vec<OsString>> {
    let stdout = child.stdout.take();
    let (sender, lines) = channel();
    thread::Builder::new().name("server".into()).spawn(move || {
        for line in stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).split(b'\n')) {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    })?;
    let end = Instant::now() + START_TIMEOUT;
    let prefix = format!("listening {} ", transport.name());
    let next = |_| {
        let line = lines.recv_timeout(end.saturating_duration_since(Instant::now())).ok()?;
        line.strip_prefix(prefix.as_bytes()).and_then(system::os_text)
    };
    let found: Option<Vec<OsString>> = (0..addrs).map(next).collect();
    found.ok_or_else(|| io::Error::other("the server to be measured did not start"))
}

impl Drop for Targets {
    fn drop(&mut self) {
        self.end();
    }
}
