//! The aids for tests do what they say, and fail when they should.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use socketserver::testing::{
    Peer, Script, TestServer, assert_chunk_invariant, assert_chunk_invariant_with,
};
use socketserver::{CloseReason, Context, Echo, Handler, Input, Options, SocketId, TimerId};

/// What a closure panics with.
fn panic_of(body: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(body)).expect_err("it should have panicked");
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => (*panic.downcast::<&str>().unwrap()).to_string(),
    }
}

/// Answers each piece that it is shown with its length: the mistake that tests shall find.
struct Careless;

impl Handler for Careless {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        cx.send(format!("{}.", input.take_all().len()).as_bytes());
        Ok(())
    }
}

/// Fails only if its input comes in pieces.
struct Impatient;

impl Handler for Impatient {
    fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        if input.take_all() == b"abc" { Ok(()) } else { Err(io::Error::other("not all at once")) }
    }
}

#[test]
fn a_handler_that_cares_about_chunks_is_found_out() {
    let message = panic_of(|| assert_chunk_invariant(|| Careless, b"abc"));
    assert!(message.contains("the output differs from byte 0 on, byte by byte"), "{message}");
    assert!(message.contains(r#"in one piece: .. b"3.""#), "{message}");
    assert!(message.contains(r#"cut:          .. b"1.1.1.""#), "{message}");
    let message = panic_of(|| assert_chunk_invariant(|| Impatient, b"abc"));
    assert!(message.contains("the end differs, byte by byte"), "{message}");
    assert!(message.contains("HandlerError, Other: not all at once"), "{message}");
}

/// Cares about one cut alone.
struct Picky(usize);

impl Handler for Picky {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        let bytes = input.take_all();
        let is_it = self.0 == 0 && bytes.len() == 3;
        self.0 += bytes.len();
        cx.send(if is_it { b"odd" } else { bytes });
        Ok(())
    }
}

#[test]
fn the_cut_that_matters_is_named() {
    let message = panic_of(|| assert_chunk_invariant(|| Picky(0), b"abcdefgh"));
    assert!(message.contains(r#"cut at 3, b"abc" | b"defgh""#), "{message}");
}

#[test]
fn a_long_input_is_cut_at_both_ends_and_between() {
    let long: Vec<u8> = (0..20_000_u32).map(|n| n as u8).collect();
    assert_chunk_invariant(|| Echo, &long);
    assert_chunk_invariant(|| Echo, b"");
    assert_chunk_invariant(|| Echo, b"x");
}

#[test]
fn a_panic_of_the_handler_is_an_end_like_others() {
    struct Panics;
    impl Handler for Panics {
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            panic!("as it should");
        }
    }
    assert_chunk_invariant(|| Panics, b"abc");
    Script::new().send("x").expect_finished(CloseReason::Panicked).play(Panics);
}

#[test]
fn a_script_stops_at_the_first_step_that_does_not_come_true() {
    let script = Script::new().send("ab").expect("ab").send("c").expect("d").end();
    let message = panic_of(|| script.play(Echo));
    assert_eq!(message, r#"step 4 of the script, expect b"d": got b"c""#);
    let message = panic_of(|| Script::new().expect_finished(CloseReason::Closed).play(Echo));
    assert!(message.ends_with("it has not ended"), "{message}");
}

/// Sends to every other member what one says.
struct Member;

impl Handler<Vec<SocketId>> for Member {
    fn setup(&mut self, cx: &mut Context<'_, Vec<SocketId>>) -> io::Result<()> {
        cx.shared.push(cx.id);
        Ok(())
    }

    fn handle(
        &mut self,
        cx: &mut Context<'_, Vec<SocketId>>,
        input: &mut Input<'_>,
    ) -> io::Result<()> {
        while let Some(line) = input.take_line(80)? {
            for &member in cx.shared.iter().filter(|&&member| member != cx.id) {
                cx.io.send(member, line);
            }
        }
        Ok(())
    }
}

#[test]
fn several_peers_meet_in_one_server() {
    let mut server = TestServer::with_shared(Vec::new(), Options::default()).unwrap();
    let peers: Vec<_> = (0..3).map(|_| server.connect(Member).unwrap()).collect();
    peers[0].send("hello\n");
    server.run();
    let received: Vec<_> = peers.iter().map(Peer::received).collect();
    assert_eq!(received, [&b""[..], b"hello", b"hello"]);
    assert_eq!(server.shared().len(), 3);
    assert_eq!(server.io().connection_count(), 3);
    server.io().verify_stats().unwrap();
    assert_chunk_invariant_with(
        || Ok((TestServer::with_shared(Vec::new(), Options::default())?, Member)),
        b"one\ntwo\n",
    );
}

#[test]
fn a_peer_that_does_not_read_is_felt() {
    let mut server = TestServer::new().unwrap();
    let peer = server.connect(Echo).unwrap();
    peer.set_room(10);
    peer.send(vec![7; 200_000]);
    server.run();
    assert_eq!(peer.received().len(), 10);
    assert!(server.io().is_congested(peer.id()));
    peer.set_room(usize::MAX);
    server.run();
    assert_eq!(peer.received().len(), 199_990);
    assert!(!server.io().is_congested(peer.id()));
    peer.reset();
    server.run();
    let finished = peer.finished().unwrap();
    assert_eq!(finished.reason, CloseReason::IoError);
    assert_eq!(finished.error.unwrap().0, io::ErrorKind::ConnectionReset);
    server.io().verify_stats().unwrap();
}

/// Says when each of its timers came up.
struct Ticks;

impl Handler for Ticks {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.set_timer(Duration::from_secs(1));
        cx.set_timer(Duration::from_millis(2_500));
        Ok(())
    }

    fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Context<'_>, _: TimerId) -> io::Result<()> {
        cx.set_timer(Duration::from_secs(1));
        cx.send(b"tick ");
        Ok(())
    }
}

#[test]
fn each_timer_finds_the_clock_at_its_own_time() {
    Script::new()
        .advance(Duration::from_millis(999))
        .expect("")
        .advance(Duration::from_millis(1))
        .expect("tick ")
        .advance(Duration::from_secs(2))
        .expect("tick tick tick ")
        .advance(Duration::from_millis(499))
        .expect("")
        .play(Ticks);
}

#[test]
fn an_idle_timeout_ends_it_to_the_second() {
    let options = Options { idle_timeout: Some(Duration::from_secs(30)), ..Options::default() };
    let mut server = TestServer::with_shared((), options).unwrap();
    Script::new()
        .advance(Duration::from_secs(29))
        .send("x")
        .expect("x")
        .advance(Duration::from_secs(29))
        .send("y")
        .expect("y")
        .advance(Duration::from_secs(30))
        .expect_finished(CloseReason::IdleTimeout)
        .play_on(&mut server, Echo);
    server.io().verify_stats().unwrap();
    assert_eq!(server.io().connection_count(), 0);
}

#[test]
fn a_shutdown_ends_what_is_open() {
    let mut server = TestServer::new().unwrap();
    let peer = server.connect(Echo).unwrap();
    peer.send("last words");
    server.io_mut().shutdown(Duration::from_secs(5));
    server.run();
    assert_eq!(peer.received(), b"last words");
    assert!(peer.has_end() && !peer.was_reset());
    assert_eq!(peer.finished().unwrap().reason, CloseReason::Closed);
    server.advance(Duration::from_secs(5));
    assert_eq!(server.io().connection_count(), 0);
}

#[test]
fn room_that_is_gone_again_before_it_is_seen_was_never_reported() {
    let mut server = TestServer::new().unwrap();
    let peer = server.connect(Echo).unwrap();
    peer.set_room(0);
    peer.send("hello");
    server.run();
    peer.set_room(10);
    peer.set_room(0);
    server.run();
    peer.set_room(usize::MAX);
    server.run();
    assert_eq!(peer.received(), b"hello");
}

#[test]
fn the_clock_can_be_advanced_to_its_end() {
    let options = Options { idle_timeout: None, ..Options::default() };
    let mut server = TestServer::with_shared((), options).unwrap();
    let peer = server.connect(Echo).unwrap();
    for _ in 0..3 {
        server.advance(Duration::MAX);
    }
    peer.send("hello");
    server.run();
    assert_eq!(peer.received(), b"hello");
}

#[test]
fn a_handler_that_spins_is_noticed() {
    struct Spins;
    impl Handler for Spins {
        fn handle(&mut self, cx: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            cx.set_timer(Duration::ZERO);
            Ok(())
        }
        fn timeout(&mut self, cx: &mut Context<'_>, _: TimerId) -> io::Result<()> {
            cx.set_timer(Duration::ZERO);
            Ok(())
        }
    }
    let message = panic_of(|| Script::new().send("x").play(Spins));
    assert!(message.contains("a handler spins"), "{message}");
}
