//! Handlers that block, and datagrams: what one that fails leaves behind.

use std::io::{self, Read};
use std::net::{TcpStream, UdpSocket};

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socketserver::blocking::{Handler, Request, Workers};
use socketserver::{Addr, LoopGroup, Options, SocketId};

use crate::support::{DatagramClient, Harness, PATIENCE};

/// Answers in `setup`, where it then may fail.
struct Early;

impl Handler for Early {
    fn setup(&mut self, request: &mut Request<'_>) -> io::Result<()> {
        request.send_all(b"begun ")?;
        match request.datagram() {
            Some(b"error") => Err(io::Error::other("expected by this test")),
            // So that nothing is printed.
            Some(b"panic") => std::panic::resume_unwind(Box::new("expected by this test")),
            _ => Ok(()),
        }
    }

    fn handle(&mut self, request: &mut Request<'_>) -> io::Result<()> {
        request.send_all(b"and done")
    }
}

/// In Python the answer is sent by `finish`, which does not run then.
#[test]
fn what_a_setup_wrote_that_failed_is_no_answer() {
    for mode in [Workers::inline(), Workers::threads(1)] {
        let mut harness = Harness::new();
        let id = harness.bind_blocking("127.0.0.1:0", &mode, |_| Early).unwrap();
        let addr = *harness.io().local_addr(id).unwrap().ip().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(addr).unwrap();
        client.set_nonblocking(true).unwrap();
        for question in [&b"error"[..], b"panic", b"well"] {
            client.send(question).unwrap();
        }
        let mut answer = [0; 20];
        let mut came = None;
        harness.until(|_| {
            came = client.recv(&mut answer).ok();
            came.is_some()
        });
        assert_eq!(&answer[..came.unwrap()], b"begun and done");
        let stats = harness.io().stats();
        assert_eq!((stats.packets_failed, stats.packets_sent), (2, 1));
    }
}

/// Answers when it may.
#[derive(Clone)]
struct Gate {
    arrived: Sender<()>,
    opened: Arc<Mutex<Receiver<()>>>,
}

impl Gate {
    fn new() -> (Gate, Receiver<()>, Sender<()>) {
        let (arrived, arrivals) = mpsc::channel();
        let (open, opened) = mpsc::channel();
        (Gate { arrived, opened: Arc::new(Mutex::new(opened)) }, arrivals, open)
    }
}

impl Handler for Gate {
    fn handle(&mut self, request: &mut Request<'_>) -> io::Result<()> {
        self.arrived.send(()).unwrap();
        self.opened.lock().unwrap().recv_timeout(PATIENCE).map_err(io::Error::other)?;
        request.send_all(b"answer")
    }
}

/// The answer of a thread that is at work when `close` comes leaves, and the socket is gone right after.
fn closes_behind_the_answer(close: fn(&mut Harness, SocketId)) {
    // A close timeout that no test would sit out.
    let options = Options { close_timeout: Duration::from_secs(3_600), ..Options::default() };
    let mut server = Harness::with_shared((), options);
    let (gate, arrivals, open) = Gate::new();
    let workers = Workers::threads(1);
    let id = server.bind_blocking("127.0.0.1:0", &workers, move |_| gate.clone()).unwrap();
    let client = DatagramClient::new(&server.io().local_addr(id).unwrap());
    // The second one waits for the thread.
    client.send(b"question");
    client.send(b"another");
    server.until(|_| arrivals.try_recv().is_ok());
    server.until(|server| server.io().stats().packets_in == 2);
    close(&mut server, id);
    for _ in 0..5 {
        server.turn(Some(Duration::ZERO)).unwrap();
    }
    assert!(server.io().local_addr(id).is_some(), "it waits for the answers");
    for _ in 0..2 {
        open.send(()).unwrap();
        assert_eq!(server.answer(&client), b"answer");
    }
    server.until(|server| server.io().local_addr(id).is_none());
}

#[test]
fn the_answer_of_a_thread_leaves_a_socket_that_was_closed_meanwhile() {
    closes_behind_the_answer(|server, id| assert!(server.io_mut().close(id)));
}

#[test]
fn the_answer_of_a_thread_leaves_when_the_server_closes_its_sockets() {
    closes_behind_the_answer(|server, _| server.io_mut().server_close());
}

#[test]
fn a_socket_that_is_aborted_waits_for_no_thread() {
    let mut server = Harness::new();
    let (gate, arrivals, open) = Gate::new();
    let workers = Workers::threads(1);
    let id = server.bind_blocking("127.0.0.1:0", &workers, move |_| gate.clone()).unwrap();
    let client = DatagramClient::new(&server.io().local_addr(id).unwrap());
    client.send(b"question");
    server.until(|_| arrivals.try_recv().is_ok());
    assert!(server.io_mut().close(id));
    assert!(server.io_mut().abort(id), "it waited for the answer");
    assert!(!server.io_mut().abort(id));
    server.until(|server| server.io().local_addr(id).is_none());
    open.send(()).unwrap();
    server.until(|_| workers.active_count() == 0);
    assert_eq!(client.next(), None);
}

/// A group closes its sockets when it stops, and waits for the answers of threads all the same.
#[test]
fn the_answer_of_a_thread_leaves_when_several_loops_stop() {
    let options = Options { close_timeout: Duration::from_secs(3_600), ..Options::default() };
    let group = LoopGroup::new(2).options(options);
    let handle = group.handle();
    let (gate, arrivals, open) = Gate::new();
    let gates = Mutex::new(gate);
    let (tell, told) = mpsc::channel();
    let client = std::thread::spawn(move || {
        let (addr, listener): (Addr, String) = told.recv_timeout(PATIENCE).unwrap();
        let client = DatagramClient::new(&addr);
        client.send(b"question");
        arrivals.recv_timeout(PATIENCE).unwrap();
        handle.shutdown(PATIENCE);
        // The loops have begun to stop when nothing listens any more.
        while TcpStream::connect(&listener).is_ok() {}
        open.send(()).unwrap();
        client.socket.set_nonblocking(false).unwrap();
        client.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = vec![0; 10];
        let n = (&client.socket).read(&mut answer).unwrap();
        answer.truncate(n);
        answer
    });
    let reports = group.serve(
        |_| (),
        |index, server| {
            let gate = gates.lock().unwrap().clone();
            let workers = Workers::threads(1);
            let id = server.bind_blocking("127.0.0.1:0", &workers, move |_| gate.clone())?;
            let listener = server.listen("127.0.0.1:0", |_| socketserver::Echo)?;
            if index == 1 {
                let io = server.io();
                let listener = io.local_addr(listener).unwrap().to_string();
                tell.send((io.local_addr(id).unwrap(), listener)).unwrap();
            }
            Ok(())
        },
    );
    assert_eq!(client.join().unwrap(), b"answer");
    let reports = reports.unwrap();
    assert_eq!(reports.iter().map(|one| one.stats.packets_out).sum::<u64>(), 1);
}
