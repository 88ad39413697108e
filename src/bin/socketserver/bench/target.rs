//! What a run drives: servers of our own in child processes, or somebody else's server.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use super::crew;
use super::terms::Transport;
use crate::system;

/// How long a server of ours may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it may take to end before it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Targets {
    children: Vec<Child>,
    /// One address for each server.
    pub(crate) addrs: Vec<String>,
    /// Whose CPU time and memory are told.
    pub(crate) pids: Vec<u32>,
    scratch: Option<Scratch>,
}

impl Targets {
    /// A server that is there already.
    pub(crate) fn foreign(transport: Transport, addr: &str, pid: Option<u32>) -> io::Result<Targets> {
        let scratch = if transport == Transport::Unixgram { Some(Scratch::new()?) } else { None };
        let addrs = vec![addr.into()];
        Ok(Targets { children: Vec::new(), addrs, pids: pid.into_iter().collect(), scratch })
    }

    /// So many echo servers of ours, each with these further words on its command line.
    pub(crate) fn own(transport: Transport, n: usize, words: &[String]) -> io::Result<Targets> {
        let scratch = if transport.is_ip() { None } else { Some(Scratch::new()?) };
        let mut targets = Targets { children: Vec::new(), addrs: Vec::new(), pids: Vec::new(), scratch };
        for nth in 0..n {
            let addr = match &targets.scratch {
                Some(scratch) => scratch.path.join(format!("server-{nth}")).into_os_string(),
                None => "127.0.0.1:0".into(),
            };
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["serve", "echo"]).arg(format!("--{}", transport.name())).arg(addr);
            command.args(words).stdin(Stdio::null()).stdout(Stdio::piped());
            system::keep_from_terminal(&mut command);
            targets.children.push(command.spawn()?);
        }
        for child in &mut targets.children {
            targets.pids.push(child.id());
            targets.addrs.push(listening(child, transport)?);
        }
        Ok(targets)
    }

    pub(crate) fn is_own(&self) -> bool {
        !self.children.is_empty()
    }

    /// The processes that end with us.
    pub(crate) fn own_pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.scratch.as_ref().map(|scratch| scratch.path.clone()).unwrap_or_default()
    }
}

/// The address in the line that a server prints once it listens.
fn listening(child: &mut Child, transport: Transport) -> io::Result<String> {
    let stdout = child.stdout.take();
    let (sender, line) = channel();
    thread::Builder::new().name("server".into()).spawn(move || {
        let mut line = String::new();
        if let Some(stdout) = stdout {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        let _ = sender.send(line);
    })?;
    let line = line.recv_timeout(START_TIMEOUT).unwrap_or_default();
    let prefix = format!("listening {} ", transport.name());
    match line.trim_end().strip_prefix(&prefix) {
        Some(addr) => Ok(addr.into()),
        None => Err(io::Error::other("the server to be measured did not start")),
    }
}

/// Servers of ours end as they should, or else at once.
impl Drop for Targets {
    fn drop(&mut self) {
        for child in &self.children {
            system::terminate(child.id());
        }
        let end = Instant::now() + END_TIMEOUT;
        for child in &mut self.children {
            crew::wait(child, end);
        }
    }
}

/// A directory for sockets that nobody else may look into.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> io::Result<Scratch> {
        let pid = std::process::id();
        for nth in 0..100 {
            let path = std::env::temp_dir().join(format!("socketserver-bench-{pid}-{nth}"));
            match create_private(&path) {
                Ok(()) => return Ok(Scratch { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
