//! Child processes of a server: forked, watched through a pipe, and reaped one by one.
//!
//! `fork` copies the calling thread alone. Whatever other threads held at that moment, the lock of
//! the allocator or of a log, is held in the child for ever. So a child is made only while the
//! process has no other thread, which then cannot change: nobody else is there to start one. That
//! makes the fork sound; the crate `fork` has the one system call that Rust calls unsafe.
//!
//! A signal that the program handles is not for its children, whose copies of the handlers would do
//! what the parent does: write into the pipe that it watches, say. Nothing safe puts a handler back
//! to the default; so a child leaves such signals blocked, and a small thread takes them and does
//! what they do by default.
//!
//! A child is waited for by its own number and never as "any child", which might be somebody
//! else's. Its end is an event: the pipe through which it reports is closed with it.

use std::io::{self, Read, Write};
use std::thread;

use mio::unix::pipe;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// On which side of the fork we are.
pub(crate) enum Forked {
    Parent(Child, pipe::Receiver),
    Child(ReportPipe),
}

/// A child of ours that was not waited for yet.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    reaped: bool,
}

/// Where a child tells what came of its work.
pub(crate) struct ReportPipe {
    pipe: pipe::Sender,
    /// What was blocked before the fork.
    mask: SigSet,
}

/// # Errors
/// `Unsupported` while other threads run.
pub(crate) fn check_threads() -> io::Result<()> {
    let what = match num_threads::num_threads().map(usize::from) {
        Some(1) => return Ok(()),
        Some(n) => format!(
            "a process for each client needs a program with one thread, and this one has {n}: a \
             fork copies only one of them; serve before others are started, or use threads"
        ),
        None => {
            "the system does not tell how many threads this program has, so it cannot be forked"
                .into()
        }
    };
    Err(io::Error::new(io::ErrorKind::Unsupported, what))
}

/// The child's signals wait until [`ReportPipe::restore_signal_mask`]: before that its handlers are those
/// of the parent, and would do what the parent does with a signal.
///
/// # Errors
/// While other threads run, and when the system has no room for another process.
pub(crate) fn fork() -> io::Result<Forked> {
    check_threads()?;
    let (sender, receiver) = pipe::new()?;
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let forked = fork::fork();
    if !matches!(forked, Ok(fork::Fork::Child)) {
        // It fails only where the system does not know the call.
        let _ = mask.thread_set_mask();
    }
    match forked? {
        fork::Fork::Child => {
            drop(receiver);
            // Nothing may go wrong here, where an error would be the parent's.
            let _ = sender.set_nonblocking(false);
            Ok(Forked::Child(ReportPipe { pipe: sender, mask }))
        }
        fork::Fork::Parent(pid) => {
            Ok(Forked::Parent(Child { pid: Pid::from_raw(pid), reaped: false }, receiver))
        }
    }
}

impl ReportPipe {
    /// From now on signals arrive, those first that came meanwhile. Unless the child `inherits` the
    /// handlers of its parent, what they handle has its default action here.
    pub(crate) fn restore_signal_mask(&self, inherits: bool) {
        let mut mask = self.mask;
        if !inherits {
            let signals = handled_signals().filter(|signal| !self.mask.contains(*signal));
            let signals: SigSet = signals.collect();
            mask.extend(&signals);
            apply_default_actions(signals);
        }
        let _ = mask.thread_set_mask();
    }

    /// Says what came of it and ends this process at once: nothing of what it has a copy of is
    /// cleaned up or written here.
    pub(crate) fn report_and_exit(mut self, report: &[u8], success: bool) -> ! {
        // A parent that is gone is told nothing.
        let _ = self.pipe.write_all(report);
        signal_hook::low_level::exit(i32::from(!success))
    }
}

