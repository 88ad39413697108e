//! Who answers for each socket, and how they are called.
//!
//! Every handler is called here: with everything it may touch, its panics caught, and `finish`
//! exactly once.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use log::{debug, error};

use crate::addr::Addr;
use crate::handler::{Context, Desk, Handler, Role};
use crate::id::SocketId;
use crate::io::Io;
use crate::ledger::Reason;
use crate::stream::Ending;
use crate::trace::Step;

/// Everything a callback may touch, apart from the buffer its input lies in.
pub(crate) struct Stage<S> {
    pub(crate) shared: S,
    pub(crate) io: Io,
    pub(crate) roles: Vec<Role<S>>,
    pub(crate) desk: Desk<S>,
    pub(crate) verify: Option<Box<Verify<S>>>,
    /// The connection that was accepted last, or the socket that handled a datagram, for
    /// `handle_request`.
    pub(crate) accepted: Option<SocketId>,
}

pub(crate) type Verify<S> = dyn FnMut(&mut S, &Addr) -> bool;

/// Why a conversation has to end now.
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) error: io::Error,
}

impl<S> Stage<S> {
    pub(crate) fn new(shared: S, io: Io, desk: Desk<S>) -> Stage<S> {
        Stage { shared, io, roles: Vec::new(), desk, verify: None, accepted: None }
    }

    /// Calls a handler. What it opened meanwhile gets its roles afterwards.
    #[inline(always)]
    pub(crate) fn call(
        &mut self,
        id: SocketId,
        callback: impl FnOnce(&mut dyn Handler<S>, &mut Context<'_, S>) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let Stage { shared, io, roles, desk, .. } = self;
        let Some(Role::Conversation(handler)) = roles.get_mut(id.index()) else { return Ok(()) };
        let mut cx = Context { id, shared, io, desk, reason: None, sender: None };
        match catch_unwind(AssertUnwindSafe(|| callback(&mut **handler, &mut cx))) {
            Ok(Ok(())) => {
                self.appoint_newcomers();
                Ok(())
            }
            failed => {
                self.appoint_newcomers();
                Err(Failure::of_callback(id, failed))
            }
        }
    }

    /// Puts those who answer for newly opened sockets into their places, if there are any.
    #[inline]
    pub(crate) fn appoint_newcomers(&mut self) {
        if !self.desk.newcomers.is_empty() {
            self.appoint_all();
        }
    }

    #[cold]
    #[inline(never)]
    fn appoint_all(&mut self) {
        while let Some((id, role)) = self.desk.newcomers.pop() {
            self.appoint(id, role);
        }
    }

    #[inline]
    pub(crate) fn appoint(&mut self, id: SocketId, role: Role<S>) {
        while self.roles.len() <= id.index() {
            self.roles.push(Role::Nobody);
        }
        if let Some(place) = self.roles.get_mut(id.index()) {
            *place = role;
        }
    }

    pub(crate) fn dismiss(&mut self, id: SocketId) -> Role<S> {
        match self.roles.get_mut(id.index()) {
            Some(role) => std::mem::replace(role, Role::Nobody),
            None => Role::Nobody,
        }
    }

    /// Ends a conversation with an error. What it had sent still leaves, if that can be.
    #[cold]
    pub(crate) fn fail(&mut self, id: SocketId, failure: Failure) {
        let Failure { reason, error } = failure;
        debug!("{id}: ended, {reason:?}: {error}");
        self.io.note_exit(&error);
        let Some(connection) = self.io.sockets.connection(id) else { return };
        if connection.is_finished() {
            // Its conversation has ended before; only the rest of it broke.
            return self.io.discard(id);
        }
        // Too much output ended it, whatever its handler said about that.
        let too_much = connection.aborted() == Some(Reason::OutputLimit);
        let reason = if too_much { Reason::OutputLimit } else { reason };
        let may_leave = matches!(
            reason,
            Reason::HandlerError | Reason::Panicked | Reason::InputLimit | Reason::FrameTimeout
        );
        if may_leave && connection.aborted().is_none() {
            connection.stream.leave();
        } else {
            connection.stream.abort(reason);
        }
        self.finish(id, reason, Err(error));
        match self.io.sockets.connection(id).map(|connection| connection.stream.ending()) {
            Some(Ending::Leaving) => self.io.sockets.enqueue(id),
            _ => self.io.discard(id),
        }
    }

    /// Tells the handler that it is over, and forgets it.
    #[inline]
    pub(crate) fn finish(&mut self, id: SocketId, reason: Reason, outcome: io::Result<()>) {
        self.io.ledger.end(reason);
        self.io.trace.step(|| Step::Ended(id, reason));
        let Role::Conversation(mut handler) = self.dismiss(id) else { return };
        let Stage { shared, io, desk, .. } = self;
        let mut cx = Context { id, shared, io, desk, reason: Some(reason), sender: None };
        let finished = catch_unwind(AssertUnwindSafe(|| {
            handler.finish(&mut cx, outcome);
            drop(handler);
        }));
        if let Err(panic) = finished {
            log_panic(id, &*panic);
        }
        self.appoint_newcomers();
    }
}

impl Failure {
    #[cold]
    pub(crate) fn broken(error: io::Error) -> Failure {
        Failure { reason: Reason::Broken, error }
    }

    /// A callback returned an error, or panicked.
    #[cold]
    #[inline(never)]
    pub(crate) fn of_callback(id: SocketId, failed: thread::Result<io::Result<()>>) -> Failure {
        if let Ok(Err(error)) = failed {
            return Failure { reason: Reason::HandlerError, error };
        }
        if let Err(panic) = failed {
            log_panic(id, &*panic);
        }
        let error = io::Error::other("a callback of the handler panicked");
        Failure { reason: Reason::Panicked, error }
    }

    #[cold]
    pub(crate) fn input_limit(limit: usize) -> Failure {
        let what = format!("more than {limit} bytes came in that the handler did not take");
        let error = io::Error::new(io::ErrorKind::InvalidData, what);
        Failure { reason: Reason::InputLimit, error }
    }

    #[cold]
    pub(crate) fn aborted(reason: Reason) -> Failure {
        let what = match reason {
            Reason::OutputLimit => "too much output waited for a peer that does not read",
            _ => "aborted",
        };
        Failure { reason, error: io::Error::new(io::ErrorKind::ConnectionAborted, what) }
    }
}

#[cold]
pub(crate) fn log_panic(id: SocketId, panic: &(dyn Any + Send)) -> bool {
    error!("{id}: a callback panicked: {}", message_of(panic));
    false
}

/// A panic's message is the program's own, never the peer's; it is cut all the same.
pub(crate) fn message_of(panic: &(dyn Any + Send)) -> String {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    message.chars().take(200).collect()
}
