//! Tools for testing handlers: connections in memory, a paused clock, scripted peers.
//!
//! A [`TestServer`] is a [`Server`] with the production loop; only its clock and its connections are
//! simulated. So a test is deterministic, needs no port and never waits. The feature `testing` enables
//! this module:
//!
//! ```toml
//! [dev-dependencies]
//! socketserver = { version = "0.1", features = ["testing"] }
//! ```
//!
//! # A tutorial
//!
//! This handler answers each line with its length. After a minute without a line it says goodbye and
//! closes the connection.
//!
//! ```
//! use std::io;
//! use std::time::Duration;
//! use socketserver::{Context, Handler, Input, TimerId};
//!
//! #[derive(Default)]
//! struct Lengths {
//!     patience: Option<TimerId>,
//! }
//!
//! impl Handler for Lengths {
//!     fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
//!         self.patience = Some(cx.set_timer(Duration::from_secs(60)));
//!         Ok(())
//!     }
//!
//!     fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
//!         while let Some(line) = input.take_line(100)? {
//!             if let Some(timer) = self.patience.take() {
//!                 cx.io.cancel_timer(timer);
//!             }
//!             cx.send(format!("{}\n", line.len()).as_bytes());
//!             self.patience = Some(cx.set_timer(Duration::from_secs(60)));
//!         }
//!         Ok(())
//!     }
//!
//!     fn timeout(&mut self, cx: &mut Context<'_>, _timer: TimerId) -> io::Result<()> {
//!         cx.send(b"bye\n");
//!         cx.close();
//!         Ok(())
//!     }
//! }
//!
//! // By hand: the peer sends, the server runs until it is idle, and the test looks at the result.
//! use socketserver::CloseReason;
//! use socketserver::testing::TestServer;
//!
//! let mut server = TestServer::new()?;
//! let peer = server.connect(Lengths::default())?;
//! peer.send("one\nthr");
//! server.run();
//! assert_eq!(peer.received(), b"3\n", "the second line is not complete");
//! peer.send("ee\n");
//! server.run();
//! assert_eq!(peer.received(), b"5\n");
//!
//! // A minute takes no time.
//! server.advance(Duration::from_secs(59));
//! assert_eq!(peer.finished(), None);
//! server.advance(Duration::from_secs(1));
//! assert_eq!(peer.received(), b"bye\n");
//! assert_eq!(peer.finished().unwrap().reason, CloseReason::Closed);
//!
//! // The same as a script, which panics at the first step that fails.
//! use socketserver::testing::Script;
//!
//! Script::new()
//!     .send("one\n")
//!     .expect("3\n")
//!     .advance(Duration::from_secs(61))
//!     .expect("bye\n")
//!     .expect_finished(CloseReason::Closed)
//!     .play(Lengths::default());
//!
//! // TCP may split and join writes in any way; a handler must not depend on it.
//! use socketserver::testing::assert_chunk_invariant;
//!
//! assert_chunk_invariant(Lengths::default, b"one\n\nthree\r\nunfinished");
//! # Ok::<(), io::Error>(())
//! ```
//!
//! A handler under test must get the time from [`Io::now`](crate::Io::now); the clock of the system does
//! not follow the test.
//!
//! Jobs of other threads ([`Context::offload`](crate::Context::offload),
//! [`ServerHandle`](crate::ServerHandle)) run in real time; call `turn` of [`TestServer::server`] until
//! the result has arrived.

#![allow(clippy::panic, reason = "a panic is how a test fails")]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::handler::Handler;
use crate::id::SocketId;
use crate::io::Io;
use crate::net::StreamSocket;
use crate::net::memory::{self, MemoryPeer};
use crate::options::Options;
use crate::server::Server;

mod chunks;
mod peer;
mod script;

pub use chunks::{assert_chunk_invariant, assert_chunk_invariant_with};
pub use peer::{Finished, Peer};
pub use script::Script;

use peer::{Record, RecordingHandler};

/// Replaces getaddrinfo(3) by `look_up` for the names that `server` connects to. It still runs in the
/// lookup threads, so it may block. A test then needs no name service and controls how long a lookup
/// takes. `localhost` and numeric addresses are never looked up.
///
/// ```
/// use socketserver::{Echo, Server, testing};
///
/// let mut server = Server::new()?;
/// testing::look_up_with(&mut server, |host| match host {
///     "one.example" => Ok(vec!["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()]),
///     _ => Err(std::io::ErrorKind::NotFound.into()),
/// });
/// server.connect("one.example:7000", Echo)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn look_up_with<S>(
    server: &mut Server<S>,
    look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
) {
    let with_port = |ip| SocketAddr::new(ip, 0);
    let look_up = move |host: &str| Ok(look_up(host)?.into_iter().map(with_port).collect());
    server.dispatcher().io.resolver.set_lookup(Arc::new(look_up));
}

