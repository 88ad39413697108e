//! What a client knows: where its input, its output and the conversation stand, and when to end.

use std::io;
use std::time::Duration;

use socketserver::{Handle, Io, SocketId};

use super::datagrams::Lines;
use super::stdin::Permits;
use super::stdout::Output;

/// What the handlers, and the threads of standard input and output, share.
pub(super) struct Session {
    pub(super) kind: Kind,
    /// How long silence lasts until it is the end.
    pub(super) wait: Duration,
    pub(super) output: Output,
    /// The socket to the server, once it stands.
    socket: Option<SocketId>,
    permits: Option<Permits>,
    /// How many pieces of input came.
    pub(super) pieces: u64,
    /// The input has ended.
    pub(super) input_over: bool,
    /// Nobody reads standard output any more.
    reader_gone: bool,
    /// The conversation is over; what came is still to be written.
    ended: Option<io::Result<()>>,
    /// Why to end at once.
    stop: Option<Stop>,
}

/// What becomes of a piece of input.
pub(super) enum Kind {
    Stream,
    Datagrams(Lines),
}

/// What ends a client without regard to what was not written yet.
#[derive(Debug)]
pub(super) enum Stop {
    Signal(i32),
    ReaderGone,
    Output(io::Error),
    Input(io::Error),
}

/// How a client ended.
#[derive(Debug)]
pub(super) enum End {
    Clean,
    Broken(io::Error),
    Stopped(Stop),
}

impl Session {
    /// That of a stream, until its kind is set otherwise.
    pub(super) fn new(wait: Duration) -> Session {
        Session {
            kind: Kind::Stream,
            wait,
            output: Output::new(),
            socket: None,
            permits: None,
            pieces: 0,
            input_over: false,
            reader_gone: false,
            ended: None,
            stop: None,
        }
    }

    /// The way to the server stands: now there is use for what is typed.
    pub(super) fn stands(&mut self, id: SocketId, handle: Handle<Session>) -> io::Result<()> {
        self.socket = Some(id);
        self.permits = Some(Permits::start(handle)?);
        Ok(())
    }

    pub(super) fn has_stood(&self) -> bool {
        self.socket.is_some()
    }

    // What the threads tell.

    /// A piece of input came.
    pub(super) fn typed(&mut self, io: &mut Io, piece: &[u8]) {
        self.pieces += 1;
        if let Some(permits) = &mut self.permits {
            permits.take();
        }
        match (&mut self.kind, self.socket) {
            // Whether the server still takes it, its handler is told.
            (Kind::Stream, Some(id)) => {
                io.send(id, piece);
            }
            (Kind::Datagrams(lines), _) => lines.push(piece),
            (Kind::Stream, None) => {}
        }
    }

    /// The input has ended, or failed.
    pub(super) fn input_over(&mut self, io: &mut Io, outcome: io::Result<()>) {
        self.input_over = true;
        match (&mut self.kind, self.socket) {
            (Kind::Stream, Some(id)) => drop(io.shutdown_write(id)),
            (Kind::Datagrams(lines), _) => lines.end(),
            (Kind::Stream, None) => {}
        }
        if let Err(error) = outcome {
            self.stop(Stop::Input(error));
        }
    }

    pub(super) fn written(&mut self, io: &mut Io, n: usize) {
        let Some(id) = self.socket else { return };
        if self.output.written(n) && io.is_paused(id) {
            io.resume(id);
        }
    }

    pub(super) fn output_failed(&mut self, error: io::Error) {
        self.stop(match error.kind() {
            io::ErrorKind::BrokenPipe => Stop::ReaderGone,
            _ => Stop::Output(error),
        });
    }

    /// Nothing that comes will be read, but what is typed may still be worth sending.
    #[cfg(target_os = "linux")]
    pub(super) fn reader_gone(&mut self) {
        self.reader_gone = true;
    }

    // What the handlers tell.

    /// Writes what came; reads no more from the server while too much waits.
    pub(super) fn print(&mut self, io: &mut Io, id: SocketId, bytes: &[u8]) {
        if !self.output.put(bytes) {
            io.pause(id);
        }
    }

    /// The conversation is over. Only the first word counts.
    pub(super) fn end(&mut self, outcome: io::Result<()>) {
        self.ended.get_or_insert(outcome);
    }

    pub(super) fn stop(&mut self, stop: Stop) {
        self.stop.get_or_insert(stop);
    }

    // What the loop asks.

    /// What is due at the end of every turn of the loop.
    pub(super) fn tend(&mut self, io: &mut Io) {
        let Some(id) = self.socket else { return };
        let may_go_on = match &mut self.kind {
            Kind::Stream => !io.is_congested(id),
            Kind::Datagrams(lines) => match lines.send(io, id, self.wait) {
                Ok(all_sent) => all_sent,
                Err(error) => {
                    self.end(Err(error));
                    false
                }
            },
        };
        if may_go_on {
            if let Some(permits) = &mut self.permits {
                permits.give_back();
            }
            if self.reader_gone && self.input_over && io.unsent(id) == 0 {
                self.stop(Stop::ReaderGone);
            }
        }
    }

    /// Whether there is nothing left to do.
    pub(super) fn is_over(&self) -> bool {
        self.stop.is_some() || self.ended.is_some() && self.output.is_empty()
    }

    /// How it ended, if it did.
    pub(super) fn take_end(&mut self) -> Option<End> {
        match (self.stop.take(), self.ended.take()) {
            (Some(stop), _) => Some(End::Stopped(stop)),
            (None, Some(Err(error))) => Some(End::Broken(error)),
            (None, Some(Ok(()))) => Some(End::Clean),
            (None, None) => None,
        }
    }
}
