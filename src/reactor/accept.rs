//! Accepting clients: within a budget, verified, and given a handler.

use std::io;
use std::time::Duration;

use log::warn;

use crate::addr::Addr;
use crate::foreign::{self, ForeignCode};
use crate::handler::{Handler, HandlerSlot};
use crate::id::SocketId;
use crate::io::ACCEPT_RETRY;
use crate::io::group::Handoff;
use crate::net::{AcceptError, StreamSocket};
use crate::reactor::dispatch::Dispatcher;
use crate::trace::TraceEvent;

impl<S> Dispatcher<S> {
    /// Accepts the clients in the backlog, within the budget of a turn.
    pub(super) fn accept_ready(&mut self, id: SocketId) {
        self.accept_clients(id);
        self.io.sockets.cancel_reservation();
    }

    #[inline]
    fn accept_clients(&mut self, id: SocketId) {
        let mut served = false;
        for _ in 0..self.io.options.accepts_per_turn {
            let Dispatcher { io, handlers, .. } = self;
            let Some(HandlerSlot::Listener(factory)) = handlers.get(id.index()) else { return };
            let is_reserved = io.try_reserve();
            let Some(listener) = io.sockets.listener_mut(id) else { return };
            if listener.closing || !listener.may_accept() {
                return self.pass_on(id, is_reserved);
            }
            if !factory.has_capacity() {
                if io.sockets.stop_accepting(id) {
                    factory.wait_for_capacity(id, served);
                }
                if is_reserved {
                    io.sockets.resume_next_listener();
                }
                return;
            }
            if !(is_reserved || io.try_reserve_or_evict()) {
                io.sockets.pause_listener(id, served);
                return factory.pass_capacity_on(io);
            }
            let Some(listener) = io.sockets.listener_mut(id) else { return };
            match listener.socket.accept(&io.options) {
                Ok((socket, peer)) => {
                    served = true;
                    listener.note_success();
                    match listener.addr_index {
                        None => self.admit(id, socket, &peer),
                        Some(addr_index) => self.hand_off(id, addr_index, socket, peer),
                    }
                }
                Err(error) => match listener.classify(&error) {
                    AcceptError::WouldBlock => {}
                    kind => self.accept_failed(id, kind, &error),
                },
            }
        }
    }

    /// Wakes another socket for the permits that this listener does not use. One whose `accept` has
    /// failed keeps them: the others would fail too, and each would wake the next.
    #[inline]
    fn pass_on(&mut self, id: SocketId, is_reserved: bool) {
        let Dispatcher { io, handlers, .. } = self;
        if io.sockets.listener_mut(id).is_some_and(|one| one.is_waiting()) {
            return;
        }
        io.sockets.forget_place(id);
        if is_reserved {
            io.sockets.resume_next_listener();
        }
        if let Some(HandlerSlot::Listener(factory)) = handlers.get(id.index()) {
            factory.pass_capacity_on(io);
        }
    }

    /// Hands a client off, if another loop has fewer connections.
    #[cold]
    fn hand_off(
        &mut self,
        listener: SocketId,
        addr_index: usize,
        socket: StreamSocket,
        peer: Addr,
    ) {
        let now = self.io.now();
        let Some(member) = &mut self.io.sockets.member else { return };
        match member.hand_off(addr_index, socket, peer, now) {
            None => self.io.stats.handed_over += 1,
            Some((socket, peer)) => self.admit(listener, socket, &peer),
        }
    }

    /// Admits the clients that other loops have handed off to this one; after a `last` call this
    /// loop accepts no more.
    fn accept_handoffs(&mut self, last: bool) {
        let Some(member) = &self.io.sockets.member else { return };
        for Handoff { addr_index, socket, peer, permit } in member.take_handoffs(last) {
            let Some(member) = &mut self.io.sockets.member else { return };
            member.adopt_permit(permit);
            let listener = member.opened_id(addr_index);
            match listener.filter(|id| self.io.is_open(*id)) {
                Some(listener) => self.admit(listener, socket, &peer),
                None => self.hand_on(addr_index, socket, peer),
            }
            self.io.sockets.cancel_reservation();
        }
    }

