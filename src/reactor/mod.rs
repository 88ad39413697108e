//! **The hot path**: one turn of one socket.
//!
//! A turn has two phases. In the read phase, [`Reactor::serve`] reads into the one buffer of the
//! loop and delivers the bytes to the handler. In the write phase, [`Reactor::write_corked`] writes
//! what the handlers sent, and advances closing connections. The loop runs the read phase of every
//! queued socket, and then the write phase of each: what several handlers of one round send to one
//! peer leaves in one write, and peers are woken only after all reads.
//!
//! No other room moves bytes (except a large `send`, see [`crate::conn::stream`]) or calls
//! handlers.
//!
//! This room may use `values`, `conn`, `net`, `io` and `handler`. Start reading at [`Reactor::on_event`].

mod accept;
mod connect;
mod datagram;
pub(crate) mod dispatch;

mod datagram_filter;
mod deadlines;
mod shutdown;
mod slow_path;
mod sources;

use std::io;

use crate::conn::input::Input;
use crate::conn::page_aligned::PageAligned;
use crate::conn::stream::{CloseState, ReadOutcome, WriteOutcome};
use crate::handler::Registrar;
use crate::id::SocketId;
use crate::io::Io;
use crate::io::cork::{CorkedSpan, spans};
use crate::io::table::Entry;
use crate::net::{ReadyEvent, is_plain_eof, is_plain_input, readiness};
use crate::reactor::datagram::DatagramBuffers;
use crate::reactor::dispatch::{Dispatcher, Failure};
use crate::trace::TraceEvent;

pub(crate) struct Reactor<S> {
    pub(crate) dispatcher: Dispatcher<S>,
    /// The read buffer of all connections.
    buffer: PageAligned,
    /// The buffers of all datagram sockets.
    datagram_buffers: DatagramBuffers,
    /// The sockets whose read phase of this round is done.
    round: Vec<CorkedSpan>,
}

impl<S> Reactor<S> {
    pub(crate) fn new(shared: S, io: Io, registrar: Registrar<S>) -> Reactor<S> {
        let size = io.options.read_buffer.min(io.options.input_limit);
        let buffer = PageAligned::zeroed(size);
        let datagram_buffers = DatagramBuffers::new(io.options.max_packet_size);
        Reactor {
            dispatcher: Dispatcher::new(shared, io, registrar),
            buffer,
            datagram_buffers,
            round: Vec::new(),
        }
    }

    // The read phase.

    /// Handles the events of a poll. Not inlined, as [`Reactor::write_phase`], so that the compiler
    /// keeps its values in registers.
    #[inline(never)]
    pub(crate) fn receive_events<'a, E: ReadyEvent + 'a>(
        &mut self,
        events: impl IntoIterator<Item = &'a E>,
    ) {
        let mut whole = std::mem::take(&mut self.buffer);
        // Borrowed once, and not for every event.
        let buffer = &mut *whole;
        for event in events {
            self.on_event(event, buffer);
        }
        self.buffer = whole;
    }

    /// Reads at once when the event is plain input.
    #[inline(always)]
    fn on_event(&mut self, event: &impl ReadyEvent, buffer: &mut [u8]) {
        if is_plain_input(event) {
            self.read_ready(event, false, buffer);
        } else {
            self.on_other_event(event, buffer);
        }
    }

    /// Records other readiness and queues the socket. EOF is read at once, because most connections
    /// end so.
    #[inline(never)]
    fn on_other_event(&mut self, event: &impl ReadyEvent, buffer: &mut [u8]) {
        if is_plain_eof(event) {
            self.read_ready(event, true, buffer);
        } else {
            let id = SocketId::from_token(event.token());
            self.dispatcher.io.sockets.set_ready(id, readiness(event));
            self.dispatcher.leave_input(id);
        }
    }

