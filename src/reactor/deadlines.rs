//! What happens when a deadline expires: timers of handlers, and timeouts of the library.

use std::io;

use crate::conn::datagram::DatagramPhase;
use crate::conn::stream::{CloseState, FrameDeadline};
use crate::id::{SocketId, TimerId};
use crate::io::NO_SOCKET;
use crate::io::table::Entry;
use crate::reactor::dispatch::{Dispatcher, Failure};
use crate::stats::CloseReason;
use crate::trace::TraceEvent;

impl<S> Dispatcher<S> {
    /// Calls the handler of an expired timer.
    pub(crate) fn fire_timer(&mut self, timer: TimerId, owner: SocketId) {
        let io = &mut self.io;
        if io.sockets.source_mut(owner).is_some() {
            io.trace.step(|| TraceEvent::TimerFired(owner, timer));
            return self.dispatch_source(owner);
        }
        let Some(connection) = io.sockets.connection_mut(owner) else {
            return self.fire_datagram_timer(timer, owner);
        };
        if connection.stream.close_state() == CloseState::Open {
            io.trace.step(|| TraceEvent::TimerFired(owner, timer));
            let called = self.call(owner, |handler, cx| handler.timeout(cx, timer));
            if let Err(failure) = called {
                self.fail(owner, failure);
            }
        }
    }

    /// A deadline of a socket has expired; the socket may have a later one by now.
    pub(crate) fn on_deadline(&mut self, id: SocketId) {
        match self.io.sockets.get(id) {
            None if id == NO_SOCKET => self.io.trim(),
            None => self.io.deadlines.stale_popped(),
            Some(Entry::Connection(_)) => self.on_connection_deadline(id),
            Some(Entry::Datagram(_)) => self.on_datagram_deadline(id),
            Some(Entry::Listener(_) | Entry::Source(_)) => self.io.sockets.resume_listener(id),
        }
    }

    fn on_connection_deadline(&mut self, id: SocketId) {
        let io = &mut self.io;
        let due = io.deadline(id);
        let Some(connection) = io.sockets.connection_mut(id) else { return };
        connection.armed_deadlines = connection.armed_deadlines.saturating_sub(1);
        let stream = &connection.stream;
        if stream.is_connecting() {
            return self.on_connect_deadline(id);
        }
        if stream.is_closing() && !connection.close_timeout_armed {
            // Closed in this turn, perhaps by a timer: the close timeout starts now.
            return self.arm_close_timeout(id);
        }
        let over = due.is_some_and(|at| at <= io.looked_at);
        if !over {
            return io.arm_deadline(id);
        }
        if self.has_work_left(id) || self.io.extend_if_busy(id) || self.io.goes_on(id) {
            return;
        }
        self.expire(id);
    }

    /// Whether a call that was interrupted, or a budget that is used up, has left work of this turn
    /// for the next one, so that the deadline waits for it.
    fn has_work_left(&mut self, id: SocketId) -> bool {
        let io = &mut self.io;
        let Some(connection) = io.sockets.connection_mut(id) else { return false };
        let stream = &connection.stream;
        let waits = stream.is_queued() && stream.close_state() != CloseState::Lingering;
        if waits {
            connection.armed_deadlines = connection.armed_deadlines.saturating_add(1);
            io.deadlines.push(io.now + 1, id);
        }
        waits
    }

    /// Ends a connection whose deadline has expired.
    fn expire(&mut self, id: SocketId) {
        let io = &mut self.io;
        let Some(connection) = io.sockets.connection_mut(id) else { return };
        let (reason, what) = match connection.stream.close_state() {
            CloseState::Flushing | CloseState::Lingering | CloseState::Dropped => {
                return io.remove_socket(id);
            }
            CloseState::Closing => {
                (CloseReason::CloseTimeout, "timed out: the peer did not read the rest")
            }
            _ => (CloseReason::IdleTimeout, "timed out: the connection was idle"),
        };
        connection.stream.abort(reason);
        let error = io::Error::new(io::ErrorKind::TimedOut, what);
        self.fail(id, Failure { reason, error });
    }

    /// The frame timeout of unconsumed input has expired.
    pub(crate) fn on_frame_deadline(&mut self, id: SocketId) {
        let io = &mut self.io;
        let Some(connection) = io.sockets.connection_mut(id) else {
            return io.frame_deadlines.stale_popped();
        };
        let checked =
            connection.stream.check_frame_deadline(io.now, io.looked_at, io.frame_timeout_ns);
        match checked {
            FrameDeadline::None => {}
            FrameDeadline::At(at) => io.frame_deadlines.push(at, id),
            FrameDeadline::Expired => {
                connection.stream.clear_frame_deadline();
                let what = "timed out waiting for the rest of a frame";
                let error = io::Error::new(io::ErrorKind::TimedOut, what);
                self.fail(id, Failure { reason: CloseReason::FrameTimeout, error });
            }
        }
    }

    /// Calls the handler of an expired timer of a datagram socket.
    fn fire_datagram_timer(&mut self, timer: TimerId, owner: SocketId) {
        let Some(datagram) = self.io.sockets.datagram_mut(owner) else { return };
        if datagram.phase() == DatagramPhase::Closing && !datagram.has_replies_due() {
            return;
        }
        self.io.trace.step(|| TraceEvent::TimerFired(owner, timer));
        let called = self.call_datagram(owner, None, |handler, cx| handler.timeout(cx, timer));
        if let Err(failure) = called {
            self.count_failure(owner, failure);
        }
    }

    /// The close timeout of a datagram socket has expired, or receiving is to be retried.
    fn on_datagram_deadline(&mut self, id: SocketId) {
        let Some(datagram) = self.io.sockets.datagram_mut(id) else { return };
        if datagram.closes_at.is_some_and(|at| at <= self.io.looked_at) {
            datagram.closes_at = None;
            self.close_datagram(id, Ok(()));
        } else if datagram.retry() {
            self.io.sockets.enqueue(id);
        }
    }
}