    /// Hands a client on to another loop, because this one has closed its listener.
    fn hand_on(&mut self, addr_index: usize, socket: StreamSocket, peer: Addr) {
        let now = self.io.now();
        let Some(member) = &mut self.io.sockets.member else { return };
        match member.hand_off(addr_index, socket, peer, now) {
            None => self.io.stats.handed_over += 1,
            Some(_) => self.io.stats.refused += 1,
        }
    }

    /// Another loop of the group has handed off a client, or released a permit.
    pub(crate) fn check_group(&mut self) {
        if self.io.sockets.member.is_some() {
            self.accept_handoffs(false);
            self.io.sockets.resume_next_listener();
        }
    }

    /// Shuts down the other loops too. A group runs once, so the listeners are closed.
    pub(crate) fn stop_group(&mut self, grace: Duration) {
        self.accept_handoffs(true);
        if let Some(member) = &self.io.sockets.member {
            member.stop_all(grace);
            self.io.server_close();
        }
    }

    /// Refuses clients that were handed off to this loop, because it has failed or never ran.
    pub(crate) fn refuse_handoffs(&mut self) {
        if let Some(member) = &self.io.sockets.member {
            self.io.stats.refused += member.take_handoffs(true).len() as u64;
        }
    }

    /// Verifies a new client and makes its handler.
    fn admit(&mut self, listener: SocketId, socket: StreamSocket, peer: &Addr) {
        let Dispatcher { shared, io, handlers, verify, .. } = self;
        if let Some(verify) = verify {
            let verified = || verify(shared, peer);
            let verdict = foreign::run(ForeignCode::VerifyRequest, Some(listener), verified);
            if !verdict.unwrap_or(false) {
                io.stats.refused += 1;
                return io.sockets.note_admission(false);
            }
        }
        let Some(HandlerSlot::Listener(factory)) = handlers.get_mut(listener.index()) else {
            return;
        };
        let made = foreign::run(ForeignCode::Factory, Some(listener), || factory.make(peer));
        let Some(handler) = made else {
            io.stats.refused += 1;
            return io.sockets.note_admission(false);
        };
        if let Err(error) = self.start_connection(listener, socket, handler) {
            self.io.stats.refused += 1;
            self.io.sockets.note_admission(false);
            // Its handler may have taken a worker permit that others wait for.
            if let Some(HandlerSlot::Listener(factory)) = self.handlers.get(listener.index()) {
                factory.pass_capacity_on(&mut self.io);
            }
            self.accept_failed(listener, AcceptError::Transient, &error);
        }
    }

    /// Registers a connection with its handler and calls `setup`.
    #[inline]
    pub(crate) fn start_connection(
        &mut self,
        listener: SocketId,
        socket: StreamSocket,
        handler: Box<dyn Handler<S>>,
    ) -> io::Result<SocketId> {
        let io = &mut self.io;
        let id = match io.register_connection(socket) {
            Ok(id) => id,
            Err(error) => {
                foreign::discard(ForeignCode::HandlerDrop, None, handler);
                return Err(error);
            }
        };
        io.stats.accepted += 1;
        io.accept_quota = io.accept_quota.map(|quota| quota.saturating_sub(1));
        io.trace.step(|| TraceEvent::Accepted(listener, id));
        self.install(id, HandlerSlot::Stream(handler));
        self.accepted = Some(id);
        let set_up = self.call(id, |handler, cx| handler.setup(cx));
        self.io.sockets.note_admission(set_up.is_ok());
        if let Err(failure) = set_up {
            self.fail(id, failure);
        }
        Ok(id)
    }

    #[cold]
    fn accept_failed(&mut self, id: SocketId, kind: AcceptError, error: &io::Error) {
        let io = &mut self.io;
        io.stats.accept_errors += 1;
        if kind == AcceptError::Exhausted {
            io.sockets.pause_listener(id, true);
            let retry = io.deadline_in(ACCEPT_RETRY);
            io.deadlines.push(retry, id);
            // Its descriptor may be the missing one; then the next attempt succeeds at once.
            io.remove_oldest_lingering();
        }
        let now = io.now;
        let Some(listener) = io.sockets.listener_mut(id) else { return };
        if let Some(before) = listener.allow_warning(now) {
            warn!("{id}: cannot accept a client: {error} ({before} more such errors before)");
        }
    }
}
