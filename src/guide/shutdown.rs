//! Shutdown: how a connection ends, how a server ends, and what becomes of what is under way.
//!
//! # The end of a connection
//!
//! | call | what was sent | the peer sees | the handler |
//! |---|---|---|---|
//! | [`Io::close`](crate::Io::close) | leaves first | the end | gets no more input, then `finish` |
//! | [`Io::shutdown_write`](crate::Io::shutdown_write) | leaves first | the end | goes on reading |
//! | [`Io::abort`](crate::Io::abort) | is dropped | a reset | `finish` |
//! | an error returned by a callback | leaves first | the end | `finish`, with the error |
//!
//! `close` is the usual one. The peer can tell it from `abort`: an answer that was cut does not look
//! like one that is whole. When the peer says its end, `eof` runs, which closes unless a handler writes
//! its own; so a client that sends its question, then its end, still gets its answer.
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
//! assert_eq!(closed.finished(), None, "something is still to be sent");
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
//! [`Io::shutdown`](crate::Io::shutdown) ends the present run, from a handler, and
//! [`ServerHandle::shutdown`](crate::ServerHandle::shutdown) from any thread. Then this happens:
//!
//! 1. Nobody is accepted any more.
//! 2. Each handler sees what had come in, and what it has offloaded comes back. Then its `shutdown`
//!    runs, which closes the connection unless a handler writes its own. Whoever does not close may go on for as long as the grace lasts.
//! 3. What is left when the grace is over is cut off, with
//!    [`CloseReason::ShutdownTimeout`](crate::CloseReason::ShutdownTimeout).
//! 4. `serve_forever` returns. [`Server::report`](crate::Server::report) says how many conversations
//!    ended by themselves (`drained`), how many were cut off (`forced`), and how many bytes that
//!    were sent never left (`bytes_dropped`).
//!
//! A connection that the callback of an [`alarm`](crate::Server::add_timer_handler) or of a watched source has
//! begun, such as a look whether another server is well, owes nobody an answer. While it does not
//! stand and has nothing to send it holds up no shutdown, and once it is closed its peer is not waited
//! for. When all else is done it ends with [`CloseReason::ConnectFailed`](crate::CloseReason::ConnectFailed).
//!
//! Any other connection in the making has the grace to stand and to send, be it to an address or to a
//! name that is still looked up. One whose time has not come ([`Connect::delay`](crate::Connect::delay))
//! ends at once.
//!
//! A service manager that signals every process of a service should signal the first one only (systemd:
//! `KillMode=mixed`); that one stops its children in order.
//!
//! The listeners stay bound, so that the server can run again, and clients wait in the backlog until
//! it does. A program that ends calls [`Io::server_close`](crate::Io::server_close) first, so that
//! they are refused instead.
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
//! assert_eq!(quick.received(), b"hello", "what had come in was answered");
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
//! # When requests are left
//!
//! What a handler has left because its connection is congested
//! ([Backpressure](super::backpressure)) is shown to it before its `shutdown`, as soon as the peer has
//! read enough, so these requests are answered too. `shutdown` also waits for work of the connection
//! that was given away with [`Context::offload`](crate::Context::offload), and for the requests that
//! its handler left meanwhile. The same holds for `eof`, when it is the peer that ends.
//!
//! What is held while the connection is *paused* for another reason is not shown before `shutdown`,
//! since only the handler knows when it would resume: a handler that pauses has to keep in mind what
//! it owes, and to close when it has done it.
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
//! assert_eq!(peer.finished(), None, "five requests are left");
//! peer.set_room(usize::MAX);
//! server.run();
//! assert_eq!(peer.received().len(), 10_000);
//! assert_eq!(peer.finished().unwrap().reason, CloseReason::Closed);
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # Signals
//!
//! A signal becomes something that the loop can watch: a crate such as `signal-hook` writes a byte
//! into a socket when one comes, and the other end of it is a source like any other
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
//!     // Events are edges, so everything is taken.
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
//! Asked for twice, the shorter grace holds. So a second signal may ask for
//! [`Duration::ZERO`](std::time::Duration::ZERO), for those who do not want to wait.
