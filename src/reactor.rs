//! **The hot path**: what is done for one socket when its turn comes.
//!
//! A turn has two halves. [`Reactor::receive`] lets in what came: it reads into the one buffer of
//! the loop and shows it to the handler. [`Reactor::settle`] lets out what the handlers sent, and
//! concludes what has come to its end. The loop does the first half for every queued socket and
//! then the second, so that what several handlers of one round send to one peer leaves in one
//! write, and so that peers are woken only when all reading is done.
//!
//! Nowhere else are bytes moved (but for a large `send`, see [`crate::stream`]) or handlers called.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::warn;
use mio::event::Event;

use crate::connection::Connection;
use crate::handler::{Context, Desk, Role};
use crate::id::{SocketId, TimerId};
use crate::input::{Held, Input};
use crate::io::Io;
use crate::ledger::Reason;
use crate::outbox::Turn;
use crate::socket::{is_plain, readiness};
use crate::sockets::Socket;
use crate::stage::{Failure, Stage, log_panic};
use crate::stream::{Ending, Filled, Flushed};
use crate::trace::Step;

pub(crate) struct Reactor<S> {
    pub(crate) stage: Stage<S>,
    /// What a read fills; one for all connections.
    buffer: Box<[u8]>,
    /// Those whose first half of the round is done.
    round: Vec<Turn>,
}

impl<S> Reactor<S> {
    pub(crate) fn new(shared: S, io: Io, desk: Desk<S>) -> Reactor<S> {
        let size = io.options.read_buffer.min(io.options.input_limit);
        let buffer = vec![0; size].into_boxed_slice();
        Reactor { stage: Stage::new(shared, io, desk), buffer, round: Vec::new() }
    }

    // First half: what came in.

    /// Something was reported. A connection with nothing unusual about it is served where it is
    /// found; everything else is noted, and queued.
    #[inline]
    pub(crate) fn event(&mut self, event: &Event) {
        let id = SocketId::from_token(event.token());
        let Io { sockets, outbox, ledger, now, .. } = &mut self.stage.io;
        let Some(connection) = sockets.connection(id).filter(|_| is_plain(event)) else {
            return sockets.note(id, readiness(event));
        };
        let (readable, writable) = (event.is_readable(), event.is_writable());
        connection.stream.note_plain(readable, writable, event.is_read_closed());
        if connection.queued {
            return;
        }
        if !connection.stream.is_ready_to_talk() {
            return sockets.enqueue(id);
        }
        connection.queued = true;
        outbox.begin(id);
        let filled = connection.take_in(&mut self.buffer, *now, ledger);
        let more = connection.stream.is_readable();
        let mut received = self.show_filled(id, filled);
        if more && received.is_ok() {
            received = self.converse(id, 1);
        }
        self.end_first_half(id, received);
    }

    /// What else is queued, in its order.
    #[inline]
    pub(crate) fn receive_queued(&mut self) {
        let mut nth = 0;
        while let Some(id) = self.stage.io.sockets.queued(nth) {
            let received = self.receive(id);
            self.end_first_half(id, received);
            nth += 1;
        }
        self.stage.io.sockets.clear_queue();
    }

    fn receive(&mut self, id: SocketId) -> Result<(), Failure> {
        let Io { sockets, outbox, .. } = &mut self.stage.io;
        match sockets.get(id) {
            Some(Socket::Connection(connection)) => {
                if connection.stream.may_collect() {
                    outbox.begin(id);
                }
                self.attend(id)?;
            }
            Some(Socket::Listener(_)) => self.stage.receive_clients(id),
            Some(Socket::Source(_)) => self.stage.receive_source(id),
            None => {}
        }
        Ok(())
    }

    /// What a connection sent meanwhile lies in the outbox until the second half.
    #[inline]
    fn end_first_half(&mut self, id: SocketId, received: Result<(), Failure>) {
        if let Err(failure) = received {
            self.stage.io.stop_collecting(id);
            self.stage.fail(id, failure);
        }
        self.round.push(Turn { id, part: self.stage.io.outbox.end() });
    }

    /// Reads and shows what came, within the budget of a turn, of which some may be spent.
    fn converse(&mut self, id: SocketId, spent: usize) -> Result<(), Failure> {
        for _ in spent..self.stage.io.options.reads_per_turn {
            let Io { sockets, ledger, now, .. } = &mut self.stage.io;
            let Some(connection) = sockets.connection(id) else { break };
            if !connection.stream.wants_read() {
                break;
            }
            if connection.stream.holds() {
                self.read_behind(id)?;
            } else {
                let filled = connection.take_in(&mut self.buffer, *now, ledger);
                self.show_filled(id, filled)?;
            }
        }
        Ok(())
    }

