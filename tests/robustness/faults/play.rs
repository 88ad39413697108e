//! One run of the built command with a fault, its clients, and what became of both.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::clients::Clients;
use super::errnos;
use crate::command::BIN;
use crate::waits::{PATIENCE, within};
use crate::{accounts, command};

/// What a run serves, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Tcp,
    Unix,
    Udp,
    Unixgram,
    /// TCP with a thread for each client.
    Threads,
    /// TCP with a process for each client.
    Processes,
    /// TCP with two loops.
    Loops,
}

pub(crate) const KINDS: [Kind; 7] =
    [Kind::Tcp, Kind::Unix, Kind::Udp, Kind::Unixgram, Kind::Threads, Kind::Processes, Kind::Loops];

/// The name of the socket of a Unix service, in a directory of its own.
pub(crate) const SOCKET: &str = "served.sock";

/// A call that fails.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) call: String,
    pub(crate) errno: &'static str,
    /// Which of the calls of a thread, as strace wants it: `3`, `3+`, `3+3`.
    pub(crate) when: String,
}

impl Fault {
    /// From some call on it never works again.
    pub(crate) fn lasts(&self) -> bool {
        self.when.ends_with('+')
    }

    /// The system says that nothing is there although something is.
    pub(crate) fn lies(&self) -> bool {
        self.errno == "EAGAIN"
    }
}

/// How it went for one client, the worst last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fate {
    /// Every byte came back.
    Served,
    /// Every byte came back, the last of them only after one word more.
    Late,
    /// Its connection broke, or nobody answered; what came until then was right.
    Lost,
    /// Something came back that was not sent.
    Wrong,
}

/// What is known of a run that has ended.
pub(crate) struct Played {
    pub(crate) trace: String,
    /// The pipes that were its standard output and standard error, in the words of strace.
    pub(crate) console: Vec<String>,
    pub(crate) log: String,
    pub(crate) code: Option<i32>,
    /// How it went for each client, in order; the last one is asked until one is served.
    pub(crate) fates: Vec<Fate>,
    pub(crate) received: u64,
    pub(crate) took: Duration,
    /// It did not stop by itself, but at the second signal.
    pub(crate) asked_twice: bool,
    /// It did not stop at all.
    pub(crate) killed: bool,
}

/// Runs `serve echo` under strace, with clients of every kind, and stops it.
pub(crate) fn play(kind: Kind, fault: Option<&Fault>) -> Played {
    let dir = tempfile::tempdir().unwrap();
    let addr = match kind {
        Kind::Unix | Kind::Unixgram => dir.path().join(SOCKET).display().to_string(),
        _ => command::free_addr().to_string(),
    };
    let mut run = Run::start(kind, &addr, dir.path(), fault);
    // Who cannot write cannot say that it listens.
    let mute = fault.is_some_and(|fault| fault.call == "write" || fault.call.starts_with("clone"));
    if run.begins(mute) {
        let mut clients = Clients::new(kind, addr, dir.path(), fault);
        let mut fates = Vec::new();
        let received = clients.play(&mut fates);
        return run.stop(fates, received);
    }
    run.stop(Vec::new(), 0)
}

/// The command under strace.
struct Run {
    child: Child,
    begun: Instant,
    lines: Receiver<String>,
    log: Option<JoinHandle<String>>,
    trace: PathBuf,
    console: Vec<String>,
}

impl Run {
    fn start(kind: Kind, addr: &str, dir: &Path, fault: Option<&Fault>) -> Run {
        let trace = dir.join("trace");
        let mut command = Command::new("strace");
        // With -D the traced program, and not strace, is our child.
        command.args(["-D", "-f", "-yy", "-qq", "-s0", "-e", "signal=none", "-o"]).arg(&trace);
        command.arg("-e").arg(format!("trace={}", errnos::calls()));
        if let Some(Fault { call, errno, when }) = fault {
            command.arg("-e").arg(format!("inject={call}:error={errno}:when={when}"));
        }
        command.args([BIN, "serve", "echo", "--grace", "2s"]);
        let (listener, mode): (_, &[&str]) = match kind {
            Kind::Tcp => ("--tcp", &[]),
            Kind::Unix => ("--unix", &[]),
            Kind::Udp => ("--udp", &[]),
            Kind::Unixgram => ("--unixgram", &[]),
            Kind::Threads => ("--tcp", &["--workers", "threads:4"]),
            Kind::Processes => ("--tcp", &["--workers", "processes:4"]),
            Kind::Loops => ("--tcp", &["--loops", "2"]),
        };
        command.args([listener, addr]).args(mode);
        command.env("RUST_LOG", accounts::LOG);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let console = vec![pipe(&stdout), pipe(&stderr)];
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let log = thread::spawn(move || {
            let mut log = Vec::new();
            let _ = stderr.read_to_end(&mut log);
            String::from_utf8_lossy(&log).into_owned()
        });
        Run { child, begun: Instant::now(), lines, log: Some(log), trace, console }
    }

    /// Whether it serves; that its standard output fails is no reason not to.
    fn begins(&mut self, mute: bool) -> bool {
        let end = Instant::now() + PATIENCE;
        let mut said = Err(RecvTimeoutError::Timeout);
        while said == Err(RecvTimeoutError::Timeout)
            && !(mute && self.waits_for_events())
            && Instant::now() < end
        {
            said = self.lines.recv_timeout(PATIENCE / 6_000);
        }
        if said == Err(RecvTimeoutError::Disconnected) {
            // It has closed its standard output: it ends, if it has not yet.
            within(PATIENCE / 10, || self.child.try_wait().unwrap());
        }
        self.child.try_wait().unwrap().is_none()
    }

    /// Whether its loop runs, as the trace tells.
    fn waits_for_events(&self) -> bool {
        fs::read_to_string(&self.trace).is_ok_and(|trace| trace.contains("epoll_wait("))
    }

    fn stop(mut self, fates: Vec<Fate>, received: u64) -> Played {
        if self.child.try_wait().unwrap().is_none() {
            kill("-TERM", self.child.id());
        }
        let mut status = within(PATIENCE / 10, || self.child.try_wait().unwrap());
        let asked_twice = status.is_none();
        if asked_twice {
            kill("-TERM", self.child.id());
            status = within(PATIENCE / 15, || self.child.try_wait().unwrap());
        }
        let killed = status.is_none();
        if killed {
            self.child.kill().unwrap();
        }
        let status = self.child.wait().unwrap();
        let took = self.begun.elapsed();
        // It ends when strace does, and so does the trace.
        let log = self.log.take().unwrap().join().unwrap();
        let trace = fs::read_to_string(&self.trace).unwrap_or_default();
        let console = std::mem::take(&mut self.console);
        Played {
            trace,
            console,
            log,
            code: status.code(),
            fates,
            received,
            took,
            asked_twice,
            killed,
        }
    }
}

/// A pipe in the words of strace.
fn pipe(end: &impl AsRawFd) -> String {
    let path = fs::read_link(format!("/proc/self/fd/{}", end.as_raw_fd()));
    path.unwrap().to_string_lossy().into_owned()
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kill(signal: &str, pid: u32) {
    let _ = Command::new("kill").args([signal, &pid.to_string()]).status();
}
