//! What a stop of the server is to blocking handlers and to their peers: what has come in is read and
//! answered, and every connection ends in order, as those of the loop do. Processes are in
//! `tests/python/parity`.

use std::io::{self, BufRead, Read, Write};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use socketserver::blocking::{Request, Workers};
use socketserver::{Addr, CloseReason, Context, Handler, Input, Options, SocketId, TraceEvent};

use crate::support::{Client, Harness, Kind, PATIENCE, pattern};

impl<S: 'static> Harness<S> {
    /// Serves each client with a copy of the same handler.
    fn serve_copies<H>(&mut self, kind: Kind, mode: &Workers, handler: H) -> Addr
    where
        H: FnMut(&mut Request<'_, S>) -> io::Result<()> + Clone + Send + 'static,
    {
        self.serve_blocking(kind, mode, move |_| handler.clone())
    }
}

/// What is read at once.
const PIECE: usize = 64 << 10;

/// A client that sends the same bytes over and over, from a place in them that shows every loss.
struct Speaker {
    client: Client,
    bytes: Vec<u8>,
    sent: usize,
}

/// The next prime above what any buffer is rounded to.
const PERIOD: usize = (1 << 20) + 7;

impl Speaker {
    fn connect(addr: &Addr) -> Speaker {
        let mut bytes = pattern(PERIOD, 1);
        bytes.extend_from_within(..2 * PIECE);
        Speaker { client: Client::connect(addr), bytes, sent: 0 }
    }

    /// Sends what there is room for, 128 KiB at most; says how much that was.
    fn push(&mut self) -> usize {
        let at = self.sent % PERIOD;
        let n = self.client.push(&self.bytes[at..at + 2 * PIECE]);
        self.sent += n;
        n
    }

    /// Sends until for a while there is no room.
    fn fill<S>(&mut self, server: &mut Harness<S>) {
        let mut refused = 0;
        while refused < 10 {
            server.turn(Some(Duration::from_millis(1))).unwrap();
            refused = if self.push() == 0 { refused + 1 } else { 0 };
        }
    }

    /// Everything that came back was sent, in this order.
    fn check(&self) {
        for (nth, part) in self.client.received.chunks(PERIOD).enumerate() {
            assert!(*part == self.bytes[..part.len()], "the {nth}th time");
        }
    }
}

/// An echo of the loop that counts what it reads.
struct Counted(Arc<AtomicUsize>);

impl Handler for Counted {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        let bytes = input.take_all();
        self.0.fetch_add(bytes.len(), Ordering::SeqCst);
        cx.send(bytes);
        Ok(())
    }
}

/// The same as straight-line code.
fn echo(request: &mut Request<'_>, count: &AtomicUsize) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        let n = request.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        count.fetch_add(n, Ordering::SeqCst);
        request.write_all(&buffer[..n])?;
    }
}

/// What becomes of a client that has sent all that there is room for when the stop comes, and then
/// goes on to send or not.
fn stop_while_sending(kind: Kind, blocks: bool, goes_on: bool) {
    let what = format!("{kind:?}, blocks: {blocks}, goes on: {goes_on}");
    let mut server = Harness::new();
    let count = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&count);
    let addr = if blocks {
        let handler = move |request: &mut Request<'_>| echo(request, &counts);
        server.serve_copies(kind, &Workers::threads(1), handler)
    } else {
        server.serve(kind, move |_| Counted(Arc::clone(&counts)))
    };
    let mut speaker = Speaker::connect(&addr);
    speaker.fill(&mut server);
    server.io_mut().shutdown(2 * PATIENCE);
    server.until(|_| {
        if goes_on {
            speaker.push();
        }
        speaker.client.look_at_most(PIECE)
    });
    assert_eq!(speaker.client.end, Some(Ok(())), "{what}: the stream broke");
    speaker.check();
    assert_eq!(speaker.client.received.len(), count.load(Ordering::SeqCst), "{what}");
    drop(speaker);
    server.until(|server| !server.io().is_shutting_down());
    let report = server.report().unwrap();
    assert_eq!((report.drained, report.forced, report.bytes_dropped), (1, 0, 0), "{what}");
}

