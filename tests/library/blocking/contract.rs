//! Handlers that block, in the loop and in threads, on every system. What they have in common with
//! those in processes, and with Python's, is in `tests/python/parity`.

use std::io::{self, BufRead, Read, Write};
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use socketserver::blocking::{Handler, Request, Workers};
use socketserver::{CloseReason, Exit, Options, RequestOutcome, Server};

use crate::support::{Client, DatagramClient, DatagramKind, Harness, Kind, PATIENCE};

/// Both modes that every system has.
fn modes() -> [Workers; 2] {
    [Workers::inline(), Workers::threads(4)]
}

fn nets() -> &'static [DatagramKind] {
    if cfg!(unix) { &[DatagramKind::V4, DatagramKind::Unix] } else { &[DatagramKind::V4] }
}

/// Sends back one line, or one datagram.
fn echo<S>(request: &mut Request<'_, S>) -> io::Result<()> {
    let mut line = String::new();
    request.read_line(&mut line)?;
    request.write_all(line.as_bytes())
}

/// A handler that says it is there, and waits until it may go on.
fn at_the_gate() -> (impl FnMut(&mut Request<'_>) -> io::Result<()> + Clone, Gate) {
    let (arrive, arrived) = mpsc::channel();
    let (open, opened) = mpsc::channel();
    let opened = Arc::new(Mutex::new(opened));
    let handler = move |request: &mut Request<'_>| {
        arrive.send(()).unwrap();
        opened.lock().unwrap().recv_timeout(PATIENCE).map_err(io::Error::other)?;
        request.write_all(b"passed\n")
    };
    (handler, Gate { arrived, open })
}

struct Gate {
    arrived: Receiver<()>,
    open: Sender<()>,
}

impl<S> Harness<S> {
    /// Turns until so many handlers more are there.
    #[track_caller]
    fn until_arrived(&mut self, gate: &Gate, handlers: usize) {
        let mut arrived = 0;
        self.until(|_| {
            arrived += gate.arrived.try_iter().count();
            arrived == handlers
        });
    }
}

kinds!(a_line_comes_back_over_every_stream);

fn a_line_comes_back_over_every_stream(kind: Kind) {
    for mode in modes() {
        let mut server = Harness::new();
        let addr = server.serve_blocking(kind, &mode, |_| echo);
        for _ in 0..3 {
            let mut client = Client::connect(&addr);
            client.send(b"hello world\n");
            assert_eq!(server.receive_to_end(&mut client), b"hello world\n");
        }
        server.until_ended(3);
        assert_eq!(server.ended(CloseReason::Closed), 3);
    }
}

#[test]
fn a_datagram_comes_back_over_every_socket() {
    for net in nets() {
        for mode in modes() {
            let mut server = Harness::new();
            let (_, addr) = server.serve_datagrams_blocking(*net, &mode, |_| echo);
            for _ in 0..3 {
                server.exchange(&DatagramClient::new(&addr), b"hello world\n");
            }
        }
    }
}

kinds!(more_threads_than_allowed_are_never_busy_and_the_others_wait);