    /// Reads from a connection that is readable, perhaps with EOF behind the input.
    #[inline(always)]
    fn read_ready(&mut self, event: &impl ReadyEvent, end: bool, buffer: &mut [u8]) {
        let id = SocketId::from_token(event.token());
        let Io { sockets, cork, stats, now, .. } = &mut self.dispatcher.io;
        let Some(connection) = sockets.connection_mut(id) else {
            return sockets.set_ready(id, readiness(event));
        };
        connection.stream.set_readable(event.is_writable(), end);
        if !connection.stream.is_plain_readable() {
            sockets.enqueue(id);
            return self.dispatcher.leave_input(id);
        }
        connection.stream.begin_turn();
        cork.begin_turn(id);
        let filled = connection.read(buffer, *now, stats);
        let more = connection.stream.is_readable();
        match self.deliver_read(id, filled, buffer) {
            Ok(()) if more => self.read_more(id, buffer),
            Ok(()) => self.end_read_phase(id),
            Err(failure) => self.end_read_phase_with(id, Err(failure)),
        }
    }

    /// Reads on after the first read.
    #[cold]
    #[inline(never)]
    fn read_more(&mut self, id: SocketId, buffer: &mut [u8]) {
        let received = self.read_loop(id, 1, buffer);
        self.end_read_phase_with(id, received);
    }

    /// Serves the queued sockets, in order.
    #[inline]
    pub(crate) fn receive_queued(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut nth = 0;
        while let Some(id) = self.dispatcher.io.sockets.queued(nth) {
            let received = self.serve(id, &mut buffer);
            self.end_read_phase_with(id, received);
            nth += 1;
        }
        self.buffer = buffer;
        self.dispatcher.io.sockets.clear_queue();
    }

    fn serve(&mut self, id: SocketId, buffer: &mut [u8]) -> Result<(), Failure> {
        let Io { sockets, cork, .. } = &mut self.dispatcher.io;
        match sockets.get(id) {
            Some(Entry::Connection(connection)) => {
                if connection.stream.can_cork() {
                    cork.begin_turn(id);
                }
                self.serve_connection(id, buffer)?;
            }
            Some(Entry::Datagram(_)) => {
                self.dispatcher.receive_datagrams(id, &mut self.datagram_buffers);
            }
            Some(Entry::Listener(_)) => self.dispatcher.accept_ready(id),
            // It may have been paused since it was queued.
            Some(Entry::Source(source)) if source.wants_service() => {
                self.dispatcher.dispatch_source(id);
            }
            Some(Entry::Source(_)) | None => {}
        }
        Ok(())
    }

    #[inline(never)]
    fn end_read_phase_with(&mut self, id: SocketId, received: Result<(), Failure>) {
        if let Err(failure) = received {
            self.dispatcher.io.uncork(id);
            self.dispatcher.fail(id, failure);
        }
        self.end_read_phase(id);
    }

    /// Ends the read phase of a socket; its corked bytes wait for the write phase.
    #[inline]
    fn end_read_phase(&mut self, id: SocketId) {
        self.round.push(CorkedSpan { id, sent: self.dispatcher.io.cork.end_turn() });
    }

    /// Reads and delivers input, within the budget of a turn, of which `spent` reads are used.
    fn read_loop(&mut self, id: SocketId, spent: usize, buffer: &mut [u8]) -> Result<(), Failure> {
        for _ in spent..self.dispatcher.io.options.reads_per_turn {
            let Io { sockets, stats, now, .. } = &mut self.dispatcher.io;
            let Some(connection) = sockets.connection_mut(id) else { break };
            if !connection.stream.wants_read() {
                break;
            }
            if connection.stream.has_earlier_work() {
                self.read_after_unconsumed(id, buffer)?;
            } else {
                let filled = connection.read(buffer, *now, stats);
                self.deliver_read(id, filled, buffer)?;
            }
        }
        Ok(())
    }

