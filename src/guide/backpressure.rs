//! Backpressure: what happens when a peer does not read, and what a handler does then.
//!
//! Sending never blocks, and never fails because a buffer is full: output that the kernel does not accept
//! is queued in memory. Three numbers of the [`Options`](crate::Options) bound that queue, for each
//! connection:
//!
//! | queued bytes | what happens | default |
//! |---|---|---|
//! | more than `high_water` | the connection is congested: it is not read any more, and `send` returns [`SendStatus::Congested`](crate::SendStatus::Congested) | 64 KiB |
//! | no more than `low_water`, after that | it is read again, and its handler's `drained` runs | 16 KiB |
//! | more than `output_limit` | it is reset with [`CloseReason::OutputLimit`](crate::CloseReason::OutputLimit) | 16 MiB |
//!
//! Bytes for which `send` returned `Congested` are queued all the same; do not send them again. The value
//! means: no more for now.
//!
//! # Answering requests
//!
//! A congested connection is not read, so a handler whose answers are about as large as its requests
//! needs to do nothing. But one read may bring a thousand small requests with large answers. The
//! handler stops when the connection is congested, and leaves the other requests unconsumed. It needs
//! no pause and no `drained`: **when the output has drained, the unconsumed input is delivered again**,
//! first `drained`, then `handle`.
//!
//! ```
//! use std::io;
//! use socketserver::testing::TestServer;
//! use socketserver::{Context, Handler, Input, Options};
//!
//! /// Answers each byte with a thousand bytes.
//! struct Thousand;
//!
//! impl Handler<usize> for Thousand {
//!     fn handle(&mut self, cx: &mut Context<'_, usize>, input: &mut Input<'_>) -> io::Result<()> {
//!         while !cx.io.is_congested(cx.id) {
//!             let Some(byte) = input.take(1) else { break };
//!             let answer = byte.repeat(1000);
//!             cx.send(&answer);
//!             *cx.shared += 1;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let options = Options { high_water: 4000, low_water: 1000, ..Options::default() };
//! let mut server = TestServer::with_shared(0, options)?;
//! let peer = server.connect(Thousand)?;
//! peer.set_room(0); // it does not read
//! peer.send("requests which come together");
//! server.run();
//! assert_eq!(*server.shared(), 5, "the fifth answer was above high water");
//! peer.set_room(usize::MAX); // now it reads
//! server.run();
//! assert_eq!(*server.shared(), 28);
//! assert_eq!(peer.received().len(), 28_000);
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # Sending something long
//!
//! A handler that sends a long file, or an endless stream, sends until it is congested, and goes on
//! in `drained`:
//!
//! ```
//! use std::io;
//! use socketserver::testing::TestServer;
//! use socketserver::{Context, Handler, Input};
//!
//! /// Sends `.0` zeros when it is asked to.
//! struct Zeros(usize);
//!
//! impl Handler for Zeros {
//!     fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
//!         input.take_all();
//!         self.drained(cx)
//!     }
//!
//!     fn drained(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
//!         while self.0 > 0 && !cx.io.is_congested(cx.id) {
//!             let piece = self.0.min(8 << 10);
//!             cx.send(&[0; 8 << 10][..piece]);
//!             self.0 -= piece;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut server = TestServer::new()?;
//! let peer = server.connect(Zeros(10_000_000))?;
//! peer.set_room(0);
//! peer.send("go");
//! server.run();
//! assert!(server.io().stats().pending_output() < 100_000, "the ten million are not queued in memory");
//! peer.set_room(usize::MAX);
//! server.run();
//! assert_eq!(peer.received().len(), 10_000_000);
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # Feeding another connection
//!
//! When the bytes of one connection go to another, the other one becomes congested, and the first is still
//! read. So the first pauses itself, and the other's `drained` resumes it. A paused connection is not
//! read, and its handler gets no input. After [`Io::resume`](crate::Io::resume) it is read again. `handle`
//! is called at once only if there is unconsumed input; otherwise with the next bytes. A handler that must
//! act when it is resumed sets a timer of zero.
//!
//! ```
//! # use std::io;
//! # use socketserver::testing::TestServer;
//! # use socketserver::{Context, Handler, Input};
//! /// Takes one byte at a time, and pauses itself.
//! struct OneByte;
//!
//! impl Handler<usize> for OneByte {
//!     fn handle(&mut self, cx: &mut Context<'_, usize>, input: &mut Input<'_>) -> io::Result<()> {
//!         input.take(1);
//!         *cx.shared += 1;
//!         cx.pause();
//!         Ok(())
//!     }
//! }
//!
//! let mut server = TestServer::with_shared(0, Default::default())?;
//! let peer = server.connect(OneByte)?;
//! peer.send("ab");
//! for calls in [1, 2, 2] {
//!     server.run();
//!     assert_eq!(*server.shared(), calls, "the third time no input was left");
//!     server.io_mut().resume(peer.id());
//! }
//! # Ok::<(), io::Error>(())
//! ```
//!
//! [`Relay`](crate::Relay) does all of this for two connections that are one
//! ([Talking to other connections](super::other_connections)).
//!
//! # Broadcasts
//!
//! A publisher cannot wait for the slowest subscriber. It has the choice: skip a subscriber that is
//! congested ([`Io::is_congested`](crate::Io::is_congested)), which suits values of which only the latest
//! counts; or abort it ([`Io::abort`](crate::Io::abort)), which suits a stream that must not have gaps.
//! Without a choice `output_limit` ends it:
//!
//! ```
//! use socketserver::testing::TestServer;
//! use socketserver::{Echo, Options, CloseReason, SendStatus};
//!
//! let options = Options { high_water: 10, low_water: 5, output_limit: 100, ..Options::default() };
//! let mut server = TestServer::with_shared((), options)?;
//! let peer = server.connect(Echo)?;
//! peer.set_room(0);
//! assert_eq!(server.io_mut().send(peer.id(), &[b'x'; 10]), SendStatus::Queued);
//! assert_eq!(server.io_mut().send(peer.id(), b"y"), SendStatus::Congested);
//! server.io_mut().send(peer.id(), &[b'z'; 90]);
//! server.run();
//! assert_eq!(peer.finished().unwrap().reason, CloseReason::OutputLimit);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Full duplex
//!
//! Not to read a congested connection is right for requests and responses. It is wrong where both sides send
//! much of their own accord: each waits for the other to read, and neither does. One side must go on
//! reading, by [`Io::set_read_while_congested`](crate::Io::set_read_while_congested). Its handler must then
//! bound its output in another way, because its input no longer stops. A relay reads while it is congested
//! too: the other connection bounds each of its directions.
//!
//! ```
//! use std::io;
//! use socketserver::testing::TestServer;
//! use socketserver::{Context, Handler, Input};
//!
//! /// Answers with a megabyte, and counts its input.
//! struct Both;
//!
//! impl Handler<usize> for Both {
//!     fn setup(&mut self, cx: &mut Context<'_, usize>) -> io::Result<()> {
//!         cx.io.set_read_while_congested(cx.id, true);
//!         Ok(())
//!     }
//!
//!     fn handle(&mut self, cx: &mut Context<'_, usize>, input: &mut Input<'_>) -> io::Result<()> {
//!         *cx.shared += input.take_all().len();
//!         cx.send(&vec![0; 1 << 20]);
//!         Ok(())
//!     }
//! }
//!
//! let mut server = TestServer::with_shared(0, Default::default())?;
//! let peer = server.connect(Both)?;
//! peer.set_room(0);
//! for read in [5000, 10_000] {
//!     peer.send([1; 5000]);
//!     server.run();
//!     assert_eq!(*server.shared(), read, "the second time while it is congested");
//! }
//! assert!(server.io().is_congested(peer.id()));
//! # Ok::<(), io::Error>(())
//! ```
