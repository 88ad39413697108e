//! Python's `socketserver` for Rust: TCP, UDP, Unix stream and Unix datagram servers whose handlers
//! have `setup`, `handle` and `finish`, driven by one single-threaded readiness loop on [`mio`].
//!
//! ```no_run
//! fn main() -> std::io::Result<()> {
//!     let mut server = socketserver::Server::new()?;
//!     server.listen("127.0.0.1:7000", |_peer| socketserver::Echo)?;
//!     server.serve_forever()
//! }
//! ```
//!
//! A [`Server`] owns any number of listeners, connections and datagram sockets. Each connection has
//! a [`Handler`] of its own, which gets its [`Input`] and a [`Context`] through which it reaches its
//! peer, what all handlers share, and every other socket of the server; each datagram socket has a
//! [`DatagramHandler`]. [`Options`] names every limit; [`ServerHandle`]
//! reaches the server from other threads.
//!
//! The [`guide`] begins with a protocol that is written in fifteen minutes.

mod accept;
mod addr;
mod aligned;
mod attempts;
pub mod blocking;
pub mod coming_from_python;
mod connect;
mod connection;
mod connector;
mod cores;
mod datagram;
mod deliver;
mod dial;
mod doors;
mod exit;
mod flags;
mod frame;
mod group;
pub mod guide;
mod handle;
mod handler;
mod id;
mod input;
mod io;
mod lingering;
mod listener;
mod loan;
mod mailbox;
#[cfg(feature = "testing")]
mod memory;
mod names;
mod options;
mod os_text;
mod outbox;
mod output;
mod own;
mod packets;
mod poll;
#[cfg(all(unix, feature = "processes"))]
mod process;
mod progress;
mod reactor;
mod reconnect;
mod relay;
mod resolver;
mod server;
#[cfg(all(test, feature = "testing"))]
#[path = "../tests/sim/mod.rs"]
mod sim;
mod socket;
mod sockets;
mod stage;
mod stats;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod timers;
mod trace;
mod transport;
mod unusual;
mod warnings;
mod workers;

pub use addr::{Addr, ToAddrs};
pub use connect::{Connect, IntoConnect};
pub use cores::{LoopGroup, LoopGroupHandle, LoopReport, serve_on_cores};
pub use exit::Exit;
pub use frame::{Frame, FrameWriter, LengthField};
pub use group::LoadBalancing;
pub use handle::ServerHandle;
pub use handler::{Context, DatagramHandler, Echo, Handler};
pub use id::{SocketId, TimerId};
pub use input::Input;
pub use io::Io;
pub use options::Options;
pub use reconnect::Reconnect;
pub use relay::Relay;
pub use server::{RequestOutcome, Server};
pub use stats::{CloseReason, ShutdownReport, Stats};
pub use stream::SendStatus;
pub use trace::TraceEvent;
pub use transport::Readiness;

/// The programs in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// The version of mio whose sources [`Server::watch`] takes.
pub use mio;
