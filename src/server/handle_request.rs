//! Serving one request (Python's `handle_request`).

use std::io;
use std::time::{Duration, Instant};

use super::Server;

/// The result of [`Server::handle_request`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RequestOutcome {
    /// A client connected and its connection has ended, or a datagram was handled.
    Handled,
    /// No client connected within the timeout.
    TimedOut,
    /// The server was shut down, or has no listener.
    Closed,
}

impl<S> Server<S> {
    /// Accepts one client and serves until its connection has ended, or handles one datagram
    /// (Python's `handle_request`). Connections that are open are served meanwhile, but no other
    /// client is accepted. `timeout` bounds the wait for the client; `None` waits for ever.
    ///
    /// The connection has ended when `finish` was called and all output was passed to the system.
    /// If the peer keeps its socket, it lingers in the next runs ([`Options::linger_timeout`](crate::Options::linger_timeout)).
    ///
    /// # Errors
    /// The error of the poll, and [`Exit`](crate::Exit) when a handler returns it.
    pub fn handle_request(&mut self, timeout: Option<Duration>) -> io::Result<RequestOutcome> {
        self.begin_run();
        self.reactor.dispatcher.io.accept_quota = Some(1);
        self.reactor.dispatcher.accepted = None;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut is_last = false;
        let outcome = loop {
            let left = match self.request_over(deadline) {
                Ok(left) => left,
                // A client in the backlog is accepted, however short the timeout and late the loop.
                Err(RequestOutcome::TimedOut) if !is_last => {
                    is_last = true;
                    Some(Duration::ZERO)
                }
                Err(outcome) => break Ok(outcome),
            };
            if let Err(error) = self.run_turn(left) {
                break Err(error);
            }
        };
        self.reactor.dispatcher.io.accept_quota = None;
        self.reactor.dispatcher.io.sockets.resume_all();
        self.end_run();
        outcome
    }

    /// How long the next turn may wait, or the result.
    fn request_over(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<Duration>, RequestOutcome> {
        let is_drained = self.is_drained();
        let sockets = &mut self.reactor.dispatcher.io.sockets;
        match (self.reactor.dispatcher.accepted, deadline) {
            _ if is_drained => Err(RequestOutcome::Closed),
            (Some(id), _) if !sockets.is_serving_request(id) => Err(RequestOutcome::Handled),
            (None, _) if !sockets.accepts_clients() => Err(RequestOutcome::Closed),
            (Some(_), _) | (None, None) => Ok(None),
            (None, Some(deadline)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() { Err(RequestOutcome::TimedOut) } else { Ok(Some(left)) }
            }
        }
    }
}
