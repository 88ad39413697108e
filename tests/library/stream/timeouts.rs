//! What counts as movement when a time is over, and what is silence of our own. The clock stands still
//! until it is advanced, also where the sockets are real.

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use socketserver::testing::{Peer, TestServer};
use socketserver::{
    Addr, CloseReason, Context, Echo, Handler, Input, Options, Relay, Server, SocketId, TraceEvent,
};

use crate::support::{Client, Kind, SECOND, on_setup, pattern};

fn idle_in_a_minute() -> Options {
    Options { idle_timeout: Some(60 * SECOND), ..Options::default() }
}

/// Sends so much at the beginning.
fn sender(len: usize) -> impl Handler {
    on_setup(move |cx: &mut Context<'_>| {
        cx.send(&pattern(len, 1));
        Ok(())
    })
}

/// A server with the standing clock on a real socket, and one client of it that has little room.
struct Real {
    server: TestServer,
    client: Client,
    id: SocketId,
    /// Where a Unix socket has its path.
    _directory: tempfile::TempDir,
}

impl Real {
    fn new<H: Handler + 'static>(
        kind: Kind,
        options: Options,
        handler: impl Fn() -> H + 'static,
    ) -> Real {
        let directory = tempfile::TempDir::new().unwrap();
        let mut server = TestServer::with_shared((), options).unwrap();
        let listener = match kind {
            Kind::Tcp => server.server().listen("127.0.0.1:0", move |_: &Addr| handler()),
            Kind::Unix => {
                server.server().listen(directory.path().join("socket"), move |_: &Addr| handler())
            }
        };
        let addr = server.io().local_addr(listener.unwrap()).unwrap();
        let little = |socket: &socket2::Socket| socket.set_recv_buffer_size(8 << 10).unwrap();
        let client = Client::connect_with(&addr, little);
        let accepted = Rc::new(Cell::new(None));
        let witness = Rc::clone(&accepted);
        server.server().set_trace(move |step| {
            if let TraceEvent::Accepted(_, id) = step {
                witness.set(Some(id));
            }
        });
        let id = until(&mut server, |_| accepted.get());
        Real { server, client, id, _directory: directory }
    }

    /// Whether the system says what is not acknowledged; without that these tests have no meaning.
    fn can_tell(&mut self) -> bool {
        let can_tell = self.left().is_some();
        if !can_tell {
            eprintln!("skipped: the system does not say what is not acknowledged");
        }
        can_tell
    }

    fn left(&mut self) -> Option<usize> {
        self.server.io_mut().unacknowledged(self.id)
    }

    /// Reads in small steps until the system says that something was acknowledged. Whether there was
    /// anything left to read.
    fn read_a_step(&mut self) -> bool {
        let (before, unsent) = (self.left(), self.server.io().pending_output(self.id));
        until(&mut self.server, |server| {
            let ended = self.client.look_at_most(4 << 10);
            let left = server.io_mut().unacknowledged(self.id);
            // Where it is gone, its last bytes are with the client.
            let moved = left < before || server.io().pending_output(self.id) < unsent;
            (ended || moved || left == Some(0)).then_some(())
        });
        self.left().is_some_and(|left| left > 0)
    }
}

/// Turns until there is something; only a failing test turns for long.
fn until<R>(server: &mut TestServer, mut found: impl FnMut(&mut TestServer) -> Option<R>) -> R {
    for _ in 0..10_000_000 {
        server.run();
        if let Some(found) = found(server) {
            return found;
        }
        thread::yield_now();
    }
    panic!("it never came");
}

#[test]
fn a_peer_that_reads_slowly_and_steadily_is_not_idle() {
    for (kind, len) in [(Kind::Tcp, 1 << 20), (Kind::Unix, 100_000)] {
        let mut real = Real::new(kind, idle_in_a_minute(), move || sender(len));
        if !real.can_tell() {
            return;
        }
        // Every second step of the clock something is acknowledged, and no byte moves here.
        let mut steps = 0;
        while real.read_a_step() {
            real.server.advance(50 * SECOND);
            steps += 1;
            assert!(real.server.io().is_open(real.id), "{kind:?}: cut off after {steps} steps");
        }
        assert!(steps >= 2, "{kind:?}: {steps} steps prove nothing");
        until(&mut real.server, |_| {
            real.client.look();
            (real.client.received.len() >= len).then_some(())
        });
        assert!(real.client.received == pattern(len, 1), "{kind:?}");
        // Then it says nothing any more.
        real.server.advance(120 * SECOND);
        assert_eq!(real.server.io().stats().ended(CloseReason::IdleTimeout), 1);
    }
}

