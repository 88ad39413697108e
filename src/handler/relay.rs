//! Two connections that are one: what comes in on either leaves on the other.
//!
//! The technique: the side that feeds a slow peer pauses itself, and the peer's `drained` resumes
//! it, so both directions are bounded by [`Options::high_water`](crate::Options::high_water) and
//! none can hold up the other.

use std::io;

use crate::conn::input::Input;
use crate::conn::stream::SendStatus;
use crate::handler::{Context, Handler};
use crate::id::SocketId;
use crate::io::connect::{Connect, IntoConnect};

/// Relays a connection to another one, which it makes itself.
///
/// A half-close is passed on in either direction, behind everything that was under way; when both
/// directions have ended, so have both connections. When one breaks, so does the other: a cut
/// answer never looks like a whole one.
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
/// A handler that must talk first, as one of SOCKS does, owns a `Relay`, calls [`Relay::start`] when
/// it knows where to, and passes every callback on from then on. When the other side has something
/// to say too, say that it could not connect, it owns the other half, from [`Relay::joined_to`].
///
/// With [`Options::idle_timeout`](crate::Options::idle_timeout) it ends when a side is silent for so
/// long that could still say something, or that does not take what it is sent.
///
/// A shutdown of the server leaves it time to end by itself; what then still goes on is reset.
#[derive(Debug)]
pub struct Relay {
    /// Where to, until the connection is begun.
    to: Option<io::Result<Connect>>,
    /// The connection that this side feeds.
    other: Option<SocketId>,
}

impl Relay {
    /// A relay to this address. What is wrong with it is seen when the first client comes.
    pub fn to(addr: impl IntoConnect) -> Relay {
        Relay { to: Some(addr.into_connect()), other: None }
    }

    /// One half of a relay whose other connection is there already, with the other half in its
    /// handler.
    #[must_use]
    pub fn joined_to(other: SocketId) -> Relay {
        Relay { to: None, other: Some(other) }
    }

    /// Begins the other connection, unless it is there. What this one sends meanwhile waits, within the same bound.
    ///
    /// # Errors
    /// What can be said at once; all else ends both connections.
    pub fn start<S: 'static>(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        cx.io.set_read_while_congested(cx.id, true);
        if let Some(to) = self.to.take() {
            self.other = Some(cx.connect(to?, Relay::joined_to(cx.id))?);
        }
        Ok(())
    }

    /// The other connection, once it was begun.
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
                // From here on only the other side can be idle.
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