    /// Whatever a connection may want, in the order in which it happens.
    fn attend(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.stage.io.sockets.connection(id) else { return Ok(()) };
        if connection.stream.ending() == Ending::Lingering {
            self.read_in_vain(id);
            return Ok(());
        }
        if connection.stream.is_connecting() {
            self.stage.complete_connect(id)?;
        }
        self.replay(id)?;
        self.converse(id, 0)?;
        self.stage.tell_of_shutdown(id)
    }

    /// What follows from a read into the empty buffer.
    #[inline(always)]
    fn show_filled(&mut self, id: SocketId, filled: io::Result<Filled>) -> Result<(), Failure> {
        match filled {
            Ok(Filled::Bytes(n)) => self.show(id, n),
            Ok(Filled::End) => self.stage.tell_of_end(id, &[]),
            Ok(Filled::Nothing) => {
                self.stage.io.trace.step(Step::ReadNothing(id));
                Ok(())
            }
            Err(error) => Err(Failure::broken(error)),
        }
    }

    /// Shows the handler the first `n` bytes of the buffer, where they lie.
    #[inline(always)]
    fn show(&mut self, id: SocketId, n: usize) -> Result<(), Failure> {
        self.stage.io.trace.step(Step::Read(id, n));
        let bytes = self.buffer.get(..n).unwrap_or(&self.buffer);
        let mut input = Input::new(bytes);
        self.stage.call(id, |handler, cx| handler.handle(cx, &mut input))?;
        self.stage.io.trace.step(Step::Handled(id, n));
        if !input.is_empty() {
            let mut held = Held::default();
            held.hold(&input);
            self.stage.keep(id, held);
        }
        Ok(())
    }

    /// One read behind what the handler left of the reads before.
    fn read_behind(&mut self, id: SocketId) -> Result<(), Failure> {
        let Io { sockets, ledger, now, options, .. } = &mut self.stage.io;
        let Some(connection) = sockets.connection(id) else { return Ok(()) };
        let mut held = connection.stream.take_held();
        let room = options.input_limit.saturating_sub(held.len()).min(self.buffer.len());
        let Some(buffer) = self.buffer.get_mut(..room).filter(|buffer| !buffer.is_empty()) else {
            return Err(Failure::input_limit(options.input_limit));
        };
        match connection.take_in(buffer, *now, ledger) {
            Ok(Filled::Bytes(n)) => {
                self.stage.io.trace.step(Step::Read(id, n));
                held.append(self.buffer.get(..n).unwrap_or_default());
                self.stage.show_held(id, held)
            }
            Ok(Filled::End) => self.stage.tell_of_end(id, held.input().rest()),
            nothing => {
                connection.stream.put_held(held);
                self.show_filled(id, nothing)
            }
        }
    }

    /// Shows the handler again what it left, if it resumed or its output drained.
    fn replay(&mut self, id: SocketId) -> Result<(), Failure> {
        match self.stage.io.sockets.connection(id) {
            Some(connection) if connection.stream.wants_replay() => {
                let held = connection.stream.take_held();
                self.stage.show_held(id, held)
            }
            _ => Ok(()),
        }
    }

    /// Throws away what comes in after the end, within the budget of a turn.
    fn read_in_vain(&mut self, id: SocketId) {
        let io = &mut self.stage.io;
        let limit = io.options.linger_bytes;
        for _ in 0..io.options.reads_per_turn {
            let Some(connection) = io.sockets.connection(id) else { return };
            if !connection.stream.is_readable() {
                return;
            }
            match connection.stream.fill(&mut self.buffer) {
                Ok(Filled::Bytes(n)) if !connection.lingered_too_much(n, limit) => {}
                Ok(Filled::Nothing) => return,
                _ => return io.discard(id),
            }
        }
    }

    // Second half: what goes out, and what has come to its end.

    /// The second half of the round, for everybody who had a first.
    #[inline]
    pub(crate) fn settle_round(&mut self) {
        let mut round = std::mem::take(&mut self.round);
        for turn in round.drain(..) {
            self.settle(turn);
        }
        self.round = round;
        self.stage.io.outbox.clear();
    }

    #[inline]
    fn settle(&mut self, turn: Turn) {
        let Turn { id, part } = turn;
        let io = &mut self.stage.io;
        let Some(connection) = io.sockets.connection(id) else {
            // A timer may have ended it since.
            io.ledger.bytes_dropped += part.len() as u64;
            return self.stage.settle_other(id);
        };
        if connection.stream.may_collect() && connection.stream.is_writable() {
            if !part.is_empty() {
                match connection.stream.write_part(io.outbox.part(part), &mut io.pool) {
                    Ok(Flushed::Wrote(n)) => {
                        connection.active_at = io.now;
                        io.ledger.bytes_out += n as u64;
                        io.trace.step(Step::Wrote(id, n));
                    }
                    Ok(Flushed::Refused) => io.trace.step(Step::WroteNothing(id)),
                    Err(error) => return self.stage.fail(id, Failure::broken(error)),
                }
            }
            if connection.is_quiet() {
                connection.queued = false;
                return;
            }
        } else if !part.is_empty() {
            let bytes = io.outbox.part(part);
            connection.stream.send_first(bytes, io.marks, &mut io.pool);
        }
        self.stage.settle_connection(id);
    }

