//! Child processes of a server: forks them, reads their reports, and reaps each by its pid.
//!
//! fork(2) copies only the calling thread. A lock that another thread held, such as that of the
//! allocator or of a logger, stays locked in the child. So the library forks only while the process
//! has one thread; the number cannot change meanwhile, because only that thread could start another.
//! That makes the fork sound; the crate `fork` makes the system call, which is `unsafe` in Rust.
//!
//! A child must not run the signal handlers of its parent, which may, for example, write into a pipe of
//! the parent. No safe function restores the default disposition. So the child keeps those signals
//! blocked, and a small thread waits for them and applies their default action.
//!
//! waitpid(2) gets the pid of the child and never -1, which could reap a child of other code. The end of a
//! child is an event of the loop: its pipe reaches EOF.

use std::io::{self, Read, Write};
use std::thread;

use mio::unix::pipe;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// The result of [`fork`] in either process.
pub(crate) enum Forked {
    Parent(Child, pipe::Receiver),
    Child(ReportPipe),
}

/// A child process; dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    reaped: bool,
}

/// The end of the pipe to which a child writes its report.
pub(crate) struct ReportPipe {
    pipe: pipe::Sender,
    /// The signal mask before the fork.
    mask: SigSet,
}

/// Checks that this process has one thread.
///
/// # Errors
/// `Unsupported` while other threads run, or if the system does not report their number.
pub(crate) fn check_threads() -> io::Result<()> {
    let what = match num_threads::num_threads().map(usize::from) {
        Some(1) => return Ok(()),
        Some(n) => format!(
            "cannot fork: a process for each client needs a program with one thread, and this one \
             has {n}; listen before others are started, or use Workers::threads"
        ),
        None => "cannot fork: the system does not report the number of threads".into(),
    };
    Err(io::Error::new(io::ErrorKind::Unsupported, what))
}

/// Forks. All signals of the child are blocked until [`ReportPipe::restore_signal_mask`], because the
/// handlers of the parent would run before that.
///
/// # Errors
/// `Unsupported` while other threads run; the error of pipe(2) or fork(2).
pub(crate) fn fork() -> io::Result<Forked> {
    check_threads()?;
    let (sender, receiver) = pipe::new()?;
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let forked = fork::fork();
    if !matches!(forked, Ok(fork::Fork::Child)) {
        // pthread_sigmask fails only for an invalid argument.
        let _ = mask.thread_set_mask();
    }
    match forked? {
        fork::Fork::Child => {
            drop(receiver);
            // The child must not return an error, which its caller would take for the parent's.
            let _ = sender.set_nonblocking(false);
            Ok(Forked::Child(ReportPipe { pipe: sender, mask }))
        }
        fork::Fork::Parent(pid) => {
            Ok(Forked::Parent(Child { pid: Pid::from_raw(pid), reaped: false }, receiver))
        }
    }
}

impl ReportPipe {
    /// Restores the signal mask, so that pending signals are delivered. Unless the child `inherits` the
    /// handlers of its parent, the signals that they handle get their default action here.
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

    /// Writes the report and ends the process like _exit(2): no destructor runs, and no buffer that was
    /// copied from the parent is flushed.
    pub(crate) fn report_and_exit(mut self, report: &[u8], success: bool) -> ! {
        // Without a parent no report is needed.
        let _ = self.pipe.write_all(report);
        signal_hook::low_level::exit(i32::from(!success))
    }
}

/// Signals of a fault: the kernel delivers them to the faulting thread, which must not block them.
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

/// The signals that the program handles.
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

/// Other systems do not report them, so these signals end a child there.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn handled_signals() -> impl Iterator<Item = Signal> {
    [Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM].into_iter()
}

/// The signals that a terminal sends to its whole process group. The parent gets them too, and decides
/// about its children.
const OF_TERMINALS: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT];

/// Starts a thread that applies the default action of `signals`, which must be blocked. Without a thread
/// they stay blocked; SIGKILL still ends the process.
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

/// Applies the default action of `signal`; for most signals that ends the process.
fn apply_default_action(signal: Signal) {
    let number = signal as i32;
    if signal_hook::low_level::emulate_default_handler(number).is_err() {
        // signal-hook does not know it; by signal(7) the default action of all the others is to terminate.
        signal_hook::low_level::exit(128 + number);
    }
}

impl Child {
    /// Sends SIGKILL to the child, unless it was reaped.
    pub(crate) fn kill(&self) {
        if !self.reaped {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }

    /// Reaps the child and returns how it ended; `None` while it runs.
    pub(crate) fn reap(&mut self) -> Option<WaitStatus> {
        match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::EINTR) => None,
            Ok(status) => {
                self.reaped = true;
                Some(status)
            }
            // ECHILD: the program ignores SIGCHLD, so the kernel has reaped the child.
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

/// Describes how a process ended; `None` for exit code 0.
pub(crate) fn describe(status: WaitStatus) -> Option<String> {
    match status {
        WaitStatus::Signaled(_, signal, _) => Some(format!("its process was ended by {signal}")),
        WaitStatus::Exited(_, 0) => None,
        WaitStatus::Exited(_, code) => Some(format!("its process ended with code {code}")),
        _ => Some("its process ended".into()),
    }
}

/// The report of a child, as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct ChildReport {
    pub(crate) bytes: Vec<u8>,
    /// EOF, an error, or more bytes than are accepted.
    pub(crate) is_complete: bool,
}

impl ChildReport {
    /// Reads until the pipe would block, EOF, or more than `max` bytes in all.
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
