//! Streams in memory: they stand in for sockets in tests, with the peer at the other end.
//!
//! They keep the edge rules of epoll: an edge on arrival, on EOF, on a reset, and on free space
//! after a blocked or short write; never otherwise. The lock is there because a connection may move
//! to another thread, as with a real socket; it is never contended.
//!
//! The server's end is a number, as a descriptor is, so a connection is not larger for it.
//!
//! # How
//!
//! With the feature `testing`, [`StreamSocket`](super::StreamSocket) has one more kind, `Memory`:
//! the number of a pipe in this file. Everything else is the server as it is. Three places support
//! it: `Io::stopped_at` is the clock while it is stopped, `Dispatcher::start_connection` is how a
//! connection gets in (`reactor/accept.rs` uses it too), and `SocketTable` takes the readiness that
//! a poll would have reported. The package is its own dev-dependency with that feature, so that
//! `cargo test` runs the tutorial and the tests that need it. Benchmarks are built with it for the
//! same reason; a message takes as many instructions with it as without.
//!
//! This crate's own tests go one step further down: `net/memory/kernel.rs` names the system calls
//! of a kernel ([`SimKernel`](kernel::SimKernel)), `net/memory/datagram.rs` those for datagrams,
//! and [`ReadyEvent`](super::ReadyEvent) is implemented for simulated events as for mio's. So a
//! simulated kernel reports to the same loop as mio.

use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Token;
use slab::Slab;

use crate::addr::Addr;
use crate::conn::transport::Readiness;

pub(crate) mod datagram;
pub(crate) mod kernel;

/// The server's end: the index of its pipe.
#[derive(Debug)]
pub(crate) struct MemoryStream(u32);

/// The pipes of all servers of the process whose server end is open.
static PIPES: Mutex<Slab<Arc<Mutex<MemoryPipe>>>> = Mutex::new(Slab::new());

/// The peer's end.
#[derive(Clone, Debug)]
pub(crate) struct MemoryPeer(Arc<Mutex<MemoryPipe>>);

/// The state between the two ends.
#[derive(Debug)]
pub(crate) struct MemoryPipe {
    /// Bytes that the server has not read yet; EOF and a reset come behind them.
    to_server: Vec<u8>,
    ended: bool,
    reset: bool,
    reset_reported: bool,
    /// Bytes that the peer received, and the number of bytes that it still accepts.
    pub(crate) to_peer: Vec<u8>,
    room: usize,
    /// The reported number of unacknowledged bytes.
    pub(crate) unacknowledged: u32,
    /// A write was short, or would block, since the last edge.
    refused: bool,
    /// The server has closed its sending direction, or the socket, perhaps with a reset.
    pub(crate) server_ended: bool,
    pub(crate) server_closed: bool,
    pub(crate) server_reset: bool,
    edge: bool,
}

pub(crate) fn pair() -> (MemoryStream, MemoryPeer) {
    let pipe = Arc::new(Mutex::new(MemoryPipe {
        to_server: Vec::new(),
        ended: false,
        reset: false,
        reset_reported: false,
        to_peer: Vec::new(),
        room: usize::MAX,
        unacknowledged: 0,
        refused: false,
        server_ended: false,
        server_closed: false,
        server_reset: false,
        edge: false,
    }));
    let mut pipes = lock(&PIPES);
    let nth = u32::try_from(pipes.insert(Arc::clone(&pipe)));
    (MemoryStream(nth.unwrap_or(u32::MAX)), MemoryPeer(pipe))
}

/// A test that panics leaves no partial change behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryPeer {
    pub(crate) fn pipe(&self) -> MutexGuard<'_, MemoryPipe> {
        lock(&self.0)
    }
}

impl MemoryPipe {
    /// Whether the peer may still send.
    fn is_open(&self) -> bool {
        !self.ended && !self.reset && !self.server_closed
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if self.is_open() && !bytes.is_empty() {
            self.to_server.extend_from_slice(bytes);
            self.edge = true;
        }
    }

    pub(crate) fn end(&mut self) {
        self.edge |= self.is_open();
        self.ended = true;
    }

    pub(crate) fn reset(&mut self) {
        self.edge |= !self.reset && !self.server_closed;
        self.reset = true;
    }

    /// Lets the peer accept `room` more bytes.
    pub(crate) fn set_room(&mut self, room: usize) {
        self.room = room;
        self.edge |= self.refused && room > 0;
    }

    pub(crate) fn has_event(&self) -> bool {
        self.edge
    }

    /// The event that a poll would report now, if any.
    pub(crate) fn take_event(&mut self) -> Option<Readiness> {
        let is_due = std::mem::take(&mut self.edge);
        // Free space that was used up before a poll saw it was never reported.
        self.refused &= self.room == 0;
        let readiness = Readiness {
            readable: !self.to_server.is_empty() || self.ended || self.reset,
            writable: self.room > 0 || self.reset,
            read_closed: self.ended || self.reset,
            urgent: false,
            error: self.reset && !self.reset_reported,
        };
        is_due.then_some(readiness)
    }

