//! Outgoing connections that have more before them than one attempt: a pause, a name to be looked
//! up, several addresses.

use std::collections::HashMap;
use std::io;

use crate::addr::Addr;
use crate::id::{SocketId, TimerId};

/// What is still to be done for connections that do not stand yet.
#[derive(Debug, Default)]
pub(crate) struct Attempts(HashMap<SocketId, Attempt>);

#[derive(Debug, Default)]
pub(crate) struct Attempt {
    /// When it begins, while that is still to come.
    pub(crate) begins: Option<u64>,
    /// A name is being looked up.
    pub(crate) looking_up: bool,
    /// To be tried, the next one last.
    pub(crate) left: Vec<Addr>,
    /// When it is no longer tried again, once the backlog of a Unix server was full.
    pub(crate) give_up: Option<u64>,
    /// Our own address.
    pub(crate) from: Option<Addr>,
    /// Why there is nothing to be tried.
    pub(crate) failed: Option<io::Error>,
    /// Timers that came up, and have to wait for `setup`.
    pub(crate) late: Vec<TimerId>,
}

impl Attempts {
    pub(crate) fn insert(&mut self, id: SocketId, attempt: Attempt) {
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
    pub(crate) fn remove(&mut self, id: SocketId) -> Option<Attempt> {
        self.0.remove(&id)
    }

    /// A timer of a connection in the making came up.
    pub(crate) fn put_off(&mut self, id: SocketId, timer: TimerId) {
        self.0.entry(id).or_default().late.push(timer);
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut Attempt> {
        self.0.get_mut(&id)
    }

    /// Whether its time, or its name, is still to come.
    pub(crate) fn waits(&self, id: SocketId) -> bool {
        self.0.get(&id).is_some_and(|attempt| attempt.begins.is_some() || attempt.looking_up)
    }

    /// When a connection that waits for its time begins.
    pub(crate) fn begins(&self, id: SocketId) -> Option<u64> {
        self.0.get(&id)?.begins
    }
}
