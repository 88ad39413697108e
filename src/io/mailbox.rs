//! A channel that wakes the poll.
//!
//! Other threads push commands; the loop drains them once a turn. The loop is woken once a batch,
//! and a command that does not fit is an error at once.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mio::Waker;

use crate::foreign::{self, ForeignCode};
use crate::stats::ShutdownReport;

/// Commands of type `C` for one loop, and its request to stop.
pub(crate) struct Mailbox<C> {
    waker: Waker,
    /// The mailbox is not empty, and the loop has been woken for that.
    pending: AtomicBool,
    state: Mutex<MailboxState<C>>,
    run_ended: Condvar,
    limit: usize,
}

struct MailboxState<C> {
    commands: Vec<C>,
    stop: Option<Duration>,
    run: RunState,
    /// How many threads wait for the end of the run.
    waiting: usize,
    /// The server was dropped.
    closed: bool,
}

/// What the other loops of a group may ask of a loop, whatever its commands are.
pub(crate) trait LoopControl: Send + Sync {
    /// Wakes the loop.
    fn wake(&self);
    /// Stops the present run, or the first one.
    fn stop(&self, grace: Duration);
}

impl<C: Send> LoopControl for Mailbox<C> {
    fn wake(&self) {
        // It fails only when the poll is broken, which ends that loop anyway.
        let _ = self.update_and_wake(|_| Ok(()));
    }

