//! **The hot path**: what is done for one socket when its turn comes.
//!
//! A turn has two halves. [`Reactor::receive`] lets in what came: it reads into the one buffer of
//! the loop and shows it to the handler. [`Reactor::settle`] lets out what the handlers sent, and
//! concludes what has come to its end. The loop does the first half for every queued socket and
//! then the second, so that what several handlers of one round send to one peer leaves in one
//! write, and so that peers are woken only when all reading is done.
//!
//! Nowhere else are bytes moved (but for a large `send`, see [`crate::stream`]) or handlers called.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::{debug, error, warn};

use crate::addr::Addr;
use crate::connection::{Connection, Phase};
use crate::handler::{Context, Desk, Handler, Role};
use crate::id::{SocketId, TimerId};
use crate::input::{Held, Input};
use crate::io::{ACCEPT_RETRY, Io};
use crate::ledger::Reason;
use crate::socket::{AcceptError, accept_error};
use crate::sockets::Socket;
use crate::stream::{Ending, Filled, Flushed};
use crate::trace::Step;

pub(crate) struct Reactor<S> {
    pub(crate) stage: Stage<S>,
    /// What a read fills; one for all connections.
    buffer: Box<[u8]>,
    pub(crate) verify: Option<Box<Verify<S>>>,
    /// The connection that `handle_request` accepted.
    pub(crate) accepted: Option<SocketId>,
}

pub(crate) type Verify<S> = dyn FnMut(&mut S, &Addr) -> bool;

/// Everything a callback may touch, apart from the buffer its input lies in.
pub(crate) struct Stage<S> {
    pub(crate) shared: S,
    pub(crate) io: Io,
    roles: Vec<Role<S>>,
    pub(crate) desk: Desk<S>,
}

/// Why a conversation has to end now.
struct Failure {
    reason: Reason,
    error: io::Error,
}

impl<S> Reactor<S> {
    pub(crate) fn new(shared: S, io: Io, desk: Desk<S>) -> Reactor<S> {
        let buffer = vec![0; io.options.read_buffer].into_boxed_slice();
        let stage = Stage { shared, io, roles: Vec::new(), desk };
        Reactor { stage, buffer, verify: None, accepted: None }
    }

    // First half: what came in.

    #[inline]
    pub(crate) fn receive(&mut self, id: SocketId) {
        match self.stage.io.sockets.get(id) {
            Some(Socket::Connection(connection)) => {
                let phase = connection.phase;
                self.receive_connection(id, phase);
            }
            Some(Socket::Listener(_)) => self.receive_clients(id),
            Some(Socket::Source(_)) => self.stage.receive_source(id),
            None => {}
        }
    }

    #[inline]
    fn receive_connection(&mut self, id: SocketId, phase: Phase) {
        let begun = match phase {
            Phase::Talking => Ok(()),
            Phase::Fresh => self.stage.set_up(id),
            Phase::Connecting => self.stage.complete_connect(id),
        };
        if let Err(failure) = begun.and_then(|()| self.converse(id)) {
            self.stage.fail(id, failure);
        }
    }

    /// Shows the handler what was held back and what can be read, within the budget of a turn.
    #[inline]
    fn converse(&mut self, id: SocketId) -> Result<(), Failure> {
        let mut reads = self.stage.io.options.reads_per_turn;
        while let Some(connection) = self.stage.io.sockets.connection(id) {
            if connection.stream.wants_replay() {
                self.replay(id)?;
            } else if connection.stream.wants_read() && reads > 0 {
                reads -= 1;
                self.read(id)?;
            } else if connection.stream.ending() == Ending::Lingering && reads > 0 {
                reads -= 1;
                if !self.read_in_vain(id) {
                    break;
                }
            } else if connection.shutdown_due && connection.phase == Phase::Talking {
                connection.shutdown_due = false;
                self.stage.call(id, |handler, cx| handler.shutdown(cx))?;
            } else {
                break;
            }
        }
        Ok(())
    }

