//! Timeouts: the built-in time limits, and timers for all others.
//!
//! A vanished peer sends nothing, and a hostile one sends as little as it can. A server that waits for them
//! without a limit is full of them one day. These limits are [`Options`](crate::Options) and hold for every
//! connection, without a line in a handler:
//!
//! | option | what it limits | then | default |
//! |---|---|---|---|
//! | `idle_timeout` | the time without one byte in either direction, while the server waits for the peer | [`CloseReason::IdleTimeout`](crate::CloseReason::IdleTimeout) | none |
//! | `frame_timeout` | the time for which input may stay unconsumed | [`CloseReason::FrameTimeout`](crate::CloseReason::FrameTimeout) | none |
//! | `close_timeout` | the time after `close` without a byte that is sent or acknowledged | [`CloseReason::CloseTimeout`](crate::CloseReason::CloseTimeout) | 30 s |
//! | `linger_timeout` | after our FIN, the wait for the peer's next byte or its EOF | the socket is closed | 5 s |
//! | `linger_time` | all of these waits together | the socket is closed | 30 s |
//! | `connect_timeout` | the time until an outgoing connection is established, the look-up of its name and all addresses included | [`CloseReason::ConnectFailed`](crate::CloseReason::ConnectFailed) | 30 s |
//!
//! **Input first, then timers.** Before any of these limits, or a timer, ends a connection, the loop asks the
//! kernel once more and serves what the peer had sent or read in time. So time in which the loop did not run (a
//! stopped process, a debugger, a slow callback) is not charged to the peer.
//!
//! In a test the clock moves only when the test advances it, so none of the examples waits.
//!
//! # Idle connections
//!
//! `idle_timeout` is for vanished peers. Any byte in either direction starts it anew: a subscriber that only
//! listens is not idle as long as the server sends to it and it acknowledges. It does not help against a peer that sends one byte now and then.
//!
//! The server's own silence does not count: while a thread works for the connection
//! ([`Context::offload`](crate::Context::offload)), while a blocking handler has it, and while it is
//! paused and has no output. The time begins anew afterwards.
//!
//! Bytes that the kernel has accepted have not yet reached the peer. So when the timeout expires, the loop
//! asks the kernel how many bytes are not acknowledged; if there are fewer than the last time, the peer
//! reads, if slowly, and the connection stays. (On Linux, with the feature `sys`. The first time there is
//! nothing to compare with, and the peer gets the same time once more.) A handler whose own timer
//! watches its peer does the same with [`Io::unacknowledged`](crate::Io::unacknowledged):
//!
//! ```
//! use std::io;
//! use std::time::Duration;
//! use socketserver::testing::TestServer;
//! use socketserver::{Context, Handler, Input, CloseReason, TimerId};
//!
//! const PATIENCE: Duration = Duration::from_secs(60);
//!
//! /// Sends a long answer, and closes when nothing of it is acknowledged for a minute.
//! #[derive(Default)]
//! struct Download {
//!     unacknowledged: usize,
//! }
//!
//! impl Handler for Download {
//!     fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
//!         cx.send(&[0; 10_000]);
//!         self.unacknowledged = 10_000;
//!         cx.set_timer(PATIENCE);
//!         Ok(())
//!     }
//!
//!     fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
//!         Ok(())
//!     }
//!
//!     fn timeout(&mut self, cx: &mut Context<'_>, _: TimerId) -> io::Result<()> {
//!         let left = cx.io.pending_output(cx.id) + cx.io.unacknowledged(cx.id).unwrap_or(0);
//!         if left >= self.unacknowledged {
//!             cx.close();
//!         }
//!         self.unacknowledged = left;
//!         cx.set_timer(PATIENCE);
//!         Ok(())
//!     }
//! }
//!
//! let mut server = TestServer::new()?;
//! let peer = server.connect(Download::default())?;
//! server.run();
//! for left in [9_000, 5_000, 1_000] {
//!     peer.set_unacknowledged(left);
//!     server.advance(PATIENCE);
//!     assert_eq!(peer.finished(), None);
//! }
//! server.advance(PATIENCE);
//! assert_eq!(peer.finished().unwrap().reason, CloseReason::Closed);
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # Unfinished frames
//!
//! `frame_timeout` is for such peers. It counts from the first unconsumed byte, however many more bytes
//! arrive. Whenever the handler consumes input, it begins anew. A connection without unconsumed input has no
//! frame to finish, so a client may be silent between two requests for `idle_timeout`. It does not count
//! while the connection is paused or congested, because then the peer is not late.
//!
//! ```
//! use std::io;
//! use std::time::Duration;
//! use socketserver::testing::{Script, TestServer};
//! use socketserver::{Context, Handler, Input, Options, CloseReason};
//!
//! struct Lines;
//!
//! impl Handler for Lines {
//!     fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
//!         while input.take_line(100)?.is_some() {
//!             cx.send(b"ok\n");
//!         }
//!         Ok(())
//!     }
//! }
//!
//! const SECOND: Duration = Duration::from_secs(1);
//! let options = Options {
//!     idle_timeout: Some(60 * SECOND),
//!     frame_timeout: Some(10 * SECOND),
//!     ..Options::default()
//! };
//!
//! // A peer that sends byte by byte is not idle, and still ends.
//! Script::new()
//!     .send("one\n")
//!     .expect("ok\n")
//!     .advance(50 * SECOND) // only `idle_timeout` counts between two lines
//!     .send("t")
//!     .advance(6 * SECOND)
//!     .send("w")
//!     .advance(6 * SECOND)
//!     .expect_finished(CloseReason::FrameTimeout)
//!     .play_on(&mut TestServer::with_shared((), options.clone())?, Lines);
//!
//! Script::new()
//!     .send("one\n")
//!     .advance(61 * SECOND)
//!     .expect("ok\n")
//!     .expect_finished(CloseReason::IdleTimeout)
//!     .play_on(&mut TestServer::with_shared((), options)?, Lines);
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # The end
//!
//! A handler that closes is done, but its last bytes may still be queued. `close_timeout` counts from the
//! last byte that was sent or acknowledged: a slow peer gets everything, a vanished one is reset. When all
//! is sent the server lingers: it reads and discards what the peer still sends, because the kernel answers
//! input on a closed socket with a reset, which can destroy the end of the answer. `linger_timeout` and
//! `linger_time` (nginx's `lingering_timeout` and `lingering_time`) bound that, and
//! [`Options::max_lingering`](crate::Options::max_lingering) how many connections linger.
//!
//! ```
//! use std::time::Duration;
//! use socketserver::testing::TestServer;
//! use socketserver::{Echo, CloseReason};
//!
//! let mut server = TestServer::new()?;
//! let peer = server.connect(Echo)?;
//! peer.set_room(3);
//! peer.send("hello");
//! server.run();
//! server.io_mut().close(peer.id());
//! server.advance(Duration::from_secs(31));
//! assert_eq!(peer.received(), b"hel");
//! assert_eq!(peer.finished().unwrap().reason, CloseReason::CloseTimeout);
//! assert!(peer.was_reset());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Timers
//!
//! Everything else is a timer of the handler: for a login, for an answer from another server, for a
//! heartbeat. After [`Context::set_timer`](crate::Context::set_timer) `timeout` is called once. The rules:
//!
//! * A timer belongs to its connection and is cancelled with it.
//! * Each call sets another one. A handler that sets one at every message cancels the one before.
//! * `timeout` gets the [`TimerId`](crate::TimerId), so a handler with several timers can tell which
//!   one expired.
//! * The default `timeout` returns an error, which ends the connection. A handler that uses timers for
//!   anything else writes its own.
//! * Time counts from the beginning of the turn, [`Io::now`](crate::Io::now). A handler that uses that
//!   clock, and not the system's, can be tested.
//!
//! ```
//! use std::io;
//! use std::time::Duration;
//! use socketserver::testing::Script;
//! use socketserver::{Context, Handler, Input, CloseReason, TimerId};
//!
//! /// Expects a name within five seconds; then sends a heartbeat every minute.
//! #[derive(Default)]
//! struct Session {
//!     login: Option<TimerId>,
//! }
//!
//! impl Handler for Session {
//!     fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
//!         self.login = Some(cx.set_timer(Duration::from_secs(5)));
//!         Ok(())
//!     }
//!
//!     fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
//!         while let Some(name) = input.take_line(20)? {
//!             if let Some(login) = self.login.take() {
//!                 cx.io.cancel_timer(login);
//!                 cx.send(&[b"hello ", name, b"\n"].concat());
//!                 cx.set_timer(Duration::from_secs(60));
//!             }
//!         }
//!         Ok(())
//!     }
//!
//!     fn timeout(&mut self, cx: &mut Context<'_>, timer: TimerId) -> io::Result<()> {
//!         if self.login == Some(timer) {
//!             cx.send(b"too late\n");
//!             cx.close();
//!         } else {
//!             cx.send(b"still here\n");
//!             cx.set_timer(Duration::from_secs(60));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! Script::new()
//!     .advance(Duration::from_secs(5))
//!     .expect("too late\n")
//!     .expect_finished(CloseReason::Closed)
//!     .play(Session::default());
//! Script::new()
//!     .send("ann\n")
//!     .advance(Duration::from_secs(125))
//!     .expect("hello ann\nstill here\nstill here\n")
//!     .play(Session::default());
//! # Ok::<(), io::Error>(())
//! ```
//!
//! A timer of zero expires in the next turn. So a handler is called when another one has put something for
//! it into `cx.shared` ([Talking to other connections](super::other_connections)). A timer that belongs to
//! no connection has a handler of its own
//! ([`Server::add_timer_handler`](crate::Server::add_timer_handler)).
