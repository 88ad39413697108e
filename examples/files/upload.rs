//! One client of the server: its file travels to a worker and back with each piece.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socketserver::{Context, Handler, Input, TimerId};

use super::name::{Announced, LONGEST_LINE};
use super::partial::{Partial, Progress};
use super::serve::Store;
use super::unfinished::is_full;

/// What a worker brings back.
pub(crate) enum Done {
    /// An announcement was looked at, or one step of what lies there already.
    Checked(Partial, Progress),
    Appended(Partial),
    Kept,
}

#[derive(Default)]
enum Stage {
    #[default]
    Announcement,
    /// It lies with the handler, which waits for more of it.
    Content(Partial),
    /// A worker is at it; the connection is paused.
    Work,
    Over,
}

/// How often a client whose disk work takes long is told that it goes on: the client of this
/// protocol gives up on a server that says nothing.
const BEAT: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Upload {
    stage: Stage,
    /// Pieces of work so far.
    works: u64,
    beat: Option<TimerId>,
    /// [`Upload::works`] when the beat was set.
    works_at_beat: u64,
}

impl Upload {
    /// Has a worker do this; meanwhile nothing more comes in. `timeout` is told of the result.
    fn offload(
        &mut self,
        cx: &mut Context<'_, Store>,
        work: impl FnOnce() -> io::Result<Done> + Send + 'static,
    ) -> io::Result<()> {
        let id = cx.id;
        cx.pause();
        self.stage = Stage::Work;
        self.works += 1;
        if self.beat.is_none() {
            self.set_beat(cx);
        }
        cx.offload(work, move |store: &mut Store, io, done| {
            // Who is gone gets nothing; its file is closed, and free to be resumed.
            if io.is_open(id) {
                store.done.insert(id, done.and_then(std::convert::identity));
                io.set_timer(id, Duration::ZERO);
            }
        })
    }

    fn set_beat(&mut self, cx: &mut Context<'_, Store>) {
        self.works_at_beat = self.works;
        self.beat = Some(cx.set_timer(BEAT));
    }

    /// The same piece of work goes on since the last beat: the disk is slow, nothing is wrong.
    fn beat(&mut self, cx: &mut Context<'_, Store>) {
        self.beat = None;
        if let Stage::Work = self.stage {
            if self.works == self.works_at_beat {
                cx.send(b"wait\n");
            }
            self.set_beat(cx);
        }
    }

    fn announced(&mut self, cx: &mut Context<'_, Store>, line: &[u8]) -> io::Result<()> {
        let announced = match Announced::parse(line) {
            Ok(announced) => announced,
            Err(error) => {
                self.refuse(cx, &error);
                return Ok(());
            }
        };
        let unfinished = Arc::clone(&cx.shared.unfinished);
        self.offload(cx, move || step(Partial::open(announced, &unfinished)?))
    }

    fn checked(
        &mut self,
        cx: &mut Context<'_, Store>,
        partial: Partial,
        progress: Progress,
    ) -> io::Result<()> {
        match progress {
            Progress::Checking => self.offload(cx, move || step(partial)),
            Progress::Ready => {
                cx.send(format!("have {}\n", partial.len()).as_bytes());
                self.go_on(cx, partial)
            }
            Progress::Kept => {
                cx.send(format!("have {}\n", partial.size()).as_bytes());
                self.done(cx);
                Ok(())
            }
        }
    }

    /// More is to come, or all is there.
    fn go_on(&mut self, cx: &mut Context<'_, Store>, partial: Partial) -> io::Result<()> {
        if partial.missing() == 0 {
            return self.offload(cx, move || partial.keep().map(|()| Done::Kept));
        }
        self.stage = Stage::Content(partial);
        cx.io.resume(cx.id);
        Ok(())
    }

    fn done(&mut self, cx: &mut Context<'_, Store>) {
        cx.send(b"done\n");
        cx.close();
        self.stage = Stage::Over;
    }

    fn refuse(&mut self, cx: &mut Context<'_, Store>, error: &io::Error) {
        let (what, why) = match error.kind() {
            _ if is_full(error) => ("error", "the disk of the server is full".to_string()),
            kind => {
                let later = kind == io::ErrorKind::ResourceBusy;
                (if later { "busy" } else { "error" }, error.to_string())
            }
        };
        cx.send(format!("{what} {}\n", why.replace(char::is_control, " ")).as_bytes());
        cx.close();
        self.stage = Stage::Over;
    }
}

/// One step, in a worker.
fn step(mut partial: Partial) -> io::Result<Done> {
    let progress = partial.step()?;
    Ok(Done::Checked(partial, progress))
}

impl Handler<Store> for Upload {
    fn handle(&mut self, cx: &mut Context<'_, Store>, input: &mut Input<'_>) -> io::Result<()> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Announcement => {
                self.stage = Stage::Announcement;
                match input.take_line(LONGEST_LINE) {
                    Ok(Some(line)) => self.announced(cx, line),
                    Ok(None) => Ok(()),
                    Err(error) => {
                        self.refuse(cx, &error);
                        Ok(())
                    }
                }
            }
            Stage::Content(mut partial) => {
                let missing = usize::try_from(partial.missing()).unwrap_or(usize::MAX);
                let piece = input.take(missing.min(input.len())).unwrap_or_default().to_vec();
                self.offload(cx, move || {
                    partial.append(&piece)?;
                    Ok(Done::Appended(partial))
                })
            }
            other @ (Stage::Work | Stage::Over) => {
                self.stage = other;
                Ok(())
            }
        }
    }

    /// A worker is done, or at it for long.
    fn timeout(&mut self, cx: &mut Context<'_, Store>, timer: TimerId) -> io::Result<()> {
        if self.beat == Some(timer) {
            self.beat(cx);
            return Ok(());
        }
        match cx.shared.done.remove(&cx.id) {
            Some(Ok(Done::Checked(partial, progress))) => self.checked(cx, partial, progress),
            Some(Ok(Done::Appended(partial))) => self.go_on(cx, partial),
            Some(Ok(Done::Kept)) => {
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

    /// What is under way goes on until the grace is over; the rest can be resumed.
    fn shutdown(&mut self, cx: &mut Context<'_, Store>) -> io::Result<()> {
        if let Stage::Announcement = self.stage {
            cx.close();
        }
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, Store>, _outcome: io::Result<()>) {
        cx.shared.done.remove(&cx.id);
    }
}
