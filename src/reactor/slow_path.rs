//! The slow path of a connection's turn: unconsumed input, half-close, flushing after a short write,
//! closing and lingering. The plain turn, in [`crate::reactor`], never gets here.

use std::io;

use crate::conn::input::{Input, Unconsumed};
use crate::conn::stream::{CloseState, ReadOutcome, WriteOutcome};
use crate::foreign::{self, ForeignCode};
use crate::id::SocketId;
use crate::io::Io;
use crate::net::StreamSocket;
use crate::reactor::dispatch::{Dispatcher, Failure};
use crate::stats::CloseReason;
use crate::trace::TraceEvent;

/// How much of the last input is read at once.
const LAST_READ: usize = 4 << 10;

impl<S> Dispatcher<S> {
    /// Stores what a handler left of the read buffer.
    #[cold]
    #[inline(never)]
    pub(super) fn store_unconsumed(&mut self, id: SocketId, input: &Input<'_>) {
        let mut unconsumed = Unconsumed::default();
        unconsumed.store(input, self.io.now);
        self.put_unconsumed(id, unconsumed);
    }

    fn put_unconsumed(&mut self, id: SocketId, unconsumed: Unconsumed) {
        if let Some(connection) = self.io.sockets.connection_mut(id) {
            connection.stream.put_unconsumed(unconsumed);
            if connection.stream.take_spare() {
                self.io.note_spare(id);
            }
            self.io.arm_frame_deadline(id);
        }
    }

    /// Delivers unconsumed input, and stores what is left. If the handler has paused and resumed
    /// while it got these bytes before, and now consumes nothing, they are not delivered a third
    /// time: a handler that pauses and resumes in each call would be called for ever.
    pub(super) fn deliver_unconsumed(
        &mut self,
        id: SocketId,
        mut unconsumed: Unconsumed,
        from_inside: bool,
    ) -> Result<(), Failure> {
        let mut input = unconsumed.input();
        let delivered = input.len();
        self.call(id, |handler, cx| handler.handle(cx, &mut input))?;
        self.io.trace.step(|| TraceEvent::Handled(id, delivered));
        let in_vain = from_inside && input.len() == delivered;
        let left = input.remainder();
        unconsumed.store_remainder(left, self.io.now);
        let Some(connection) = self.io.sockets.connection_mut(id) else { return Ok(()) };
        if in_vain {
            connection.stream.clear_redelivery();
        }
        self.put_unconsumed(id, unconsumed);
        Ok(())
    }

    /// An event has come for a connection; if that is paused, input wakes the loop no more.
    #[inline(never)]
    pub(super) fn leave_input(&mut self, id: SocketId) {
        if let Err(error) = self.io.leave_input(id) {
            self.fail(id, Failure::broken(error));
        }
    }

    /// Delivers what arrived before the connection broke, also to a handler that is paused or whose
    /// output is congested: no later moment comes, and the input may say why (a 413 in front of the
    /// reset). The peer can send no more, so what the system has bounds the loop.
    #[cold]
    pub(super) fn deliver_last_input(&mut self, id: SocketId) {
        let mut buffer = [0; LAST_READ];
        loop {
            let Io { sockets, stats, now, options, .. } = &mut self.io;
            let Some(connection) = sockets.connection_mut(id) else { return };
            let stream = &connection.stream;
            let over = stream.is_connecting() || stream.has_eof();
            if over || stream.close_state() != CloseState::Open {
                return;
            }
            let mut unconsumed = connection.stream.take_unconsumed();
            let room = options.input_limit.saturating_sub(unconsumed.len()).min(LAST_READ);
            let read = match buffer.get_mut(..room) {
                Some(buffer) if room > 0 => connection.read(buffer, *now, stats),
                _ => Ok(ReadOutcome::WouldBlock),
            };
            let Ok(ReadOutcome::Bytes(n)) = read else {
                return connection.stream.put_unconsumed(unconsumed);
            };
            unconsumed.append(buffer.get(..n).unwrap_or_default());
            if unconsumed.needs_more() {
                connection.stream.put_unconsumed(unconsumed);
            } else if let Err(failure) = self.deliver_unconsumed(id, unconsumed, false) {
                self.io.record_exit(&failure.error);
                return foreign::discard(ForeignCode::Error, Some(id), failure.error);
            }
        }
    }

    /// Delivers unconsumed input again if the handler resumed or its output drained.
    #[inline]
    pub(super) fn redeliver(&mut self, id: SocketId) -> Result<(), Failure> {
        match self.io.sockets.connection_mut(id) {
            Some(connection) if connection.stream.is_redelivery_requested() => {
                self.deliver_again(id)
            }
            _ => Ok(()),
        }
    }

    #[cold]
    fn deliver_again(&mut self, id: SocketId) -> Result<(), Failure> {
        let now = self.io.now;
        self.cancel_empty_redelivery(id);
        let Some(connection) = self.io.sockets.connection_mut(id) else { return Ok(()) };
        let stream = &mut connection.stream;
        if !stream.wants_redelivery() {
            return Ok(());
        }
        let from_inside = stream.is_redelivery_from_handler();
        let mut unconsumed = stream.take_unconsumed();
        unconsumed.restart_wait(now);
        self.deliver_unconsumed(id, unconsumed, from_inside)
    }

    /// Notifies the handler of EOF.
    pub(super) fn notify_eof(&mut self, id: SocketId, rest: &[u8]) -> Result<(), Failure> {
        self.io.trace.step(|| TraceEvent::Read(id, 0));
        self.call(id, |handler, cx| handler.eof(cx, rest))
    }

