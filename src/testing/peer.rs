//! The other end of a connection in memory.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::conn::input::Input;
use crate::handler::{Context, Handler};
use crate::id::{SocketId, TimerId};
use crate::net::memory::MemoryPeer;
use crate::stats::CloseReason;

/// The peer of one handler, from [`TestServer::connect`](super::TestServer::connect). Its methods act at
/// once; the server reacts in the next [`TestServer::run`](super::TestServer::run).
#[derive(Debug)]
pub struct Peer {
    pub(super) id: SocketId,
    pub(super) memory: MemoryPeer,
    pub(super) finished: Record,
}

pub(super) type Record = Arc<Mutex<Option<Finished>>>;

/// How a conversation ended: what `finish` of the handler got.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finished {
    /// [`Context::reason`].
    pub reason: CloseReason,
    /// The kind and the text of the error; `None` if `finish` got `Ok`.
    pub error: Option<(io::ErrorKind, String)>,
}

impl Peer {
    /// The connection's id in the server.
    #[must_use]
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// Sends `bytes`. The server reads up to [`Options::read_buffer`](crate::Options::read_buffer) bytes at
    /// once. No effect after [`Peer::end`] or [`Peer::reset`].
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        self.memory.pipe().send(bytes.as_ref());
    }

    /// Sends EOF, as `shutdown(SHUT_WR)` does; the peer still receives.
    pub fn end(&self) {
        self.memory.pipe().end();
    }

    /// Resets the connection.
    pub fn reset(&self) {
        self.memory.pipe().reset();
    }

    /// Accepts `room` more bytes from now on; then writes of the server would block. Initially, and with
    /// `usize::MAX`, there is no limit.
    pub fn set_room(&self, room: usize) {
        self.memory.pipe().set_room(room);
    }

    /// Sets the number of unacknowledged bytes that the kernel of the server reports
    /// ([`Io::unacknowledged`](crate::Io::unacknowledged)); initially 0. A number that falls simulates a
    /// peer that reads slowly.
    pub fn set_unacknowledged(&self, bytes: u32) {
        self.memory.pipe().unacknowledged = bytes;
    }

    /// Returns and removes the bytes received so far.
    #[must_use]
    pub fn received(&self) -> Vec<u8> {
        std::mem::take(&mut self.memory.pipe().to_peer)
    }

    /// Whether the server has sent EOF or a reset, by `close`, `shutdown_write` or `abort`.
    #[must_use]
    pub fn has_end(&self) -> bool {
        self.memory.pipe().server_ended
    }

    /// Whether the server has reset the connection, so that bytes may be lost.
    #[must_use]
    pub fn was_reset(&self) -> bool {
        let memory = self.memory.pipe();
        memory.server_closed && memory.server_reset
    }

    /// Whether the server has closed its descriptor of the connection.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.memory.pipe().server_closed
    }

    /// How the conversation ended; `None` while it lasts.
    #[must_use]
    pub fn finished(&self) -> Option<Finished> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Wraps a handler and records how its conversation ended.
pub(super) struct RecordingHandler<H> {
    pub(super) handler: H,
    pub(super) finished: Record,
}

impl<S, H: Handler<S>> Handler<S> for RecordingHandler<H> {
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.handler.setup(cx)
    }

    fn handle(&mut self, cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        self.handler.handle(cx, input)
    }

    fn eof(&mut self, cx: &mut Context<'_, S>, rest: &[u8]) -> io::Result<()> {
        self.handler.eof(cx, rest)
    }

    fn drained(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.handler.drained(cx)
    }

    fn timeout(&mut self, cx: &mut Context<'_, S>, timer: TimerId) -> io::Result<()> {
        self.handler.timeout(cx, timer)
    }

    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.handler.shutdown(cx)
    }

    fn finish(&mut self, cx: &mut Context<'_, S>, outcome: io::Result<()>) {
        if let Some(reason) = cx.reason() {
            let error = outcome.as_ref().err();
            let error = error.map(|error| (error.kind(), error.to_string()));
            let finished = Finished { reason, error };
            *self.finished.lock().unwrap_or_else(PoisonError::into_inner) = Some(finished);
        }
        self.handler.finish(cx, outcome);
    }
}