/// A server with connections in memory and a paused clock; see the [tutorial](self).
#[derive(Debug)]
pub struct TestServer<S = ()> {
    server: Server<S>,
    peers: Vec<(SocketId, MemoryPeer)>,
}

/// More turns than this without becoming idle are a busy loop.
const MAX_TURNS: usize = 100_000;

/// The last time of the clock, 146 years after its start, before any deadline that means "never".
const MAX_TIME: u64 = 1 << 62;

impl TestServer<()> {
    /// A server whose handlers share nothing, with the default [`Options`].
    ///
    /// # Errors
    /// The error of creating the poll.
    pub fn new() -> io::Result<TestServer<()>> {
        TestServer::with_shared((), Options::default())
    }
}

impl<S> TestServer<S> {
    /// A server whose handlers share `shared`.
    ///
    /// # Errors
    /// `InvalidInput` when an option is out of range; the error of creating the poll.
    pub fn with_shared(shared: S, options: Options) -> io::Result<TestServer<S>> {
        let mut server = Server::with_shared(shared, options)?;
        server.dispatcher().io.stopped_at = Some(0);
        Ok(TestServer { server, peers: Vec::new() })
    }

    /// Connects a client to `handler`, whose `setup` runs in this call.
    ///
    /// # Errors
    /// When no id is left.
    pub fn connect<H: Handler<S> + 'static>(&mut self, handler: H) -> io::Result<Peer> {
        let (stream, peer) = memory::pair();
        let finished = Record::default();
        let handler = Box::new(RecordingHandler { handler, finished: Arc::clone(&finished) });
        let dispatcher = self.server.dispatcher();
        let id =
            dispatcher.start_connection(SocketId::NOBODY, StreamSocket::Memory(stream), handler)?;
        self.peers.push((id, peer.clone()));
        Ok(Peer { id, memory: peer, finished })
    }

    /// Runs turns until the server is idle at this time.
    ///
    /// # Panics
    /// When it is not idle after 100,000 turns, or the poll fails.
    pub fn run(&mut self) {
        for _ in 0..MAX_TURNS {
            self.report_events();
            if let Err(error) = self.server.turn(Some(Duration::ZERO)) {
                panic!("poll failed: {error}");
            }
            let is_quiet = self.peers.iter().all(|(_, peer)| !peer.pipe().has_event());
            if is_quiet && self.server.is_quiet() {
                return;
            }
        }
        panic!("the server is not idle after {MAX_TURNS} turns: a handler spins");
    }

    fn report_events(&mut self) {
        let sockets = &mut self.server.dispatcher().io.sockets;
        self.peers.retain(|(id, peer)| {
            let event = peer.pipe().take_event();
            if let Some(ready) = event {
                sockets.set_ready(*id, ready);
            }
            sockets.get(*id).is_some()
        });
    }

    /// Advances the clock by `time`. The clock stops at each timer and timeout that expires on the way, and
    /// the server runs there. The clock ends after 146 years in all.
    ///
    /// # Panics
    /// When [`TestServer::run`] does.
    pub fn advance(&mut self, time: Duration) {
        self.run();
        let end = self.server.dispatcher().io.deadline_in(time).min(MAX_TIME);
        loop {
            let io = &mut self.server.dispatcher().io;
            let next = io.next_deadline();
            let is_over = next == u64::MAX || next > end;
            io.stopped_at = Some(if is_over { end.max(io.now) } else { next });
            self.run();
            if is_over {
                return;
            }
        }
    }

    /// The value that all handlers share.
    #[must_use]
    pub fn shared(&self) -> &S {
        self.server.shared()
    }

    /// The value that all handlers share, mutable.
    pub fn shared_mut(&mut self) -> &mut S {
        self.server.shared_mut()
    }

    /// The sockets and timers.
    #[must_use]
    pub fn io(&self) -> &Io {
        self.server.io()
    }

    /// The sockets and timers, mutable.
    pub fn io_mut(&mut self) -> &mut Io {
        self.server.io_mut()
    }

    /// The server itself.
    pub fn server(&mut self) -> &mut Server<S> {
        &mut self.server
    }
}