    /// One read and what follows from it.
    #[inline]
    fn read(&mut self, id: SocketId) -> Result<(), Failure> {
        let io = &mut self.stage.io;
        let Some(connection) = io.sockets.connection(id) else { return Ok(()) };
        let held = connection.stream.take_held();
        let room = io.options.input_limit.saturating_sub(held.len()).min(self.buffer.len());
        let Some(buffer) = self.buffer.get_mut(..room).filter(|buffer| !buffer.is_empty()) else {
            return Err(Failure::input_limit(io.options.input_limit));
        };
        let filled = connection.stream.fill(buffer).map_err(Failure::broken);
        match filled {
            Ok(Filled::Bytes(n)) => {
                connection.active_at = io.now;
                io.ledger.bytes_in += n as u64;
                io.trace.step(Step::Read(id, n));
                if held.is_empty() { self.show(id, n) } else { self.show_held(id, held, n) }
            }
            Ok(Filled::End) => {
                io.trace.step(Step::Read(id, 0));
                self.stage.call(id, |handler, cx| handler.eof(cx, held.input().rest()))
            }
            Ok(Filled::Nothing) => {
                connection.stream.put_held(held);
                io.trace.step(Step::ReadNothing(id));
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Shows the handler the first `n` bytes of the buffer, where they lie.
    #[inline]
    fn show(&mut self, id: SocketId, n: usize) -> Result<(), Failure> {
        let bytes = self.buffer.get(..n).unwrap_or_default();
        let mut input = Input::new(bytes);
        self.stage.call(id, |handler, cx| handler.handle(cx, &mut input))?;
        self.stage.io.trace.step(Step::Handled(id, n));
        if !input.is_empty() {
            let mut held = Held::default();
            held.hold(bytes, input.progress());
            self.stage.keep(id, held);
        }
        Ok(())
    }

    /// Shows the handler what it left before, with the first `n` bytes of the buffer behind it.
    fn show_held(&mut self, id: SocketId, mut held: Held, n: usize) -> Result<(), Failure> {
        held.append(self.buffer.get(..n).unwrap_or_default());
        let mut input = held.input();
        let shown = input.len();
        self.stage.call(id, |handler, cx| handler.handle(cx, &mut input))?;
        self.stage.io.trace.step(Step::Handled(id, shown));
        let seen = input.progress();
        held.keep(seen);
        self.stage.keep(id, held);
        Ok(())
    }

    fn replay(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.stage.io.sockets.connection(id) else { return Ok(()) };
        let held = connection.stream.take_held();
        self.show_held(id, held, 0)
    }

    /// Throws away what comes in after the end. Says whether to go on.
    fn read_in_vain(&mut self, id: SocketId) -> bool {
        let io = &mut self.stage.io;
        let limit = io.options.linger_bytes;
        let Some(connection) = io.sockets.connection(id) else { return false };
        if !connection.stream.is_readable() {
            return false;
        }
        match connection.stream.fill(&mut self.buffer) {
            Ok(Filled::Bytes(n)) if !connection.lingered_too_much(n, limit) => true,
            Ok(Filled::Nothing) => false,
            _ => {
                io.discard(id);
                false
            }
        }
    }

    /// Accepts who waits, within the budget of a turn.
    fn receive_clients(&mut self, id: SocketId) {
        for _ in 0..self.stage.io.options.accepts_per_turn {
            let io = &mut self.stage.io;
            let has_room = io.has_room();
            let Some(listener) = io.sockets.listener(id) else { return };
            if listener.closing || !listener.readable || listener.waits_for_room {
                return;
            }
            if !has_room {
                return io.sockets.wait_for_room(id);
            }
            match listener.socket.accept(&io.options) {
                Ok((socket, peer)) => {
                    let connection = Connection::accepted(socket, io.now);
                    self.welcome(id, connection, &peer);
                }
                Err(error) => match accept_error(&error) {
                    AcceptError::Nobody => listener.readable = false,
                    kind => self.stage.accept_failed(id, kind, &error),
                },
            }
        }
    }

    /// Makes a handler for a new client, if it may have one.
    fn welcome(&mut self, listener: SocketId, connection: Connection, peer: &Addr) {
        let Stage { shared, io, roles, .. } = &mut self.stage;
        if let Some(verify) = &mut self.verify {
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
        match io.adopt(connection) {
            Ok(id) => {
                io.ledger.accepted += 1;
                io.accept_quota = io.accept_quota.map(|quota| quota.saturating_sub(1));
                io.trace.step(Step::Accepted(listener, id));
                self.stage.appoint(id, Role::Conversation(handler));
                self.accepted = Some(id);
            }
            Err(error) => {
                io.ledger.refused += 1;
                self.stage.accept_failed(listener, AcceptError::OneClient, &error);
            }
        }
    }

    // Second half: what goes out, and what has come to its end.

    #[inline]
    pub(crate) fn settle(&mut self, id: SocketId) {
        if let Some(Socket::Connection(_)) = self.stage.io.sockets.get(id) {
            if let Err(failure) = self.stage.settle_connection(id) {
                self.stage.fail(id, failure);
            }
        } else {
            self.stage.settle_other(id);
        }
        self.stage.io.sockets.end_turn(id);
    }

    /// A timer came up.
    pub(crate) fn alarm(&mut self, timer: TimerId, owner: SocketId) {
        let io = &mut self.stage.io;
        let Some(connection) = io.sockets.connection(owner) else { return };
        if connection.stream.ending() == Ending::Open && connection.phase == Phase::Talking {
            io.trace.step(Step::TimerDue(owner, timer));
            let called = self.stage.call(owner, |handler, cx| handler.timeout(cx, timer));
            if let Err(failure) = called {
                self.stage.fail(owner, failure);
            }
        }
    }

    /// The deadline in the heap of a socket came up; it may have been put off since.
    pub(crate) fn deadline(&mut self, id: SocketId) {
        let io = &mut self.stage.io;
        match io.sockets.get(id) {
            None => return io.deadlines.stale_came_up(),
            Some(Socket::Connection(_)) => {}
            Some(_) => return io.sockets.retry(id),
        }
        let due = io.deadline(id);
        let Some(connection) = io.sockets.connection(id) else { return };
        connection.deadlines -= 1;
        let over = due.is_some_and(|at| at <= io.now);
        if !over {
            return io.arm(id);
        }
        let (reason, what) = match (connection.stream.ending(), connection.phase) {
            (Ending::Leaving | Ending::Lingering, _) => return io.discard(id),
            (Ending::Closing, _) => {
                (Reason::CloseTimeout, "the peer did not read the rest in time")
            }
            (_, Phase::Connecting) => {
                (Reason::NotConnected, "the connection did not stand in time")
            }
            _ => (Reason::Idle, "idle for too long"),
        };
        connection.stream.abort(reason);
        let error = io::Error::new(io::ErrorKind::TimedOut, what);
        self.stage.fail(id, Failure { reason, error });
    }

    /// Ends every conversation now, and says how many there were.
    pub(crate) fn cut_off(&mut self) -> u64 {
        let mut forced = 0;
        for id in self.stage.io.sockets.ids() {
            let Some(connection) = self.stage.io.sockets.connection(id) else { continue };
            if !matches!(connection.stream.ending(), Ending::Leaving | Ending::Lingering) {
                forced += 1;
                let error = io::Error::new(io::ErrorKind::TimedOut, "the server shut down");
                self.stage.fail(id, Failure { reason: Reason::Forced, error });
            }
            self.stage.io.discard(id);
        }
        forced
    }
}

impl<S> Stage<S> {
    /// Calls a handler. What it opened meanwhile gets its roles afterwards.
    #[inline]
    fn call(
        &mut self,
        id: SocketId,
        callback: impl FnOnce(&mut dyn Handler<S>, &mut Context<'_, S>) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let Stage { shared, io, roles, desk } = self;
        let Some(Role::Conversation(handler)) = roles.get_mut(id.index()) else { return Ok(()) };
        let mut cx = Context { id, shared, io, desk, reason: None };
        let result = catch_unwind(AssertUnwindSafe(|| callback(&mut **handler, &mut cx)));
        if !self.desk.newcomers.is_empty() {
            self.appoint_newcomers();
        }
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure { reason: Reason::HandlerError, error }),
            Err(panic) => {
                log_panic(id, &*panic);
                let error = io::Error::other("a callback of the handler panicked");
                Err(Failure { reason: Reason::Panicked, error })
            }
        }
    }

    /// Puts those who answer for newly opened sockets into their places.
    pub(crate) fn appoint_newcomers(&mut self) {
        while let Some((id, role)) = self.desk.newcomers.pop() {
            self.appoint(id, role);
        }
    }

    fn appoint(&mut self, id: SocketId, role: Role<S>) {
        while self.roles.len() <= id.index() {
            self.roles.push(Role::Nobody);
        }
        if let Some(place) = self.roles.get_mut(id.index()) {
            *place = role;
        }
    }

    fn dismiss(&mut self, id: SocketId) -> Role<S> {
        self.roles.get_mut(id.index()).map_or(Role::Nobody, |r| std::mem::replace(r, Role::Nobody))
    }

    fn set_up(&mut self, id: SocketId) -> Result<(), Failure> {
        if let Some(connection) = self.io.sockets.connection(id) {
            connection.phase = Phase::Talking;
        }
        self.call(id, |handler, cx| handler.setup(cx))
    }

    fn complete_connect(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.io.sockets.connection(id) else { return Ok(()) };
        if connection.is_given_up() {
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, "closed before it stood");
            return Err(Failure { reason: Reason::NotConnected, error });
        }
        if !connection.stream.has_verdict() {
            return Ok(());
        }
        if let Some(error) = connection.stream.transport().error() {
            return Err(Failure { reason: Reason::NotConnected, error });
        }
        connection.active_at = self.io.now;
        self.set_up(id)?;
        self.io.arm(id);
        Ok(())
    }

    #[inline]
    fn keep(&mut self, id: SocketId, held: Held) {
        if let Some(connection) = self.io.sockets.connection(id) {
            connection.stream.put_held(held);
        }
    }

    #[inline]
    fn settle_connection(&mut self, id: SocketId) -> Result<(), Failure> {
        self.flush(id)?;
        let io = &mut self.io;
        let Some(connection) = io.sockets.connection(id) else { return Ok(()) };
        if connection.stream.take_drained(io.marks) && connection.stream.ending() == Ending::Open {
            self.call(id, |handler, cx| handler.drained(cx))?;
        }
        self.conclude(id)
    }

    /// Writes what is queued, within the budget of a turn.
    #[inline]
    fn flush(&mut self, id: SocketId) -> Result<(), Failure> {
        let io = &mut self.io;
        let Some(connection) = io.sockets.connection(id) else { return Ok(()) };
        let stream = &mut connection.stream;
        for _ in 0..io.options.writes_per_turn {
            if !stream.wants_write() {
                break;
            }
            match stream.flush(&mut io.pool).map_err(Failure::broken)? {
                Flushed::Wrote(n) => {
                    connection.active_at = io.now;
                    io.ledger.bytes_out += n as u64;
                    io.trace.step(Step::Wrote(id, n));
                }
                Flushed::Refused => io.trace.step(Step::WroteNothing(id)),
            }
        }
        Ok(())
    }

    /// Sees to it that what has come to its end ends.
    #[inline]
    fn conclude(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.io.sockets.connection(id) else { return Ok(()) };
        connection.stream.end_output();
        match connection.stream.ending() {
            Ending::Aborted(reason) => return Err(Failure::aborted(reason)),
            _ if connection.stream.is_dead() => {
                let error = connection.stream.transport().error();
                let error = error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
                return Err(Failure::broken(error));
            }
            Ending::Open | Ending::Lingering => {}
            Ending::Closing if connection.stream.unsent() == 0 => {
                self.finish(id, Reason::Closed, Ok(()));
                self.part(id);
            }
            Ending::Leaving if connection.stream.unsent() == 0 => self.part(id),
            Ending::Closing | Ending::Leaving => self.hurry(id),
        }
        self.io.ask_for_room(id).map_err(Failure::broken)
    }

    /// Everything is sent and `finish` has run: says the end, and waits for the peer's unless that
    /// has come.
    fn part(&mut self, id: SocketId) {
        let at_once = self.io.parts_at_once(id);
        let Some(connection) = self.io.sockets.connection(id) else { return };
        if connection.stream.has_ended() || at_once {
            return self.io.discard(id);
        }
        connection.stream.linger();
        connection.active_at = self.io.now;
        self.io.arm(id);
    }

    /// Bounds the time that the rest of a closed connection may take; once for each.
    fn hurry(&mut self, id: SocketId) {
        let Some(connection) = self.io.sockets.connection(id) else { return };
        if !connection.close_watched {
            connection.close_watched = true;
            connection.active_at = self.io.now;
            self.io.arm(id);
        }
    }

    /// Ends a conversation with an error. What it had sent still leaves, if that can be.
    #[cold]
    fn fail(&mut self, id: SocketId, failure: Failure) {
        let Failure { reason, error } = failure;
        debug!("{id}: ended, {reason:?}: {error}");
        let Some(connection) = self.io.sockets.connection(id) else { return };
        if matches!(connection.stream.ending(), Ending::Leaving | Ending::Lingering) {
            // Its conversation has ended before; only the rest of it broke.
            return self.io.discard(id);
        }
        let may_leave =
            matches!(reason, Reason::HandlerError | Reason::Panicked | Reason::InputLimit);
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
    fn finish(&mut self, id: SocketId, reason: Reason, outcome: io::Result<()>) {
        self.io.ledger.end(reason);
        self.io.trace.step(Step::Ended(id, reason));
        let Role::Conversation(mut handler) = self.dismiss(id) else { return };
        let Stage { shared, io, desk, .. } = self;
        let mut cx = Context { id, shared, io, desk, reason: Some(reason) };
        let finished = catch_unwind(AssertUnwindSafe(|| {
            handler.finish(&mut cx, outcome);
            drop(handler);
        }));
        if let Err(panic) = finished {
            log_panic(id, &*panic);
        }
        self.appoint_newcomers();
    }

    fn receive_source(&mut self, id: SocketId) {
        let Some(source) = self.io.sockets.source(id) else { return };
        let ready = std::mem::take(&mut source.ready);
        if source.closing {
            return;
        }
        let Stage { shared, io, roles, desk } = self;
        let Some(Role::Source(watched)) = roles.get_mut(id.index()) else { return };
        let mut cx = Context { id, shared, io, desk, reason: None };
        let result = catch_unwind(AssertUnwindSafe(|| watched.ready(&mut cx, ready)));
        self.appoint_newcomers();
        match result {
            Ok(Ok(())) => return,
            Ok(Err(error)) => warn!("{id}: a watched source failed and is closed: {error}"),
            Err(panic) => {
                log_panic(id, &*panic);
            }
        }
        self.io.close(id);
    }

    /// Listeners and foreign sources only ever have to be closed.
    fn settle_other(&mut self, id: SocketId) {
        let closing = match self.io.sockets.get(id) {
            Some(Socket::Listener(listener)) => listener.closing,
            Some(Socket::Source(source)) => source.closing,
            _ => false,
        };
        if closing {
            if let Role::Source(mut watched) = self.dismiss(id) {
                let registry = self.io.registry();
                let gone = catch_unwind(AssertUnwindSafe(|| {
                    // Whether it was still known to the poll does not matter any more.
                    let _ = watched.deregister(registry);
                    drop(watched);
                }));
                if let Err(panic) = gone {
                    log_panic(id, &*panic);
                }
            }
            self.io.discard(id);
        }
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

impl Failure {
    #[cold]
    fn broken(error: io::Error) -> Failure {
        Failure { reason: Reason::Broken, error }
    }

    #[cold]
    fn input_limit(limit: usize) -> Failure {
        let what = format!("{limit} bytes came in that the handler did not take");
        let error = io::Error::new(io::ErrorKind::InvalidData, what);
        Failure { reason: Reason::InputLimit, error }
    }

    #[cold]
    fn aborted(reason: Reason) -> Failure {
        let what = match reason {
            Reason::OutputLimit => "too much output waited for a peer that does not read",
            _ => "aborted",
        };
        Failure { reason, error: io::Error::new(io::ErrorKind::ConnectionAborted, what) }
    }
}

/// A panic's message is the program's own, never the peer's; it is cut all the same.
#[cold]
pub(crate) fn log_panic(id: SocketId, panic: &(dyn Any + Send)) -> bool {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    error!("{id}: a callback panicked: {}", message.chars().take(200).collect::<String>());
    false
}
