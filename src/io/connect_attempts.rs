//! Connections that are not established yet: for each its [`Connector`] and its sockets.
//!
//! All sockets of one connection are registered under the id of the connection, so on any event all
//! of them are checked. The connection itself has no socket until one of them is established.

use std::collections::HashMap;
use std::io;

use mio::Registry;

use crate::addr::{Addr, Name};
use crate::conn::connector::Connector;
use crate::id::{SocketId, TimerId};
use crate::io::names::Owner;
use crate::net::StreamSocket;

/// The attempts by connection.
#[derive(Debug, Default)]
pub(crate) struct ConnectAttempts(HashMap<SocketId, ConnectAttempt>);

/// One connection that is connecting.
#[derive(Debug)]
pub(crate) struct ConnectAttempt {
    pub(super) connector: Connector,
    /// The name to look up, and the owner of the look-up.
    pub(super) name: Option<(Name, Owner)>,
    pub(super) allowed: Option<fn(&Addr) -> bool>,
    /// The local address to bind to.
    pub(super) from: Option<Addr>,
    /// The error that the handler gets in its turn.
    pub(super) error: Option<io::Error>,
    /// Whether a conversation has begun it, which may owe it to its peer.
    pub(super) is_awaited: bool,
    /// `TCP_NODELAY` as requested before there was a socket.
    pub(super) nodelay: Option<bool>,
    /// The earliest armed deadline; `u64::MAX` when there is none.
    pub(crate) next_wake: u64,
    /// Timers that have expired and fire after `setup`.
    pub(super) deferred_timers: Vec<TimerId>,
    pending: Vec<PendingSocket>,
    /// How many sockets were registered so far.
    registered: u32,
}

#[derive(Debug)]
struct PendingSocket {
    number: u32,
    addr: Addr,
    socket: StreamSocket,
}

/// The established socket.
#[derive(Debug)]
pub(crate) struct Established {
    pub(super) socket: StreamSocket,
    /// No other socket was registered, so all reported readiness belongs to this one.
    pub(super) is_sole: bool,
}

impl ConnectAttempt {
    pub(super) fn new(connector: Connector, from: Option<Addr>) -> ConnectAttempt {
        ConnectAttempt {
            connector,
            name: None,
            allowed: None,
            from,
            error: None,
            is_awaited: false,
            nodelay: None,
            next_wake: u64::MAX,
            deferred_timers: Vec::new(),
            pending: Vec::new(),
            registered: 0,
        }
    }

    /// Adds a socket that is connecting and registered.
    pub(super) fn add(&mut self, number: u32, addr: Addr, socket: StreamSocket) {
        self.registered = self.registered.saturating_add(1);
        self.pending.push(PendingSocket { number, addr, socket });
    }

    /// Checks every socket in the order in which they began to connect: takes the first that is
    /// established, and closes those that failed. `None` when none is established.
    pub(crate) fn take_established(&mut self, registry: &Registry) -> Option<Established> {
        let mut nth = 0;
        while let Some(PendingSocket { number, addr, socket }) = self.pending.get(nth) {
            if let Some(error) = socket.error() {
                let error = if self.registered > 1 { with_addr(addr, &error) } else { error };
                self.connector.failed(*number, error);
                close(registry, self.pending.remove(nth));
            } else if socket.is_connected() {
                let PendingSocket { socket, .. } = self.pending.remove(nth);
                return Some(Established { socket, is_sole: self.registered == 1 });
            } else {
                nth += 1;
            }
        }
        None
    }

    /// Closes one socket.
    pub(super) fn drop_one(&mut self, registry: &Registry, number: u32) {
        if let Some(nth) = self.pending.iter().position(|one| one.number == number) {
            close(registry, self.pending.remove(nth));
        }
    }

    /// Closes all sockets.
    pub(super) fn drop_all(&mut self, registry: &Registry) {
        for one in self.pending.drain(..) {
            close(registry, one);
        }
    }

    /// The local address, while exactly one socket is connecting.
    pub(super) fn local_addr(&self) -> Option<Addr> {
        match self.pending.as_slice() {
            [one] => one.socket.local_addr(),
            _ => None,
        }
    }
}

/// Closing the descriptor deregisters it, but not on every system.
fn close(registry: &Registry, mut one: PendingSocket) {
    let _ = one.socket.deregister(registry);
}

/// Adds the address to an error, where several were tried.
pub(super) fn with_addr(addr: &Addr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot connect to {addr}: {error}"))
}

impl ConnectAttempts {
    pub(super) fn insert(&mut self, id: SocketId, attempt: ConnectAttempt) {
        self.0.insert(id, attempt);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Removes an attempt that is established or cancelled.
    pub(super) fn remove(&mut self, id: SocketId) -> Option<ConnectAttempt> {
        self.0.remove(&id)
    }

    pub(super) fn get(&self, id: SocketId) -> Option<&ConnectAttempt> {
        self.0.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut ConnectAttempt> {
        self.0.get_mut(&id)
    }

    /// The ids of all attempts, in no order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = SocketId> {
        self.0.keys().copied()
    }

    /// Whether a conversation has begun the attempt.
    pub(super) fn is_awaited(&self, id: SocketId) -> bool {
        self.0.get(&id).is_some_and(|attempt| attempt.is_awaited)
    }

    /// Whether the attempt is only delayed so far.
    pub(crate) fn is_planned(&self, id: SocketId) -> bool {
        self.0.get(&id).is_some_and(|attempt| attempt.connector.is_waiting())
    }
}
