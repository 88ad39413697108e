//! The table of all open sockets, and the queue of those that want a turn.
//!
//! Code that finds work for a socket records it in the socket and pushes its id to the queue, once.
//! The reactor takes ids from the queue; this file neither reads, writes nor calls handlers.

use std::collections::BTreeSet;

use crate::conn::datagram::{Datagram, DatagramPhase};
use crate::conn::transport::Readiness;
use crate::id::{Key, Slots, SocketId};
use crate::io::connection::Connection;
use crate::io::foreign_source::ForeignSource;
use crate::io::group::GroupMember;
use crate::io::listener::Listener;
use crate::io::wait_queue::WaitQueue;
use crate::net::DatagramSocket;

#[derive(Debug)]
pub(crate) enum Entry {
    Connection(Connection),
    Listener(Box<Listener>),
    Datagram(Box<Datagram<DatagramSocket>>),
    Source(ForeignSource),
}

#[derive(Debug)]
pub(crate) struct SocketTable {
    slots: Slots<Entry>,
    /// Ids of sockets that want a turn; each at most once, as the socket's flag says. An id stays
    /// queued until its turn is over, so a command on the handler's own connection does not push
    /// again.
    queue: Vec<SocketId>,
    connections: usize,
    /// Listeners that are paused until a connection ends.
    paused_listeners: WaitQueue,
    /// Datagram sockets that receive nothing until the next run.
    stopped_datagrams: BTreeSet<SocketId>,
    /// The socket that [`SocketTable::accepts_clients`] found last.
    acceptor: Option<SocketId>,
    /// The membership of this loop in a group; `None` outside of groups.
    pub(crate) member: Option<GroupMember>,
}

impl SocketTable {
    pub(super) fn new() -> SocketTable {
        SocketTable {
            slots: Slots::new(),
            queue: Vec::new(),
            connections: 0,
            paused_listeners: WaitQueue::default(),
            stopped_datagrams: BTreeSet::new(),
            acceptor: None,
            member: None,
        }
    }

    /// Takes a permit for one more connection from the group; without a group there always is one.
    /// The next connection that is inserted uses it, unless [`SocketTable::cancel_reservation`] is
    /// called before.
    #[inline]
    pub(crate) fn reserve(&mut self) -> bool {
        self.member.as_mut().is_none_or(GroupMember::reserve)
    }

    /// Returns the permit that was not used.
    #[inline]
    pub(crate) fn cancel_reservation(&mut self) {
        if let Some(member) = &mut self.member {
            member.cancel_reservation();
        }
    }

    /// Notes for the group whether a client was admitted.
    #[inline]
    pub(crate) fn note_admission(&self, admitted: bool) {
        if let Some(member) = &self.member {
            member.note_admission(admitted);
        }
    }

    /// Stores a connection. `None` when no id is left for it.
    #[inline]
    pub(super) fn insert_connection(&mut self, connection: Connection) -> Option<SocketId> {
        let id = SocketId(self.slots.insert_with(|_| Entry::Connection(connection))?);
        self.connections += 1;
        if let Some(member) = &mut self.member {
            member.use_reserved();
        }
        Some(id)
    }

    pub(super) fn insert_listener(&mut self, listener: Listener) -> Option<SocketId> {
        self.insert(Entry::Listener(Box::new(listener)))
    }

    pub(super) fn insert_datagram(
        &mut self,
        datagram: Datagram<DatagramSocket>,
    ) -> Option<SocketId> {
        self.insert(Entry::Datagram(Box::new(datagram)))
    }

    pub(super) fn insert_source(&mut self) -> Option<SocketId> {
        self.insert(Entry::Source(ForeignSource::default()))
    }

    fn insert(&mut self, socket: Entry) -> Option<SocketId> {
        let id = SocketId(self.slots.insert_with(|_| socket)?);
        // It may want a turn already.
        self.enqueue(id);
        Some(id)
    }

    /// Removes a socket, and drops it. When it is a connection, a paused listener may accept again.
    #[inline]
    pub(super) fn remove(&mut self, id: SocketId) {
        let Some(socket) = self.slots.remove(id.0) else { return };
        if let Entry::Connection(_) = socket {
            self.connections -= 1;
            if let Some(member) = &self.member {
                member.release();
            }
            self.resume_next_listener();
        } else {
            self.paused_listeners.remove(id);
            self.stopped_datagrams.remove(&id);
        }
    }

