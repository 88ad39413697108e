//! Outgoing connections in the making: for each its [`Connector`], and the sockets under way.
//!
//! All sockets of one connection are known to the poll under the id of the connection, so any event
//! means that they are to be looked at. The connection itself has none before one of them stands.

use std::collections::HashMap;
use std::io;

use mio::Registry;

use crate::addr::{Addr, Name};
use crate::conn::connector::Connector;
use crate::id::{SocketId, TimerId};
use crate::io::names::Owner;
use crate::net::StreamSocket;

/// All connections that do not stand yet.
#[derive(Debug, Default)]
pub(crate) struct ConnectAttempts(HashMap<SocketId, ConnectAttempt>);

/// One of them.
#[derive(Debug)]
pub(crate) struct ConnectAttempt {
    pub(super) connector: Connector,
    /// What is to be looked up, and at whose expense.
    pub(super) name: Option<(Name, Owner)>,
    pub(super) allowed: Option<fn(&Addr) -> bool>,
    /// Our own address.
    pub(super) from: Option<Addr>,
    /// Why it cannot be made, which its handler is still to be told.
    pub(super) error: Option<io::Error>,
    /// What was asked for while there was no socket to set it on.
    pub(super) nodelay: Option<bool>,
    /// When the loop is next woken for it; `u64::MAX` when it is not.
    pub(crate) next_wake: u64,
    /// Timers that came up, and have to wait for `setup`.
    pub(super) deferred_timers: Vec<TimerId>,
    pending: Vec<PendingSocket>,
    /// How many sockets the poll was told of.
    registered: u32,
}

#[derive(Debug)]
struct PendingSocket {
    number: u32,
    addr: Addr,
    socket: StreamSocket,
}

/// The socket that stands.
#[derive(Debug)]
pub(crate) struct Established {
    pub(super) socket: StreamSocket,
    /// No other one was tried, so whatever the poll has reported is about this one.
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
            nodelay: None,
            next_wake: u64::MAX,
            deferred_timers: Vec::new(),
            pending: Vec::new(),
            registered: 0,
        }
    }

    /// One more socket is under way, and the poll knows it.
    pub(super) fn add(&mut self, number: u32, addr: Addr, socket: StreamSocket) {
        self.registered = self.registered.saturating_add(1);
        self.pending.push(PendingSocket { number, addr, socket });
    }

    /// Looks at every socket under way, in the order of their begin: the first that stands is taken
    /// out, those that failed are closed.
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

    /// Gives one of them up.
    pub(super) fn drop_one(&mut self, registry: &Registry, number: u32) {
        if let Some(nth) = self.pending.iter().position(|one| one.number == number) {
            close(registry, self.pending.remove(nth));
        }
    }

    /// Gives all of them up.
    pub(super) fn drop_all(&mut self, registry: &Registry) {
        for one in self.pending.drain(..) {
            close(registry, one);
        }
    }

    /// The address of our end, while it is certain which one that will be.
    pub(super) fn local_addr(&self) -> Option<Addr> {
        match self.pending.as_slice() {
            [one] => one.socket.local_addr(),
            _ => None,
        }
    }
}

/// Its close takes it from the poll, but not on every system.
fn close(registry: &Registry, mut one: PendingSocket) {
    let _ = one.socket.deregister(registry);
}

/// Where several were tried, the error says which.
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

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// It stands, or is given up.
    pub(super) fn remove(&mut self, id: SocketId) -> Option<ConnectAttempt> {
        self.0.remove(&id)
    }

    pub(super) fn get(&self, id: SocketId) -> Option<&ConnectAttempt> {
        self.0.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut ConnectAttempt> {
        self.0.get_mut(&id)
    }

    /// All of them, in no order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = SocketId> {
        self.0.keys().copied()
    }

    /// Whether it was only planned so far.
    pub(super) fn is_planned(&self, id: SocketId) -> bool {
        self.0.get(&id).is_some_and(|attempt| attempt.connector.is_waiting())
    }
}