    /// Notifies the handler of an EOF that was read before, once it has got all input.
    pub(super) fn notify_pending_eof(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.io.sockets.connection_mut(id) else { return Ok(()) };
        if !connection.stream.take_eof() {
            return Ok(());
        }
        let unconsumed = connection.stream.take_unconsumed();
        self.notify_eof(id, unconsumed.input().peek())
    }

    /// Notifies the handler of EOF and shutdown, once it has got all input.
    #[inline]
    pub(super) fn notify_pending(&mut self, id: SocketId) -> Result<(), Failure> {
        match self.io.sockets.connection_mut(id) {
            Some(connection) if connection.stream.has_notifications() => {
                self.notify_pending_eof(id)?;
                self.notify_shutdown(id)
            }
            _ => Ok(()),
        }
    }

    /// The write phase of a connection on the slow path.
    pub(super) fn finish_turn(&mut self, id: SocketId) {
        let Some(connection) = self.io.sockets.connection_mut(id) else { return };
        if connection.stream.is_cleanly_closed() {
            self.finish(id, CloseReason::Closed, Ok(()));
            return self.io.remove_socket(id);
        }
        if let Err(failure) = self.finish_in_order(id) {
            self.fail(id, failure);
        }
        self.cancel_empty_redelivery(id);
        self.io.sockets.end_turn(id);
    }

    /// Cancels a redelivery that was requested while nothing is unconsumed.
    #[inline]
    pub(super) fn cancel_empty_redelivery(&mut self, id: SocketId) {
        let Some(connection) = self.io.sockets.connection_mut(id) else { return };
        if connection.stream.is_redelivery_requested() && !connection.stream.has_unconsumed() {
            connection.stream.clear_redelivery();
        }
    }

    #[inline]
    fn finish_in_order(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.io.sockets.connection_mut(id) else { return Ok(()) };
        let stream = &connection.stream;
        if stream.is_connecting() {
            return Ok(());
        }
        let congested = stream.is_congested();
        if stream.wants_write() {
            self.flush(id)?;
        }
        if congested {
            self.notify_drained(id)?;
        }
        self.advance_close(id)
    }

    fn notify_drained(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.io.sockets.connection_mut(id) else { return Ok(()) };
        let drained = connection.stream.take_drained(self.io.watermarks);
        if !drained || connection.stream.close_state() != CloseState::Open {
            return Ok(());
        }
        self.call(id, |handler, cx| handler.drained(cx))
    }

    /// Writes pending output, within the budget of a turn.
    fn flush(&mut self, id: SocketId) -> Result<(), Failure> {
        let io = &mut self.io;
        let Some(connection) = io.sockets.connection_mut(id) else { return Ok(()) };
        if connection.stream.is_aborted() {
            return Ok(());
        }
        let stream = &mut connection.stream;
        for _ in 0..io.options.writes_per_turn {
            if !stream.wants_write() {
                break;
            }
            match stream.flush(&mut io.pool).map_err(Failure::broken)? {
                WriteOutcome::Wrote(n) => {
                    connection.active_at = io.now;
                    io.stats.bytes_out += n as u64;
                    io.trace.step(|| TraceEvent::Wrote(id, n));
                }
                WriteOutcome::WouldBlock => io.trace.step(|| TraceEvent::WriteWouldBlock(id)),
            }
        }
        if stream.take_spare() {
            io.note_spare(id);
        } else if io.pool.has_spare() {
            io.arm_trim();
        }
        Ok(())
    }

    /// Advances the close of a connection: FIN, `finish`, linger, removal.
    #[inline]
    fn advance_close(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.io.sockets.connection_mut(id) else { return Ok(()) };
        connection.stream.send_fin();
        if connection.stream.is_complete() {
            connection.stream.close();
        }
        match connection.stream.close_state() {
            CloseState::Aborted(reason) => return Err(Failure::aborted(reason)),
            CloseState::Dropped => {
                self.io.remove_socket(id);
                return Ok(());
            }
            _ if connection.stream.has_failed() => {
                let error = connection.stream.transport().error();
                let error = error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
                return Err(Failure::broken(error));
            }
            CloseState::Open | CloseState::Lingering => {}
            CloseState::Closing if connection.stream.unsent() == 0 => {
                self.finish(id, CloseReason::Closed, Ok(()));
                self.linger_or_remove(id);
            }
            CloseState::Flushing if connection.stream.unsent() == 0 => self.linger_or_remove(id),
            CloseState::Closing | CloseState::Flushing => self.arm_close_timeout(id),
        }
        self.io.update_interests(id).map_err(Failure::broken)
    }

    /// Sends the FIN after `finish` and lingers, unless EOF was read, or `finish` has aborted the
    /// connection.
    #[inline]
    fn linger_or_remove(&mut self, id: SocketId) {
        let at_once = self.io.may_skip_linger(id);
        let Some(connection) = self.io.sockets.connection_mut(id) else { return };
        let is_detached = matches!(connection.stream.transport(), StreamSocket::Detached);
        let over = connection.stream.has_eof() || connection.stream.is_aborted();
        if over || at_once || is_detached {
            return self.io.remove_socket(id);
        }
        connection.stream.linger();
        self.io.begin_lingering(id);
    }

    /// Arms the close timeout, once.
    pub(super) fn arm_close_timeout(&mut self, id: SocketId) {
        let Some(connection) = self.io.sockets.connection_mut(id) else { return };
        if !connection.close_timeout_armed {
            connection.close_timeout_armed = true;
            connection.sample_unacknowledged(self.io.now);
            self.io.arm_deadline(id);
        }
    }
}
