//! Outgoing connections: to connect, to ask, and to connect again.
//!
//! An outgoing connection has a handler as an accepted one has, and the same callbacks in the same
//! order. It has its id at once: what is sent before the connection is established waits in its output
//! and leaves first. `setup` runs when the connection is established. When it cannot be established
//! neither `setup` nor `handle` runs, and `finish` gets the error of the last attempt; the reason is
//! [`CloseReason::ConnectFailed`](crate::CloseReason::ConnectFailed).
//!
//! # The handler is the state of the question
//!
//! A client asks, waits for the answer, and does something with it. All three belong to the handler of the
//! outgoing connection; the handler that wanted to know stays as it is.
//!
//! ```
//! use std::io;
//! use socketserver::{Context, Echo, Handler, Input, Server};
//!
//! /// Sends one line and keeps the line that comes back.
//! struct Question(&'static str);
//!
//! impl Handler<Vec<String>> for Question {
//!     fn setup(&mut self, cx: &mut Context<'_, Vec<String>>) -> io::Result<()> {
//!         cx.send(self.0.as_bytes());
//!         Ok(())
//!     }
//!
//!     fn handle(&mut self, cx: &mut Context<'_, Vec<String>>, input: &mut Input<'_>) -> io::Result<()> {
//!         if let Some(line) = input.take_line(100)? {
//!             cx.shared.push(String::from_utf8_lossy(line).into_owned());
//!             cx.io.shutdown(std::time::Duration::from_secs(1));
//!         }
//!         Ok(())
//!     }
//!
//!     fn finish(&mut self, cx: &mut Context<'_, Vec<String>>, outcome: io::Result<()>) {
//!         if let Err(error) = outcome {
//!             cx.shared.push(format!("no answer: {error}"));
//!         }
//!     }
//! }
//!
//! let mut server = Server::with_shared(Vec::new(), Default::default())?;
//! let listener = server.listen("127.0.0.1:0", |_peer| Echo)?;
//! let port = server.io().local_addr(listener).and_then(|addr| addr.port()).unwrap();
//! server.connect(("127.0.0.1", port), Question("how are you?\n"))?;
//! server.serve_forever()?;
//! assert_eq!(*server.shared(), ["how are you?"]);
//! # Ok::<(), io::Error>(())
//! ```
//!
//! A handler opens connections too, with [`Context::connect`](crate::Context::connect). To hand the answer
//! back, the handler of the question holds the [`SocketId`](crate::SocketId) of the connection that wanted
//! it, and sends there ([Talking to other connections](super::other_connections)).
//!
//! # Where to
//!
//! Every method takes an address (`"127.0.0.1:80"`, `"unix:/run/app.sock"`), a name (`"example.org:80"`), or
//! a [`Connect`](crate::Connect), which says more:
//!
//! | what | how |
//! |---|---|
//! | a name, looked up by another thread; the loop never blocks | [`Connect::to_name`](crate::Connect::to_name) |
//! | a destination that a stranger chose: refuse private addresses, also those that a name resolves to | [`Connect::allow_if`](crate::Connect::allow_if) |
//! | a source address | [`Connect::local_addr`](crate::Connect::local_addr) |
//! | later | [`Connect::delay`](crate::Connect::delay) |
//!
//! The addresses of a name are tried staggered (RFC 8305): the next attempt begins when one has failed, or
//! 250 ms after the one before. The first that is established is taken, the others are closed. The look-up
//! and all attempts together have [`Options::connect_timeout`](crate::Options::connect_timeout).
//!
//! # Again and again
//!
//! [`Reconnect`](crate::Reconnect) keeps one connection established: each time it ends it is made anew, with
//! a new handler, after a pause that doubles up to a limit and is drawn at random, so that the clients of a
//! server that restarts do not all come back in one moment.
//!
//! # Limits
//!
//! Outgoing connections count in [`Options::max_connections`](crate::Options::max_connections) like accepted
//! ones. [`Options::lookup_threads`](crate::Options::lookup_threads) bounds the look-ups under way; equal
//! names are looked up once, and no client takes all the threads. A shutdown gives connections that are
//! connecting their share of its grace, and refuses those that are only planned
//! ([Shutdown](super::shutdown)).
