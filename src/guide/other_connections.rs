//! Talking to other connections: broadcasts, relays, other threads, and work that blocks.
//!
//! All connections of a server live in one loop, so a handler reaches every other one without a lock, a
//! channel or a reference count: by its [`SocketId`](crate::SocketId), through
//! [`cx.io`](crate::Context::io). What connections know of each other lies in
//! [`cx.shared`](crate::Context::shared).
//!
//! # By id
//!
//! [`Io::send`](crate::Io::send) works for any connection and calls no handler. An id is stale when its
//! connection has ended: then `send` returns [`SendStatus::Closed`](crate::SendStatus::Closed) and does
//! nothing else; no other connection ever gets the bytes. So it does no harm to keep an id for too long;
//! `finish` is the place to remove it.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::io;
//! use socketserver::testing::TestServer;
//! use socketserver::{Context, Handler, Input, SendStatus, SocketId};
//!
//! type Names = BTreeMap<Vec<u8>, SocketId>;
//!
//! /// The first line is a name; each other goes to the one whose name it begins with.
//! #[derive(Default)]
//! struct Mail {
//!     has_name: bool,
//! }
//!
//! impl Handler<Names> for Mail {
//!     fn handle(&mut self, cx: &mut Context<'_, Names>, input: &mut Input<'_>) -> io::Result<()> {
//!         while let Some(line) = input.take_line(100)? {
//!             if !self.has_name {
//!                 self.has_name = true;
//!                 cx.shared.insert(line.to_vec(), cx.id);
//!                 continue;
//!             }
//!             let name = line.split(|byte| *byte == b' ').next().unwrap_or_default();
//!             let to = cx.shared.get(name).copied();
//!             let mail = [line, b"\n"].concat();
//!             if to.is_none_or(|to| cx.io.send(to, &mail) == SendStatus::Closed) {
//!                 cx.send(b"unknown\n");
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut server = TestServer::with_shared(Names::new(), Default::default())?;
//! let (ann, bob) = (server.connect(Mail::default())?, server.connect(Mail::default())?);
//! ann.send("ann\n");
//! bob.send("bob\nann good morning\n");
//! server.run();
//! assert_eq!(ann.received(), b"ann good morning\n");
//! ann.end();
//! server.run();
//! bob.send("ann are you there?\n");
//! server.run();
//! assert_eq!(bob.received(), b"unknown\n");
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # To all
//!
//! A broadcast is a loop over ids. Short messages are copied into the output of each connection, and
//! all that a connection gets in one turn leaves in one write. A message of many kilobytes is better
//! sent with [`Io::send_shared`](crate::Io::send_shared): one copy serves all. For a connection that does
//! not keep up it returns `Congested`; [Backpressure](super::backpressure) says what to do then.
//!
//! ```
//! use std::sync::Arc;
//! use socketserver::testing::TestServer;
//! use socketserver::{Echo, SendStatus};
//!
//! let mut server = TestServer::new()?;
//! let peers = [server.connect(Echo)?, server.connect(Echo)?, server.connect(Echo)?];
//! peers[2].reset();
//! server.run();
//! let news: Arc<[u8]> = vec![b'x'; 50_000].into();
//! let sent = peers.each_ref().map(|peer| server.io_mut().send_shared(peer.id(), &news));
//! assert_eq!(sent, [SendStatus::Queued, SendStatus::Queued, SendStatus::Closed]);
//! server.run();
//! assert_eq!(peers[1].received().len(), 50_000);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Relays
//!
//! A handler may open connections itself, with [`Context::connect`](crate::Context::connect), and
//! keep their ids. Where every byte of one goes to the other, use [`Relay`](crate::Relay). It passes on half-closes and
//! resets, and reads no faster than the other side does.
//!
//! ```no_run
//! use socketserver::{Relay, Server};
//!
//! let mut server = Server::new()?;
//! server.listen("127.0.0.1:8000", |_peer| Relay::to("127.0.0.1:7000"))?;
//! server.serve_forever()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The example `proxy` is such a program; `socks5` speaks a protocol first and relays then.
//!
//! # From other threads
//!
//! A [`ServerHandle`](crate::ServerHandle) may be cloned, and sent to any thread. [`ServerHandle::post`](crate::ServerHandle::post)
//! runs a closure in the loop, with `shared` and `io` as a handler has them, and does not wait for it. It
//! fails when the server is gone, and when [`Options::post_queue`](crate::Options::post_queue) closures are
//! queued already, so a thread that is faster than the loop notices.
//!
//! ```
//! use std::io;
//! use std::time::Duration;
//! use socketserver::{Options, Server};
//!
//! let mut server = Server::with_shared(Vec::new(), Options::default())?;
//! let handle = server.handle();
//! let thread = std::thread::spawn(move || -> io::Result<()> {
//!     for number in 1..=3 {
//!         handle.post(move |shared: &mut Vec<i32>, _io| shared.push(number))?;
//!     }
//!     handle.shutdown(Duration::ZERO);
//!     Ok(())
//! });
//! server.serve_forever()?;
//! thread.join().unwrap()?;
//! assert_eq!(*server.shared(), [1, 2, 3]);
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # Work that blocks
//!
//! A handler must not block, because all others would wait. Work that blocks, such as files, a database or
//! a long computation, goes to another thread with [`Context::offload`](crate::Context::offload). Its
//! result comes back into the loop, to a closure that gets `shared` and `io`, but not the handler, which may
//! be gone by then. To give the result to the handler, put it into a map by id and set a timer of zero for
//! the connection: its `timeout` is called in the next turn and finds the result. The handler pauses its
//! connection meanwhile, so that answers cannot overtake each other; unconsumed requests are delivered
//! after `resume`. `eof` and `shutdown` wait for the result too (see [Shutdown](super::shutdown)).
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::io;
//! use std::time::Duration;
//! use socketserver::testing::TestServer;
//! use socketserver::{Context, Handler, Input, SocketId, TimerId};
//!
//! /// Results that their handlers have not fetched yet.
//! type Results = BTreeMap<SocketId, io::Result<u64>>;
//!
//! /// Answers each line with the sum of its bytes, which takes long.
//! struct Sums;
//!
//! impl Handler<Results> for Sums {
//!     fn handle(&mut self, cx: &mut Context<'_, Results>, input: &mut Input<'_>) -> io::Result<()> {
//!         let Some(line) = input.take_line(1000)? else { return Ok(()) };
//!         let (id, line) = (cx.id, line.to_vec());
//!         cx.pause();
//!         cx.offload(
//!             move || line.iter().map(|byte| u64::from(*byte)).sum(),
//!             move |results: &mut Results, io, sum| {
//!                 if io.is_open(id) {
//!                     results.insert(id, sum);
//!                     io.set_timer(id, Duration::ZERO);
//!                 }
//!             },
//!         )
//!     }
//!
//!     fn timeout(&mut self, cx: &mut Context<'_, Results>, _timer: TimerId) -> io::Result<()> {
//!         if let Some(sum) = cx.shared.remove(&cx.id) {
//!             cx.send(format!("{}\n", sum?).as_bytes());
//!             cx.io.resume(cx.id);
//!         }
//!         Ok(())
//!     }
//!
//!     fn finish(&mut self, cx: &mut Context<'_, Results>, _outcome: io::Result<()>) {
//!         cx.shared.remove(&cx.id);
//!     }
//! }
//!
//! let mut server = TestServer::with_shared(Results::new(), Default::default())?;
//! let peer = server.connect(Sums)?;
//! peer.send("a\nab\n");
//! let mut received = Vec::new();
//! while received != b"97\n195\n" {
//!     server.run();
//!     server.server().turn(Some(Duration::from_millis(10)))?; // threads take real time
//!     received.extend(peer.received());
//! }
//! # Ok::<(), io::Error>(())
//! ```
//!
//! A protocol that is easier to write as straight-line code, with reads that wait, is a
//! [blocking handler](crate::blocking) in a thread of its own.