fn more_threads_than_allowed_are_never_busy_and_the_others_wait(kind: Kind) {
    let mut server = Harness::new();
    let mode = Workers::threads(2);
    let (handler, gate) = at_the_gate();
    let addr = server.serve_blocking(kind, &mode, move |_| handler.clone());
    let mut clients = Client::connect_many(&addr, 5);
    server.until_arrived(&gate, 2);
    for _ in 0..10 {
        server.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(mode.active_count(), 2);
    assert_eq!(server.io().connection_count(), 2);
    assert!(gate.arrived.try_recv().is_err());
    for _ in 0..5 {
        gate.open.send(()).unwrap();
    }
    for client in &mut clients {
        assert_eq!(server.receive_to_end(client), b"passed\n");
    }
    drop(clients);
    server.until_ended(5);
    assert_eq!(mode.active_count(), 0);
}

#[test]
fn datagrams_that_find_no_thread_wait_for_one() {
    for net in nets() {
        let mut server = Harness::new();
        let mode = Workers::threads(2);
        let (handler, gate) = at_the_gate();
        let (_, addr) = server.serve_datagrams_blocking(*net, &mode, move |_| handler.clone());
        let clients = DatagramClient::many(&addr, 5);
        for client in &clients {
            client.send(b"a datagram");
        }
        server.until_arrived(&gate, 2);
        assert_eq!(mode.active_count(), 2);
        for _ in 0..5 {
            gate.open.send(()).unwrap();
        }
        for client in &clients {
            assert_eq!(server.answer(client), b"passed\n");
        }
    }
}

#[test]
fn other_services_go_on_while_threads_are_busy() {
    let mut server = Harness::new();
    let (handler, gate) = at_the_gate();
    let busy = server.serve_blocking(Kind::Tcp, &Workers::threads(1), move |_| handler.clone());
    let plain = server.serve(Kind::Tcp, |_| socketserver::Echo);
    let mut waiting = Client::connect_many(&busy, 2);
    server.until_arrived(&gate, 1);
    server.echo(&mut Client::connect(&plain), b"hello world\n");
    for client in &mut waiting {
        gate.open.send(()).unwrap();
        assert_eq!(server.receive_to_end(client), b"passed\n");
    }
}

kinds!(a_shutdown_waits_for_threads_within_its_grace);

fn a_shutdown_waits_for_threads_within_its_grace(kind: Kind) {
    let mut server = Harness::new();
    let (handler, gate) = at_the_gate();
    let addr = server.serve_blocking(kind, &Workers::threads(1), move |_| handler.clone());
    let mut client = Client::connect(&addr);
    server.until_arrived(&gate, 1);
    server.io_mut().shutdown(PATIENCE);
    server.turn(Some(Duration::ZERO)).unwrap();
    assert!(server.io().is_shutting_down());
    gate.open.send(()).unwrap();
    assert_eq!(server.receive_to_end(&mut client), b"passed\n");
    drop(client);
    server.until(|server| !server.io().is_shutting_down());
    assert_eq!(server.report().map(|report| report.forced), Some(0));
}

#[test]
fn a_shutdown_cuts_off_who_is_busy_for_longer_than_its_grace() {
    let mut server = Harness::new();
    let (handler, gate) = at_the_gate();
    let addr = server.serve_blocking(Kind::Tcp, &Workers::threads(1), move |_| handler.clone());
    let mut client = Client::connect(&addr);
    server.until_arrived(&gate, 1);
    assert_eq!(server.shutdown(Duration::ZERO).unwrap().forced, 1);
    server.until(|_| client.look());
    assert_eq!(client.received, b"");
    gate.open.send(()).unwrap();
}

kinds!(a_shutdown_does_not_wait_for_who_is_detached);

fn a_shutdown_does_not_wait_for_who_is_detached(kind: Kind) {
    let mut server = Harness::new();
    let mode = Workers::threads(1).daemon_threads(true);
    let (handler, gate) = at_the_gate();
    let addr = server.serve_blocking(kind, &mode, move |_| handler.clone());
    let mut client = Client::connect(&addr);
    server.until_arrived(&gate, 1);
    assert_eq!(server.shutdown(PATIENCE).unwrap().forced, 0);
    gate.open.send(()).unwrap();
    // It has its own share of the socket, and answers all the same.
    server.until(|_| client.look());
    assert_eq!(client.received, b"passed\n");
}

#[test]
fn a_shutdown_does_not_wait_for_who_is_detached_and_at_a_datagram() {
    for net in nets() {
        let mut server = Harness::new();
        let mode = Workers::threads(1).daemon_threads(true);
        let (handler, gate) = at_the_gate();
        let (_, addr) = server.serve_datagrams_blocking(*net, &mode, move |_| handler.clone());
        let client = DatagramClient::new(&addr);
        client.send(b"a datagram");
        server.until_arrived(&gate, 1);
        server.shutdown(PATIENCE).unwrap();
        assert_eq!(mode.active_count(), 1);
        gate.open.send(()).unwrap();
        // Its answer leaves when the server runs again.
        assert_eq!(server.answer(&client), b"passed\n");
    }
}

kinds!(who_waits_in_a_read_is_told_of_a_shutdown);

fn who_waits_in_a_read_is_told_of_a_shutdown(kind: Kind) {
    let mut server = Harness::new();
    let rest = |request: &mut Request<'_>| {
        let mut rest = Vec::new();
        request.read_to_end(&mut rest)?;
        request.write_all(&rest)
    };
    let mode = Workers::threads(1);
    let addr = server.serve_blocking(kind, &mode, move |_| rest);
    let mut client = Client::connect(&addr);
    client.send(b"so far");
    server.until(|_| mode.active_count() == 1);
    server.io_mut().shutdown(PATIENCE);
    assert_eq!(server.receive_to_end(&mut client), b"so far");
    drop(client);
    server.until(|server| !server.io().is_shutting_down());
}

