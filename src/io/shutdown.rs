//! A graceful shutdown: its states, how long it still reads, and when it is drained.

use std::io;
use std::time::Duration;

use super::Io;
use crate::conn::datagram::AfterDrain;
use crate::id::SocketId;
use crate::io::table::Entry;

/// How far a graceful shutdown has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ShutdownState {
    Running,
    /// Requested; it begins with the next turn.
    Requested {
        grace: Duration,
    },
    /// It began at `since`; connections that are left at `deadline` are aborted.
    Draining {
        since: u64,
        deadline: u64,
    },
    /// Nothing is left; the next run may serve again.
    Done,
}

impl Io {
    /// Ends the present run of the server (Python's `shutdown`). No client is accepted from now on.
    /// Each handler's `shutdown` is called after the handler has got all input that had arrived,
    /// and connections that are left after `grace` are aborted. The listeners stay bound, so that
    /// the server can run again; [`Io::server_close`] closes them. When called twice, the shorter
    /// grace applies.
    ///
    /// ```
    /// use std::time::Duration;
    /// use socketserver::{Echo, Server};
    ///
    /// let mut server = Server::new()?;
    /// server.listen("127.0.0.1:0", |_peer| Echo)?;
    /// server.io_mut().shutdown(Duration::from_secs(10));
    /// server.serve_forever()?;
    /// assert_eq!(server.report().unwrap().forced, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&mut self, grace: Duration) {
        if self.shutdown_state == ShutdownState::Done {
            // Another run begins, if only to end; datagram sockets that stopped since the last one
            // are notified again.
            self.sockets.resume_all();
        }
        self.shutdown_state = match self.shutdown_state {
            ShutdownState::Running | ShutdownState::Done => ShutdownState::Requested { grace },
            ShutdownState::Requested { grace: before } => {
                ShutdownState::Requested { grace: before.min(grace) }
            }
            ShutdownState::Draining { since, deadline } => {
                ShutdownState::Draining { since, deadline: deadline.min(self.deadline_in(grace)) }
            }
        };
    }

    /// Whether a shutdown was requested and is not done yet.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        matches!(
            self.shutdown_state,
            ShutdownState::Requested { .. } | ShutdownState::Draining { .. }
        )
    }

    /// Begins a shutdown: each socket is read once more, and then its handler is notified.
    pub(crate) fn begin_shutdown(&mut self) {
        let since = self.now;
        // A child that got the same signal as this process waits for this.
        self.request_stop();
        for id in self.sockets.ids() {
            self.begin_connection_shutdown(id);
            self.begin_drain(id, since);
        }
        self.rearm_lingering();
    }

    /// Begins the shutdown of one connection.
    pub(super) fn begin_connection_shutdown(&mut self, id: SocketId) {
        let Some(connection) = self.sockets.connection_mut(id) else { return };
        connection.stream.note_shutdown();
        if connection.stream.is_connecting() && self.attempts.is_planned(id) {
            let what = "the server shut down before the connection began";
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, what);
            return self.fail_in_turn(id, error);
        }
        self.sockets.enqueue(id);
    }

    /// Handles the datagrams that have arrived by now; then the socket stops, or closes if it is
    /// connected.
    pub(super) fn begin_drain(&mut self, id: SocketId, since: u64) {
        let is_datagram = self.with_datagram(id, |datagram| {
            let then = if datagram.is_connected { AfterDrain::Close } else { AfterDrain::Stop };
            datagram.begin_drain(since, then);
        });
        if is_datagram {
            self.sockets.note_stopped(id);
        }
    }

    /// Whether a shutdown still reads input. The time is bounded, so that a peer that never stops
    /// sending does not delay its handler's `shutdown`.
    pub(crate) fn may_still_read(&self) -> bool {
        let ShutdownState::Draining { since, .. } = self.shutdown_state else { return false };
        self.may_still_receive(since)
    }

    /// Whether input is still read by a drain that began at `since`.
    pub(crate) fn may_still_receive(&self, since: u64) -> bool {
        let longest = match self.shutdown_state {
            ShutdownState::Draining { since, deadline } => {
                MAX_DRAIN_READ.min((deadline - since) / 2)
            }
            _ => MAX_DRAIN_READ,
        };
        self.now < since.saturating_add(longest)
    }

    /// Whether a shutdown has nothing more to wait for. A connect attempt with no pending output that
    /// no conversation has begun (of the program itself, or of a background task such as a health
    /// check) does not delay it. All sockets are searched only when the one that was found last is not waited for any more.
    pub(crate) fn is_drained(&mut self) -> bool {
        if self.connection_count() > self.attempts.len() {
            return false;
        }
        if !self.undrained.is_some_and(|id| self.delays_shutdown(id)) {
            let datagrams = self.sockets.datagrams().map(|(id, _)| id);
            self.undrained =
                self.attempts.ids().chain(datagrams).find(|id| self.delays_shutdown(*id));
        }
        self.undrained.is_none()
    }

    fn delays_shutdown(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Connection(one)) => self.attempts.is_awaited(id) || one.stream.unsent() > 0,
            Some(Entry::Datagram(datagram)) => !datagram.is_drained(),
            _ => false,
        }
    }

    /// Whether the callbacks of this socket are background work: no peer waits for an answer from
    /// them.
    pub(super) fn is_beside(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Source(_)) => true,
            Some(Entry::Connection(connection)) => connection.stream.is_unsolicited(),
            _ => false,
        }
    }

    /// Whether a connection may skip lingering: only during a shutdown, when all input was read and
    /// the peer has been silent since, or the connection is background work.
    pub(crate) fn may_skip_linger(&self, id: SocketId) -> bool {
        let ShutdownState::Draining { since, .. } = self.shutdown_state else { return false };
        self.sockets.connection(id).is_some_and(|connection| {
            let silent = connection.last_active() < since || connection.stream.is_unsolicited();
            !connection.stream.is_readable() && silent
        })
    }
}

/// How long a shutdown reads at most, in nanoseconds.
const MAX_DRAIN_READ: u64 = 1_000_000_000;
