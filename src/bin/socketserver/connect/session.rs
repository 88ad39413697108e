//! What a client knows: where its input, its output and the conversation stand, and when to end.

use std::io::{self, IsTerminal};
use std::time::Duration;

use socketserver::{Io, ServerHandle, SocketId, TimerId};

use super::datagrams::Lines;
use super::stall::Stall;
use super::stdin::Permits;
use super::stdout::StdoutQueue;
use crate::system;

/// What the handlers, and the threads of standard input and output, share.
pub(super) struct Session {
    pub(super) kind: SessionKind,
    pub(super) rules: Rules,
    stall: Option<Stall>,
    pub(super) output: StdoutQueue,
    /// The socket to the server, once it is established.
    socket: Option<SocketId>,
    permits: Option<Permits>,
    /// How many pieces of input came, and how many of the server's.
    pub(super) pieces: u64,
    pub(super) heard: u64,
    /// The input has ended.
    pub(super) input_over: bool,
    /// The server has ended its direction.
    server_ended: bool,
    /// Nobody reads standard output any more.
    reader_gone: bool,
    /// The conversation is over; what came is still to be written.
    ended: Option<SessionEnd>,
    /// Why to end at once.
    stop: Option<StopCause>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How long silence lasts until it is the end.
    pub(super) wait: Duration,
    /// How long the server may take nothing.
    pub(super) stall_timeout: Option<Duration>,
    /// The system of the server acknowledges what is sent, also before the server reads it.
    pub(super) is_acknowledged: bool,
    /// The end of the input is told to the server.
    pub(super) half_close: bool,
    pub(super) reads_input: bool,
}

/// When the server is told that the input has ended.
enum HalfClose {
    AtOnce,
    /// It was silent for [`Rules::wait`].
    AfterSilence,
    Never,
}

/// What becomes of a piece of input.
pub(super) enum SessionKind {
    Stream,
    Datagrams(Lines),
}

/// What ends a client without regard to what was not written yet.
#[derive(Debug)]
pub(super) enum StopCause {
    Signal(i32),
    ReaderGone,
    Output(io::Error),
    Input(io::Error),
}

/// How a client ended.
#[derive(Debug)]
pub(super) enum SessionEnd {
    Clean,
    Broken(io::Error),
    /// Fewer datagrams came than were sent.
    Unanswered {
        sent: u64,
        heard: u64,
    },
    Stopped(StopCause),
}

impl Session {
    /// That of a stream, until its kind is set otherwise.
    pub(super) fn new(rules: Rules) -> Session {
        Session {
            kind: SessionKind::Stream,
            rules,
            stall: rules.stall_timeout.map(|time| Stall::new(time, rules.is_acknowledged)),
            output: StdoutQueue::new(),
            socket: None,
            permits: None,
            pieces: 0,
            heard: 0,
            input_over: false,
            server_ended: false,
            reader_gone: false,
            ended: None,
            stop: None,
        }
    }

    /// The connection is established: standard input is read from now on.
    pub(super) fn stands(&mut self, id: SocketId, handle: ServerHandle<Session>) -> io::Result<()> {
        self.socket = Some(id);
        if self.rules.reads_input {
            self.permits = Some(Permits::start(handle)?);
        } else {
            self.input_over = true;
        }
        Ok(())
    }

    pub(super) fn has_stood(&self) -> bool {
        self.socket.is_some()
    }

    // What the threads tell.

    /// A piece of input came.
    pub(super) fn typed(&mut self, io: &mut Io, piece: &[u8]) {
        self.pieces += 1;
        if let Some(stall) = &mut self.stall {
            stall.give(piece.len());
        }
        if let Some(permits) = &mut self.permits {
            permits.take();
        }
        match (&mut self.kind, self.socket) {
            // Whether the server still takes it, its handler is told.
            (SessionKind::Stream, Some(id)) => {
                io.send(id, piece);
            }
            (SessionKind::Datagrams(lines), _) => lines.push(piece),
            (SessionKind::Stream, None) => {}
        }
    }

