//! The other end of a connection in memory.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::conn::input::Input;
use crate::handler::{Context, Handler};
use crate::id::{SocketId, TimerId};
use crate::net::memory::MemoryPeer;
use crate::stats::CloseReason;

/// The peer of one handler, from [`TestServer::connect`](super::TestServer::connect). What it does
/// here happens at once; what follows from it in the server happens in the next
/// [`TestServer::run`](super::TestServer::run).
#[derive(Debug)]
pub struct Peer {
    pub(super) id: SocketId,
    pub(super) memory: MemoryPeer,
    pub(super) finished: Record,
}

pub(super) type Record = Arc<Mutex<Option<Finished>>>;

/// How a conversation ended: what `finish` of the handler was told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finished {
    /// [`Context::reason`].
    pub reason: CloseReason,
    /// The error, if it was one: its kind and what it says.
    pub error: Option<(io::ErrorKind, String)>,
}

impl Peer {
    /// The connection's id in the server.
    #[must_use]
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// Sends `bytes`, which arrive in one piece. Who has ended sends nothing more.
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        self.memory.pipe().send(bytes.as_ref());
    }

    /// Says that no more will come, as `shutdown(SHUT_WR)` does; it still receives.
    pub fn end(&self) {
        self.memory.pipe().end();
    }

    /// Resets the connection.
    pub fn reset(&self) {
        self.memory.pipe().reset();
    }

    /// From now on takes `room` more bytes and no others, as a peer does that does not read. At
    /// first there is no limit; `usize::MAX` takes it away again.
    pub fn set_room(&self, room: usize) {
        self.memory.pipe().set_room(room);
    }

    /// From now on the system of the server says that so much of what it has taken is not
    /// acknowledged ([`Io::unacknowledged`](crate::Io::unacknowledged)), whatever that was. At first
    /// it is nothing; less than before is what a peer looks like that reads slowly and steadily.
    pub fn set_unacknowledged(&self, bytes: u32) {
        self.memory.pipe().unacknowledged = bytes;
    }

    /// Takes what has come so far.
    #[must_use]
    pub fn received(&self) -> Vec<u8> {
        std::mem::take(&mut self.memory.pipe().to_peer)
    }

    /// Whether the server has said its end, by `close`, `shutdown_write` or a reset.
    #[must_use]
    pub fn has_end(&self) -> bool {
        self.memory.pipe().server_ended
    }

    /// Whether the server has reset the connection: something was lost.
    #[must_use]
    pub fn was_reset(&self) -> bool {
        let memory = self.memory.pipe();
        memory.server_closed && memory.server_reset
    }

    /// Whether the server has closed the connection for good: it has no descriptor any more.
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

/// A handler whose end is written down.
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
