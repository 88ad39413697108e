//! What a handler does to its own socket while it runs takes effect, in every callback.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use socketserver::testing::TestServer;
use socketserver::{Context, Handler, Input, Options};

use crate::support::{Client, Harness, Kind, on_input};

kinds!(what_is_left_by_a_handler_that_pauses_and_resumes_itself_is_shown_again);

fn what_is_left_by_a_handler_that_pauses_and_resumes_itself_is_shown_again(kind: Kind) {
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| {
        on_input(|cx: &mut Context<'_>, input: &mut Input<'_>| {
            cx.pause();
            if let Some(line) = input.take_line(100)? {
                cx.send(line);
            }
            cx.io.resume(cx.id);
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    client.send(b"a\nb\nc\nd\n");
    assert_eq!(harness.receive(&mut client, 4), b"abcd", "{kind:?}");
}

/// What it was shown.
type Shown = Vec<Vec<u8>>;

/// Otherwise it would be called for ever, and nothing new would come of it.
#[test]
fn a_handler_that_pauses_and_resumes_in_each_call_is_not_called_for_ever() {
    let mut server = TestServer::with_shared(Shown::new(), Options::default()).unwrap();
    let peer = server
        .connect(on_input(|cx: &mut Context<'_, Shown>, input: &mut Input<'_>| {
            cx.shared.push(input.peek().to_vec());
            cx.pause();
            while input.take_line(100)?.is_some() {}
            cx.io.resume(cx.id);
            Ok(())
        }))
        .unwrap();
    peer.send("a line\nhalf");
    server.run();
    assert_eq!(*server.shared(), [&b"a line\nhalf"[..], b"half"]);
    peer.send(" a line\n");
    server.run();
    assert_eq!(server.shared()[2..], [b"half a line\n"]);
}

/// Found as seed 74261 of the simulated world.
#[test]
fn a_resume_is_not_about_what_a_later_call_of_the_same_turn_leaves() {
    let options = Options { read_buffer: 4, ..Options::default() };
    let mut server = TestServer::with_shared(Shown::new(), options).unwrap();
    let peer = server
        .connect(on_input(|cx: &mut Context<'_, Shown>, input: &mut Input<'_>| {
            cx.shared.push(input.peek().to_vec());
            if input.take(4).is_some() {
                cx.pause();
                cx.io.resume(cx.id);
            }
            Ok(())
        }))
        .unwrap();
    // Two reads of one turn.
    peer.send("abcdef");
    server.run();
    assert_eq!(*server.shared(), [&b"abcd"[..], b"ef"]);
}

/// Found as seed 20208528 of the simulated world.
#[test]
fn what_is_shown_because_the_output_has_drained_may_be_asked_for_once_more() {
    let options = Options { high_water: 10, low_water: 5, ..Options::default() };
    let mut server = TestServer::with_shared(Shown::new(), options).unwrap();
    let peer = server
        .connect(on_input(|cx: &mut Context<'_, Shown>, input: &mut Input<'_>| {
            cx.shared.push(input.peek().to_vec());
            if input.take(4).is_some() {
                cx.send(&[b'x'; 20]);
            }
            cx.pause();
            cx.io.resume(cx.id);
            Ok(())
        }))
        .unwrap();
    peer.set_room(0);
    peer.send("abcdef");
    server.run();
    assert_eq!(*server.shared(), [b"abcdef"], "it is held up");
    peer.set_room(usize::MAX);
    server.run();
    assert_eq!(*server.shared(), [&b"abcdef"[..], b"ef", b"ef"]);
}

#[test]
fn a_handler_that_ends_its_congestion_by_full_duplex_sees_what_it_left() {
    struct OneByOne;
    impl Handler for OneByOne {
        fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            if let Some(byte) = input.take(1) {
                cx.io.set_read_while_congested(cx.id, false);
                cx.send(&byte.repeat(5000));
                cx.io.set_read_while_congested(cx.id, byte != b"c");
            }
            Ok(())
        }
    }
    let options = Options { high_water: 4000, low_water: 1000, ..Options::default() };
    let mut server = TestServer::with_shared((), options).unwrap();
    let peer = server.connect(OneByOne).unwrap();
    peer.set_room(0);
    peer.send("abcd");
    server.run();
    assert_eq!(server.io().pending_output(peer.id()), 15_000, "d is left: it is held up again");
    peer.set_room(usize::MAX);
    server.run();
    assert_eq!(peer.received().len(), 20_000);
}

const LATER: Duration = Duration::from_millis(1);

/// Where [`Everywhere`] acts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Where {
    Setup,
    ServerHandle,
    Drained,
    Timeout,
    Eof,
    Shutdown,
}

/// Takes one byte of what comes, and pauses and resumes in one callback.
struct Everywhere {
    place: Where,
    taken: Rc<RefCell<usize>>,
}

impl Everywhere {
    fn at(&self, cx: &mut Context<'_>, place: Where) {
        if self.place == place {
            cx.pause();
            cx.io.resume(cx.id);
        }
    }
}

impl Handler for Everywhere {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.at(cx, Where::Setup);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        // Of what is left nothing is shown again by itself, unless its output was congested.
        if input.take(1).is_some() {
            *self.taken.borrow_mut() += 1;
        }
        self.at(cx, Where::ServerHandle);
        if *self.taken.borrow() == 1 {
            cx.send(&[b'x'; 5000]);
            cx.set_timer(LATER);
        }
        Ok(())
    }

    fn drained(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.at(cx, Where::Drained);
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Context<'_>, _: socketserver::TimerId) -> io::Result<()> {
        self.at(cx, Where::Timeout);
        Ok(())
    }

    fn eof(&mut self, cx: &mut Context<'_>, _: &[u8]) -> io::Result<()> {
        self.at(cx, Where::Eof);
        cx.close();
        Ok(())
    }

    fn shutdown(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.at(cx, Where::Shutdown);
        Ok(())
    }
}

/// Pauses and resumes in one callback after the other; whatever is left is shown again.
#[test]
fn pausing_and_resuming_in_any_callback_loses_nothing() {
    use Where::{Drained, Eof, ServerHandle, Setup, Shutdown, Timeout};
    // How many of three bytes are taken: one when they come, one when the output has drained, and
    // one when it resumes while something is left.
    for (place, taken) in
        [(Setup, 2), (ServerHandle, 3), (Drained, 2), (Timeout, 3), (Eof, 2), (Shutdown, 3)]
    {
        let options = Options { high_water: 4000, low_water: 1000, ..Options::default() };
        let mut server = TestServer::with_shared((), options).unwrap();
        let count = Rc::new(RefCell::new(0));
        let peer = server.connect(Everywhere { place, taken: Rc::clone(&count) }).unwrap();
        peer.set_room(0);
        peer.send("abc");
        server.run();
        peer.set_room(usize::MAX);
        server.run();
        server.advance(LATER);
        if place == Shutdown {
            server.io_mut().shutdown(crate::support::PATIENCE);
            server.run();
        }
        assert_eq!(*count.borrow(), taken, "{place:?}");
        peer.end();
        server.run();
        assert!(peer.finished().is_some(), "{place:?}");
    }
}