kinds!(a_peer_that_takes_nothing_is_idle_in_the_end);

fn a_peer_that_takes_nothing_is_idle_in_the_end(kind: Kind) {
    let mut real = Real::new(kind, idle_in_a_minute(), || sender(100_000));
    // What the system does meanwhile takes its own time.
    until(&mut real.server, |server| {
        server.advance(60 * SECOND);
        (server.io().stats().ended(CloseReason::IdleTimeout) == 1).then_some(())
    });
}

/// Answers the end of its peer at length, and closes.
struct AnswersTheEnd;

impl Handler for AnswersTheEnd {
    fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
        Ok(())
    }

    fn eof(&mut self, cx: &mut Context<'_>, _: &[u8]) -> io::Result<()> {
        cx.send(&pattern(2 << 20, 2));
        cx.close();
        Ok(())
    }
}

#[test]
fn a_tail_that_is_read_slowly_is_not_cut_off_by_the_close_timeout() {
    let options = Options { send_buffer: Some(256 << 10), ..Options::default() };
    let timeout = options.close_timeout;
    let mut real = Real::new(Kind::Tcp, options, || AnswersTheEnd);
    if !real.can_tell() {
        return;
    }
    real.client.finish_sending();
    until(&mut real.server, |server| (server.io().pending_output(real.id) > 0).then_some(()));
    let mut steps = 0;
    while real.read_a_step() {
        steps += u32::from(real.server.io().pending_output(real.id) > 0);
        real.server.advance(timeout * 2 / 3);
        assert_eq!(real.server.io().stats().ended(CloseReason::CloseTimeout), 0, "{steps} steps");
    }
    assert!(steps >= 4, "{steps} steps prove nothing");
    until(&mut real.server, |_| real.client.look().then_some(()));
    assert_eq!(real.client.end, Some(Ok(())));
    assert!(real.client.received == pattern(2 << 20, 2));
}

/// The grace of a shutdown holds, but within it a slow reader gets everything.
#[test]
fn a_shutdown_does_not_cut_off_who_reads_slowly_before_its_grace_is_over() {
    let options = Options { send_buffer: Some(128 << 10), ..Options::default() };
    let mut real = Real::new(Kind::Tcp, options, || sender(2 << 20));
    if !real.can_tell() {
        return;
    }
    real.server.io_mut().shutdown(100_000 * SECOND);
    while real.read_a_step() {
        real.server.advance(20 * SECOND);
    }
    until(&mut real.server, |_| real.client.look().then_some(()));
    assert!(real.client.received == pattern(2 << 20, 1));
    assert_eq!(real.server.server().report().map(|report| report.forced), Some(0));
}

kinds!(what_is_not_acknowledged_falls_as_the_peer_reads_and_is_nothing_in_the_end);

fn what_is_not_acknowledged_falls_as_the_peer_reads_and_is_nothing_in_the_end(kind: Kind) {
    let mut real = Real::new(kind, Options::default(), || sender(100_000));
    if !real.can_tell() {
        return;
    }
    assert!(real.left() >= Some(1), "{kind:?}");
    while real.read_a_step() {}
    assert_eq!(real.left(), Some(0), "{kind:?}");
    drop(real.client);
    until(&mut real.server, |server| (server.io().connection_count() == 0).then_some(()));
    assert_eq!(real.server.io_mut().unacknowledged(real.id), None);
}

// In memory, to the second.

fn connect(options: Options, handler: impl Handler + 'static) -> (TestServer, Peer) {
    let mut server = TestServer::with_shared((), options).unwrap();
    let peer = server.connect(handler).unwrap();
    server.run();
    (server, peer)
}