    /// Resumes the listener that has waited for a permit the longest, if one waits. A listener that
    /// does not use the permit calls this again for the next one.
    #[inline]
    pub(crate) fn resume_next_listener(&mut self) {
        if let Some(id) = self.paused_listeners.pop() {
            self.resume_listener(id);
        }
    }

    /// A listener has accepted all its clients: it has no place among those that wait.
    #[inline]
    pub(crate) fn forget_place(&mut self, id: SocketId) {
        self.paused_listeners.remove(id);
    }

    /// Resumes every listener that was paused for capacity; linear, so for rare operations only.
    fn resume_listeners(&mut self) {
        while let Some(id) = self.paused_listeners.pop() {
            self.resume_listener(id);
        }
    }

    /// A datagram socket has stopped, or will at the end of this run.
    pub(crate) fn note_stopped(&mut self, id: SocketId) {
        self.stopped_datagrams.insert(id);
    }

    /// Resumes all listeners and datagram sockets for another run.
    pub(crate) fn resume_all(&mut self) {
        self.resume_listeners();
        for id in std::mem::take(&mut self.stopped_datagrams) {
            if let Some(datagram) = self.datagram_mut(id) {
                datagram.resume_all();
                self.enqueue(id);
            }
        }
    }

    /// Resumes one listener that was paused for capacity.
    pub(crate) fn resume_listener(&mut self, id: SocketId) {
        if let Some(listener) = self.listener_mut(id) {
            listener.paused_for_capacity = false;
            self.paused_listeners.wake(id);
            self.enqueue(id);
        }
    }

    /// Pauses a listener until a connection ends or [`SocketTable::resume_listener`] is called; see
    /// [`WaitQueue::push`] for `served`.
    pub(crate) fn pause_listener(&mut self, id: SocketId, served: bool) {
        if self.stop_accepting(id) {
            self.paused_listeners.push(id, served);
        }
    }

    /// Pauses a listener until [`SocketTable::resume_listener`] is called. `false` when it is gone.
    pub(crate) fn stop_accepting(&mut self, id: SocketId) -> bool {
        let Some(listener) = self.listener_mut(id) else { return false };
        listener.paused_for_capacity = true;
        true
    }