kinds!(who_still_sends_gets_every_answer_and_an_end_in_order);

fn who_still_sends_gets_every_answer_and_an_end_in_order(kind: Kind) {
    for blocks in [false, true] {
        for goes_on in [false, true] {
            stop_while_sending(kind, blocks, goes_on);
        }
    }
}

kinds!(who_is_in_the_middle_of_a_request_may_send_the_rest_of_it);

fn who_is_in_the_middle_of_a_request_may_send_the_rest_of_it(kind: Kind) {
    let mut server = Harness::new();
    let mode = Workers::threads(1);
    let addr = server.serve_copies(kind, &mode, |request| {
        let mut line = String::new();
        request.read_line(&mut line)?;
        request.write_all(line.as_bytes())
    });
    let mut client = Client::connect(&addr);
    client.send(b"half a li");
    server.until(|_| mode.active_count() == 1);
    server.io_mut().shutdown(PATIENCE);
    assert_eq!(server.receive_to_end(&mut client), b"half a li");
    for rest in [&b"ne, "[..], b"whole\n"] {
        assert_eq!(client.socket.write(rest).unwrap(), rest.len(), "{kind:?}");
        server.turn(Some(Duration::ZERO)).unwrap();
    }
    drop(client);
    server.until(|server| !server.io().is_shutting_down());
    assert_eq!(server.report().unwrap().forced, 0);
}

/// Reads without an end, and only when there is something to read.
fn read_always(request: &mut Request<'_>) -> io::Result<()> {
    while request.read(&mut [0; PIECE])? > 0 {
        let socket = request.socket().ok_or(io::ErrorKind::Unsupported)?;
        socket.peek(&mut [MaybeUninit::uninit()])?;
    }
    Ok(())
}

kinds!(who_never_stops_sending_holds_up_no_stop);

fn who_never_stops_sending_holds_up_no_stop(kind: Kind) {
    let mut server = Harness::new();
    let mode = Workers::threads(1);
    let addr = server.serve_copies(kind, &mode, read_always);
    let mut client = Client::connect(&addr);
    let piece = vec![7; PIECE];
    client.push(&piece);
    server.until(|_| mode.active_count() == 1);
    server.io_mut().shutdown(2 * PATIENCE);
    server.until(|_| {
        client.push(&piece);
        client.look()
    });
    assert_eq!((client.end, &client.received[..]), (Some(Ok(())), &b""[..]), "{kind:?}");
    drop(client);
    server.until(|server| !server.io().is_shutting_down());
    assert_eq!(server.report().unwrap().forced, 0);
}

/// Whether the end of a connection whose peer is silent, and does not end, is waited for by nobody.
fn closes_at_once(kind: Kind) -> bool {
    let mut server = Harness::new();
    let steps = server.steps();
    let count = AtomicUsize::new(0);
    let count = Arc::new(count);
    let addr = server.serve_copies(kind, &Workers::threads(1), move |request: &mut Request<'_>| {
        echo(request, &count)
    });
    let mut client = Client::connect(&addr);
    server.echo(&mut client, b"hello");
    assert_eq!(server.shutdown(PATIENCE).unwrap().forced, 0);
    assert_eq!(server.receive_to_end(&mut client), b"");
    let ended = |step: &TraceEvent| matches!(step, TraceEvent::Closed(_, CloseReason::Closed));
    let closed = |step: &TraceEvent| matches!(step, TraceEvent::Removed(_));
    steps.turns().iter().any(|turn| turn.iter().any(ended) && turn.iter().any(closed))
}

kinds!(a_stop_does_not_wait_for_the_end_of_a_silent_peer);