kinds!(a_timeout_is_an_error_of_the_read);

fn a_timeout_is_an_error_of_the_read(kind: Kind) {
    for mode in modes() {
        let mut server = Harness::new();
        let errors = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&errors);
        let mode = mode
            .timeout(Duration::from_millis(20))
            .handle_error(move |_, error| noted.lock().unwrap().push(error.kind()));
        let addr = server.serve_blocking(kind, &mode, |_| echo);
        let mut client = Client::connect(&addr);
        assert_eq!(server.receive_to_end(&mut client), b"");
        assert_eq!(*errors.lock().unwrap(), [io::ErrorKind::TimedOut]);
    }
}

modes!(the_idle_timeout_of_the_server_is_the_default);

fn the_idle_timeout_of_the_server_is_the_default(mode: &Workers) {
    let idle_timeout = Some(Duration::from_millis(20));
    let mut server = Harness::with_shared((), Options { idle_timeout, ..Options::default() });
    let addr = server.serve_blocking(Kind::Tcp, mode, |_| echo);
    let mut client = Client::connect(&addr);
    server.until(|_| client.look());
    assert_eq!(client.received, b"");
}

#[test]
fn an_exit_in_the_loop_ends_the_run_and_in_a_thread_only_its_request() {
    let exit = |_: &mut Request<'_>| -> io::Result<()> { Err(Exit.into()) };
    let mut server = Harness::new();
    let addr = server.serve_blocking(Kind::Tcp, &Workers::inline(), move |_| exit);
    let _client = Client::connect(&addr);
    assert!(Exit::is_exit(&server.serve_forever().unwrap_err()));

    let mut server = Harness::new();
    let addr = server.serve_blocking(Kind::Tcp, &Workers::threads(1), move |_| exit);
    let mut client = Client::connect(&addr);
    server.until(|_| client.look());
    drop(client);
    server.until_ended(1);
}

modes!(a_failure_and_a_panic_reach_the_hook_once_each_and_end_that_client_alone);

fn a_failure_and_a_panic_reach_the_hook_once_each_and_end_that_client_alone(mode: &Workers) {
    let mut server = Harness::new();
    let errors = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&errors);
    let mode =
        mode.clone().handle_error(move |_, error| noted.lock().unwrap().push(error.to_string()));
    let addr = server.serve_blocking(Kind::Tcp, &mode, |_| {
        |request: &mut Request<'_>| -> io::Result<()> {
            let mut line = String::new();
            request.read_line(&mut line)?;
            match line.trim_end() {
                "fail" => Err(io::Error::other("failed")),
                "panic" => panic::resume_unwind(Box::new("panicked")),
                _ => request.write_all(line.as_bytes()),
            }
        }
    });
    for bad in ["fail\n", "panic\n"] {
        let mut client = Client::connect(&addr);
        client.send(bad.as_bytes());
        server.until(|_| client.look());
        assert_eq!(client.received, b"");
    }
    let mut client = Client::connect(&addr);
    client.send(b"hello\n");
    assert_eq!(server.receive_to_end(&mut client), b"hello\n");
    assert_eq!(*errors.lock().unwrap(), ["failed", "panicked"]);
    drop(client);
    server.until_ended(3);
}

