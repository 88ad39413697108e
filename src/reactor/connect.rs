//! How outgoing connections come about: waited for, looked up, and tried address by address.
//!
//! The `Connector` of each (`conn/connector.rs`) says what is next, `io/connecting.rs` does it, and here their handlers are called.
//!
//! # How
//!
//! `Server::connect` takes an address, a name or a `Connect`. The connection exists from the start: it
//! has an id, a handler and an output that fills, but its socket is `StreamSocket::Unopened` until one
//! stands. What it has before it lies apart (`io/connect_attempts.rs`), so that a connection that stands pays nothing
//! for it; and what is next is the question of a state machine without sockets and clock
//! (`conn/connector.rs`), whose every short script is played against a plain model.
//!
//! * **Addresses** are tried as RFC 8305 has it: the next one begins when one has failed, or 250 ms after
//!   the one before (sooner where `connect_timeout` is short), beside those under way. Their sockets are
//!   known to the poll under the one id of the connection, so any event means: look at them all
//!   (`SO_ERROR`, `getpeername`). The first that stands becomes the socket of the connection, and the
//!   others are closed. When there were several, what the poll has reported may have been about another
//!   one: the flags are forgotten and the poll is asked anew, one `epoll_ctl`.
//! * **A full backlog** of a Unix server is tried again every 10 ms, behind the other addresses.
//! * **All of it** has `connect_timeout`, the look-up included.
//! * **Names** are looked up by threads of their own (`io/resolver.rs`). `io/names.rs` says which one is next:
//!   equal names once, owners in turns, and none holds more threads than it leaves. An owner is a client,
//!   as told by its address, or a handler. Numbers and `localhost` never wait.
//! * **Itself**: connect(2) towards a free port of this machine may choose that very port for our end. That
//!   is seen when it returns, and refused with a reset.
//!
//! `Connect::allow_if` is asked about every address, those that a name turned out to have included.
//! `finish` is told of the last failure, with `CloseReason::ConnectFailed`. A shutdown ends at once what is only planned
//! for later, leaves what is looked up or tried its grace, and tells what is begun while it lasts; what a timer that is nobody's has begun
//! (`Flags::BESIDE`) does not hold it up. A timer that comes up before its connection
//! stands waits for `setup`.

use std::io;

use crate::conn::stream::CloseState;
use crate::id::SocketId;
use crate::reactor::dispatch::{Dispatcher, Failure};
use crate::stats::CloseReason;

pub(super) fn connect_failed(error: io::Error) -> Failure {
    Failure { reason: CloseReason::ConnectFailed, error }
}

impl<S> Dispatcher<S> {
    /// A connection in the making may have come about, or failed.
    pub(super) fn complete_connect(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.io.sockets.connection_mut(id) else { return Ok(()) };
        if connection.stream.close_state() == CloseState::Open
            && !connection.stream.has_connect_result()
        {
            return Ok(());
        }
        self.continue_connect(id)
    }

    fn continue_connect(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.io.sockets.connection_mut(id) else { return Ok(()) };
        if connection.stream.close_state() != CloseState::Open {
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
            // That a socket is said to be writable does not mean that it stands (mio asks for this
            // look).
            connection.stream.clear_connect_result();
            return self.io.advance_connect(id).map_err(connect_failed);
        };
        self.io.establish(id, established).map_err(connect_failed)?;
        self.io.arm_deadline(id);
        self.call(id, |handler, cx| handler.setup(cx))
    }

    /// A time has come at which something was to be done for a connection in the making.
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