    /// Whether the connection is open, or a reply to a datagram is due.
    pub(crate) fn is_serving_request(&self, id: SocketId) -> bool {
        match self.get(id) {
            Some(Entry::Connection(connection)) => !connection.is_delivered(),
            Some(Entry::Datagram(datagram)) => datagram.has_replies_due(),
            _ => false,
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: SocketId) -> Option<&Entry> {
        self.slots.get(id.0)
    }

    pub(super) fn get_mut(&mut self, id: SocketId) -> Option<&mut Entry> {
        self.slots.get_mut(id.0)
    }

    #[inline]
    pub(crate) fn connection_mut(&mut self, id: SocketId) -> Option<&mut Connection> {
        self.slots.pick_mut(id.0, |socket| match socket {
            Entry::Connection(connection) => Some(connection),
            _ => None,
        })
    }

    #[inline]
    pub(crate) fn connection(&self, id: SocketId) -> Option<&Connection> {
        self.slots.pick(id.0, |socket| match socket {
            Entry::Connection(connection) => Some(connection),
            _ => None,
        })
    }

    /// Whether it is a connection that lingers.
    pub(super) fn is_lingering(&self, id: SocketId) -> bool {
        self.connection(id).is_some_and(|connection| connection.is_lingering)
    }

    pub(crate) fn listener_mut(&mut self, id: SocketId) -> Option<&mut Listener> {
        match self.slots.get_mut(id.0) {
            Some(Entry::Listener(listener)) => Some(listener),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn datagram_mut(&mut self, id: SocketId) -> Option<&mut Datagram<DatagramSocket>> {
        match self.slots.get_mut(id.0) {
            Some(Entry::Datagram(datagram)) => Some(datagram),
            _ => None,
        }
    }

    pub(crate) fn datagram(&self, id: SocketId) -> Option<&Datagram<DatagramSocket>> {
        match self.slots.get(id.0) {
            Some(Entry::Datagram(datagram)) => Some(datagram),
            _ => None,
        }
    }

    pub(crate) fn source_mut(&mut self, id: SocketId) -> Option<&mut ForeignSource> {
        match self.slots.get_mut(id.0) {
            Some(Entry::Source(source)) => Some(source),
            _ => None,
        }
    }

    /// Every connection, in no order; linear, so for rare operations only.
    pub(super) fn connections(&self) -> impl Iterator<Item = (SocketId, &Connection)> {
        self.slots.iter().filter_map(|(key, socket)| match socket {
            Entry::Connection(connection) => Some((SocketId(key), connection)),
            _ => None,
        })
    }

    /// Every datagram socket, in no order; linear, so for rare operations only.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = (SocketId, &Datagram<DatagramSocket>)> {
        self.slots.iter().filter_map(|(key, socket)| match socket {
            Entry::Datagram(datagram) => Some((SocketId(key), &**datagram)),
            _ => None,
        })
    }

    pub(crate) fn datagram_ids(&self) -> Vec<SocketId> {
        self.datagrams().map(|(id, _)| id).collect()
    }

    /// Whether a listener or a datagram socket is open. All sockets are searched only when the one
    /// that was found last is not open any more.
    pub(crate) fn accepts_clients(&mut self) -> bool {
        let is_open = |socket: &Entry| match socket {
            Entry::Listener(listener) => !listener.closing,
            Entry::Datagram(datagram) => datagram.phase() == DatagramPhase::Open,
            _ => false,
        };
        if !self.acceptor.and_then(|id| self.get(id)).is_some_and(is_open) {
            let found = self.slots.iter().find(|(_, socket)| is_open(socket));
            self.acceptor = found.map(|(key, _)| SocketId(key));
        }
        self.acceptor.is_some()
    }

    pub(crate) fn ids(&self) -> Vec<SocketId> {
        self.slots.iter().map(|(key, _): (Key, _)| SocketId(key)).collect()
    }

    /// How many sockets there are, of all kinds.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn connection_count(&self) -> usize {
        self.connections
    }

    /// Records reported readiness. A stale id is ignored.
    pub(crate) fn set_ready(&mut self, id: SocketId, ready: Readiness) {
        match self.slots.get_mut(id.0) {
            Some(Entry::Connection(connection)) => connection.stream.set_ready(ready),
            Some(Entry::Listener(listener)) => listener.readable = true,
            Some(Entry::Datagram(datagram)) => datagram.set_ready(ready),
            Some(Entry::Source(source)) => source.note(ready),
            None => return,
        }
        self.enqueue(id);
    }

    /// Pushes an id to the queue if its socket wants a turn and is not queued.
    pub(crate) fn enqueue(&mut self, id: SocketId) {
        let Some(socket) = self.slots.get_mut(id.0) else { return };
        if !socket.is_queued() && socket.wants_service() {
            socket.set_queued(true);
            self.queue.push(id);
        }
    }

    /// The `nth` id in the queue, which may grow during the iteration.
    #[inline]
    pub(crate) fn queued(&self, nth: usize) -> Option<SocketId> {
        self.queue.get(nth).copied()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Empties the queue; the ids that were in it keep their turn until [`SocketTable::end_turn`].
    pub(crate) fn clear_queue(&mut self) {
        self.queue.clear();
    }

    /// Ends the turn of a socket, and queues it again if it wants another one.
    #[inline]
    pub(crate) fn end_turn(&mut self, id: SocketId) {
        let Some(socket) = self.slots.get_mut(id.0) else { return };
        socket.set_queued(false);
        if socket.wants_service() {
            socket.set_queued(true);
            self.queue.push(id);
        }
    }
}

impl Entry {
    fn wants_service(&self) -> bool {
        match self {
            Entry::Connection(connection) => connection.wants_service(),
            Entry::Listener(listener) => listener.wants_service(),
            Entry::Datagram(datagram) => datagram.wants_service(),
            Entry::Source(source) => source.wants_service(),
        }
    }

    fn is_queued(&self) -> bool {
        match self {
            Entry::Connection(connection) => connection.stream.is_queued(),
            Entry::Listener(listener) => listener.queued,
            Entry::Datagram(datagram) => datagram.queued,
            Entry::Source(source) => source.queued,
        }
    }

    fn set_queued(&mut self, queued: bool) {
        match self {
            Entry::Connection(connection) if queued => connection.stream.begin_turn(),
            Entry::Connection(connection) => connection.stream.end_turn(),
            Entry::Listener(listener) => listener.queued = queued,
            Entry::Datagram(datagram) => datagram.queued = queued,
            Entry::Source(source) => source.queued = queued,
        }
    }
}