    fn broken(&mut self) -> io::Error {
        if std::mem::replace(&mut self.reset_reported, true) {
            io::ErrorKind::BrokenPipe.into()
        } else {
            io::ErrorKind::ConnectionReset.into()
        }
    }
}

impl MemoryStream {
    /// Calls `action` with the pipe; returns `otherwise` if it is closed.
    fn with<R>(&self, otherwise: R, action: impl FnOnce(&mut MemoryPipe) -> R) -> R {
        let pipe = lock(&PIPES).get(self.0 as usize).map(Arc::clone);
        pipe.map_or(otherwise, |pipe| action(&mut lock(&pipe)))
    }

    /// Takes the pending error (`SO_ERROR`).
    pub(super) fn error(&self) -> Option<io::Error> {
        if let Some(error) = self.simulated(|kernel, n| kernel.error(n)) {
            return error;
        }
        self.with(None, |pipe| (pipe.reset && !pipe.reset_reported).then(|| pipe.broken()))
    }

    pub(super) fn local_addr(&self) -> Addr {
        let addr = self.simulated(|kernel, n| kernel.local_addr(n)).flatten();
        addr.unwrap_or(Addr::Unnamed)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.simulated(|kernel, n| kernel.is_connected(n)).unwrap_or(true)
    }

    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        if let Some(done) = self.simulated(|kernel, n| kernel.shutdown_write(n)) {
            return done;
        }
        self.with((), |pipe| pipe.server_ended = true);
        Ok(())
    }

    pub(super) fn unacknowledged(&self) -> Option<u32> {
        let simulated = self.simulated(|kernel, n| kernel.unacknowledged(n));
        simulated.or_else(|| self.with(None, |pipe| Some(pipe.unacknowledged)))
    }

    pub(super) fn reset_on_close(&self) {
        if self.simulated(|kernel, n| kernel.reset_on_close(n)).is_some() {
            return;
        }
        self.with((), |pipe| pipe.server_reset = true);
    }

    /// Registers for reading, and for writing if `room` or if that is always reported.
    pub(super) fn register(&self, token: Token, room: bool) -> io::Result<()> {
        self.simulated(|kernel, n| kernel.register(n, token, room)).unwrap_or(Ok(()))
    }

    pub(super) fn reports_writable(&self) -> bool {
        self.simulated(|kernel, n| kernel.reports_writable(n)).unwrap_or(true)
    }

    pub(super) fn update_interests(&self, input: bool, room: bool) -> io::Result<()> {
        self.simulated(|kernel, n| kernel.update_interests(n, input, room)).unwrap_or(Ok(()))
    }

    /// Whether the last read stopped early because of passed descriptors.
    pub(super) fn has_ctrunc(&self) -> bool {
        self.simulated(|kernel, n| kernel.has_ctrunc(n)).unwrap_or(false)
    }
}

impl Read for MemoryStream {
    // Not inlined, so that it takes no registers from the reads of real sockets.
    #[cold]
    #[inline(never)]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(read) = self.simulated(|kernel, n| kernel.read(n, buffer)) {
            return read;
        }
        self.with(Ok(0), |pipe| {
            let n = buffer.len().min(pipe.to_server.len());
            for (place, byte) in buffer.iter_mut().zip(pipe.to_server.drain(..n)) {
                *place = byte;
            }
            match n {
                0 if pipe.reset && !pipe.reset_reported => Err(pipe.broken()),
                0 if pipe.ended || pipe.reset => Ok(0),
                0 => Err(io::ErrorKind::WouldBlock.into()),
                n => Ok(n),
            }
        })
    }
}

impl Write for MemoryStream {
    #[cold]
    #[inline(never)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(wrote) = self.simulated(|kernel, n| kernel.write(n, bytes)) {
            return wrote;
        }
        self.with(Ok(0), |pipe| {
            if pipe.reset {
                return Err(pipe.broken());
            }
            let n = bytes.len().min(pipe.room);
            pipe.refused |= n < bytes.len();
            pipe.room -= if pipe.room == usize::MAX { 0 } else { n };
            pipe.to_peer.extend(bytes.iter().take(n));
            if n == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(n) }
        })
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut whole = Vec::with_capacity(pieces.iter().map(|piece| piece.len()).sum());
        for piece in pieces {
            whole.extend_from_slice(piece);
        }
        self.write(&whole)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for MemoryStream {
    /// As with TCP, closing with unread input sends a reset.
    fn drop(&mut self) {
        if self.simulated(|kernel, n| kernel.close(n)).is_some() {
            return;
        }
        if let Some(pipe) = lock(&PIPES).try_remove(self.0 as usize) {
            let mut pipe = lock(&pipe);
            pipe.server_closed = true;
            pipe.server_ended = true;
            pipe.server_reset |= !pipe.to_server.is_empty();
            pipe.to_server.clear();
        }
    }
}
