//! How clients get in: accepted within a budget, verified, and given a handler.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::warn;

use crate::addr::Addr;
use crate::handler::{Handler, Role};
use crate::id::SocketId;
use crate::io::ACCEPT_RETRY;
use crate::socket::{AcceptError, StreamSocket, accept_error};
use crate::stage::{Stage, log_panic};
use crate::trace::Step;

impl<S> Stage<S> {
    /// Accepts who waits, within the budget of a turn.
    pub(crate) fn receive_clients(&mut self, id: SocketId) {
        for _ in 0..self.io.options.accepts_per_turn {
            let io = &mut self.io;
            let has_room = io.has_room();
            let Some(listener) = io.sockets.listener(id) else { return };
            if listener.closing || !listener.readable || listener.waits_for_room {
                return;
            }
            if !has_room {
                return io.sockets.wait_for_room(id);
            }
            match listener.socket.accept(&io.options) {
                Ok((socket, peer)) => self.welcome(id, socket, &peer),
                Err(error) => match accept_error(&error) {
                    AcceptError::Nobody => listener.readable = false,
                    kind => self.accept_failed(id, kind, &error),
                },
            }
        }
    }

    /// Makes a handler for a new client, if it may have one.
    fn welcome(&mut self, listener: SocketId, socket: StreamSocket, peer: &Addr) {
        let Stage { shared, io, roles, verify, .. } = self;
        if let Some(verify) = verify {
            let verdict = catch_unwind(AssertUnwindSafe(|| verify(shared, peer)));
            if !verdict.unwrap_or_else(|panic| log_panic(listener, &*panic)) {
                io.ledger.refused += 1;
                return;
            }
        }
        let Some(Role::Listener(factory)) = roles.get_mut(listener.index()) else { return };
        let handler = match catch_unwind(AssertUnwindSafe(|| factory(peer))) {
            Ok(handler) => handler,
            Err(panic) => {
                log_panic(listener, &*panic);
                io.ledger.refused += 1;
                return;
            }
        };
        if let Err(error) = self.begin(listener, socket, handler) {
            self.io.ledger.refused += 1;
            self.accept_failed(listener, AcceptError::OneClient, &error);
        }
    }

    /// A client is there, and so is its handler.
    #[inline]
    pub(crate) fn begin(
        &mut self,
        listener: SocketId,
        socket: StreamSocket,
        handler: Box<dyn Handler<S>>,
    ) -> io::Result<SocketId> {
        let io = &mut self.io;
        let id = io.adopt(socket, false)?;
        io.ledger.accepted += 1;
        io.accept_quota = io.accept_quota.map(|quota| quota.saturating_sub(1));
        io.trace.step(|| Step::Accepted(listener, id));
        self.appoint(id, Role::Conversation(handler));
        self.accepted = Some(id);
        if let Err(failure) = self.call(id, |handler, cx| handler.setup(cx)) {
            self.fail(id, failure);
        }
        Ok(id)
    }

    #[cold]
    fn accept_failed(&mut self, id: SocketId, kind: AcceptError, error: &io::Error) {
        let io = &mut self.io;
        io.ledger.accept_errors += 1;
        if kind == AcceptError::Shortage {
            io.sockets.wait_for_room(id);
            let retry = io.after(ACCEPT_RETRY);
            io.deadlines.push(retry, id);
        }
        let now = io.now;
        let Some(listener) = io.sockets.listener(id) else { return };
        if let Some(before) = listener.may_warn(now) {
            warn!("{id}: cannot accept a client: {error} ({before} more such errors before)");
        }
    }
}