    /// Serves a connection: connecting, unconsumed input, reads, EOF, shutdown, in that order.
    fn serve_connection(&mut self, id: SocketId, buffer: &mut [u8]) -> Result<(), Failure> {
        let Some(connection) = self.dispatcher.io.sockets.connection_mut(id) else { return Ok(()) };
        if connection.stream.close_state() == CloseState::Lingering {
            self.discard_lingering_input(id, buffer);
            return Ok(());
        }
        if connection.stream.is_connecting() {
            self.dispatcher.complete_connect(id)?;
        }
        self.dispatcher.redeliver(id)?;
        self.read_loop(id, 0, buffer)?;
        self.dispatcher.notify_pending(id)
    }

    /// Handles the result of a read.
    #[inline(always)]
    fn deliver_read(
        &mut self,
        id: SocketId,
        filled: io::Result<ReadOutcome>,
        buffer: &[u8],
    ) -> Result<(), Failure> {
        match filled {
            Ok(ReadOutcome::Bytes(n)) => self.deliver(id, buffer.get(..n).unwrap_or(buffer)),
            Ok(ReadOutcome::Eof) => self.dispatcher.notify_eof(id, &[]),
            Ok(ReadOutcome::WouldBlock) => {
                self.dispatcher.io.trace.step(|| TraceEvent::ReadWouldBlock(id));
                Ok(())
            }
            Err(error) => Err(Failure::broken(error)),
        }
    }

    /// Delivers bytes to the handler from the read buffer, without a copy.
    #[inline(always)]
    fn deliver(&mut self, id: SocketId, bytes: &[u8]) -> Result<(), Failure> {
        self.dispatcher.io.trace.step(|| TraceEvent::Read(id, bytes.len()));
        let mut input = Input::new(bytes);
        self.dispatcher.call(id, |handler, cx| handler.handle(cx, &mut input))?;
        self.dispatcher.io.trace.step(|| TraceEvent::Handled(id, bytes.len()));
        if !input.is_empty() {
            self.dispatcher.store_unconsumed(id, &input);
        }
        Ok(())
    }

    /// Reads once behind unconsumed input, or while a reply is awaited. Redelivery comes first.
    fn read_after_unconsumed(&mut self, id: SocketId, buffer: &mut [u8]) -> Result<(), Failure> {
        // A redelivery that an earlier call of this turn has requested does not apply to what the
        // next call leaves.
        self.dispatcher.cancel_empty_redelivery(id);
        let Io { sockets, stats, now, options, trace, .. } = &mut self.dispatcher.io;
        let Some(connection) = sockets.connection_mut(id) else { return Ok(()) };
        if connection.stream.wants_redelivery() {
            return self.dispatcher.redeliver(id);
        }
        let mut unconsumed = connection.stream.take_unconsumed();
        let capacity = options.input_limit.saturating_sub(unconsumed.len()).min(buffer.len());
        // Whether the limit is exceeded is known only after reading one more byte.
        let buffer = buffer.get_mut(..capacity.max(1)).unwrap_or_default();
        match connection.read(buffer, *now, stats) {
            Ok(ReadOutcome::Bytes(_)) if capacity == 0 => {
                Err(Failure::input_limit(options.input_limit))
            }
            Ok(ReadOutcome::Bytes(n)) if unconsumed.is_empty() => {
                self.deliver(id, buffer.get(..n).unwrap_or_default())
            }
            Ok(ReadOutcome::Bytes(n)) => {
                trace.step(|| TraceEvent::Read(id, n));
                unconsumed.append(buffer.get(..n).unwrap_or_default());
                if unconsumed.needs_more() {
                    connection.stream.put_unconsumed(unconsumed);
                    return Ok(());
                }
                self.dispatcher.deliver_unconsumed(id, unconsumed, false)
            }
            Ok(ReadOutcome::Eof) => {
                connection.stream.put_unconsumed(unconsumed);
                connection.stream.note_eof();
                self.dispatcher.notify_pending_eof(id)
            }
            nothing => {
                connection.stream.put_unconsumed(unconsumed);
                self.deliver_read(id, nothing, &[])
            }
        }
    }

