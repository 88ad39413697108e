//! Commands about one socket: how it is read, and its end.
//!
//! Each says whether it could be done: an id may be stale, its socket closed, or of a kind that
//! does not have that. All of them may be given in every callback, about the own socket too.

use std::io;

use super::Io;
use crate::conn::datagram::{AfterDrain, DatagramPhase};
use crate::conn::stream::CloseState;
use crate::id::SocketId;
use crate::io::table::Entry;
use crate::stats::CloseReason;

impl Io {
    /// Reads no more from `id` until [`Io::resume`]. The handler of a connection sees no input
    /// meanwhile; that of a datagram socket still sees the datagrams that came in one batch with the
    /// present one. A listener accepts nobody: clients wait in its backlog. Of several loops that
    /// share one listener ([`LoadBalancing::LeastConnections`](crate::LoadBalancing::LeastConnections)), it is the one that accepts
    /// which has to be paused. The callback of a watched source is called by timers alone.
    ///
    /// `false` when it is gone or closed.
    pub fn pause(&mut self, id: SocketId) -> bool {
        self.is_live(id)
            && (self.with_connection(id, |connection| connection.stream.pause())
                || self.with_datagram(id, |datagram| datagram.pause(true))
                || self.pause_other(id, true))
    }

    /// Reads from `id` again, or accepts again. What the handler of a connection had left is shown
    /// again, even if nothing new came; also what a call of `handle` leaves that has paused and
    /// resumed its connection itself. But when such a call takes nothing of what it sees for the
    /// second time, it is the next input that is shown. The callback of a watched source is told once
    /// more of what was reported to it. The idle time of a connection begins anew.
    ///
    /// `false` as for [`Io::pause`].
    pub fn resume(&mut self, id: SocketId) -> bool {
        let now = self.now;
        self.is_live(id)
            && (self.with_connection(id, |connection| connection.resume(now))
                || self.with_datagram(id, |datagram| datagram.pause(false))
                || self.pause_other(id, false))
    }

    fn pause_other(&mut self, id: SocketId, on: bool) -> bool {
        match self.sockets.get_mut(id) {
            Some(Entry::Listener(listener)) => listener.paused = on,
            Some(Entry::Source(source)) => source.pause(on),
            _ => return false,
        }
        self.sockets.enqueue(id);
        true
    }

    /// Reads from `id` even while its own output is congested; what its handler had left because of
    /// that is shown again. Who asks for it must limit the output otherwise, as a relay does by
    /// pausing the side that feeds it.
    ///
    /// `false` when it is no connection, or one that is closed.
    pub fn set_read_while_congested(&mut self, id: SocketId, on: bool) -> bool {
        self.is_live(id)
            && self.with_connection(id, |connection| connection.stream.set_read_while_congested(on))
    }

    /// Ends the outgoing direction once everything sent has left; reading goes on.
    ///
    /// `false` when it is no connection, or one that is closed.
    pub fn shutdown_write(&mut self, id: SocketId) -> bool {
        self.is_live(id)
            && self.with_connection(id, |connection| connection.stream.shutdown_write())
    }

    /// Closes a socket of any kind. A connection first sends what it owes, then its end, then
    /// waits shortly for the peer's; a datagram socket sends what waits. The handler gets no more
    /// input.
    ///
    /// `false` when it is gone, or was closed before.
    pub fn close(&mut self, id: SocketId) -> bool {
        if !self.is_live(id) {
            return false;
        }
        if self.with_connection(id, |connection| connection.stream.close()) {
            return true;
        }
        if let Some(listener) = self.sockets.listener_mut(id) {
            listener.closing = true;
        } else if let Some(datagram) = self.sockets.datagram_mut(id) {
            datagram.close();
        } else if let Some(source) = self.sockets.source_mut(id) {
            source.closing = true;
        }
        self.sockets.enqueue(id);
        true
    }

    /// Resets a connection now, or closes a socket of another kind; what was not sent is dropped.
    /// That may still be said when its handler has closed it, or in its `finish`: then the peer gets
    /// a reset and not an end.
    ///
    /// `false` when it is gone, or was cut off before.
    pub fn abort(&mut self, id: SocketId) -> bool {
        let mut aborted = false;
        if self.with_connection(id, |connection| {
            aborted = connection.stream.abort(CloseReason::Aborted);
        }) {
            return aborted;
        }
        if let Some(datagram) = self.sockets.datagram_mut(id) {
            let dropped = datagram.clear_queue();
            self.stats.packets_dropped += dropped as u64;
            // One that is closed already may have waited for these alone.
            self.sockets.enqueue(id);
            return self.close(id) || dropped > 0;
        }
        self.close(id)
    }

    /// Whether it exists and neither its handler nor anybody else has closed it.
    pub(super) fn is_live(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Connection(connection)) => {
                connection.stream.close_state() == CloseState::Open
            }
            Some(Entry::Listener(listener)) => !listener.closing,
            Some(Entry::Datagram(datagram)) => datagram.phase() != DatagramPhase::Closing,
            Some(Entry::Source(source)) => !source.closing,
            None => false,
        }
    }

    /// Sets `TCP_NODELAY` of one connection, against [`Options::nodelay`]; of one in the making, once
    /// it stands. A Unix stream never waits, so there is nothing to set.
    ///
    /// # Errors
    /// What the system says; [`NotConnected`](io::ErrorKind::NotConnected) when it is gone, no
    /// connection, or away with a handler that blocks.
    pub fn set_nodelay(&mut self, id: SocketId, on: bool) -> io::Result<()> {
        if let Some(attempt) = self.attempts.get_mut(id) {
            attempt.nodelay = Some(on);
            return Ok(());
        }
        match self.sockets.connection(id) {
            Some(connection) => connection.stream.transport().set_nodelay(on),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Closes every listener and every bound datagram socket (Python's `server_close`), once what
    /// has come to that is answered, also by other threads within
    /// [`Options::close_timeout`]; connections go on.
    pub fn server_close(&mut self) {
        let since = self.now;
        for id in self.sockets.ids() {
            match self.sockets.get(id) {
                Some(Entry::Listener(_)) => self.close(id),
                Some(Entry::Datagram(datagram)) if !datagram.is_connected => {
                    self.with_datagram(id, |datagram| {
                        datagram.begin_drain(since, AfterDrain::Close);
                    })
                }
                _ => false,
            };
        }
    }
}
