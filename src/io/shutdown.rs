//! A graceful shutdown: its states, how long it still reads, and when nothing is left to wait for.

use std::time::Duration;

use super::Io;
use crate::conn::datagram::AfterDrain;
use crate::id::SocketId;
use crate::io::table::Entry;

/// How far a graceful shutdown has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ShutdownState {
    Running,
    /// Asked for; it begins with the next turn.
    Requested {
        grace: Duration,
    },
    /// It began at `since`; what is left at `deadline` is cut off.
    Draining {
        since: u64,
        deadline: u64,
    },
    /// Nothing is left; the next turn may serve again.
    Done,
}

impl Io {
    /// Ends the present run of the server (Python's `shutdown`). From now on nobody is accepted;
    /// each handler's `shutdown` runs after it has seen everything that had been read for it; what is left
    /// after `grace` is cut off. The listeners stay bound, so that the server can run again:
    /// [`Io::server_close`] closes them. Asked for twice, the shorter grace holds.
    pub fn shutdown(&mut self, grace: Duration) {
        if self.shutdown_state == ShutdownState::Done {
            // Another run begins, if only to end; who rested since the last one is told again.
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

    /// Whether a shutdown was asked for and has not ended yet.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        matches!(
            self.shutdown_state,
            ShutdownState::Requested { .. } | ShutdownState::Draining { .. }
        )
    }

    /// A shutdown begins: everybody looks once more into its socket, and then its handler is told.
    pub(crate) fn begin_shutdown(&mut self) {
        let since = self.now;
        for id in self.sockets.ids() {
            self.begin_connection_shutdown(id);
            self.begin_drain(id, since);
        }
        self.rearm_lingering();
    }

    /// The same for one connection.
    pub(super) fn begin_connection_shutdown(&mut self, id: SocketId) {
        let Some(connection) = self.sockets.connection_mut(id) else { return };
        if connection.stream.is_connecting() && self.attempts.is_planned(id) {
            connection.stream.close();
        }
        connection.stream.note_shutdown();
        self.sockets.enqueue(id);
    }

    /// What has come to a datagram socket by now is answered; then it rests, or closes if it is a
    /// connected one.
    pub(super) fn begin_drain(&mut self, id: SocketId, since: u64) {
        self.with_datagram(id, |datagram| {
            let then = if datagram.is_connected { AfterDrain::Close } else { AfterDrain::Stop };
            datagram.begin_drain(since, then);
        });
    }

    /// Whether a shutdown still waits for the end of what comes in. A peer that never stops sending
    /// may not hold up its handler's `shutdown` for longer.
    pub(crate) fn may_still_read(&self) -> bool {
        let ShutdownState::Draining { since, .. } = self.shutdown_state else { return false };
        self.may_still_receive(since)
    }

    /// Whether what comes in is still looked at, `since` when it is to come to its end.
    pub(crate) fn may_still_receive(&self, since: u64) -> bool {
        let longest = match self.shutdown_state {
            ShutdownState::Draining { since, deadline } => {
                MAX_DRAIN_READ.min((deadline - since) / 2)
            }
            _ => MAX_DRAIN_READ,
        };
        self.now < since.saturating_add(longest)
    }

    /// Whether a shutdown has nothing more to wait for. A connection in the making that owes nobody
    /// anything, such as one that looks whether a server is well, holds nothing up.
    pub(crate) fn is_drained(&self) -> bool {
        let owes_nothing = |id: &SocketId| {
            let connection = self.sockets.connection(*id);
            connection.is_some_and(|one| one.stream.is_unsolicited() && one.stream.unsent() == 0)
        };
        self.connection_count() == self.attempts.ids().filter(owes_nothing).count()
            && self.sockets.datagrams().all(|(_, one)| one.is_drained())
    }

    /// Whether what this socket's callbacks begin owes nobody an answer: nobody has asked for it.
    pub(super) fn is_beside(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Source(_)) => true,
            Some(Entry::Connection(connection)) => connection.stream.is_unsolicited(),
            _ => false,
        }
    }

    /// Whether a connection may go without waiting for the peer's end: only when the server shuts
    /// down, everything that came was looked at, and the peer has been silent since, or nobody has
    /// asked for it.
    pub(crate) fn may_skip_linger(&self, id: SocketId) -> bool {
        let ShutdownState::Draining { since, .. } = self.shutdown_state else { return false };
        self.sockets.connection(id).is_some_and(|connection| {
            let silent = connection.last_active() < since || connection.stream.is_unsolicited();
            !connection.stream.is_readable() && silent
        })
    }
}

/// How long at most a shutdown goes on reading, in nanoseconds.
const MAX_DRAIN_READ: u64 = 1_000_000_000;
