//! Write a protocol in fifteen minutes: from bytes to a tested, limited server that stops well.
//!
//! We write a service that counts. A client asks for a counter (`G`), adds to one (`A`), or watches
//! one (`W`) and is then notified of every change by another client. Every message, in either
//! direction, is one frame: a kind in one byte, the length of the body in two, then the body.
//!
//! | kind | body | answer |
//! |---|---|---|
//! | `G` | the name | `V` |
//! | `A` | eight bytes of a signed number, then the name | `V` |
//! | `W` | the name | `V`, and another at each change |
//! | `V` | eight bytes of the value, then the name | |
//! | `E` | what was wrong, as text | |
//!
//! # From bytes to frames
//!
//! TCP has no messages. It may deliver half of one, or three at once. A
//! [`LengthField`](crate::LengthField) describes where the length of a frame is, and
//! [`Input::take_frame_with`](crate::Input::take_frame_with) returns `None` until a whole frame has arrived. Its
//! limit is required, because the peer decides the length; a longer frame is an error as soon as
//! its length is known, and nothing is reserved for it.
//!
//! ```
//! use socketserver::{Input, LengthField};
//!
//! /// A kind in one byte, the length in two, then the body.
//! const MESSAGE: LengthField = LengthField::U16.offset(1);
//! const LONGEST: usize = 64;
//!
//! let mut input = Input::new(b"G\0\x05appleG\0\x04pea");
//! let frame = input.take_frame_with(&MESSAGE, LONGEST)?.unwrap();
//! assert_eq!((frame.head, frame.body), (&b"G\0\x05"[..], &b"apple"[..]));
//! assert_eq!(input.take_frame_with(&MESSAGE, LONGEST)?, None, "one byte is missing");
//! assert!(Input::new(b"G\xFF\xFF").take_frame_with(&MESSAGE, LONGEST).is_err(), "longer than 64");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Errors
//!
//! There are two kinds. When a frame makes no sense but its end is known, the client gets an
//! error message and the conversation goes on. When the framing itself is wrong, nothing that follows can
//! be understood: the handler returns the error, which ends the connection. Bytes that it sent before are
//! still sent, so it can say why.
//!
//! # Limits
//!
//! Whatever a client can make grow needs a limit. The frame has one. The number of counters gets one,
//! because each costs memory, and a client watches one counter at a time. The output is bounded because
//! the handler answers only while the connection is not congested: unconsumed input is delivered again
//! when the output has drained, and until then nothing more is read
//! ([Backpressure](super::backpressure)). A watcher that does not read is aborted.
//!
//! The [`Options`](crate::Options) limit the rest: the number of connections, how long they may be idle,
//! and how long a frame may stay unfinished ([Timeouts](super::timeouts)).
//!
//! # The handler, and its tests
//!
//! What all clients share is `Counters`. Each connection has a `Counter` of its own, whose fields
//! would be the state of the conversation; this one needs none.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::io;
//! use std::time::Duration;
//! use socketserver::{Context, Handler, Input, LengthField, Options, CloseReason, SendStatus, SocketId};
//!
//! const MESSAGE: LengthField = LengthField::U16.offset(1);
//! const LONGEST: usize = 64;
//! const MOST_COUNTERS: usize = 10_000;
//!
//! enum Request<'a> {
//!     Get(&'a [u8]),
//!     Add(i64, &'a [u8]),
//!     Watch(&'a [u8]),
//! }
//!
//! fn parse<'a>(head: &[u8], body: &'a [u8]) -> Result<Request<'a>, &'static str> {
//!     match head.first() {
//!         Some(b'G') => Ok(Request::Get(body)),
//!         Some(b'A') => {
//!             let (number, name) = body.split_first_chunk().ok_or("too short")?;
//!             Ok(Request::Add(i64::from_be_bytes(*number), name))
//!         }
//!         Some(b'W') => Ok(Request::Watch(body)),
//!         _ => Err("unknown kind"),
//!     }
//! }
//!
//! #[derive(Default)]
//! struct Counters {
//!     values: BTreeMap<Vec<u8>, i64>,
//!     /// Who watches, and what.
//!     watchers: BTreeMap<SocketId, Vec<u8>>,
//! }
//!
//! #[derive(Default)]
//! struct Counter;
//!
//! fn message(kind: u8, body: &[u8]) -> io::Result<Vec<u8>> {
//!     let mut out = vec![];
//!     let mut frame = MESSAGE.begin(&mut out, 8 + LONGEST);
//!     frame.header_mut().copy_from_slice(&[kind]);
//!     io::Write::write_all(&mut frame, body)?;
//!     frame.finish()?;
//!     Ok(out)
//! }
//!
//! fn value(counters: &Counters, name: &[u8]) -> io::Result<Vec<u8>> {
//!     let number = counters.values.get(name).copied().unwrap_or_default();
//!     message(b'V', &[&number.to_be_bytes(), name].concat())
//! }
//!
//! fn answer(cx: &mut Context<'_, Counters>, request: Request<'_>) -> io::Result<Vec<u8>> {
//!     let Counters { values, watchers } = &mut *cx.shared;
//!     match request {
//!         Request::Get(name) => value(cx.shared, name),
//!         Request::Watch(name) => {
//!             watchers.insert(cx.id, name.to_vec());
//!             value(cx.shared, name)
//!         }
//!         Request::Add(_, name) if values.len() == MOST_COUNTERS && !values.contains_key(name) => {
//!             message(b'E', b"too many counters")
//!         }
//!         Request::Add(by, name) => {
//!             let number = values.entry(name.to_vec()).or_default();
//!             *number = number.wrapping_add(by);
//!             let news = value(cx.shared, name)?;
//!             for (&id, watched) in &cx.shared.watchers {
//!                 if watched == name && id != cx.id && cx.io.send(id, &news) == SendStatus::Congested {
//!                     cx.io.abort(id);
//!                 }
//!             }
//!             Ok(news)
//!         }
//!     }
//! }
//!
//! impl Handler<Counters> for Counter {
//!     fn handle(&mut self, cx: &mut Context<'_, Counters>, input: &mut Input<'_>) -> io::Result<()> {
//!         while !cx.io.is_congested(cx.id) {
//!             let frame = match input.take_frame_with(&MESSAGE, LONGEST) {
//!                 Ok(Some(frame)) => frame,
//!                 Ok(None) => break,
//!                 Err(error) => {
//!                     cx.send(&message(b'E', b"too long")?);
//!                     return Err(error);
//!                 }
//!             };
//!             let answer = match parse(frame.head, frame.body) {
//!                 Ok(request) => answer(cx, request)?,
//!                 Err(what) => message(b'E', what.as_bytes())?,
//!             };
//!             cx.send(&answer);
//!         }
//!         Ok(())
//!     }
//!
//!     fn finish(&mut self, cx: &mut Context<'_, Counters>, _outcome: io::Result<()>) {
//!         cx.shared.watchers.remove(&cx.id);
//!     }
//! }
//!
//! fn options() -> Options {
//!     Options {
//!         max_connections: 10_000,
//!         frame_timeout: Some(Duration::from_secs(10)),
//!         idle_timeout: Some(Duration::from_secs(600)),
//!         ..Options::default()
//!     }
//! }
//!
//! // The tests. A script plays one client, and panics at the first step that does not come true.
//! use socketserver::testing::{Script, TestServer, assert_chunk_invariant_with};
//!
//! const ADD: &[u8] = b"A\0\x09\0\0\0\0\0\0\0\x02a"; // add 2 to "a"
//! const TWO: &[u8] = b"V\0\x09\0\0\0\0\0\0\0\x02a";
//! let new_server = || TestServer::with_shared(Counters::default(), options());
//!
//! Script::new()
//!     .send(ADD)
//!     .expect(TWO)
//!     .send(b"?\0\0G\0\x01a")
//!     .expect([b"E\0\x0Cunknown kind", TWO].concat())
//!     .send(b"G\xFF\xFF")
//!     .expect(b"E\0\x08too long")
//!     .expect_finished(CloseReason::HandlerError)
//!     .play_on(&mut new_server()?, Counter::default());
//!
//! // Ten seconds for a frame; and however TCP cuts the bytes, the answers are the same.
//! Script::new()
//!     .send(b"G\0\x01")
//!     .advance(Duration::from_secs(11))
//!     .expect_finished(CloseReason::FrameTimeout)
//!     .play_on(&mut new_server()?, Counter::default());
//! let conversation = [ADD, b"?\0\0W\0\x01aG\xFF\xFF"].concat();
//! assert_chunk_invariant_with(|| Ok((new_server()?, Counter::default())), &conversation);
//!
//! // Two clients: one watches what the other does. Then the server stops, within a second.
//! let mut server = new_server()?;
//! let (watcher, adder) = (server.connect(Counter::default())?, server.connect(Counter::default())?);
//! watcher.send(b"W\0\x01a");
//! server.run();
//! assert_eq!(watcher.received(), b"V\0\x09\0\0\0\0\0\0\0\0a");
//! adder.send(ADD);
//! server.io_mut().shutdown(Duration::from_secs(1));
//! server.run();
//! assert_eq!((watcher.received(), adder.received()), (TWO.to_vec(), TWO.to_vec()));
//! assert_eq!(watcher.finished().unwrap().reason, CloseReason::Closed);
//! assert!(server.shared().watchers.is_empty());
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # The program
//!
//! What is left is a `main`. A signal, or whatever else is to stop the server, becomes a call of
//! [`Io::shutdown`](crate::Io::shutdown); [Shutdown](super::shutdown) has one that listens to
//! signals. Here another thread ends it:
//!
//! ```
//! use std::time::Duration;
//! use socketserver::{Options, Server};
//! # use socketserver::Echo as Counter;
//! # type Counters = ();
//! # fn options() -> Options { Options::default() }
//!
//! let mut server = Server::with_shared(Counters::default(), options())?;
//! server.listen("127.0.0.1:0", |_peer| Counter::default())?;
//! let handle = server.handle();
//! let stopper = std::thread::spawn(move || {
//!     // Here it waits for the order to stop.
//!     handle.shutdown(Duration::from_secs(10));
//! });
//! server.serve_forever()?;
//! let report = server.report().unwrap();
//! println!("{} conversations ended, {} were cut off", report.drained, report.forced);
//! # stopper.join().unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
