//! The handler of one upload: its partial file moves to a worker and back with each piece.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socketserver::{Context, Handler, Input, TimerId};

use super::name::{MAX_LINE, PutRequest};
use super::partial::{CheckProgress, Partial};
use super::serve::UploadState;
use super::unfinished::is_full;

/// The result of a job.
pub(crate) enum WorkResult {
    /// A request was checked, or one step of an existing file.
    Checked(Partial, CheckProgress),
    Appended(Partial),
    Kept,
}

#[derive(Default)]
enum UploadPhase {
    #[default]
    Announcement,
    /// Waits for content.
    Content(Partial),
    /// A worker has the file; the connection is paused.
    Working,
    Closing,
}

/// How often `wait` is sent during a long job, because the client gives up on a silent server.
const KEEPALIVE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Upload {
    phase: UploadPhase,
    /// Count of jobs.
    jobs: u64,
    keepalive: Option<TimerId>,
    /// [`Upload::jobs`] when the keepalive timer was set.
    jobs_at_keepalive: u64,
}

impl Upload {
    /// Runs `work` in a worker and pauses the connection. The result reaches `timeout` by a timer.
    fn offload(
        &mut self,
        cx: &mut Context<'_, UploadState>,
        work: impl FnOnce() -> io::Result<WorkResult> + Send + 'static,
    ) -> io::Result<()> {
        let id = cx.id;
        cx.pause();
        self.phase = UploadPhase::Working;
        self.jobs += 1;
        if self.keepalive.is_none() {
            self.arm_keepalive(cx);
        }
        cx.offload(work, move |store: &mut UploadState, io, done| {
            // After a disconnect the result is dropped, which closes the file and lets another
            // upload resume it.
            if io.is_open(id) {
                store.done.insert(id, done.and_then(std::convert::identity));
                io.set_timer(id, Duration::ZERO);
            }
        })
    }

    fn arm_keepalive(&mut self, cx: &mut Context<'_, UploadState>) {
        self.jobs_at_keepalive = self.jobs;
        self.keepalive = Some(cx.set_timer(KEEPALIVE));
    }

    /// Sends `wait` if the job of the last tick is still running.
    fn keepalive(&mut self, cx: &mut Context<'_, UploadState>) {
        self.keepalive = None;
        if let UploadPhase::Working = self.phase {
            if self.jobs == self.jobs_at_keepalive {
                cx.send(b"wait\n");
            }
            self.arm_keepalive(cx);
        }
    }

    fn request(&mut self, cx: &mut Context<'_, UploadState>, line: &[u8]) -> io::Result<()> {
        let request = match PutRequest::parse(line) {
            Ok(request) => request,
            Err(error) => {
                self.refuse(cx, &error);
                return Ok(());
            }
        };
        let unfinished = Arc::clone(&cx.shared.unfinished);
        self.offload(cx, move || step(Partial::open(request, &unfinished)?))
    }

    fn checked(
        &mut self,
        cx: &mut Context<'_, UploadState>,
        partial: Partial,
        progress: CheckProgress,
    ) -> io::Result<()> {
        match progress {
            CheckProgress::Checking => self.offload(cx, move || step(partial)),
            CheckProgress::Ready => {
                cx.send(format!("have {}\n", partial.len()).as_bytes());
                self.go_on(cx, partial)
            }
            CheckProgress::Kept => {
                cx.send(format!("have {}\n", partial.size()).as_bytes());
                self.done(cx);
                Ok(())
            }
        }
    }

    /// Receives more content, or completes the upload.
    fn go_on(&mut self, cx: &mut Context<'_, UploadState>, partial: Partial) -> io::Result<()> {
        if partial.missing() == 0 {
            return self.offload(cx, move || partial.commit().map(|()| WorkResult::Kept));
        }
        self.phase = UploadPhase::Content(partial);
        cx.io.resume(cx.id);
        Ok(())
    }

    fn done(&mut self, cx: &mut Context<'_, UploadState>) {
        cx.send(b"done\n");
        cx.close();
        self.phase = UploadPhase::Closing;
    }

    fn refuse(&mut self, cx: &mut Context<'_, UploadState>, error: &io::Error) {
        let (what, why) = match error.kind() {
            _ if is_full(error) => ("error", "the disk of the server is full".to_string()),
            kind => {
                let later = kind == io::ErrorKind::ResourceBusy;
                (if later { "busy" } else { "error" }, error.to_string())
            }
        };
        cx.send(format!("{what} {}\n", why.replace(char::is_control, " ")).as_bytes());
        cx.close();
        self.phase = UploadPhase::Closing;
    }
}

/// Runs one step in a worker.
fn step(mut partial: Partial) -> io::Result<WorkResult> {
    let progress = partial.step()?;
    Ok(WorkResult::Checked(partial, progress))
}

impl Handler<UploadState> for Upload {
    fn handle(
        &mut self,
        cx: &mut Context<'_, UploadState>,
        input: &mut Input<'_>,
    ) -> io::Result<()> {
        match std::mem::replace(&mut self.phase, UploadPhase::Closing) {
            UploadPhase::Announcement => {
                self.phase = UploadPhase::Announcement;
                match input.take_line(MAX_LINE) {
                    Ok(Some(line)) => self.request(cx, line),
                    Ok(None) => Ok(()),
                    Err(error) => {
                        self.refuse(cx, &error);
                        Ok(())
                    }
                }
            }
            UploadPhase::Content(mut partial) => {
                let missing = usize::try_from(partial.missing()).unwrap_or(usize::MAX);
                let piece = input.take(missing.min(input.len())).unwrap_or_default().to_vec();
                self.offload(cx, move || {
                    partial.append(&piece)?;
                    Ok(WorkResult::Appended(partial))
                })
            }
            other @ (UploadPhase::Working | UploadPhase::Closing) => {
                self.phase = other;
                Ok(())
            }
        }
    }

    /// A job has finished, or the keepalive timer fired.
    fn timeout(&mut self, cx: &mut Context<'_, UploadState>, timer: TimerId) -> io::Result<()> {
        if self.keepalive == Some(timer) {
            self.keepalive(cx);
            return Ok(());
        }
        match cx.shared.done.remove(&cx.id) {
            Some(Ok(WorkResult::Checked(partial, progress))) => self.checked(cx, partial, progress),
            Some(Ok(WorkResult::Appended(partial))) => self.go_on(cx, partial),
            Some(Ok(WorkResult::Kept)) => {
                self.done(cx);
                Ok(())
            }
            Some(Err(error)) => {
                self.refuse(cx, &error);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A running upload may finish within the grace; the others can be resumed.
    fn shutdown(&mut self, cx: &mut Context<'_, UploadState>) -> io::Result<()> {
        if let UploadPhase::Announcement = self.phase {
            cx.close();
        }
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, UploadState>, _outcome: io::Result<()>) {
        cx.shared.done.remove(&cx.id);
    }
}