    /// A timer came up.
    pub(crate) fn alarm(&mut self, timer: TimerId, owner: SocketId) {
        let io = &mut self.stage.io;
        let Some(connection) = io.sockets.connection(owner) else { return };
        if connection.stream.ending() == Ending::Open && !connection.stream.is_connecting() {
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
        connection.deadlines = connection.deadlines.saturating_sub(1);
        let over = due.is_some_and(|at| at <= io.now);
        if !over {
            connection.stream.was_active();
            return io.arm(id);
        }
        if connection.stream.look_once_more() {
            connection.deadlines += 1;
            io.deadlines.push(io.now + 1, id);
            return io.sockets.enqueue(id);
        }
        let (reason, what) = match connection.stream.ending() {
            _ if connection.stream.is_connecting() => {
                (Reason::NotConnected, "the connection did not stand in time")
            }
            Ending::Leaving | Ending::Lingering => return io.discard(id),
            Ending::Closing => (Reason::CloseTimeout, "the peer did not read the rest in time"),
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
    fn complete_connect(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.io.sockets.connection(id) else { return Ok(()) };
        if connection.stream.ending() != Ending::Open {
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
        connection.stream.note_connected();
        self.io.arm(id);
        self.call(id, |handler, cx| handler.setup(cx))
    }

    #[inline]
    fn keep(&mut self, id: SocketId, held: Held) {
        if let Some(connection) = self.io.sockets.connection(id) {
            connection.stream.put_held(held);
        }
    }

    /// Shows the handler bytes that are held, and keeps what it leaves.
    fn show_held(&mut self, id: SocketId, mut held: Held) -> Result<(), Failure> {
        let mut input = held.input();
        let shown = input.len();
        self.call(id, |handler, cx| handler.handle(cx, &mut input))?;
        self.io.trace.step(Step::Handled(id, shown));
        let left = input.left();
        held.keep(left);
        self.keep(id, held);
        Ok(())
    }

    /// The peer has ended; there is nothing more to read.
    fn tell_of_end(&mut self, id: SocketId, rest: &[u8]) -> Result<(), Failure> {
        self.io.trace.step(Step::Read(id, 0));
        self.call(id, |handler, cx| handler.eof(cx, rest))
    }

    /// Once everything that had come in was shown, as far as that has an end.
    fn tell_of_shutdown(&mut self, id: SocketId) -> Result<(), Failure> {
        let reads_on = self.io.reads_on();
        let Some(connection) = self.io.sockets.connection(id) else { return Ok(()) };
        if connection.stream.wants_read() && reads_on || !connection.stream.take_shutdown() {
            return Ok(());
        }
        self.call(id, |handler, cx| handler.shutdown(cx))
    }

    /// Everything that the second half of a turn may have to do.
    fn settle_connection(&mut self, id: SocketId) {
        let connecting = |c: &Connection| c.stream.is_connecting();
        if !self.io.sockets.connection_ref(id).is_some_and(connecting) {
            let settled = self.flush(id).and_then(|()| self.tell_of_room(id));
            if let Err(failure) = settled.and_then(|()| self.conclude(id)) {
                self.fail(id, failure);
            }
        }
        self.io.sockets.end_turn(id);
    }

    fn tell_of_room(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.io.sockets.connection(id) else { return Ok(()) };
        let drained = connection.stream.take_drained(self.io.marks);
        if !drained || connection.stream.ending() != Ending::Open {
            return Ok(());
        }
        self.call(id, |handler, cx| handler.drained(cx))
    }

    /// Writes what is queued, within the budget of a turn.
    fn flush(&mut self, id: SocketId) -> Result<(), Failure> {
        let io = &mut self.io;
        let Some(connection) = io.sockets.connection(id) else { return Ok(()) };
        if connection.aborted().is_some() {
            return Ok(());
        }
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
    fn conclude(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.io.sockets.connection(id) else { return Ok(()) };
        connection.stream.end_output();
        if connection.stream.is_complete() {
            connection.stream.close();
        }
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

    fn receive_source(&mut self, id: SocketId) {
        let Some(source) = self.io.sockets.source(id) else { return };
        let ready = std::mem::take(&mut source.ready);
        if source.closing {
            return;
        }
        let Stage { shared, io, roles, desk, .. } = self;
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
        self.io.sockets.end_turn(id);
    }
}
