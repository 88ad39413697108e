//! What one client of a blocking handler can cost: memory for what it never ends, and time for what
//! it sends, or takes, byte by byte.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use socket2::Socket;

use socketserver::blocking::{Request, Workers};
use socketserver::{Addr, LengthField, Options, TraceEvent};

use crate::support::{Client, Harness, Kind, PATIENCE, pace};

/// Both modes that every system has.
fn modes() -> [Workers; 2] {
    [Workers::inline(), Workers::threads(4)]
}

type Ended = Result<(), (ErrorKind, String)>;

/// Serves with `handle`, and tells how each request has ended.
fn serve(
    server: &mut Harness,
    kind: Kind,
    mode: &Workers,
    handle: fn(&mut Request<'_>) -> io::Result<()>,
) -> (Addr, Receiver<Ended>) {
    let (tell, ended) = mpsc::channel();
    let addr = server.serve_blocking(kind, mode, move |_| {
        let tell = tell.clone();
        move |request: &mut Request<'_>| {
            let result = handle(request);
            let told = result.as_ref().map_err(|error| (error.kind(), error.to_string()));
            tell.send(told.copied()).unwrap();
            result
        }
    });
    (addr, ended)
}

/// How the next request ends, while the server is turned.
#[track_caller]
fn outcome(server: &mut Harness, ended: &Receiver<Ended>) -> Ended {
    let mut outcome = None;
    server.until(|_| {
        outcome = outcome.take().or_else(|| ended.try_recv().ok());
        outcome.is_some()
    });
    outcome.unwrap()
}

/// A client in a thread of its own that does something again and again until it fails.
struct Peer {
    /// Ends whatever the thread waits for.
    socket: Socket,
    acts: Arc<AtomicU64>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Peer {
    fn start(addr: &Addr, mut act: impl FnMut(&mut Client) -> bool + Send + 'static) -> Peer {
        let acts = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&acts);
        let mut client = Client::connect(addr);
        client.socket.set_nonblocking(false).unwrap();
        let socket = client.socket.try_clone().unwrap();
        let run = move || {
            while act(&mut client) {
                counted.fetch_add(1, Ordering::AcqRel);
            }
        };
        Peer { socket, acts, thread: Some(thread::spawn(run)) }
    }

    /// Sends one byte now and then, and never the end of a line.
    fn drips(addr: &Addr) -> Peer {
        Peer::start(addr, |client| {
            pace(Duration::from_millis(1));
            client.socket.write_all(b"x").is_ok()
        })
    }

    /// Takes something at every moment, but never as fast as it could.
    fn sips(addr: &Addr) -> Peer {
        let mut buffer = vec![0; 32 << 10];
        Peer::start(addr, move |client| {
            pace(Duration::from_millis(1));
            client.socket.read(&mut buffer).is_ok_and(|n| n > 0)
        })
    }

