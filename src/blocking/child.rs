//! A child process that runs one blocking handler.
//!
//! The child reports through a pipe. A whole report, or EOF on the pipe, is the event that it has ended;
//! not EOF alone, for a process that the handler started may have a copy of the pipe:
//!
//! ```text
//! eight bytes: the length of all that follows
//! one byte: the outcome    eight bytes: silent_since, or UNKNOWN
//! three times eight bytes: bytes in, sent and out
//! four bytes: length of the message    the message    the reply, if any
//! ```

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use mio::Interest;

use super::executor::{FinishedJob, notify_handler};
use super::request::SharedAccess;
use super::work::{JobResult, Work};
use super::worker_limit::WorkerPermit;
use crate::blocking::fork::{self, Child, ChildReport, Forked, ReportPipe, ReportReader};
use crate::exit::Exit;
use crate::foreign::{self, ErrorText};
use crate::handler::Context;
use crate::net::ByteCounts;
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
    /// Forks a child that does `work`; returns in the parent only, which gets the work back when there
    /// is no child.
    pub(super) fn fork<S: 'static>(
        cx: &mut Context<'_, S>,
        work: Work<S>,
        begin: &ChildBegin,
    ) -> Result<ChildJob, (io::Error, Work<S>)> {
        // Before the fork, because a child asks it whether a signal is for its parent too.
        if let Err(error) = cx.io.stop_token() {
            return Err((error, work));
        }
        let (child, reader) = match fork::fork() {
            Ok(Forked::Child(reporter)) => run_child(cx, reporter, work, begin),
            Ok(Forked::Parent(child, reader)) => (child, reader),
            Err(error) => return Err((error, work)),
        };
        let max_report = cx.io.options.send_queue_bytes.saturating_add(HEAD);
        let report = Rc::new(RefCell::new(ChildReport::default()));
        let finished = work.finished.clone();
        if let Err(error) = listen(cx, reader, Rc::clone(&report), finished, max_report) {
            // No shortage that is worth another try: the child has begun.
            let what = format!("cannot watch the pipe of a process: {error}");
            return Err((io::Error::new(error.kind(), what), work));
        }
        // The job has a reference to the socket, and is dropped so that the loop can reattach it.
        let permit = Some(work.permit);
        Ok(ChildJob { child, report, max_report, retry: FIRST_RETRY, permit })
    }

    /// The result of the job; `None` while the child runs.
    pub(super) fn take<S>(&mut self, cx: &mut Context<'_, S>) -> Option<JobResult> {
        let mut report = self.report.borrow_mut();
        if !report.is_complete {
            return None;
        }
        if report.is_longer_than(self.max_report) {
            // Such a reply could never be sent, and the child may block in its write.
            self.child.kill();
        }
        let Some(status) = self.child.reap() else {
            cx.io.arm_timer(cx.id, self.retry);
            self.retry = (self.retry * 2).min(LAST_RETRY);
            return None;
        };
        let limit = self.permit.take().map(|permit| permit.limit());
        if let Some(limit) = limit {
            limit.wake(cx.io);
        }
        let bytes = std::mem::take(&mut report.bytes);
        if let Some((result, counts)) = decode(&bytes) {
            cx.io.add_counts(cx.id, counts);
            return Some(result);
        }
        let ended = fork::describe(status);
        // A handler that ends its process with code 0 has ended in order.
        let is_cut = ended.is_some();
        let what = ended.unwrap_or_else(|| "its process ended without a report".into());
        let outcome = Ok(Err(io::Error::other(what)));
        Some(JobResult { crashed: true, is_cut, ..JobResult::of(outcome) })
    }
}

/// Runs in the child: the hooks, the job, the report, exit. Everything that may panic does so inside, also
/// the drop of the handler, an error that cannot be shown and a panic that cannot be dropped: a child that
/// unwound into the code of its parent would go on as a second server on the parent's poll.
fn run_child<S>(
    cx: &mut Context<'_, S>,
    reporter: ReportPipe,
    work: Work<S>,
    begin: &ChildBegin,
) -> ! {
    let socket = cx.io.detached_socket(cx.id).cloned();
    let counts = || socket.as_ref().map(|socket| socket.counts()).unwrap_or_default();
    let ran = foreign::catch(|| {
        let token = cx.io.stop_token.clone();
        cx.io.close_inherited();
        if let Some(after_fork) = &begin.after_fork {
            after_fork();
        }
        reporter.restore_signal_mask(begin.inherit_signals, token);
        let Work { source, permit, job, .. } = work;
        // Returned by the parent.
        std::mem::forget(permit);
        let result = job(source.into_handler(), SharedAccess::Local(cx.shared));
        (encode(&result, counts()), matches!(result.outcome, Ok(Ok(()))))
    });
    let (report, success) = ran.unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        std::mem::forget(panic);
        (encode(&JobResult::of(Err(Box::new(message))), counts()), false)
    });
    reporter.report_and_exit(&report, success)
}