fn a_stop_does_not_wait_for_the_end_of_a_silent_peer(kind: Kind) {
    // Once it may be that the handler has not begun to wait when the stop comes.
    assert!((0..10).any(|_| closes_at_once(kind)), "{kind:?}");
}

kinds!(a_handler_that_only_writes_can_ask_for_the_stop_and_a_later_run_is_another);

fn a_handler_that_only_writes_can_ask_for_the_stop_and_a_later_run_is_another(kind: Kind) {
    let mut server = Harness::new();
    let mode = Workers::threads(1);
    let addr = server.serve_copies(kind, &mode, |request| {
        let at_first = request.is_shutting_down();
        request.write_all(if at_first { b"stopped " } else { b"serving " })?;
        while !request.is_shutting_down() {
            std::thread::yield_now();
        }
        request.write_all(b"stopped")
    });
    for _ in 0..3 {
        let mut client = Client::connect(&addr);
        assert_eq!(server.receive(&mut client, 8), b"serving ");
        server.io_mut().shutdown(PATIENCE);
        assert_eq!(server.receive_to_end(&mut client), b"stopped");
        drop(client);
        server.until(|server| !server.io().is_shutting_down());
    }
}

kinds!(who_is_detached_goes_on_to_read_after_a_stop);

fn who_is_detached_goes_on_to_read_after_a_stop(kind: Kind) {
    let mut server = Harness::new();
    let mode = Workers::threads(1).daemon_threads(true);
    let addr = server.serve_copies(kind, &mode, |request| {
        let mut line = String::new();
        request.read_line(&mut line)?;
        write!(request, "{} {line}", request.is_shutting_down())
    });
    // The stop is told to another, who is not detached.
    let other = Workers::threads(1);
    let waits = |request: &mut Request<'_>| request.read(&mut [0]).map(drop);
    let other_addr = server.serve_copies(kind, &other, waits);
    let (mut client, _other) = (Client::connect(&addr), Client::connect(&other_addr));
    server.until(|_| mode.active_count() == 1 && other.active_count() == 1);
    server.shutdown(PATIENCE).unwrap();
    client.send(b"after it\n");
    server.until(|_| client.look());
    assert_eq!(client.received, b"false after it\n", "{kind:?}");
}

/// A handler that says how each of its reads has ended, until one fails or is the end.
fn telling(
    tell: Sender<io::Result<usize>>,
) -> impl FnMut(&mut Request<'_>) -> io::Result<()> + Clone {
    move |request| {
        loop {
            let read = request.read(&mut [0; 8]);
            let is_last = !matches!(read, Ok(1..));
            tell.send(read).unwrap();
            if is_last {
                return Ok(());
            }
        }
    }
}

kinds!(the_end_of_its_socket_wakes_a_handler_that_reads);

fn the_end_of_its_socket_wakes_a_handler_that_reads(kind: Kind) {
    let mut server = Harness::with_shared((), Options::default());
    let steps = server.steps();
    let (tell, told) = mpsc::channel();
    let addr = server.serve_copies(kind, &Workers::threads(1), telling(tell));
    let mut client = Client::connect(&addr);
    client.send(b"hello");
    let mut read = None;
    server.until(|_| {
        read = told.try_recv().ok();
        read.is_some()
    });
    assert_eq!(read.unwrap().unwrap(), 5);
    let id = accepted(&steps.all());
    assert!(server.io_mut().abort(id));
    server.turn(Some(Duration::ZERO)).unwrap();
    // Nothing but the cut wakes it: its peer is silent, and the server goes on.
    let end = told.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{kind:?}: {end:?}");
    server.until_ended(1);
}

fn accepted(steps: &[TraceEvent]) -> SocketId {
    let accepted = |step: &TraceEvent| match step {
        TraceEvent::Accepted(_, id) => Some(*id),
        _ => None,
    };
    steps.iter().find_map(accepted).unwrap()
}