    /// The input has ended, or failed.
    pub(super) fn input_over(&mut self, io: &mut Io, outcome: io::Result<()>) {
        self.input_over = true;
        match (&mut self.kind, self.socket) {
            (SessionKind::Stream, Some(id)) => match self.half_close() {
                HalfClose::AtOnce => drop(io.shutdown_write(id)),
                HalfClose::AfterSilence => drop(io.set_timer(id, self.rules.wait)),
                HalfClose::Never => {}
            },
            (SessionKind::Datagrams(lines), _) => lines.end(),
            (SessionKind::Stream, None) => {}
        }
        if let Err(error) = outcome {
            self.stop(StopCause::Input(error));
        }
    }

    /// An input that gave not one byte has nothing to end, and many servers leave at an end. A
    /// person at a terminal means it; `/dev/null` is how scripts say that there is no input.
    fn half_close(&self) -> HalfClose {
        if self.server_ended {
            return HalfClose::AtOnce;
        }
        if !self.rules.half_close {
            return HalfClose::Never;
        }
        if self.pieces > 0 || io::stdin().is_terminal() {
            return HalfClose::AtOnce;
        }
        if system::input_is_null() { HalfClose::Never } else { HalfClose::AfterSilence }
    }

    pub(super) fn written(&mut self, io: &mut Io, n: usize) {
        let Some(id) = self.socket else { return };
        if self.output.written(n) && io.is_paused(id) {
            io.resume(id);
        }
    }

    pub(super) fn output_failed(&mut self, error: io::Error) {
        self.stop(match error.kind() {
            io::ErrorKind::BrokenPipe => StopCause::ReaderGone,
            _ => StopCause::Output(error),
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
        self.heard += 1;
        if !self.output.put(bytes) {
            io.pause(id);
        }
    }

    /// The server has ended its direction. Where nothing is left to be said to it, so do we.
    pub(super) fn server_ended(&mut self, io: &mut Io, id: SocketId) {
        self.server_ended = true;
        if self.input_over || io::stdin().is_terminal() {
            io.shutdown_write(id);
        }
    }

    /// A timer of the connection rang; says whether it was for us.
    pub(super) fn rang(&mut self, io: &mut Io, id: SocketId, timer: TimerId) -> bool {
        let Some(stall) = &mut self.stall else { return false };
        stall.rang(io, id, timer).unwrap_or_else(|error| {
            self.end(Err(error));
            true
        })
    }

    /// The conversation is over. Only the first word counts.
    pub(super) fn end(&mut self, outcome: io::Result<()>) {
        self.ended.get_or_insert(match outcome {
            Ok(()) => SessionEnd::Clean,
            Err(error) => SessionEnd::Broken(error),
        });
    }

    /// After the last datagram there was silence for as long as was waited.
    pub(super) fn end_of_datagrams(&mut self, sent: u64) {
        let heard = self.heard;
        let is_missed = heard < sent && !self.rules.wait.is_zero();
        self.ended.get_or_insert(if is_missed {
            SessionEnd::Unanswered { sent, heard }
        } else {
            SessionEnd::Clean
        });
    }

    pub(super) fn stop(&mut self, stop: StopCause) {
        self.stop.get_or_insert(stop);
    }

    // What the loop asks.

    /// What is due at the end of every turn of the loop.
    pub(super) fn tend(&mut self, io: &mut Io) {
        let Some(id) = self.socket else { return };
        let may_go_on = match &mut self.kind {
            SessionKind::Stream => {
                if let Some(stall) = &mut self.stall {
                    stall.tend(io, id);
                }
                !io.is_congested(id)
            }
            SessionKind::Datagrams(lines) => match lines.send(io, id, self.rules.wait) {
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
            if self.reader_gone && self.input_over && io.pending_output(id) == 0 {
                self.stop(StopCause::ReaderGone);
            }
        }
    }

    /// Whether there is nothing left to do.
    pub(super) fn is_over(&self) -> bool {
        self.stop.is_some() || self.ended.is_some() && self.output.is_empty()
    }

    /// How it ended, if it did.
    pub(super) fn take_end(&mut self) -> Option<SessionEnd> {
        match (self.stop.take(), self.ended.take()) {
            (Some(stop), _) => Some(SessionEnd::Stopped(stop)),
            (None, ended) => ended,
        }
    }
}