fn reason(peer: &Peer) -> Option<CloseReason> {
    peer.finished().map(|finished| finished.reason)
}

#[test]
fn acknowledgements_put_the_idle_time_off_and_their_end_does_not() {
    let (mut server, peer) = connect(idle_in_a_minute(), sender(10));
    for left in (1..10).rev() {
        peer.set_unacknowledged(left);
        server.advance(50 * SECOND);
        assert_eq!(reason(&peer), None, "{left} are left");
    }
    // The last look was at most 60 s ago and has seen the last step; the next two see nothing.
    server.advance(120 * SECOND);
    assert_eq!(reason(&peer), Some(CloseReason::IdleTimeout));
}

#[test]
fn an_idle_peer_that_has_acknowledged_everything_ends_to_the_second() {
    let (mut server, peer) = connect(idle_in_a_minute(), sender(10));
    server.advance(Duration::from_nanos(59_999_999_999));
    assert_eq!(reason(&peer), None);
    server.advance(Duration::from_nanos(1));
    assert_eq!(reason(&peer), Some(CloseReason::IdleTimeout));
}

#[test]
fn more_that_is_not_acknowledged_is_no_movement() {
    let (mut server, peer) = connect(idle_in_a_minute(), sender(10));
    peer.set_unacknowledged(10);
    server.advance(61 * SECOND);
    assert_eq!(reason(&peer), None, "the first look has nothing to compare with");
    peer.set_unacknowledged(11);
    server.advance(60 * SECOND);
    assert_eq!(reason(&peer), Some(CloseReason::IdleTimeout));
}

/// Found as seeds 60733 and 1007213 of the simulated world.
#[test]
fn a_pause_gives_a_peer_that_takes_nothing_no_second_time() {
    let (mut server, peer) = connect(idle_in_a_minute(), Echo);
    peer.set_unacknowledged(10);
    server.advance(61 * SECOND);
    assert_eq!(reason(&peer), None, "that was the first look");
    server.advance(30 * SECOND);
    server.io_mut().pause(peer.id());
    server.io_mut().resume(peer.id());
    server.advance(60 * SECOND);
    assert_eq!(reason(&peer), Some(CloseReason::IdleTimeout));
}

#[test]
fn a_dead_peer_of_a_closed_connection_is_given_up_in_time() {
    let (mut server, peer) = connect(Options::default(), Echo);
    peer.set_room(3);
    peer.set_unacknowledged(3);
    peer.send("hello");
    server.run();
    server.io_mut().close(peer.id());
    server.advance(29 * SECOND);
    assert_eq!(reason(&peer), None);
    server.advance(SECOND);
    assert_eq!(reason(&peer), Some(CloseReason::CloseTimeout));
}

#[test]
fn acknowledgements_put_the_close_timeout_off() {
    let (mut server, peer) = connect(Options::default(), Echo);
    peer.set_room(3);
    peer.send("hello");
    server.run();
    peer.set_unacknowledged(100);
    server.io_mut().close(peer.id());
    for left in (50..60).rev() {
        peer.set_unacknowledged(left);
        server.advance(29 * SECOND);
        assert_eq!(reason(&peer), None, "{left} are left");
    }
    server.advance(60 * SECOND);
    assert_eq!(reason(&peer), Some(CloseReason::CloseTimeout));
}

// Our own silence.

#[test]
fn a_paused_connection_is_not_idle_and_its_time_begins_anew() {
    let paused = on_setup(|cx: &mut Context<'_>| {
        cx.pause();
        Ok(())
    });
    let (mut server, peer) = connect(idle_in_a_minute(), paused);
    server.advance(630 * SECOND);
    assert_eq!(reason(&peer), None);
    server.io_mut().resume(peer.id());
    server.advance(59 * SECOND);
    assert_eq!(reason(&peer), None);
    server.advance(SECOND);
    assert_eq!(reason(&peer), Some(CloseReason::IdleTimeout));
}