    /// Sends as much as is taken of what never ends a line.
    fn pours(addr: &Addr) -> Peer {
        Peer::start(addr, |client| client.socket.write_all(&[b'x'; 16 << 10]).is_ok())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It fails when the server has ended it already.
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

kinds!(lines_frames_and_pieces_are_taken_from_connections);

fn lines_frames_and_pieces_are_taken_from_connections(kind: Kind) {
    fn all_ways(request: &mut Request<'_>) -> io::Result<()> {
        let line = request.take_line(20)?.unwrap_or_default().to_vec();
        let piece = request.take_until(b';', 20)?.unwrap_or_default().to_vec();
        let head = request.take_delimited(b"\r\n\r\n", 20)?.unwrap_or_default().to_vec();
        let frame = request.take_frame(20)?.unwrap_or_default().to_vec();
        let framed =
            request.take_frame_with(&LengthField::U8, 20)?.map(|frame| frame.body.to_vec());
        let exact = request.take_exact(3, 20)?.unwrap_or_default().to_vec();
        let framed = framed.unwrap_or_default();
        request.send_all(&[line, piece, head, frame, framed, exact].join(&b'|'))?;
        let rest = request.take_line(20)?.unwrap_or_default().to_vec();
        request.send_all(&rest)?;
        assert_eq!(request.take_line(20)?, None);
        Ok(())
    }
    let input = b"line\r\npiece;head\r\n\r\n\0\0\0\x05frame\x06framedabcthe rest";
    for mode in modes() {
        let mut server = Harness::new();
        let (addr, ended) = serve(&mut server, kind, &mode, all_ways);
        let mut client = Client::connect(&addr);
        client.send(input);
        client.finish_sending();
        let expected = b"line|piece|head|frame|framed|abcthe rest";
        assert_eq!(server.receive_to_end(&mut client), expected);
        assert_eq!(outcome(&mut server, &ended), Ok(()));
    }
}

/// In the loop, where the memory of the handler is that of this thread.
#[test]
fn who_sends_no_end_costs_twice_the_limit_at_most() {
    const LIMIT: usize = 100_000;

    fn measured(read: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut result = Ok(());
        let cost = allocation_counter::measure(|| result = read());
        // While its room grows a buffer is there twice.
        assert!(cost.bytes_max <= (2 * LIMIT + (32 << 10)) as u64, "{cost:?}");
        result
    }
    let ways: [fn(&mut Request<'_>) -> io::Result<()>; 8] = [
        |request| measured(|| request.take_line(LIMIT).map(drop)),
        |request| measured(|| request.take_until(b';', LIMIT).map(drop)),
        |request| measured(|| request.take_delimited(b"\r\n", LIMIT).map(drop)),
        |request| measured(|| request.take_frame_with(&LengthField::U24, LIMIT).map(drop)),
        |request| measured(|| request.read_line(&mut String::new()).map(drop)),
        |request| measured(|| request.read_until(b';', &mut Vec::new()).map(drop)),
        |request| measured(|| request.read_to_end(&mut Vec::new()).map(drop)),
        |request| measured(|| request.lines().try_for_each(|line| line.map(drop))),
    ];
    for (nth, way) in ways.into_iter().enumerate() {
        let input_limit = if nth < 4 { 16 << 20 } else { LIMIT };
        let mut server = Harness::with_shared((), Options { input_limit, ..Options::default() });
        let (addr, ended) = serve(&mut server, Kind::Tcp, &Workers::inline(), way);
        let _peer = Peer::pours(&addr);
        let (kind, what) = outcome(&mut server, &ended).unwrap_err();
        assert_eq!(kind, ErrorKind::InvalidData, "{nth}: {what}");
    }
}

kinds!(one_write_takes_the_timeout_at_most_however_many_pieces_the_peer_takes);

fn one_write_takes_the_timeout_at_most_however_many_pieces_the_peer_takes(kind: Kind) {
    fn much(request: &mut Request<'_>) -> io::Result<()> {
        request.send_all(&vec![0; 256 << 20])
    }
    let mut server = Harness::new();
    let mode = Workers::threads(1).timeout(Duration::from_millis(300));
    let (addr, ended) = serve(&mut server, kind, &mode, much);
    let peer = Peer::sips(&addr);
    let (kind, what) = outcome(&mut server, &ended).unwrap_err();
    assert_eq!(kind, ErrorKind::TimedOut, "{what}");
    assert!(peer.acts.load(Ordering::Acquire) > 0, "it took nothing");
}

kinds!(a_peer_that_takes_nothing_is_an_error_of_the_write);

fn a_peer_that_takes_nothing_is_an_error_of_the_write(kind: Kind) {
    let mut server = Harness::new();
    let mode = Workers::threads(1).timeout(Duration::from_millis(20));
    let (addr, ended) =
        serve(&mut server, kind, &mode, |request| request.send_all(&vec![0; 64 << 20]));
    let _silent = Client::connect(&addr);
    assert_eq!(outcome(&mut server, &ended).unwrap_err().0, ErrorKind::TimedOut);
}

kinds!(a_large_write_to_a_peer_that_reads_arrives_within_every_kind_of_time);

fn a_large_write_to_a_peer_that_reads_arrives_within_every_kind_of_time(kind: Kind) {
    fn pattern() -> Vec<u8> {
        (0..=250).collect::<Vec<u8>>().repeat(40_000)
    }
    for mode in [Workers::threads(1), Workers::threads(1).timeout(PATIENCE).deadline(PATIENCE)] {
        let mut server = Harness::new();
        let (addr, ended) = serve(&mut server, kind, &mode, |request| request.send_all(&pattern()));
        let (tell, told) = mpsc::channel();
        let _peer = Peer::start(&addr, move |client| {
            let mut all = Vec::new();
            client.socket.read_to_end(&mut all).unwrap();
            tell.send(all).unwrap();
            false
        });
        assert_eq!(outcome(&mut server, &ended), Ok(()));
        let mut received = None;
        server.until(|_| {
            received = told.try_recv().ok();
            received.is_some()
        });
        assert!(received == Some(pattern()), "{kind:?}");
    }
}

kinds!(who_sends_byte_by_byte_is_within_every_timeout_and_ends_at_the_deadline);

fn who_sends_byte_by_byte_is_within_every_timeout_and_ends_at_the_deadline(kind: Kind) {
    let endless: [fn(&mut Request<'_>) -> io::Result<()>; 3] = [
        |request| request.take_line(1 << 20).map(drop),
        |request| request.read_line(&mut String::new()).map(drop),
        |request| request.read_exact(&mut [0; 1 << 16]),
    ];
    for handle in endless {
        let mut server = Harness::new();
        let mode = Workers::threads(1).timeout(PATIENCE).deadline(Duration::from_millis(100));
        let (addr, ended) = serve(&mut server, kind, &mode, handle);
        let _peer = Peer::drips(&addr);
        let (kind, what) = outcome(&mut server, &ended).unwrap_err();
        assert_eq!((kind, &*what), (ErrorKind::TimedOut, LATE));
    }
}

const LATE: &str = "the deadline of the request has passed";

kinds!(who_takes_byte_by_byte_ends_at_the_deadline);

fn who_takes_byte_by_byte_ends_at_the_deadline(kind: Kind) {
    fn many(request: &mut Request<'_>) -> io::Result<()> {
        loop {
            request.send_all(&[0; 1_000])?;
        }
    }
    let mut server = Harness::new();
    let mode = Workers::threads(1).timeout(PATIENCE).deadline(Duration::from_millis(200));
    let (addr, ended) = serve(&mut server, kind, &mode, many);
    let _peer = Peer::sips(&addr);
    let (kind, what) = outcome(&mut server, &ended).unwrap_err();
    assert_eq!((kind, &*what), (ErrorKind::TimedOut, LATE));
}

#[test]
fn who_drips_holds_no_thread_for_longer_than_the_deadline() {
    let mut server = Harness::new();
    let mode = Workers::threads(2).deadline(Duration::from_millis(100));
    let (addr, ended) = serve(&mut server, Kind::Tcp, &mode, |request| {
        let line = request.take_line(1 << 20)?.unwrap_or_default().to_vec();
        request.send_all(&line)
    });
    let drippers: Vec<Peer> = (0..4).map(|_| Peer::drips(&addr)).collect();
    for _ in &drippers {
        assert_eq!(outcome(&mut server, &ended).unwrap_err().0, ErrorKind::TimedOut);
    }
    let mut client = Client::connect(&addr);
    client.send(b"at last\n");
    assert_eq!(server.receive_to_end(&mut client), b"at last");
}

kinds!(a_handler_may_move_its_deadline_and_its_timeout);

fn a_handler_may_move_its_deadline_and_its_timeout(kind: Kind) {
    fn steps(request: &mut Request<'_>) -> io::Result<()> {
        let before = request.deadline();
        assert!(before.is_some_and(|deadline| deadline > Instant::now()));
        assert_eq!(request.take_line(20)?, Some(&b"first"[..]));
        request.set_deadline(Some(Instant::now()))?;
        // What was read ahead costs no time.
        assert_eq!(request.take_line(20)?, Some(&b"second"[..]));
        let late = request.take_line(20).unwrap_err();
        assert_eq!((late.kind(), late.to_string()), (ErrorKind::TimedOut, LATE.into()));
        assert_eq!(request.send_all(b"too late").unwrap_err().kind(), ErrorKind::TimedOut);

        request.set_deadline(None)?;
        assert_eq!(request.deadline(), None);
        let nothing = request.set_timeout(Some(Duration::ZERO)).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::InvalidInput);
        request.set_timeout(Some(Duration::from_millis(1)))?;
        assert_eq!(request.take_line(20).unwrap_err().kind(), ErrorKind::TimedOut);
        // The longest there is, for those who must say something.
        request.set_timeout(Some(Duration::MAX))?;
        request.send_all(b"go on\n")?;
        assert_eq!(request.take_line(20)?, Some(&b"third"[..]));
        request.send_all(b"done\n")
    }
    let mut server = Harness::new();
    let mode = Workers::threads(1).deadline(PATIENCE);
    let (addr, ended) = serve(&mut server, kind, &mode, steps);
    let mut client = Client::connect(&addr);
    client.send(b"first\nsecond\n");
    assert_eq!(server.receive(&mut client, 6), b"go on\n");
    client.send(b"third\n");
    assert_eq!(server.receive_to_end(&mut client), b"done\n");
    assert_eq!(outcome(&mut server, &ended), Ok(()));
}

#[test]
fn a_deadline_and_a_timeout_as_long_as_can_be_said_are_none() {
    let mode = Workers::threads(1).timeout(Duration::MAX).deadline(Duration::MAX);
    let mut server = Harness::new();
    let (addr, ended) = serve(&mut server, Kind::Tcp, &mode, |request| {
        let line = request.take_line(20)?.unwrap_or_default().to_vec();
        request.send_all(&line)
    });
    let mut client = Client::connect(&addr);
    client.send(b"hello\n");
    assert_eq!(server.receive_to_end(&mut client), b"hello");
    assert_eq!(outcome(&mut server, &ended), Ok(()));
}

#[test]
fn a_datagram_is_taken_line_by_line_and_ends_where_it_ends() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&lines);
    let mut server = Harness::new();
    let mode = Workers::inline().deadline(Duration::from_millis(1));
    let id = server.bind_blocking("127.0.0.1:0", &mode, move |_| {
        let noted = Arc::clone(&noted);
        move |request: &mut Request<'_>| {
            assert_eq!(request.deadline(), None);
            request.set_deadline(Some(Instant::now()))?;
            request.set_timeout(Some(Duration::from_millis(1)))?;
            while let Some(line) = request.take_line(20)? {
                noted.lock().unwrap().push(String::from_utf8_lossy(line).into_owned());
            }
            request.send_all(b"taken")
        }
    });
    let addr = server.io().local_addr(id.unwrap()).unwrap();
    let client = crate::support::DatagramClient::new(&addr);
    client.send(b"one\r\ntwo\nthree");
    assert_eq!(server.answer(&client), b"taken");
    assert_eq!(*lines.lock().unwrap(), ["one", "two", "three"]);
}

#[test]
fn the_addresses_of_a_connection_are_known_while_a_handler_has_it() {
    let mut server = Harness::new();
    let steps = server.steps();
    let (addr, _ended) = serve(&mut server, Kind::Tcp, &Workers::threads(1), |request| {
        request.send_all(b"here")?;
        request.read_exact(&mut [0])
    });
    let mut client = Client::connect(&addr);
    assert_eq!(server.receive(&mut client, 4), b"here");
    let accepted = steps.all().into_iter().find_map(|step| match step {
        TraceEvent::Accepted(_, id) => Some(id),
        _ => None,
    });
    let id = accepted.unwrap();
    assert_eq!(server.io().local_addr(id), Some(addr));
    let peer = server.io().peer_addr(id).unwrap();
    assert!(
        peer.ip().unwrap().ip().is_loopback()
            && peer.port() != server.io().local_addr(id).unwrap().port()
    );
    client.send(b"x");
    assert_eq!(server.receive_to_end(&mut client), b"");
}
