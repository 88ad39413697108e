//! What happens when a deadline expires: timers of handlers, and timeouts of the library.

use std::io;

use crate::conn::datagram::DatagramPhase;
use crate::conn::stream::{CloseState, FrameDeadline};
use crate::id::{SocketId, TimerId};
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
        let over = due.is_some_and(|at| at <= io.now);
        if !over {
            connection.stream.clear_idle_recheck();
            return io.arm_deadline(id);
        }
        if io.extend_if_busy(id) || self.recheck_before_expiry(id) || self.io.goes_on(id) {
            return;
        }
        self.expire(id);
    }

    /// Gives an idle connection one more turn before it expires. `false` when it has had that turn.
    fn recheck_before_expiry(&mut self, id: SocketId) -> bool {
        let io = &mut self.io;
        let Some(connection) = io.sockets.connection_mut(id) else { return false };
        let stream = &connection.stream;
        let has_its_turn = stream.is_queued() && stream.close_state() == CloseState::Open;
        // A connection that was served in this turn may have sent bytes that are not written yet.
        if has_its_turn || connection.stream.recheck_idle() {
            connection.armed_deadlines += 1;
            io.deadlines.push(io.now + 1, id);
            io.sockets.enqueue(id);
            return true;
        }
        false
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
        match connection.stream.check_frame_deadline(io.now, io.frame_timeout_ns) {
            FrameDeadline::None => {}
            FrameDeadline::At(at) => io.frame_deadlines.push(at, id),
            FrameDeadline::Recheck => {
                io.frame_deadlines.push(io.now + 1, id);
                io.sockets.enqueue(id);
            }
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
        if datagram.phase() == DatagramPhase::Closing {
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
        if datagram.closes_at.is_some_and(|at| at <= self.io.now) {
            datagram.closes_at = None;
            self.close_datagram(id, Ok(()));
        } else if datagram.retry() {
            self.io.sockets.enqueue(id);
        }
    }
}
