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

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mio::event::Source;
use mio::unix::pipe;
use mio::{Interest, Registry, Token};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use slab::Slab;

use crate::net::StopToken;

/// The result of [`fork`] in either process.
pub(crate) enum Forked {
    Parent(Child, ReportReader),
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

thread_local! {
    /// The pipes of all children of this process, of whichever server: a child closes the copies that it
    /// has of those of its siblings. One thread has them all, because a process that forks has only one.
    static REPORT_PIPES: RefCell<Slab<pipe::Receiver>> = const { RefCell::new(Slab::new()) };
}

/// The end of the pipe from which a parent reads the report of one child.
#[derive(Debug)]
pub(crate) struct ReportReader {
    key: usize,
}

impl ReportReader {
    fn new(receiver: pipe::Receiver) -> ReportReader {
        ReportReader { key: REPORT_PIPES.with_borrow_mut(|pipes| pipes.insert(receiver)) }
    }

    fn with(&self, act: impl FnOnce(&mut pipe::Receiver) -> io::Result<()>) -> io::Result<()> {
        REPORT_PIPES.with_borrow_mut(|pipes| pipes.get_mut(self.key).map_or(Ok(()), act))
    }
}

impl Drop for ReportReader {
    fn drop(&mut self) {
        // Without the table the thread has ended, and the pipes with it.
        let _ = REPORT_PIPES.try_with(|pipes| pipes.borrow_mut().try_remove(self.key));
    }
}

impl Source for ReportReader {
    fn register(&mut self, registry: &Registry, token: Token, ask: Interest) -> io::Result<()> {
        self.with(|pipe| pipe.register(registry, token, ask))
    }

    fn reregister(&mut self, registry: &Registry, token: Token, ask: Interest) -> io::Result<()> {
        self.with(|pipe| pipe.reregister(registry, token, ask))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.with(|pipe| pipe.deregister(registry))
    }
}

/// Checks that this process has one thread.
///
/// # Errors
/// `Unsupported` while other threads run, or if the system does not report their number; the error of
/// open(2) when there is no descriptor for the question.
pub(crate) fn check_threads() -> io::Result<()> {
    let what = match num_threads::num_threads().map(usize::from) {
        Some(1) => return Ok(()),
        Some(n) => format!(
            "a process for each client needs a program with one thread, and this one \
             has {n}; listen before others are started, or use Workers::threads"
        ),
        None => {
            // `num_threads` does not say why; on Linux it reads this file.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            std::fs::File::open("/proc/self/stat")?;
            "the system does not report the number of threads".into()
        }
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
    let parent = getpid();
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let forked = fork::fork();
    if !matches!(forked, Ok(fork::Fork::Child)) {
        // pthread_sigmask fails only for an invalid argument.
        let _ = mask.thread_set_mask();
    }
    match forked? {
        fork::Fork::Child => {
            end_with(parent);
            drop(receiver);
            close_pipes_of_siblings();
            // The child must not return an error, which its caller would take for the parent's.
            let _ = sender.set_nonblocking(false);
            Ok(Forked::Child(ReportPipe { pipe: sender, mask }))
        }
        fork::Fork::Parent(pid) => {
            let child = Child { pid: Pid::from_raw(pid), reaped: false };
            Ok(Forked::Parent(child, ReportReader::new(receiver)))
        }
    }
}

/// A parent that is killed, or exits without dropping its server, ends its children, as the drop does.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn end_with(parent: Pid) {
    // It fails only for what is no signal.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    if nix::unistd::getppid() != parent {
        signal_hook::low_level::exit(1);
    }
}

/// Other systems have nothing like it in safe code: a child goes on until its handler has ended.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn end_with(_parent: Pid) {}

/// Closes the copies that a child has of the pipes of its siblings.
fn close_pipes_of_siblings() {
    REPORT_PIPES.with_borrow_mut(|pipes| drop(std::mem::take(pipes)));
}

impl ReportPipe {
    /// Restores the signal mask, so that pending signals are delivered. Unless the child `inherits` the
    /// handlers of its parent, the signals that they handle get their default action here, but for
    /// SIGTERM while the parent stops, as `token` says.
    pub(crate) fn restore_signal_mask(&self, inherits: bool, token: Option<Arc<StopToken>>) {
        let mut mask = self.mask;
        if !inherits {
            let signals = handled_signals().filter(|signal| !self.mask.contains(*signal));
            let signals: SigSet = signals.collect();
            mask.extend(&signals);
            apply_default_actions(signals, token);
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

/// Signals without effect in a child. A terminal sends the first three to its whole process group; the
/// parent gets them too, and decides about its children. Of a file that has become too long the write
/// learns by its error, in the child as in a parent that handles the signal.
const WITHOUT_EFFECT: [Signal; 4] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGXFSZ];

/// How long a child waits after SIGTERM for the stop of its parent. Whoever stops a server may send the
/// signal to its whole group (systemd, timeout(1)): then the child finishes what it has, as after a signal
/// to the parent alone. Without a stop the signal was for the child.
const STOP_OF_PARENT: Duration = Duration::from_secs(1);

/// Starts a thread that applies the default action of `signals`, which must be blocked. Without a thread
/// they stay blocked; SIGKILL still ends the process.
fn apply_default_actions(signals: SigSet, token: Option<Arc<StopToken>>) {
    if signals.iter().next().is_none() {
        return;
    }
    let stops = move || token.as_ref().is_some_and(|token| token.wait_requested(STOP_OF_PARENT));
    let act = move || {
        while let Ok(signal) = signals.wait() {
            let is_for_parent = signal == Signal::SIGTERM && stops();
            if !is_for_parent && !WITHOUT_EFFECT.contains(&signal) {
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
    /// A whole report, EOF, an error, or more bytes than are accepted.
    pub(crate) is_complete: bool,
}

impl ChildReport {
    /// Reads until the pipe would block, the report is whole, EOF, or more than `max` bytes in all.
    pub(crate) fn read_from(&mut self, reader: &ReportReader, max: usize) {
        let mut buffer = [0; 16 << 10];
        while !self.is_complete {
            let mut read = Ok(0);
            let _ = reader.with(|pipe| {
                read = pipe.read(&mut buffer);
                Ok(())
            });
            match read {
                Ok(0) => self.is_complete = true,
                Ok(n) => self.append(buffer.get(..n).unwrap_or_default(), max),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.is_complete = true,
            }
        }
    }

    /// Appends a piece; the first eight bytes of a report say how many follow.
    pub(crate) fn append(&mut self, piece: &[u8], max: usize) {
        self.bytes.extend_from_slice(piece);
        let whole = self.length().is_some_and(|length| length <= self.bytes.len() as u64);
        self.is_complete = whole || self.is_longer_than(max);
    }

    /// The length of the whole report, once that much of it was read.
    fn length(&self) -> Option<u64> {
        let after = self.bytes.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*after).saturating_add(8))
    }

    pub(crate) fn is_longer_than(&self, max: usize) -> bool {
        self.bytes.len() > max || self.length().is_some_and(|length| length > max as u64)
    }
}
