//! What a peer said before the connection broke is heard, whatever holds the input up: an output that the peer
//! does not read, a pause, our own half-close.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::rc::Rc;

use socketserver::{Addr, CloseReason, Context, Handler, Input, Options};

use crate::support::{Harness, Kind, pattern};

/// What holds up the input of an upload.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    ByOutput,
    ByPause,
    ByBoth,
    /// Nothing does, but our direction is closed.
    HalfClosed,
}

/// What an upload hears, and how it ends.
#[derive(Default)]
struct Heard {
    bytes: Vec<u8>,
    reason: Option<CloseReason>,
}

/// Uploads, and writes down what it hears.
struct Upload {
    held: Held,
    heard: Rc<RefCell<Heard>>,
}

impl Handler for Upload {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let len = if matches!(self.held, Held::ByOutput | Held::ByBoth) { 10 << 20 } else { 100 };
        cx.send(&pattern(len, 1));
        if matches!(self.held, Held::ByPause | Held::ByBoth) {
            cx.pause();
        }
        if self.held == Held::HalfClosed {
            cx.io.shutdown_write(cx.id);
        }
        Ok(())
    }

    fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        self.heard.borrow_mut().bytes.extend_from_slice(input.take_all());
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_>, _: io::Result<()>) {
        self.heard.borrow_mut().reason = cx.reason();
    }
}

trait Conversation: Read + Write {}
impl<T: Read + Write> Conversation for T {}

/// A server that answers without reading all, and closes, which is a reset.
fn answer_and_reset(kind: Kind, directory: &tempfile::TempDir) -> (Addr, impl FnOnce(&[u8])) {
    let path = directory.path().join("socket");
    let (addr, accept): (Addr, Box<dyn FnOnce() -> Box<dyn Conversation>>) = match kind {
        Kind::Tcp => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = Addr::Ip(listener.local_addr().unwrap());
            (addr, Box::new(move || Box::new(listener.accept().unwrap().0)))
        }
        Kind::Unix => {
            let listener = UnixListener::bind(&path).unwrap();
            (Addr::Unix(path), Box::new(move || Box::new(listener.accept().unwrap().0)))
        }
    };
    let answer = move |answer: &[u8]| {
        let mut stream = accept();
        stream.read_exact(&mut [0]).unwrap();
        stream.write_all(answer).unwrap();
    };
    (addr, answer)
}

#[test]
fn an_answer_in_front_of_a_reset_is_heard_by_a_handler_that_cannot_be_read_to() {
    // The second one is more than what is read at once.
    for answer in [b"413".to_vec(), pattern(20_000, 2)] {
        for kind in Kind::ALL {
            for held in [Held::ByOutput, Held::ByPause, Held::ByBoth, Held::HalfClosed] {
                let options = Options { output_limit: 16 << 20, ..Options::default() };
                let mut h = Harness::with_shared((), options);
                let directory = tempfile::TempDir::new().unwrap();
                let (addr, answer_and_reset) = answer_and_reset(kind, &directory);
                let heard = Rc::new(RefCell::new(Heard::default()));
                h.connect(addr, Upload { held, heard: Rc::clone(&heard) }).unwrap();
                h.until(|server| server.io().stats().bytes_out > 0);
                answer_and_reset(&answer);
                h.until_ended(1);
                let Heard { bytes, reason } = &*heard.borrow();
                assert!(*bytes == answer, "{kind:?}, {held:?}: {} bytes", bytes.len());
                assert_eq!(*reason, Some(CloseReason::IoError), "{kind:?}, {held:?}");
            }
        }
    }
}

/// More than the limit of unconsumed input is not kept for it either.
#[test]
fn the_last_input_has_the_bounds_of_any_other() {
    struct TakesNothing(Rc<RefCell<usize>>);
    impl Handler for TakesNothing {
        fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            cx.send(b"hello");
            cx.pause();
            Ok(())
        }

        fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            *self.0.borrow_mut() = input.len();
            Ok(())
        }
    }
    for kind in Kind::ALL {
        let options = Options { input_limit: 5_000, ..Options::default() };
        let mut h = Harness::with_shared((), options);
        let directory = tempfile::TempDir::new().unwrap();
        let (addr, answer_and_reset) = answer_and_reset(kind, &directory);
        let most = Rc::new(RefCell::new(0));
        h.connect(addr, TakesNothing(Rc::clone(&most))).unwrap();
        h.until(|server| server.io().stats().bytes_out > 0);
        answer_and_reset(&pattern(20_000, 2));
        h.until_ended(1);
        assert_eq!(*most.borrow(), 5_000, "{kind:?}");
    }
}
