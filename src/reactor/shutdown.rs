//! A shutdown for each socket: its handler is notified, and what is left at the end is aborted.

use std::io;

use crate::conn::datagram::{Datagram, DatagramPhase};
use crate::foreign::{self, ForeignCode};
use crate::id::SocketId;
use crate::reactor::connect::connect_failed;
use crate::reactor::dispatch::{Dispatcher, Failure};
use crate::stats::CloseReason;

impl<S> Dispatcher<S> {
    /// Notifies the handler once all input that had arrived was delivered, within a bound.
    #[cold]
    pub(super) fn notify_shutdown(&mut self, id: SocketId) -> Result<(), Failure> {
        let may_still_read = self.io.may_still_read();
        let Some(connection) = self.io.sockets.connection_mut(id) else { return Ok(()) };
        let stream = &mut connection.stream;
        let looks = stream.wants_read() || stream.wants_redelivery();
        let waits = stream.has_pending_reply() || looks && may_still_read || stream.is_connecting();
        if waits || !stream.take_shutdown() {
            return Ok(());
        }
        self.call(id, |handler, cx| handler.shutdown(cx))
    }

    /// Aborts all connections, and returns how many had not finished.
    pub(crate) fn abort_all(&mut self) -> u64 {
        let mut forced = 0;
        for id in self.io.sockets.ids() {
            let Some(connection) = self.io.sockets.connection_mut(id) else { continue };
            if !connection.is_finished() {
                forced += 1;
                let error = io::Error::new(io::ErrorKind::TimedOut, "the server shut down");
                self.fail(id, Failure { reason: CloseReason::ShutdownTimeout, error });
            }
            self.io.remove_socket(id);
        }
        forced
    }

    /// Aborts the connect attempts that are left; they are background work.
    pub(crate) fn abort_attempts(&mut self) {
        let ids: Vec<SocketId> = self.io.attempts.ids().collect();
        for id in ids {
            let what = "the server shut down before the connection was established";
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, what);
            self.fail(id, connect_failed(error));
        }
    }

    /// Ends the drain of a datagram socket once all datagrams that had arrived were handled, within
    /// a bound.
    pub(super) fn end_drain(&mut self, id: SocketId) {
        let Some(datagram) = self.io.sockets.datagram(id) else { return };
        let DatagramPhase::Draining { since, .. } = datagram.phase() else { return };
        if datagram.is_read_blocked() || datagram.wants_read() && self.io.may_still_receive(since) {
            return;
        }
        self.notify_datagram_shutdown(id);
        if self.io.sockets.datagram(id).is_some_and(Datagram::awaits_answers) {
            return self.io.await_answers(id);
        }
        self.io.with_datagram(id, Datagram::end_drain);
    }

    /// Notifies the handler of a datagram socket, once in each run of the server.
    fn notify_datagram_shutdown(&mut self, id: SocketId) {
        if !self.io.is_shutting_down() {
            return;
        }
        if self.io.sockets.datagram_mut(id).is_some_and(Datagram::take_shutdown) {
            let called = self.call_datagram(id, None, |handler, cx| handler.shutdown(cx));
            if let Err(failure) = called {
                self.count_failure(id, failure);
            }
        }
    }

    /// The grace is over: stops all datagram sockets and drops their queued datagrams.
    pub(crate) fn stop_datagrams(&mut self) {
        for id in self.io.sockets.datagram_ids() {
            self.notify_datagram_shutdown(id);
            let Some(datagram) = self.io.sockets.datagram_mut(id) else { continue };
            self.io.stats.packets_dropped += datagram.clear_queue() as u64;
            datagram.end_drain();
            if datagram.phase() == DatagramPhase::Closing {
                self.close_datagram(id, Ok(()));
            }
        }
    }

    /// Drops what is left of the user when the server is dropped.
    pub(crate) fn discard_foreign(&mut self) {
        foreign::discard_all(ForeignCode::HandlerDrop, self.handlers.drain(..));
        foreign::discard_all(ForeignCode::HandlerDrop, self.registrar.pending_handlers.drain(..));
        foreign::discard(ForeignCode::VerifyRequest, None, self.verify.take());
        self.io.trace.discard();
    }

    /// Closes all datagram sockets.
    pub(crate) fn close_datagrams(&mut self) {
        for id in self.io.sockets.datagram_ids() {
            self.close_datagram(id, Ok(()));
        }
    }
}
