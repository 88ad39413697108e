//! **The hot path**: what is done for one socket when its turn comes.
//!
//! A turn has two halves. [`Reactor::serve`] lets in what came: it reads into the one buffer of
//! the loop and shows it to the handler. [`Reactor::write_corked`] lets out what the handlers sent, and
//! concludes what has come to its end. The loop does the first half for every queued socket and
//! then the second, so that what several handlers of one round send to one peer leaves in one
//! write, and so that peers are woken only when all reading is done.
//!
//! Nowhere else are bytes moved (but for a large `send`, see [`crate::conn::stream`]) or handlers called.
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
    /// What a read fills; one for all connections.
    buffer: PageAligned,
    /// The same for datagrams.
    datagram_buffers: DatagramBuffers,
    /// Those whose first half of the round is done.
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

    // First half: what came in.

    /// Something was reported. A loop of its own, as is [`Reactor::write_phase`], so that the
    /// registers of the machine are for what it needs.
    #[inline(never)]
    pub(crate) fn receive_events<'a, E: ReadyEvent + 'a>(
        &mut self,
        events: impl IntoIterator<Item = &'a E>,
    ) {
        let mut whole = std::mem::take(&mut self.buffer);
        // Found once, and not with every message.
        let buffer = &mut *whole;
        for event in events {
            self.on_event(event, buffer);
        }
        self.buffer = whole;
    }

    /// Input of a connection with nothing unusual about it is served where it is found.
    #[inline(always)]
    fn on_event(&mut self, event: &impl ReadyEvent, buffer: &mut [u8]) {
        if is_plain_input(event) {
            self.read_ready(event, false, buffer);
        } else {
            self.on_other_event(event, buffer);
        }
    }

    /// Everything else is noted, and queued; but the peer's end is served as input is, since it is
    /// how most connections end.
    #[inline(never)]
    fn on_other_event(&mut self, event: &impl ReadyEvent, buffer: &mut [u8]) {
        if is_plain_eof(event) {
            self.read_ready(event, true, buffer);
        } else {
            let id = SocketId::from_token(event.token());
            self.dispatcher.io.sockets.set_ready(id, readiness(event));
        }
    }

    /// Something came in, perhaps with the peer's end behind it.
    #[inline(always)]
    fn read_ready(&mut self, event: &impl ReadyEvent, end: bool, buffer: &mut [u8]) {
        let id = SocketId::from_token(event.token());
        let Io { sockets, cork, stats, now, .. } = &mut self.dispatcher.io;
        let Some(connection) = sockets.connection_mut(id) else {
            return sockets.set_ready(id, readiness(event));
        };
        connection.stream.set_readable(event.is_writable(), end);
        if !connection.stream.is_plain_readable() {
            return sockets.enqueue(id);
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

    /// There may be more than the first read brought.
    #[cold]
    #[inline(never)]
    fn read_more(&mut self, id: SocketId, buffer: &mut [u8]) {
        let received = self.read_loop(id, 1, buffer);
        self.end_read_phase_with(id, received);
    }

    /// What else is queued, in its order.
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

    /// What a connection sent meanwhile lies in the outbox until the second half.
    #[inline]
    fn end_read_phase(&mut self, id: SocketId) {
        self.round.push(CorkedSpan { id, sent: self.dispatcher.io.cork.end_turn() });
    }

    /// Reads and shows what came, within the budget of a turn, of which some may be spent.
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

    /// Whatever a connection may want, in the order in which it happens.
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

    /// What follows from a read into the empty buffer.
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

    /// Shows the handler what was read, where it lies.
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

    /// One read behind what the handler left of the reads before, or while an answer is awaited.
    /// What is to be shown again comes first.
    fn read_after_unconsumed(&mut self, id: SocketId, buffer: &mut [u8]) -> Result<(), Failure> {
        // What an earlier call of this turn has asked for is not about what the next one leaves.
        self.dispatcher.cancel_empty_redelivery(id);
        let Io { sockets, stats, now, options, trace, .. } = &mut self.dispatcher.io;
        let Some(connection) = sockets.connection_mut(id) else { return Ok(()) };
        if connection.stream.wants_redelivery() {
            return self.dispatcher.redeliver(id);
        }
        let mut unconsumed = connection.stream.take_unconsumed();
        let room = options.input_limit.saturating_sub(unconsumed.len()).min(buffer.len());
        // Whether there is one byte more than may be left is not known before it is read.
        let buffer = buffer.get_mut(..room.max(1)).unwrap_or_default();
        match connection.read(buffer, *now, stats) {
            Ok(ReadOutcome::Bytes(_)) if room == 0 => {
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

    /// Throws away what comes in after the end, within the budget of a turn.
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

    // Second half: what goes out, and what has come to its end.

    /// The second half of the round, for everybody who had a first.
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

    /// The system did not take the whole part.
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

    /// Something waits, or happened since; what was collected before comes first.
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

    /// No connection, or one that a timer has ended since.
    #[cold]
    #[inline(never)]
    fn finish_other(&mut self, id: SocketId, part: &[u8]) {
        self.dispatcher.io.stats.bytes_dropped += part.len() as u64;
        self.dispatcher.finish_datagram_turn(id, &mut self.datagram_buffers);
        self.dispatcher.finish_listener_or_source(id);
    }
}
