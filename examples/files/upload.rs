//! One client of the server: its file travels to a worker and back with each piece.

use std::io;
use std::time::Duration;

use socketserver::{Context, Handler, Input, TimerId};

use super::name::{Announced, LONGEST_LINE};
use super::partial::Partial;
use super::serve::Store;

/// What a worker brings back.
pub(crate) enum Done {
    Opened(Partial),
    Appended(Partial),
    Kept,
}

#[derive(Default)]
enum Stage {
    #[default]
    Announcement,
    /// It lies with the handler, which waits for more of it.
    Content(Partial),
    /// A worker is at it; the connection is paused. Or all is over.
    Elsewhere,
}

#[derive(Default)]
pub(crate) struct Upload {
    stage: Stage,
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
        self.stage = Stage::Elsewhere;
        cx.offload(work, move |store: &mut Store, io, done| {
            // Who is gone gets nothing; its file is closed, and free to be resumed.
            if io.is_open(id) {
                store.done.insert(id, done.and_then(std::convert::identity));
                io.set_timer(id, Duration::ZERO);
            }
        })
    }

    fn announced(&mut self, cx: &mut Context<'_, Store>, line: &[u8]) -> io::Result<()> {
        let announced = match Announced::parse(line) {
            Ok(announced) => announced,
            Err(error) => {
                self.refuse(cx, &error);
                return Ok(());
            }
        };
        let (dir, busy) = (cx.shared.dir.clone(), cx.shared.busy.clone());
        self.offload(cx, move || Partial::open(&dir, announced, &busy).map(Done::Opened))
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

    fn refuse(&mut self, cx: &mut Context<'_, Store>, error: &io::Error) {
        let why = match error.kind() {
            io::ErrorKind::StorageFull => "the disk of the server is full".to_string(),
            _ => error.to_string().replace(char::is_control, " "),
        };
        cx.send(format!("error {why}\n").as_bytes());
        cx.close();
        self.stage = Stage::Elsewhere;
    }
}

impl Handler<Store> for Upload {
    fn handle(&mut self, cx: &mut Context<'_, Store>, input: &mut Input<'_>) -> io::Result<()> {
        match std::mem::take(&mut self.stage) {
            Stage::Announcement => match input.line(LONGEST_LINE) {
                Ok(Some(line)) => self.announced(cx, line),
                Ok(None) => Ok(()),
                Err(error) => {
                    self.refuse(cx, &error);
                    Ok(())
                }
            },
            Stage::Content(mut partial) => {
                let missing = usize::try_from(partial.missing()).unwrap_or(usize::MAX);
                let piece = input.take(missing.min(input.len())).unwrap_or_default().to_vec();
                self.offload(cx, move || {
                    partial.append(&piece)?;
                    Ok(Done::Appended(partial))
                })
            }
            Stage::Elsewhere => {
                self.stage = Stage::Elsewhere;
                Ok(())
            }
        }
    }

    /// A worker is done.
    fn timeout(&mut self, cx: &mut Context<'_, Store>, _timer: TimerId) -> io::Result<()> {
        match cx.shared.done.remove(&cx.id) {
            Some(Ok(Done::Opened(partial))) => {
                cx.send(format!("have {}\n", partial.len()).as_bytes());
                self.go_on(cx, partial)
            }
            Some(Ok(Done::Appended(partial))) => self.go_on(cx, partial),
            Some(Ok(Done::Kept)) => {
                cx.send(b"done\n");
                cx.close();
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