/// A fault comes to the instruction that has made it, and cannot wait for a thread.
#[cfg(any(target_os = "linux", target_os = "android"))]
const FAULTS: [Signal; 7] = [
    Signal::SIGABRT,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGSEGV,
    Signal::SIGSYS,
    Signal::SIGTRAP,
];

/// Those for which the program has handlers of its own.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn handled_signals() -> impl Iterator<Item = Signal> {
    // proc(5): one bit for each signal, in hexadecimal digits, the first signal last.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let digits = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    let caught = caught.unwrap_or_default();
    Signal::iterator()
        .filter(move |signal| caught >> (*signal as i32 - 1) & 1 == 1 && !FAULTS.contains(signal))
}

/// Other systems do not say it; there those that end a program by default do so here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn handled_signals() -> impl Iterator<Item = Signal> {
    [Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM].into_iter()
}

/// What a terminal sends to all its processes at once. The parent handles it, so it decides what
/// becomes of its children.
const OF_TERMINALS: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT];

/// Has a thread do with `signals`, which must be blocked, what they do by default. Where none can be
/// had they stay blocked; nothing blocks SIGKILL.
fn apply_default_actions(signals: SigSet) {
    if signals.iter().next().is_none() {
        return;
    }
    let act = move || {
        while let Ok(signal) = signals.wait() {
            if !OF_TERMINALS.contains(&signal) {
                apply_default_action(signal);
            }
        }
    };
    let _ = thread::Builder::new().name("signals".into()).stack_size(SMALL_STACK).spawn(act);
}

const SMALL_STACK: usize = 64 << 10;

/// For most of them that ends this process, by that signal.
fn apply_default_action(signal: Signal) {
    let number = signal as i32;
    if signal_hook::low_level::emulate_default_handler(number).is_err() {
        // One that is not known there; POSIX and signal(7) have all the others end a process.
        signal_hook::low_level::exit(128 + number);
    }
}

impl Child {
    /// Ends the child now; nothing can hold that off.
    pub(crate) fn kill(&self) {
        if !self.reaped {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }

    /// How the child ended, if it has; `None` while it runs.
    pub(crate) fn reap(&mut self) -> Option<WaitStatus> {
        match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::EINTR) => None,
            Ok(status) => {
                self.reaped = true;
                Some(status)
            }
            // The program ignores its children, so the system has waited for this one.
            Err(_) => {
                self.reaped = true;
                Some(WaitStatus::Exited(self.pid, 0))
            }
        }
    }
}

/// Dropping a running child kills it with SIGKILL and reaps it. SIGKILL cannot be blocked, so the wait is
/// short.
impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped && self.reap().is_none() {
            self.kill();
            while let Err(nix::errno::Errno::EINTR) = waitpid(self.pid, None) {}
        }
    }
}

/// What an end was, if it was none of the child's own choice.
pub(crate) fn describe(status: WaitStatus) -> Option<String> {
    match status {
        WaitStatus::Signaled(_, signal, _) => Some(format!("its process was ended by {signal}")),
        WaitStatus::Exited(_, 0) => None,
        WaitStatus::Exited(_, code) => Some(format!("its process ended with code {code}")),
        _ => Some("its process ended".into()),
    }
}

/// What a child has reported so far.
#[derive(Debug, Default)]
pub(crate) struct ChildReport {
    pub(crate) bytes: Vec<u8>,
    /// Nothing more will come.
    pub(crate) is_complete: bool,
}

impl ChildReport {
    /// Takes what there is, but never more than `max` bytes in all.
    pub(crate) fn read_from(&mut self, receiver: &mut pipe::Receiver, max: usize) {
        let mut buffer = [0; 16 << 10];
        while !self.is_complete {
            match receiver.read(&mut buffer) {
                Ok(0) => self.is_complete = true,
                Ok(n) => {
                    self.bytes.extend_from_slice(buffer.get(..n).unwrap_or_default());
                    self.is_complete = self.bytes.len() > max;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.is_complete = true,
            }
        }
    }
}