    fn stop(&self, grace: Duration) {
        self.post_stop(grace);
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RunState {
    /// No run has begun: a request to stop waits for the first.
    NotYet,
    Running,
    /// The last run has ended: there is nothing to stop.
    Ended(ShutdownReport),
}

impl<C> Mailbox<C> {
    pub(crate) fn new(waker: Waker, limit: usize) -> Mailbox<C> {
        let (commands, run) = (Vec::new(), RunState::NotYet);
        let state = MailboxState { commands, stop: None, run, waiting: 0, closed: false };
        Mailbox {
            waker,
            pending: AtomicBool::new(false),
            state: Mutex::new(state),
            run_ended: Condvar::new(),
            limit,
        }
    }

    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when
    /// [`Options::post_queue`](crate::Options::post_queue) commands wait,
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the server was dropped.
    pub(crate) fn post(&self, command: C) -> io::Result<()> {
        let limit = self.limit;
        // A command that is refused is dropped without the lock: its `Drop` may use the mailbox.
        let mut command = Some(command);
        self.update_and_wake(|state| {
            if state.commands.len() >= limit {
                let what = "too many posted calls are waiting (Options::post_queue)";
                return Err(io::Error::new(io::ErrorKind::WouldBlock, what));
            }
            state.commands.extend(command.take());
            Ok(())
        })
    }

    /// Pushes a command without a limit, for commands that are bounded elsewhere: the results of
    /// offloaded work.
    pub(crate) fn post_unbounded(&self, command: C) {
        // When the server was dropped, the result is not needed.
        let _ = self.update_and_wake(|state| {
            state.commands.push(command);
            Ok(())
        });
    }

    /// Requests a stop. `false` when there is no run to stop, nor a first one to come.
    pub(crate) fn post_stop(&self, grace: Duration) -> bool {
        let mut stops = false;
        // A dropped server has stopped.
        let _ = self.update_and_wake(|state| {
            stops = !matches!(state.run, RunState::Ended(_));
            if stops {
                state.stop = Some(state.stop.map_or(grace, |before| before.min(grace)));
            }
            Ok(())
        });
        stops
    }

    fn update_and_wake(
        &self,
        change: impl FnOnce(&mut MailboxState<C>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the server was dropped"));
        }
        change(&mut state)?;
        drop(state);
        if self.pending.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // The next one that posts tries again; otherwise the loop would never be woken any more.
        self.waker.wake().inspect_err(|_| self.pending.store(false, Ordering::Release))
    }

    /// Whether [`Mailbox::drain`] would return something. Costs one load.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// Takes everything out: the commands (into `commands`, which must be empty) and the request to
    /// stop.
    pub(crate) fn drain(&self, commands: &mut Vec<C>) -> Option<Duration> {
        debug_assert!(commands.is_empty());
        // Cleared before the commands are taken: one that is pushed after this must wake the loop again.
        self.pending.store(false, Ordering::Release);
        let mut state = self.lock();
        std::mem::swap(&mut state.commands, commands);
        state.stop.take()
    }

    pub(crate) fn begin_run(&self) {
        self.lock().run = RunState::Running;
    }

    pub(crate) fn end_run(&self, report: ShutdownReport) {
        let mut state = self.lock();
        state.run = RunState::Ended(report);
        state.stop = None;
        drop(state);
        self.run_ended.notify_all();
    }

    /// Waits for the end of the present run, or of the first one. `None` after `timeout`, or when
    /// the server was dropped.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<ShutdownReport> {
        let mut state = self.lock();
        state.waiting += 1;
        let has_run =
            |state: &MailboxState<C>| state.closed || matches!(state.run, RunState::Ended(_));
        let waited = self.run_ended.wait_timeout_while(state, timeout, |state| !has_run(state));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        match state.run {
            RunState::Ended(report) => Some(report),
            RunState::NotYet | RunState::Running => None,
        }
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let dropped = std::mem::take(&mut state.commands);
        drop(state);
        self.run_ended.notify_all();
        foreign::discard_all(ForeignCode::PostedCall, dropped);
    }

    /// No code panics while it holds the lock, so a poisoned lock is used as any other.
    fn lock(&self) -> MutexGuard<'_, MailboxState<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> fmt::Debug for Mailbox<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("waiting", &self.lock().commands.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, mpsc};
    use std::thread;

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(3_600);
    const PATIENCE: Duration = Duration::from_secs(30);

    fn mailbox() -> (mio::Poll, Arc<Mailbox<()>>) {
        let poll = mio::Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), mio::Token(0)).unwrap();
        (poll, Arc::new(Mailbox::new(waker, 10)))
    }

    /// What a thread that waits for the end of the run gets when `end` is called.
    fn wait_result(end: impl FnOnce(&Mailbox<()>)) -> Option<ShutdownReport> {
        let (_poll, mailbox) = mailbox();
        mailbox.begin_run();
        let (sender, answer) = mpsc::channel();
        let waits = Arc::clone(&mailbox);
        thread::spawn(move || sender.send(waits.wait(LONG)));
        // The waiting thread has released the lock under which it set the counter, so it sleeps.
        while mailbox.lock().waiting == 0 {
            thread::yield_now();
        }
        end(&mailbox);
        answer.recv_timeout(PATIENCE).expect("it waits on, and nobody wakes it")
    }

    #[test]
    fn wait_returns_at_the_end_of_the_run_and_of_the_server() {
        let report = ShutdownReport { drained: 3, ..ShutdownReport::default() };
        assert_eq!(wait_result(|mailbox| mailbox.end_run(report)), Some(report));
        assert_eq!(wait_result(Mailbox::close), None);
    }

    #[test]
    fn a_requested_stop_ends_with_its_run() {
        let (_poll, mailbox) = mailbox();
        assert!(mailbox.post_stop(LONG), "for the first run");
        mailbox.begin_run();
        assert_eq!(mailbox.drain(&mut Vec::new()), Some(LONG));
        // It is pushed after the loop has drained the mailbox for the last time.
        assert!(mailbox.post_stop(LONG));
        mailbox.end_run(ShutdownReport::default());
        assert!(!mailbox.post_stop(LONG), "there is nothing to stop");
        mailbox.begin_run();
        assert_eq!(mailbox.drain(&mut Vec::new()), None);
        mailbox.close();
        assert!(!mailbox.post_stop(LONG), "the server was dropped");
    }

    #[test]
    fn the_shorter_grace_applies() {
        let (_poll, mailbox) = mailbox();
        for grace in [LONG, PATIENCE, LONG] {
            assert!(mailbox.post_stop(grace));
        }
        assert_eq!(mailbox.drain(&mut Vec::new()), Some(PATIENCE));
    }
}
