//! A child process that runs one blocking handler.
//!
//! The child reports through a pipe; EOF on the pipe is the event that it has ended:
//!
//! ```text
//! one byte: the outcome    eight bytes: silent_since, or UNKNOWN
//! four bytes: length of the message    the message    the reply, if any
//! ```

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use mio::Interest;
use mio::unix::pipe::Receiver;

use super::executor::{BlockingJob, FinishedJob, JobResult, notify_handler};
use super::request::SharedAccess;
use super::worker_limit::WorkerPermit;
use crate::blocking::fork::{self, Child, ChildReport, Forked, ReportPipe};
use crate::exit::Exit;
use crate::foreign::{self, ErrorText};
use crate::handler::Context;
use crate::reactor::dispatch::panic_message;

pub(super) struct ChildJob {
    child: Child,
    report: Rc<RefCell<ChildReport>>,
    /// The longest report that is accepted.
    max_report: usize,
    /// The delay until the next waitpid(2), after a child has reported and still runs.
    retry: Duration,
    permit: Option<WorkerPermit>,
}

/// What a child does before its handler.
#[derive(Default)]
pub(super) struct ChildBegin {
    pub(super) after_fork: Option<Box<dyn Fn()>>,
    /// Whether the signal handlers of the parent run in the child too.
    pub(super) inherit_signals: bool,
}

/// A process ends microseconds after its report, unless its handler closed the pipe.
const FIRST_RETRY: Duration = Duration::from_millis(1);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// The longest part of a report before the reply.
const HEAD: usize = 4_096;

impl ChildJob {
    /// Forks a child that runs `job`; returns in the parent only.
    pub(super) fn fork<S: 'static>(
        cx: &mut Context<'_, S>,
        permit: WorkerPermit,
        job: BlockingJob<S>,
        finished: FinishedJob,
        begin: &ChildBegin,
    ) -> io::Result<ChildJob> {
        let (child, receiver) = match fork::fork()? {
            Forked::Child(reporter) => run_child(cx, reporter, job, begin),
            Forked::Parent(child, receiver) => (child, receiver),
        };
        // Drops the job's reference to the socket, so that the loop can reattach it.
        drop(job);
        let max_report = cx.io.options.send_queue_bytes.saturating_add(HEAD);
        let report = Rc::new(RefCell::new(ChildReport::default()));
        listen(cx, receiver, Rc::clone(&report), finished, max_report)?;
        Ok(ChildJob { child, report, max_report, retry: FIRST_RETRY, permit: Some(permit) })
    }

    /// The result of the job; `None` while the child runs.
    pub(super) fn take<S>(&mut self, cx: &mut Context<'_, S>) -> Option<JobResult> {
        let mut report = self.report.borrow_mut();
        if !report.is_complete {
            return None;
        }
        if report.bytes.len() > self.max_report {
            // Such a reply could never be sent, and the child may block in its write.
            self.child.kill();
        }
        let Some(status) = self.child.reap() else {
            cx.io.set_timer(cx.id, self.retry);
            self.retry = (self.retry * 2).min(LAST_RETRY);
            return None;
        };
        let limit = self.permit.take().map(|permit| permit.limit());
        if let Some(limit) = limit {
            limit.wake(cx.io);
        }
        let bytes = std::mem::take(&mut report.bytes);
        Some(decode(&bytes).unwrap_or_else(|| {
            let what = fork::describe(status)
                .unwrap_or_else(|| "its process ended without a report".into());
            JobResult {
                outcome: Ok(Err(io::Error::other(what))),
                reply: None,
                crashed: true,
                silent_since: None,
            }
        }))
    }
}

/// Runs in the child: the hooks, the job, the report, exit.
fn run_child<S>(
    cx: &mut Context<'_, S>,
    reporter: ReportPipe,
    job: BlockingJob<S>,
    begin: &ChildBegin,
) -> ! {
    let report = foreign::catch(|| {
        cx.io.close_inherited();
        if let Some(after_fork) = &begin.after_fork {
            after_fork();
        }
        reporter.restore_signal_mask(begin.inherit_signals);
        job(SharedAccess::Local(cx.shared))
    });
    let result = report.unwrap_or_else(|panic| JobResult {
        outcome: Err(panic),
        reply: None,
        crashed: false,
        silent_since: None,
    });
    let success = matches!(result.outcome, Ok(Ok(())));
    reporter.report_and_exit(&encode(&result), success)
}

