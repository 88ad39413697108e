//! Timeouts: the limits of time that are there already, and timers for all others.
//!
//! A peer that vanishes says nothing, and one that means harm says as little as it can. A server that
//! waits for both without a limit is full of them one day. These limits are
//! [`Options`](crate::Options), and hold for every connection without a line in a handler:
//!
//! | option | what it limits | then | default |
//! |---|---|---|---|
//! | `idle_timeout` | the time without one byte in either direction, while the next word is the peer's | [`CloseReason::IdleTimeout`](crate::CloseReason::IdleTimeout) | none |
//! | `frame_timeout` | the time for which what has come may stay unfinished | [`CloseReason::FrameTimeout`](crate::CloseReason::FrameTimeout) | none |
//! | `close_timeout` | the time after `close` without a byte that the peer takes or acknowledges | [`CloseReason::CloseTimeout`](crate::CloseReason::CloseTimeout) | 30 s |
//! | `linger_timeout` | the wait for the next byte, or the end, of the peer after our end | the connection is forgotten | 5 s |
//! | `linger_time` | that wait in all, however much comes | the connection is forgotten | 30 s |
//! | `connect_timeout` | the time for an outgoing connection to stand, the look-up of its name and all its addresses together | [`CloseReason::ConnectFailed`](crate::CloseReason::ConnectFailed) | 30 s |
//!
//! In a test the clock stands still until it is advanced, so none of the examples waits.
//!
//! # Idle connections
//!
//! `idle_timeout` is for the peer that is not there any more. Any byte in any direction keeps the
//! connection: a subscriber that only listens is not idle as long as it is sent something and takes
//! it. It does not help against a peer that sends one byte now and then.
//!
//! Silence of our own does not count: while a thread works for the connection
//! ([`Context::offload`](crate::Context::offload)), while a handler that blocks has it, and while it is
//! paused and nothing waits for the peer to take it. Then the time begins anew.
//!
//! What the system has taken is not what the peer has got. So when the time is over, the system is asked
//! how much the peer has not acknowledged; if that has fallen since the last time, the peer reads, if
//! slowly, and stays. (On Linux, with the feature `sys`. Without a last time the first look gives the
//! peer the same time once more.) A handler whose own timer asks whether its peer is still there
//! does the same with [`Io::unacknowledged`](crate::Io::unacknowledged):
//!
//! ```
//! use std::io;
//! use std::time::Duration;
//! use socketserver::testing::TestServer;
//! use socketserver::{Context, Handler, Input, CloseReason, TimerId};
//!
//! const PATIENCE: Duration = Duration::from_secs(60);
//!
//! /// Sends something long, and goes when nothing of it is taken for a minute.
//! #[derive(Default)]
//! struct Download {
//!     on_its_way: usize,
//! }
//!
//! impl Handler for Download {
//!     fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
//!         cx.send(&[0; 10_000]);
//!         self.on_its_way = 10_000;
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
//!         if left >= self.on_its_way {
//!             cx.close();
//!         }
//!         self.on_its_way = left;
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
//! That is what `frame_timeout` is for. It counts from the first byte that lies in the input and of
//! which the handler takes nothing, however many more bytes come behind it. Whenever the handler takes
//! something, it begins anew. A connection with nothing in its input has no frame to finish, so a
//! client may be silent between two requests for as long as `idle_timeout` says. While the connection
//! is paused or congested it does not count, since then the peer is not the one who is late.
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
//! // Who drips is not idle, and gains nothing by it.
//! Script::new()
//!     .send("one\n")
//!     .expect("ok\n")
//!     .advance(50 * SECOND) // between two lines there is time
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
//! A handler that closes is done, but its last bytes may still wait for the peer. `close_timeout`
//! counts from the last byte that moved or was acknowledged: a slow peer gets everything, a dead one is
//! reset. When all is sent, what the peer still says is thrown away for a while, because a close would
//! answer it with a reset, which can destroy our last words on their way: `linger_timeout` and
//! `linger_time` (nginx's `lingering_timeout` and `lingering_time`) bound that, and
//! [`Options::max_lingering`](crate::Options::max_lingering) how many may linger.
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
//! Everything else is a timer of the handler: so long for a login, so long for an answer from
//! elsewhere, a sign of life every minute. [`Context::set_timer`](crate::Context::set_timer) has
//! `timeout` called once. These are the rules:
//!
//! * A timer belongs to its connection and goes with it; nobody has to cancel it at the end.
//! * There is one for each call. Who sets one at every message cancels the one before.
//! * `timeout` gets the [`TimerId`](crate::TimerId), so a handler with several timers can tell which
//!   it was.
//! * The `timeout` that a handler inherits is an error, which ends the conversation. A handler that
//!   uses its timers for anything else writes its own.
//! * Time counts from the beginning of the turn, [`Io::now`](crate::Io::now). A handler that asks that
//!   clock, and not the system's, can be tested.
//!
//! ```
//! use std::io;
//! use std::time::Duration;
//! use socketserver::testing::Script;
//! use socketserver::{Context, Handler, Input, CloseReason, TimerId};
//!
//! /// Wants a name within five seconds; then says every minute that it is still there.
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
//! A timer of zero comes up in the next turn. It is how a handler is called when something that it
//! waits for lies in `cx.shared` ([Talking to other connections](super::other_connections)).
//! Something regular that belongs to no connection is a timer of a watched source
//! ([`Io::set_timer`](crate::Io::set_timer)).
