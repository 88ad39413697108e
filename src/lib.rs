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

mod addr;
mod conn;
mod exit;
mod foreign;
pub mod guide;
mod handler;
mod id;
mod io;
mod log_throttle;
mod net;
mod options;
mod os_text;
mod reactor;
mod server;
#[cfg(all(test, feature = "testing"))]
mod sim;
mod stats;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;

// Behind `server`, because rustdoc shows methods in the order of their modules.
pub mod blocking;

pub use addr::{Addr, ToAddrs};
pub use conn::framing::{Frame, FrameWriter, LengthField};
pub use conn::input::Input;
pub use conn::stream::SendStatus;
pub use conn::transport::Readiness;
pub use exit::Exit;
pub use handler::relay::Relay;
pub use handler::server_handle::ServerHandle;
pub use handler::{Context, DatagramHandler, Echo, Handler};
pub use id::{SocketId, TimerId};
pub use io::Io;
pub use io::connect::{Connect, IntoConnect};
pub use io::group::LoadBalancing;
pub use options::Options;
pub use server::loop_group::{LoopGroup, LoopGroupHandle, LoopReport};
pub use server::reconnect::Reconnect;
pub use server::{RequestOutcome, Server};
pub use stats::{CloseReason, ShutdownReport, Stats};
pub use trace::TraceEvent;

/// The programs in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// The version of mio whose sources [`Server::watch`] takes.
pub use mio;