/// Watches the pipe and notifies the handler of the socket when the report is complete.
fn listen<S: 'static>(
    cx: &mut Context<'_, S>,
    receiver: Receiver,
    report: Rc<RefCell<ChildReport>>,
    finished: FinishedJob,
    max_report: usize,
) -> io::Result<()> {
    let owner = cx.id;
    cx.watch(receiver, Interest::READABLE, move |cx, receiver, _| {
        let mut report = report.borrow_mut();
        report.read_from(receiver, max_report);
        if report.is_complete {
            finished.note();
            notify_handler(cx.io, owner);
            cx.close();
        }
        Ok(())
    })
    .map(drop)
}

// The outcome, in the first byte.
const DONE: u8 = 0;
const FAILED: u8 = 1;
const PANICKED: u8 = 2;
const EXIT: u8 = 3;
/// This bit is set when a reply follows.
const REPLY: u8 = 128;

/// Encodes `None` in `silent_since`; no clock of a loop reaches it.
const UNKNOWN: u64 = u64::MAX;

fn encode(result: &JobResult) -> Vec<u8> {
    let (how, message) = match &result.outcome {
        Ok(Ok(())) => (DONE, String::new()),
        Ok(Err(error)) if Exit::is_exit(error) => (EXIT, String::new()),
        Ok(Err(error)) => (FAILED, ErrorText(error).to_string().chars().take(HEAD / 8).collect()),
        Err(panic) => (PANICKED, panic_message(&**panic)),
    };
    let mut report = vec![how | if result.reply.is_some() { REPLY } else { 0 }];
    report.extend_from_slice(&result.silent_since.unwrap_or(UNKNOWN).to_be_bytes());
    let length = u32::try_from(message.len()).unwrap_or_default();
    report.extend_from_slice(&length.to_be_bytes());
    report.extend_from_slice(message.as_bytes());
    report.extend_from_slice(result.reply.as_deref().unwrap_or_default());
    report
}

/// Decodes a report; `None` when it is incomplete, because the process ended before its job.
fn decode(report: &[u8]) -> Option<JobResult> {
    let (how, rest) = report.split_first()?;
    let (since, rest) = rest.split_first_chunk::<8>()?;
    let silent_since = Some(u64::from_be_bytes(*since)).filter(|since| *since != UNKNOWN);
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (message, reply) = rest.split_at_checked(length)?;
    let message = String::from_utf8_lossy(message).into_owned();
    let outcome = match how & !REPLY {
        DONE => Ok(Ok(())),
        FAILED => Ok(Err(io::Error::other(message))),
        PANICKED => Err(Box::new(message) as _),
        EXIT => Ok(Err(Exit.into())),
        _ => return None,
    };
    let reply = (how & REPLY != 0).then(|| reply.to_vec());
    Some(JobResult { outcome, reply, crashed: false, silent_since })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_became_of_the_work() {
        let reply = Some(b"answer".to_vec());
        let result = decode(&encode(&JobResult {
            outcome: Ok(Ok(())),
            reply: reply.clone(),
            crashed: false,
            silent_since: Some(7),
        }))
        .unwrap();
        assert!(matches!(result.outcome, Ok(Ok(()))));
        assert_eq!((result.reply, result.silent_since), (reply, Some(7)));
        let failed = JobResult {
            outcome: Ok(Err(io::Error::other("broke"))),
            reply: None,
            crashed: false,
            silent_since: None,
        };
        let result = decode(&encode(&failed)).unwrap();
        assert_eq!(result.outcome.unwrap().unwrap_err().to_string(), "broke");
        assert_eq!((result.reply, result.silent_since), (None, None));
        let panicked = JobResult {
            outcome: Err(Box::new("fell")),
            reply: Some(Vec::new()),
            crashed: false,
            silent_since: None,
        };
        let result = decode(&encode(&panicked)).unwrap();
        assert_eq!(panic_message(&*result.outcome.unwrap_err()), "fell");
        assert_eq!(result.reply, Some(Vec::new()));
        let exit = JobResult {
            outcome: Ok(Err(Exit.into())),
            reply: None,
            crashed: false,
            silent_since: None,
        };
        assert!(Exit::is_exit(&decode(&encode(&exit)).unwrap().outcome.unwrap().unwrap_err()));
    }

    #[test]
    fn a_report_that_was_cut_short_is_none() {
        let failed = JobResult {
            outcome: Ok(Err(io::Error::other("broke"))),
            reply: None,
            crashed: false,
            silent_since: None,
        };
        let whole = encode(&failed);
        for n in 0..whole.len() {
            assert!(decode(&whole[..n]).is_none(), "{n}");
        }
    }
}