/// Watches the pipe and notifies the handler of the socket when the report is complete.
fn listen<S: 'static>(
    cx: &mut Context<'_, S>,
    reader: ReportReader,
    report: Rc<RefCell<ChildReport>>,
    finished: FinishedJob,
    max_report: usize,
) -> io::Result<()> {
    let owner = cx.id;
    cx.watch(reader, Interest::READABLE, move |cx, reader, _| {
        let mut report = report.borrow_mut();
        report.read_from(reader, max_report);
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

fn encode(result: &JobResult, counts: ByteCounts) -> Vec<u8> {
    let (how, message) = match &result.outcome {
        Ok(Ok(())) => (DONE, String::new()),
        Ok(Err(error)) if Exit::is_exit(error) => (EXIT, String::new()),
        Ok(Err(error)) => (FAILED, ErrorText(error).to_string().chars().take(HEAD / 8).collect()),
        Err(panic) => (PANICKED, panic_message(&**panic)),
    };
    let mut report = vec![how | if result.reply.is_some() { REPLY } else { 0 }];
    report.extend_from_slice(&result.silent_since.unwrap_or(UNKNOWN).to_be_bytes());
    for count in [counts.bytes_in, counts.bytes_sent, counts.bytes_out] {
        report.extend_from_slice(&count.to_be_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or_default();
    report.extend_from_slice(&length.to_be_bytes());
    report.extend_from_slice(message.as_bytes());
    report.extend_from_slice(result.reply.as_deref().unwrap_or_default());
    [&(report.len() as u64).to_be_bytes()[..], &report].concat()
}

/// Decodes a report; `None` when it is incomplete, because the process ended before its job.
fn decode(report: &[u8]) -> Option<(JobResult, ByteCounts)> {
    let (length, rest) = take_number(report)?;
    let report = rest.get(..usize::try_from(length).ok()?)?;
    let (how, rest) = report.split_first()?;
    let (since, rest) = take_number(rest)?;
    let (bytes_in, rest) = take_number(rest)?;
    let (bytes_sent, rest) = take_number(rest)?;
    let (bytes_out, rest) = take_number(rest)?;
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
    let silent_since = Some(since).filter(|since| *since != UNKNOWN);
    let counts = ByteCounts { bytes_in, bytes_sent, bytes_out };
    Some((JobResult { reply, silent_since, ..JobResult::of(outcome) }, counts))
}

fn take_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: ByteCounts = ByteCounts { bytes_in: 1, bytes_sent: 3, bytes_out: 2 };

    fn there_and_back(result: &JobResult) -> JobResult {
        let (result, counts) = decode(&encode(result, COUNTS)).unwrap();
        assert_eq!(counts, COUNTS);
        result
    }

    #[test]
    fn a_report_says_what_became_of_the_work() {
        let reply = Some(b"answer".to_vec());
        let done =
            JobResult { reply: reply.clone(), silent_since: Some(7), ..JobResult::of(Ok(Ok(()))) };
        let result = there_and_back(&done);
        assert!(matches!(result.outcome, Ok(Ok(()))));
        assert_eq!((result.reply, result.silent_since), (reply, Some(7)));
        let result = there_and_back(&JobResult::of(Ok(Err(io::Error::other("broke")))));
        assert_eq!(result.outcome.unwrap().unwrap_err().to_string(), "broke");
        assert_eq!((result.reply, result.silent_since), (None, None));
        let panicked =
            JobResult { reply: Some(Vec::new()), ..JobResult::of(Err(Box::new("fell"))) };
        let result = there_and_back(&panicked);
        assert_eq!(panic_message(&*result.outcome.unwrap_err()), "fell");
        assert_eq!(result.reply, Some(Vec::new()));
        let exit = there_and_back(&JobResult::of(Ok(Err(Exit.into()))));
        assert!(Exit::is_exit(&exit.outcome.unwrap().unwrap_err()));
    }

    #[test]
    fn a_report_that_was_cut_short_is_none() {
        let whole = encode(&JobResult::of(Ok(Err(io::Error::other("broke")))), COUNTS);
        for n in 0..whole.len() {
            assert!(decode(&whole[..n]).is_none(), "{n}");
        }
    }

    /// A process that the handler started may keep the pipe open.
    #[test]
    fn a_report_is_complete_at_its_length_and_not_at_eof() {
        let whole = encode(&JobResult::of(Ok(Ok(()))), COUNTS);
        let mut report = ChildReport::default();
        for (n, byte) in whole.iter().enumerate() {
            report.append(&[*byte], 1_000);
            assert_eq!(report.is_complete, n + 1 == whole.len(), "{n}");
        }
        let mut report = ChildReport::default();
        report.append(&[0xFF; 8], 1_000);
        assert!(report.is_complete, "more than is accepted");
    }
}
