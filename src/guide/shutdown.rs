//! Shutdown: how a connection ends, how a server ends, and what happens to work in progress.
//!
//! # The end of a connection
//!
//! | call | output that is queued | the peer sees | the handler |
//! |---|---|---|---|
//! | [`Io::close`](crate::Io::close) | is sent first | EOF | gets no more input, then `finish` |
//! | [`Io::shutdown_write`](crate::Io::shutdown_write) | is sent first | EOF | goes on reading |
//! | [`Io::abort`](crate::Io::abort) | is dropped | a reset | `finish` |
//! | an error returned by a callback | is sent first | EOF | `finish`, with the error |
//!
//! `close` is the usual one. The peer can tell it from `abort`: a truncated answer ends with a reset, a
//! whole one with EOF. When the peer half-closes, `eof` runs; by default it closes the connection. So a
//! client that sends its question and half-closes still gets its answer.
//!
//! ```
//! use socketserver::testing::TestServer;
//! use socketserver::{Echo, CloseReason};
//!
//! let mut server = TestServer::new()?;
//! let (closed, aborted) = (server.connect(Echo)?, server.connect(Echo)?);
//! for peer in [&closed, &aborted] {
//!     peer.set_room(0);
//!     peer.send("hello");
//! }
//! server.run();
//! server.io_mut().close(closed.id());
//! server.io_mut().abort(aborted.id());
//! server.run();
//! assert_eq!(closed.finished(), None, "output is left");
//! assert_eq!(aborted.finished().unwrap().reason, CloseReason::Aborted);
//! assert!(aborted.was_reset());
//!
//! closed.set_room(usize::MAX);
//! server.run();
//! assert_eq!(closed.received(), b"hello");
//! assert_eq!(closed.finished().unwrap().reason, CloseReason::Closed);
//! assert!(!closed.was_reset());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The end of a server
//!
//! [`Io::shutdown`](crate::Io::shutdown) ends the present run from a handler,
//! [`ServerHandle::shutdown`](crate::ServerHandle::shutdown) from any thread. Then:
//!
//! 1. The server accepts no more clients.
//! 2. Each handler gets the input that had arrived, and the results of its offloaded work. Then its
//!    `shutdown` runs; by default it closes the connection. A handler that does not close may go on
//!    until the grace is over.
//! 3. Connections that are open when the grace is over are aborted, with
//!    [`CloseReason::ShutdownTimeout`](crate::CloseReason::ShutdownTimeout).
//! 4. `serve_forever` returns. [`Server::report`](crate::Server::report) says how many connections closed
//!    by themselves (`drained`), how many were aborted (`forced`), and how many bytes of output were
//!    never sent (`bytes_dropped`).
//!
//! A connection that a [timer handler](crate::Server::add_timer_handler) or the callback of a watched source
//! has opened, such as a health check of another server, owes no client an answer. While it is connecting
//! and has no output it does not delay a shutdown, and once it is closed the server does not wait for its
//! peer. It ends last, with [`CloseReason::ConnectFailed`](crate::CloseReason::ConnectFailed).
//!
//! Any other connection that is connecting, also one whose name is still looked up, may use the grace to
//! become established and to send. One that waits for its [`Connect::delay`](crate::Connect::delay) ends at
//! once.
//!
//! A service manager that signals every process of a service should signal the first one only (systemd:
//! `KillMode=mixed`); that one stops its children in order.
//!
//! The listeners stay bound, so that the server can run again; until then clients wait in the backlog. A
//! program that ends calls [`Io::server_close`](crate::Io::server_close) first, so that clients are refused
//! instead.
//!
//! ```
//! use std::time::Duration;
//! use socketserver::testing::TestServer;
//! use socketserver::{Echo, CloseReason};
//!
//! let mut server = TestServer::new()?;
//! let (quick, stuck) = (server.connect(Echo)?, server.connect(Echo)?);
//! stuck.set_room(2); // it does not read what it is sent
//! quick.send("hello");
//! stuck.send("hello");
//! server.io_mut().shutdown(Duration::from_secs(10));
//! server.run();
//! assert_eq!(quick.received(), b"hello", "the input that had arrived was answered");
//! assert_eq!(quick.finished().unwrap().reason, CloseReason::Closed);
//! assert!(server.io().is_shutting_down());
//!
//! server.advance(Duration::from_secs(10));
//! assert_eq!(stuck.finished().unwrap().reason, CloseReason::ShutdownTimeout);
//! let report = server.server().report().unwrap();
//! assert_eq!((report.drained, report.forced, report.bytes_dropped), (1, 1, 3));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Requests that are not handled yet
//!
//! Input that a handler left unconsumed because its connection is congested
//! ([Backpressure](super::backpressure)) is delivered before `shutdown`, as soon as the peer has read
//! enough; so these requests are answered too. `shutdown` also waits for work of the connection that was
//! given to [`Context::offload`](crate::Context::offload), and for the requests that the handler left
//! meanwhile. The same holds for `eof`, when the peer half-closes.
//!
//! Unconsumed input of a connection that its handler *paused* for another reason is not delivered before
//! `shutdown`, because only the handler knows when it would resume. A handler that pauses remembers what it
//! owes, and closes when that is done.
//!
//! ```
//! use std::io;
//! use std::time::Duration;
//! use socketserver::testing::TestServer;
//! use socketserver::{Context, Handler, Input, Options, CloseReason};
//!
//! struct Thousand;
//!
//! impl Handler for Thousand {
//!     fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
//!         while !cx.io.is_congested(cx.id) {
//!             let Some(byte) = input.take(1) else { break };
//!             cx.send(&byte.repeat(1000));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let options = Options { high_water: 4000, low_water: 1000, ..Options::default() };
//! let mut server = TestServer::with_shared((), options)?;
//! let peer = server.connect(Thousand)?;
//! peer.set_room(0);
//! peer.send("ten bytes!");
//! server.io_mut().shutdown(Duration::from_secs(10));
//! server.run();
//! assert_eq!(peer.finished(), None, "five requests are not answered yet");
//! peer.set_room(usize::MAX);
//! server.run();
//! assert_eq!(peer.received().len(), 10_000);
//! assert_eq!(peer.finished().unwrap().reason, CloseReason::Closed);
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # Signals
//!
//! A signal becomes a source that the loop watches: a crate such as `signal-hook` writes a byte
//! into a socket when one arrives, and the other end of that socket is a source to watch
//! ([`Server::watch`](crate::Server::watch)).
//!
//! ```
//! # #[cfg(unix)] {
//! use std::io::Read;
//! use std::os::unix::net::UnixStream;
//! use std::time::Duration;
//! use signal_hook::consts::{SIGINT, SIGTERM};
//! use socketserver::mio::{self, Interest};
//! use socketserver::{Echo, Server};
//!
//! let mut server = Server::new()?;
//! server.listen("127.0.0.1:0", |_peer| Echo)?;
//!
//! let (reader, writer) = UnixStream::pair()?;
//! reader.set_nonblocking(true)?;
//! for signal in [SIGINT, SIGTERM] {
//!     signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
//! }
//! let reader = mio::net::UnixStream::from_std(reader);
//! server.watch(reader, Interest::READABLE, |cx, reader, _ready| {
//!     // Events are edge-triggered, so the source is read until it would block.
//!     while reader.read(&mut [0; 16]).is_ok_and(|n| n > 0) {}
//!     cx.io.server_close();
//!     cx.io.shutdown(Duration::from_secs(10));
//!     Ok(())
//! })?;
//! # signal_hook::low_level::raise(SIGTERM)?;
//! server.serve_forever()?;
//! assert_eq!(server.report().unwrap().forced, 0);
//! # }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Of two calls the shorter grace counts. So a second signal may ask for
//! [`Duration::ZERO`](std::time::Duration::ZERO), to end at once.
