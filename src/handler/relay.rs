//! Relays between two connections: input of either is output of the other.
//!
//! The technique: the side that feeds a slow peer pauses itself, and the peer's `drained` resumes
//! it. So what waits in either direction is at most
//! [`Options::high_water`](crate::Options::high_water) and one read
//! ([`Options::read_buffer`](crate::Options::read_buffer)), and neither blocks the other.

use std::io;

use crate::conn::input::Input;
use crate::conn::stream::SendStatus;
use crate::handler::{Context, Handler};
use crate::id::SocketId;
use crate::io::connect::{Connect, IntoConnect};

/// Relays a connection to another one, which it opens itself.
///
/// A half-close is passed on in either direction, behind all bytes in transit; when both directions
/// have ended, both connections close. When one is reset or fails, the other is reset too, so a
/// truncated answer never looks complete.
///
/// ```no_run
/// use socketserver::{Relay, Server};
///
/// let mut server = Server::new()?;
/// server.listen("127.0.0.1:8000", |_peer| Relay::to("127.0.0.1:7000"))?;
/// server.serve_forever()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A handler with a protocol before the relay, such as SOCKS, owns a `Relay`, calls
/// [`Relay::start`] when it knows the destination, and passes every callback on from then on. When
/// the other side has a protocol too, for example to report that it could not connect, its handler
/// owns the other half, from [`Relay::joined_to`].
///
/// With [`Options::idle_timeout`](crate::Options::idle_timeout) it ends when a side that could
/// still send is silent for that long, or a side does not read its output.
///
/// A shutdown of the server gives it the grace to end by itself; then it is reset.
#[derive(Debug)]
pub struct Relay {
    /// The destination, until the connection is opened.
    to: Option<io::Result<Connect>>,
    /// The connection that this side feeds.
    other: Option<SocketId>,
}

impl Relay {
    /// A relay to this address. Errors of the address are reported when the first client connects.
    pub fn to(addr: impl IntoConnect) -> Relay {
        Relay { to: Some(addr.into_connect()), other: None }
    }

    /// One half of a relay whose other connection exists already, with the other half in its
    /// handler.
    #[must_use]
    pub fn joined_to(other: SocketId) -> Relay {
        Relay { to: None, other: Some(other) }
    }

    /// Opens the other connection, unless it exists. What this one sends meanwhile waits, within
    /// the same bound.
    ///
    /// # Errors
    /// Errors that need no look-up and no waiting; all others end both connections.
    pub fn start<S: 'static>(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        cx.io.set_read_while_congested(cx.id, true);
        if let Some(to) = self.to.take() {
            self.other = Some(cx.connect(to?, Relay::joined_to(cx.id))?);
        }
        Ok(())
    }

    /// The other connection; `None` before it is opened.
    #[must_use]
    pub fn other(&self) -> Option<SocketId> {
        self.other
    }
}

impl<S: 'static> Handler<S> for Relay {
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.start(cx)
    }

    fn handle(&mut self, cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        let Some(other) = self.other else { return Ok(()) };
        match cx.io.send(other, input.take_all()) {
            SendStatus::Queued => {}
            SendStatus::Congested => cx.pause(),
            SendStatus::Closed => cx.close(),
        }
        Ok(())
    }

    fn eof(&mut self, cx: &mut Context<'_, S>, _rest: &[u8]) -> io::Result<()> {
        match self.other {
            Some(other) if cx.io.is_open(other) => {
                // From now on only the other side can be idle.
                cx.pause();
                cx.io.shutdown_write(other);
            }
            _ => cx.close(),
        }
        Ok(())
    }

    fn drained(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        if let Some(other) = self.other.filter(|other| !cx.io.has_eof(*other)) {
            cx.io.resume(other);
        }
        Ok(())
    }

    fn shutdown(&mut self, _cx: &mut Context<'_, S>) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, S>, outcome: io::Result<()>) {
        let Some(other) = self.other else { return };
        if outcome.is_ok() {
            cx.io.close(other);
        } else {
            cx.io.abort(cx.id);
            cx.io.abort(other);
        }
    }
}