modes!(what_handlers_share_is_changed_by_one_at_a_time);

fn what_handlers_share_is_changed_by_one_at_a_time(mode: &Workers) {
    let mut server = Harness::with_shared(0, Options::default());
    let addr = server.serve_blocking(Kind::Tcp, mode, |_| {
        |request: &mut Request<'_, u32>| -> io::Result<()> {
            for _ in 0..100 {
                request.with_shared(|count| *count += 1)?;
            }
            Ok(())
        }
    });
    let mut clients = Client::connect_many(&addr, 4);
    for client in &mut clients {
        assert_eq!(server.receive_to_end(client), b"");
    }
    assert_eq!(*server.shared(), 400);
}

modes!(a_shutdown_from_inside_a_handler_ends_the_run_and_the_server_runs_again);

fn a_shutdown_from_inside_a_handler_ends_the_run_and_the_server_runs_again(mode: &Workers) {
    let mut server = Server::new().unwrap();
    let handle = server.handle();
    let id = server
        .listen_blocking("127.0.0.1:0", mode, move |_| {
            let handle = handle.clone();
            move |request: &mut Request<'_>| {
                handle.shutdown(PATIENCE);
                echo(request)
            }
        })
        .unwrap();
    let addr = server.io().local_addr(id).unwrap();
    for _ in 0..2 {
        let mut client = Client::connect(&addr);
        client.send(b"bye\n");
        let reader = thread::spawn(move || {
            client.socket.set_nonblocking(false).unwrap();
            let mut answer = String::new();
            client.socket.read_to_string(&mut answer).unwrap();
            answer
        });
        server.serve_forever().unwrap();
        assert_eq!(reader.join().unwrap(), "bye\n");
    }
}

modes!(one_request_is_handled_or_none_in_time);

fn one_request_is_handled_or_none_in_time(mode: &Workers) {
    let mut server = Harness::new();
    let addr = server.serve_blocking(Kind::Tcp, mode, |_| echo);
    assert_eq!(server.handle_request(Some(Duration::ZERO)).unwrap(), RequestOutcome::TimedOut);
    let mut client = Client::connect(&addr);
    client.send(b"hello\n");
    client.finish_sending();
    assert_eq!(server.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    client.look();
    assert_eq!(client.received, b"hello\n");
}

modes!(whoever_fails_in_setup_neither_handles_nor_finishes);

fn whoever_fails_in_setup_neither_handles_nor_finishes(mode: &Workers) {
    #[derive(Clone)]
    struct Fails(Arc<AtomicUsize>);
    impl Handler for Fails {
        fn setup(&mut self, _: &mut Request<'_>) -> io::Result<()> {
            Err(io::Error::other("expected by this test"))
        }

        fn handle(&mut self, _: &mut Request<'_>) -> io::Result<()> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }

        fn finish(&mut self, _: &mut Request<'_>) -> io::Result<()> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }
    let called = Arc::new(AtomicUsize::new(0));
    let handler = Fails(Arc::clone(&called));
    let mut server = Harness::new();
    let addr = server.serve_blocking(Kind::Tcp, mode, move |_| handler.clone());
    let mut client = Client::connect(&addr);
    server.until(|_| client.look());
    drop(client);
    server.until_ended(1);
    assert_eq!(called.load(Ordering::SeqCst), 0);
}