#[test]
fn a_paused_connection_whose_peer_takes_nothing_is_idle() {
    let (mut server, peer) = connect(idle_in_a_minute(), Echo);
    peer.set_room(0);
    peer.send("hello");
    server.run();
    server.io_mut().pause(peer.id());
    server.advance(60 * SECOND);
    assert_eq!(reason(&peer), Some(CloseReason::IdleTimeout));
}

/// Has a thread wait for a word.
struct Offloads(Option<Receiver<()>>);

impl Handler for Offloads {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        let Some(gate) = self.0.take() else { return Ok(()) };
        let id = cx.id;
        cx.offload(
            move || gate.recv().expect("the word is said"),
            move |(), io, done| {
                io.send(id, if done.is_ok() { b"done" } else { b"lost" });
            },
        )
    }
}

#[test]
fn a_connection_for_which_a_thread_works_is_not_idle_and_its_time_begins_anew() {
    for panics in [false, true] {
        let (word, gate) = channel();
        let (mut server, peer) = connect(idle_in_a_minute(), Offloads(Some(gate)));
        peer.send("?");
        // Others come to their end meanwhile.
        let other = server.connect(Echo).unwrap();
        server.advance(630 * SECOND);
        assert_eq!((reason(&peer), reason(&other)), (None, Some(CloseReason::IdleTimeout)));
        if panics {
            drop(word);
        } else {
            word.send(()).unwrap();
        }
        let answer = until(&mut server, |_| Some(peer.received()).filter(|all| !all.is_empty()));
        assert_eq!(answer, if panics { b"lost" } else { b"done" });
        server.advance(59 * SECOND);
        assert_eq!(reason(&peer), None);
        server.advance(SECOND);
        assert_eq!(reason(&peer), Some(CloseReason::IdleTimeout));
    }
}

#[test]
fn work_that_was_refused_keeps_nobody() {
    let options = Options { offload_queue: 1, ..idle_in_a_minute() };
    let (word, gate) = channel();
    let (mut server, first) = connect(options, Offloads(Some(gate)));
    first.send("?");
    server.run();
    let second = server
        .connect(on_setup(|cx: &mut Context<'_>| {
            let refused = cx.offload(|| (), |(), _, _| ()).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
            Ok(())
        }))
        .unwrap();
    server.advance(60 * SECOND);
    assert_eq!((reason(&first), reason(&second)), (None, Some(CloseReason::IdleTimeout)));
    word.send(()).unwrap();
}

/// The other side of the relay has ended, so it can say nothing more, and waits for the slow one.
#[test]
fn a_relay_is_not_idle_while_one_side_reads_slowly_what_the_other_has_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut server, peer) = connect(idle_in_a_minute(), Relay::to(listener.local_addr().unwrap()));
    // More than high water, so that the sides have paused each other and gone on.
    let all = pattern(200_000, 3);
    peer.set_room(10_000);
    listener.accept().unwrap().0.write_all(&all).unwrap();
    until(&mut server, |server| (server.io().pending_output(peer.id()) > 64 << 10).then_some(()));
    peer.set_room(usize::MAX);
    until(&mut server, |_| peer.has_end().then_some(()));
    assert!(peer.received() == all);
    for left in (1..10).rev() {
        peer.set_unacknowledged(left);
        server.advance(50 * SECOND);
        assert_eq!(reason(&peer), None, "{left} are left");
    }
    server.advance(120 * SECOND);
    assert_eq!(reason(&peer), Some(CloseReason::IdleTimeout));
    assert_eq!(server.io().connection_count(), 0);
}

// The wait of a turn.

/// A turn of a quiet loop that spins lasts as long as it was told, and not longer by what it spun: that
/// would be twice as long here, in every try.
#[test]
fn the_time_spent_spinning_is_taken_off_the_wait() {
    let busy_poll = Duration::from_millis(30);
    let mut server = Server::with_shared((), Options { busy_poll, ..Options::default() }).unwrap();
    let in_time = (0..100).any(|_| {
        let began = Instant::now();
        server.turn(Some(busy_poll)).unwrap();
        assert!(began.elapsed() >= busy_poll);
        began.elapsed() < 2 * busy_poll
    });
    assert!(in_time);
}
