//! Outgoing connections: their handlers are called when they are established or have failed.
//!
//! `conn/connector.rs` decides what is next for each, `io/connecting.rs` does it, and this file
//! calls the handlers.
//!
//! # How
//!
//! `Server::connect` takes an address, a name or a `Connect`. The connection exists from the start:
//! it has an id, a handler and an output that can be filled, but its socket is
//! `StreamSocket::Unopened` until one is established. The state of the attempt is kept apart
//! (`io/connect_attempts.rs`), so that an established connection pays nothing for it. A state
//! machine without sockets and clock decides what is next (`conn/connector.rs`); every short script
//! of it is tested against a plain model.
//!
//! * **Addresses** are tried as RFC 8305 says: the next one begins when one has failed, or 250 ms
//!   after the one before (sooner where `connect_timeout` is short), and the earlier attempts go
//!   on. All sockets are registered under the one id of the connection, so on any event all of them
//!   are checked (`SO_ERROR`, `getpeername`). The first that is established becomes the socket of
//!   the connection, and the others are closed. When there were several, reported readiness may
//!   belong to another one: the flags are cleared and the poll reports again, after one
//!   `epoll_ctl`.
//! * **A full backlog** of a Unix server is retried every 10 ms, after the other addresses.
//! * **`connect_timeout`** applies to all of it, the look-up included.
//! * **Names** are looked up by threads of their own (`io/resolver.rs`). `io/names.rs` decides
//!   which is next: equal names once, owners in turns, and no owner occupies more threads than it
//!   leaves. An owner is the address of a client, or a handler. Numeric addresses and `localhost`
//!   never wait.
//! * **Self-connects**: connect(2) to a free port of this machine may choose that very port for the
//!   local end. This is detected when connect(2) returns, and rejected with a reset.
//!
//! * **Closed meanwhile**: what was sent before the close leaves once the connection is established,
//!   without `setup`; with nothing to send the attempt ends at once.
//!
//! `Connect::allow_if` is asked about every address, including those of a name. `finish` gets the
//! last error, with `CloseReason::ConnectFailed`. A shutdown ends delayed connections at once,
//! gives the grace to those that are looked up or tried, and notifies those that begin during it.
//! Background work, which no peer waits for (`Flags::UNSOLICITED`), does not delay it. A timer that
//! expires before its connection is established fires after `setup`.

use std::io;

use crate::conn::stream::CloseState;
use crate::id::SocketId;
use crate::reactor::dispatch::{Dispatcher, Failure};
use crate::stats::CloseReason;

pub(super) fn connect_failed(error: io::Error) -> Failure {
    Failure { reason: CloseReason::ConnectFailed, error }
}

impl<S> Dispatcher<S> {
    /// Checks whether a connection has been established, or has failed.
    pub(super) fn complete_connect(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.io.sockets.connection_mut(id) else { return Ok(()) };
        if !connection.stream.gives_up_connecting() && !connection.stream.has_connect_result() {
            return Ok(());
        }
        self.continue_connect(id)
    }

    fn continue_connect(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.io.sockets.connection_mut(id) else { return Ok(()) };
        if connection.stream.gives_up_connecting() {
            let error = io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "closed before it was established",
            );
            return Err(connect_failed(error));
        }
        let registry = self.io.poll.registry();
        let established =
            self.io.attempts.get_mut(id).and_then(|attempt| attempt.take_established(registry));
        let Some(established) = established else {
            // A writable socket is not necessarily established (mio requires this check).
            connection.stream.clear_connect_result();
            return self.io.advance_connect(id).map_err(connect_failed);
        };
        self.io.establish(id, established).map_err(connect_failed)?;
        self.io.arm_deadline(id);
        match self.io.sockets.connection_mut(id) {
            Some(connection) if connection.stream.close_state() == CloseState::Open => {
                self.call(id, |handler, cx| handler.setup(cx))
            }
            // Closed meanwhile: only what was sent before is left to do.
            _ => Ok(()),
        }
    }

    /// A deadline of a connection that is connecting has expired.
    pub(super) fn on_connect_deadline(&mut self, id: SocketId) {
        if let Some(attempt) = self.io.attempts.get_mut(id) {
            attempt.next_wake = u64::MAX;
        }
        match self.continue_connect(id) {
            Ok(()) => self.io.sockets.enqueue(id),
            Err(failure) => self.fail(id, failure),
        }
    }
}

#[cfg(test)]
mod tests;
