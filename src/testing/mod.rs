//! Aids for testing handlers: connections in memory, a clock that stands still, scripted peers.
//!
//! A [`TestServer`] is a real [`Server`] with the real loop; only its clock and its connections are
//! not those of the system. So a test is deterministic, needs no port and never waits. It is behind
//! the feature `testing`:
//!
//! ```toml
//! [dev-dependencies]
//! socketserver = { version = "0.1", features = ["testing"] }
//! ```
//!
//! # A tutorial
//!
//! Say we have written this handler. It answers each line with its length, but who says nothing for
//! a minute is told so, and sent away.
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
//! // First by hand: a peer sends, the server runs until nothing is left to do, and we look.
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
//! // The same as a script, which panics at the first step that does not come true.
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
//! // TCP may cut and join what was sent as it likes; a handler must not care.
//! use socketserver::testing::assert_chunk_invariant;
//!
//! assert_chunk_invariant(Lengths::default, b"one\n\nthree\r\nunfinished");
//! # Ok::<(), io::Error>(())
//! ```
//!
//! A handler asks for the time with [`Io::now`](crate::Io::now); who asks the system instead gets the
//! real time, which no test moves.
//!
//! What a handler gives to other threads ([`Context::offload`](crate::Context::offload),
//! [`ServerHandle`](crate::ServerHandle)) happens in real time; [`TestServer::server`] can be stepped until it
//! has come.

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

/// Has the names that `server` connects to looked up by `look_up` and no longer by the system, by
/// threads of its own as before; it may block. So a test needs no name service, and decides itself
/// how long one takes. `localhost` and numbers are never looked up.
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

/// A server whose connections are in memory and whose clock stands still; see the [module's
/// tutorial](self).
#[derive(Debug)]
pub struct TestServer<S = ()> {
    server: Server<S>,
    peers: Vec<(SocketId, MemoryPeer)>,
}

/// More turns than this in a row are not work but a spin.
const MAX_TURNS: usize = 100_000;

/// Delay, in nanoseconds, between the idle timeout and the last read before the connection is closed.
const IDLE_RECHECK_DELAY: u64 = 1;

/// Where the clock stands still, 146 years after its begin: no deadline for ever is due there.
const MAX_TIME: u64 = 1 << 62;

impl TestServer<()> {
    /// A server whose handlers share nothing, with the default [`Options`].
    ///
    /// # Errors
    /// When the system gives no poll.
    pub fn new() -> io::Result<TestServer<()>> {
        TestServer::with_shared((), Options::default())
    }
}

impl<S> TestServer<S> {
    /// A server whose handlers share `shared`.
    ///
    /// # Errors
    /// When an option makes no sense (`InvalidInput`), or the system gives no poll.
    pub fn with_shared(shared: S, options: Options) -> io::Result<TestServer<S>> {
        let mut server = Server::with_shared(shared, options)?;
        server.dispatcher().io.stopped_at = Some(0);
        Ok(TestServer { server, peers: Vec::new() })
    }

    /// A client comes and gets `handler`, whose `setup` runs now.
    ///
    /// # Errors
    /// When no id is left for it.
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

    /// Lets the server do all there is to do at this time.
    ///
    /// # Panics
    /// When that has no end, or the poll is broken.
    pub fn run(&mut self) {
        for _ in 0..MAX_TURNS {
            self.report_events();
            if let Err(error) = self.server.turn(Some(Duration::ZERO)) {
                panic!("the poll is broken: {error}");
            }
            let is_quiet = self.peers.iter().all(|(_, peer)| !peer.pipe().has_event());
            if is_quiet && self.server.is_quiet() {
                return;
            }
        }
        panic!("the server has something to do again and again: a handler spins");
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

    /// Lets time pass. Every timer and timeout that comes up meanwhile finds the clock at its own
    /// time, and the server runs in between. After 146 years in all no more time passes.
    ///
    /// # Panics
    /// As [`TestServer::run`] does.
    pub fn advance(&mut self, time: Duration) {
        self.run();
        let end = self.server.dispatcher().io.deadline_in(time).min(MAX_TIME);
        loop {
            let io = &mut self.server.dispatcher().io;
            let next = io.next_deadline();
            let is_over = next == u64::MAX || next > end.saturating_add(IDLE_RECHECK_DELAY);
            io.stopped_at = Some(if is_over { end.max(io.now) } else { next });
            self.run();
            if is_over {
                return;
            }
        }
    }

    /// What the handlers share, to look at.
    #[must_use]
    pub fn shared(&self) -> &S {
        self.server.shared()
    }

    /// What the handlers share.
    pub fn shared_mut(&mut self) -> &mut S {
        self.server.shared_mut()
    }

    /// All sockets and timers, to look at.
    #[must_use]
    pub fn io(&self) -> &Io {
        self.server.io()
    }

    /// All sockets and timers.
    pub fn io_mut(&mut self) -> &mut Io {
        self.server.io_mut()
    }

    /// The server itself.
    pub fn server(&mut self) -> &mut Server<S> {
        &mut self.server
    }
}