    /// Reads and discards the input of a lingering connection, within the budget of a turn.
    fn discard_lingering_input(&mut self, id: SocketId, buffer: &mut [u8]) {
        let io = &mut self.dispatcher.io;
        for _ in 0..io.options.reads_per_turn {
            let Some(connection) = io.sockets.connection_mut(id) else { return };
            if !connection.stream.is_readable() {
                return;
            }
            match connection.stream.fill(buffer) {
                Ok(ReadOutcome::Bytes(_)) => connection.active_at = io.now,
                Ok(ReadOutcome::WouldBlock) => return,
                _ => return io.remove_socket(id),
            }
        }
    }

    // The write phase.

    /// Runs the write phase of all sockets of the round.
    #[inline(never)]
    pub(crate) fn write_phase(&mut self) {
        let mut round = std::mem::take(&mut self.round);
        let sent = self.dispatcher.io.cork.take();
        for (id, part) in spans(&round, &sent) {
            self.write_corked(id, part);
        }
        self.dispatcher.io.cork.restore(sent);
        round.clear();
        self.round = round;
    }

    #[inline(always)]
    fn write_corked(&mut self, id: SocketId, part: &[u8]) {
        let io = &mut self.dispatcher.io;
        let Some(connection) = io.sockets.connection_mut(id) else {
            return self.finish_other(id, part);
        };
        if !connection.stream.can_write_corked() {
            return self.write_slow(id, part);
        }
        if !part.is_empty() {
            match connection.stream.write_direct(part) {
                Ok(n) if n == part.len() => {
                    connection.active_at = io.now;
                    io.stats.bytes_out += n as u64;
                    io.trace.step(|| TraceEvent::Wrote(id, n));
                }
                cut => return self.after_short_write(id, part, cut),
            }
        }
        if connection.stream.is_turn_done() {
            connection.stream.end_turn();
        } else {
            self.dispatcher.finish_turn(id);
        }
    }

    /// Queues what the kernel did not take.
    #[cold]
    #[inline(never)]
    fn after_short_write(&mut self, id: SocketId, part: &[u8], wrote: io::Result<usize>) {
        let io = &mut self.dispatcher.io;
        let Some(connection) = io.sockets.connection_mut(id) else { return };
        match connection.stream.queue_rest(part, wrote, &mut io.pool) {
            Ok(WriteOutcome::Wrote(n)) => {
                connection.active_at = io.now;
                io.stats.bytes_out += n as u64;
                io.trace.step(|| TraceEvent::Wrote(id, n));
            }
            Ok(WriteOutcome::WouldBlock) => io.trace.step(|| TraceEvent::WriteWouldBlock(id)),
            Err(error) => return self.dispatcher.fail(id, Failure::broken(error)),
        }
        self.dispatcher.finish_turn(id);
    }

    /// Writes by the slow path: corked bytes go behind none of the later output.
    #[inline(never)]
    fn write_slow(&mut self, id: SocketId, part: &[u8]) {
        let io = &mut self.dispatcher.io;
        if !part.is_empty() {
            if let Some(connection) = io.sockets.connection_mut(id) {
                connection.stream.prepend_output(part, io.watermarks, &mut io.pool);
            }
        }
        self.dispatcher.finish_turn(id);
    }

    /// Ends the turn of a socket that is no connection, or of a connection that a timer has
    /// removed.
    #[cold]
    #[inline(never)]
    fn finish_other(&mut self, id: SocketId, part: &[u8]) {
        self.dispatcher.io.stats.bytes_dropped += part.len() as u64;
        self.dispatcher.finish_datagram_turn(id, &mut self.datagram_buffers);
        self.dispatcher.finish_listener_or_source(id);
    }
}
