//! The table of handlers, and how they are called.
//!
//! Every handler is called here, with panics caught, and `finish` exactly once.

use std::io;
use std::thread;

use log::debug;

use crate::addr::Addr;
use crate::conn::stream::CloseState;
pub(crate) use crate::foreign::panic_message;
use crate::foreign::{self, ErrorText, ForeignCode};
use crate::handler::{Context, Handler, HandlerSlot, Registrar};
use crate::id::SocketId;
use crate::io::Io;
use crate::stats::CloseReason;
use crate::trace::TraceEvent;

/// Everything that a callback may reach, except the buffer of its input.
pub(crate) struct Dispatcher<S> {
    pub(crate) shared: S,
    pub(crate) io: Io,
    pub(super) handlers: Vec<HandlerSlot<S>>,
    pub(crate) registrar: Registrar<S>,
    pub(crate) verify: Option<Box<Verify<S>>>,
    /// The connection that was accepted last, or the socket that handled a datagram; for
    /// `handle_request`.
    pub(crate) accepted: Option<SocketId>,
}

pub(super) type Verify<S> = dyn FnMut(&mut S, &Addr) -> bool;

/// Why a connection has to end now.
pub(super) struct Failure {
    pub(super) reason: CloseReason,
    pub(super) error: io::Error,
}

impl<S> Dispatcher<S> {
    pub(super) fn new(shared: S, io: Io, registrar: Registrar<S>) -> Dispatcher<S> {
        Dispatcher { shared, io, handlers: Vec::new(), registrar, verify: None, accepted: None }
    }

    /// Calls a handler, and then installs the handlers of sockets that it opened.
    #[inline(always)]
    pub(super) fn call(
        &mut self,
        id: SocketId,
        callback: impl FnOnce(&mut dyn Handler<S>, &mut Context<'_, S>) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let Dispatcher { shared, io, handlers, registrar, .. } = self;
        let Some(HandlerSlot::Stream(handler)) = handlers.get_mut(id.index()) else {
            return Ok(());
        };
        let mut cx = Context { id, shared, io, registrar, reason: None, sender: None };
        match foreign::catch(|| callback(&mut **handler, &mut cx)) {
            Ok(Ok(())) => {
                self.install_pending();
                Ok(())
            }
            failed => {
                self.install_pending();
                Err(Failure::of_callback(id, failed))
            }
        }
    }

    /// Installs the handlers of newly opened sockets.
    #[inline]
    pub(crate) fn install_pending(&mut self) {
        if !self.registrar.pending_handlers.is_empty() {
            self.install_all();
        }
    }

    #[cold]
    #[inline(never)]
    fn install_all(&mut self) {
        while let Some((id, slot)) = self.registrar.pending_handlers.pop() {
            self.install(id, slot);
        }
    }

    #[inline]
    pub(crate) fn install(&mut self, id: SocketId, slot: HandlerSlot<S>) {
        while self.handlers.len() <= id.index() {
            self.handlers.push(HandlerSlot::Empty);
        }
        if let Some(place) = self.handlers.get_mut(id.index()) {
            *place = slot;
        }
    }

    pub(super) fn take_handler(&mut self, id: SocketId) -> HandlerSlot<S> {
        match self.handlers.get_mut(id.index()) {
            Some(slot) => std::mem::replace(slot, HandlerSlot::Empty),
            None => HandlerSlot::Empty,
        }
    }

    /// Ends a connection with an error. Pending output still leaves, if the error permits it.
    #[cold]
    pub(super) fn fail(&mut self, id: SocketId, failure: Failure) {
        let Failure { reason, error } = failure;
        debug!("{id}: ended, {reason:?}: {}", ErrorText(&error));
        self.io.record_exit(&error);
        if reason == CloseReason::IoError {
            self.deliver_last_input(id);
        }
        let Some(connection) = self.io.sockets.connection_mut(id) else {
            return foreign::discard(ForeignCode::Error, Some(id), error);
        };
        if connection.is_finished() {
            // Its `finish` has run; only its flushing or lingering has failed.
            self.io.remove_socket(id);
            return foreign::discard(ForeignCode::Error, Some(id), error);
        }
        // The output limit has ended it, whatever error its handler returned then.
        let too_much = connection.abort_reason() == Some(CloseReason::OutputLimit);
        let reason = if too_much { CloseReason::OutputLimit } else { reason };
        let may_leave = matches!(
            reason,
            CloseReason::HandlerError
                | CloseReason::Panicked
                | CloseReason::InputLimit
                | CloseReason::FrameTimeout
        );
        if may_leave && connection.abort_reason().is_none() {
            connection.stream.start_flushing();
        } else {
            connection.stream.abort(reason);
        }
        self.finish(id, reason, Err(error));
        match self.io.sockets.connection_mut(id).map(|connection| connection.stream.close_state()) {
            Some(CloseState::Flushing) => self.io.sockets.enqueue(id),
            _ => self.io.remove_socket(id),
        }
    }

    /// Calls `finish` of the handler and drops it.
    #[inline]
    pub(super) fn finish(&mut self, id: SocketId, reason: CloseReason, outcome: io::Result<()>) {
        self.io.stats.end(reason);
        self.io.trace.step(|| TraceEvent::Closed(id, reason));
        let HandlerSlot::Stream(mut handler) = self.take_handler(id) else {
            return foreign::discard(ForeignCode::Error, Some(id), outcome);
        };
        let Dispatcher { shared, io, registrar, .. } = self;
        let mut cx = Context { id, shared, io, registrar, reason: Some(reason), sender: None };
        foreign::run(ForeignCode::Callback, Some(id), || handler.finish(&mut cx, outcome));
        foreign::discard(ForeignCode::HandlerDrop, Some(id), handler);
        self.install_pending();
    }
}

impl Failure {
    /// Drops the error, which may be one of the user.
    #[cold]
    pub(super) fn discard(self, id: SocketId) {
        foreign::discard(ForeignCode::Error, Some(id), self.error);
    }

    #[cold]
    pub(super) fn broken(error: io::Error) -> Failure {
        Failure { reason: CloseReason::IoError, error }
    }

    /// The failure of a callback that returned an error or panicked.
    #[cold]
    #[inline(never)]
    pub(super) fn of_callback(id: SocketId, failed: thread::Result<io::Result<()>>) -> Failure {
        if let Ok(Err(error)) = failed {
            return Failure { reason: CloseReason::HandlerError, error };
        }
        if let Err(panic) = failed {
            foreign::panicked(ForeignCode::Callback, Some(id), panic);
        }
        let error = io::Error::other("a callback of the handler panicked");
        Failure { reason: CloseReason::Panicked, error }
    }

    #[cold]
    pub(super) fn input_limit(limit: usize) -> Failure {
        let what = format!("more than {limit} bytes of unconsumed input (Options::input_limit)");
        let error = io::Error::new(io::ErrorKind::InvalidData, what);
        Failure { reason: CloseReason::InputLimit, error }
    }

    #[cold]
    pub(super) fn aborted(reason: CloseReason) -> Failure {
        let what = match reason {
            CloseReason::OutputLimit => {
                "too much unsent output: the peer does not read (Options::output_limit)"
            }
            _ => "aborted",
        };
        Failure { reason, error: io::Error::new(io::ErrorKind::ConnectionAborted, what) }
    }
}
