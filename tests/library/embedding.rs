//! A server in the loop of another program, and what such programs do to it.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use socketserver::{
    CloseReason, Context, Echo, Exit, Handler, Input, IntoConnect, Io, Options, Reconnect,
    RequestOutcome, Server, ServerHandle,
};

use crate::support::{Client, Harness, Kind, PATIENCE, ms, on_input, on_setup};

#[test]
fn service_actions_that_shut_down_end_the_run() {
    let mut harness: Harness<u32> = Harness::with_shared(0, Options::default());
    harness.serve(Kind::Tcp, |_| Echo);
    harness.set_service_actions(|turns, io| {
        *turns += 1;
        // A run that does not end fails below.
        if *turns < 1_000 {
            io.shutdown(PATIENCE);
        }
    });
    harness.io_mut().shutdown(PATIENCE);
    harness.serve_forever().unwrap();
    let turns = *harness.shared();
    assert!((1..20).contains(&turns), "{turns} turns");
    // The next run ends likewise; its first turn is what the actions need.
    harness.io_mut().shutdown(PATIENCE);
    harness.serve_forever().unwrap();
}

#[test]
fn a_call_that_does_not_fit_is_dropped_without_the_lock_of_the_mailbox() {
    struct Posts(ServerHandle, mpsc::Sender<Option<ErrorKind>>);
    impl Drop for Posts {
        fn drop(&mut self) {
            let refused = self.0.post(|(), _| ()).err();
            self.1.send(refused.map(|error| error.kind())).unwrap();
        }
    }
    let options = Options { post_queue: 1, ..Options::default() };
    let harness: Harness = Harness::with_shared((), options);
    let handle = harness.handle();
    handle.post(|(), _| ()).unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let posts = Posts(handle.clone(), tell);
        let _ = handle.post(move |(), _| drop(posts));
    });
    let refused = told.recv_timeout(PATIENCE);
    if refused.is_err() {
        // Its drop would wait for the lock.
        std::mem::forget(harness);
    }
    assert_eq!(refused, Ok(Some(ErrorKind::WouldBlock)), "it hangs");
}

#[test]
fn a_handle_stops_a_server_that_is_stepped_before_and_after_any_run() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let handle = harness.handle();
    for run in 0..4 {
        let mut client = Client::connect(&addr);
        harness.echo(&mut client, b"stepped");
        assert!(handle.shutdown(PATIENCE), "run {run} of turns has begun");
        harness.turn(Some(Duration::ZERO)).unwrap();
        harness.until(|server| !server.io().is_shutting_down());
        assert_eq!(handle.wait(Duration::ZERO).map(|report| report.drained), Some(1));
        assert!(!handle.shutdown(PATIENCE), "between two runs there is nothing to stop");
        assert_eq!(harness.receive_to_end(&mut client), b"");
        // A run of another kind in between.
        harness.io_mut().shutdown(PATIENCE);
        harness.serve_forever().unwrap();
        assert!(!handle.shutdown(PATIENCE), "between two runs there is nothing to stop");
    }
}

/// The peer says nothing more and keeps its socket, so the connection lingers.
#[test]
fn handle_request_does_not_wait_for_a_client_that_keeps_its_socket() {
    let options = Options {
        linger_timeout: Duration::from_secs(3),
        linger_time: Duration::from_secs(3),
        ..Options::default()
    };
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(Kind::Tcp, |_| {
        on_input(|cx, input| {
            cx.send(input.take_all());
            cx.close();
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    client.send(b"once");
    assert_eq!(harness.handle_request(None).unwrap(), RequestOutcome::Handled);
    assert_eq!(harness.io().connection_count(), 1, "it came back when the linger was over");
    assert_eq!(harness.receive_to_end(&mut client), b"once");
}

/// Counts the calls of its factory.
fn reconnect<T: IntoConnect>(
    to: T,
    calls: &Rc<RefCell<Vec<Option<CloseReason>>>>,
) -> Reconnect<impl FnMut(Option<CloseReason>) -> Option<Echo> + use<T>> {
    let calls = Rc::clone(calls);
    let made = Reconnect::new(to, move |ended| {
        calls.borrow_mut().push(ended);
        Some(Echo)
    });
    made.unwrap().initial_backoff(ms(1)).max_backoff(ms(4))
}

#[cfg(unix)]
#[test]
fn a_reconnect_to_a_path_that_is_not_there_yet_is_tried_again() {
    let mut harness = Harness::new();
    let path = harness.free_path();
    let calls = Rc::default();
    reconnect(path.clone(), &calls).start(&mut harness).unwrap().unwrap();
    harness.until(|_| calls.borrow().len() > 3);
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    harness.until(|_| listener.accept().is_ok());
    assert_eq!(calls.borrow()[1..4], [Some(CloseReason::ConnectFailed); 3]);
}

#[test]
fn a_reconnect_waits_while_all_places_are_taken_and_then_goes_on() {
    let mut harness =
        Harness::with_shared((), Options { max_connections: 1, ..Options::default() });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let own = harness.serve(Kind::Tcp, |_| Echo);
    let calls = Rc::default();
    let to = listener.local_addr().unwrap();
    reconnect(to, &calls).start(&mut harness).unwrap().unwrap();
    for round in 1..4 {
        let mut accepted = None;
        harness.until(|_| {
            accepted = listener.accept().ok();
            accepted.is_some()
        });
        assert_eq!(calls.borrow().len(), round);
        // Its place goes to a client that waits.
        let mut client = Client::connect(&own);
        drop(accepted);
        harness.echo(&mut client, b"has the place");
        harness.until(|_| calls.borrow().len() == round + 1);
        harness.echo(&mut client, b"still has it");
        drop(client);
    }
    let asked = calls.borrow().len();
    drop(harness);
    assert_eq!(calls.borrow().len(), asked, "a server that is dropped asks its factory again");
}

#[test]
fn a_server_that_is_dropped_makes_no_connection_again() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let calls = Rc::default();
    reconnect(addr, &calls).start(&mut harness).unwrap().unwrap();
    harness.until(|server| server.io().connection_count() == 2);
    drop(harness);
    assert_eq!(*calls.borrow(), [None]);
}

/// The ids that wait for a worker belong to one server, and so does the wake-up.
#[cfg(not(mio_unsupported_force_poll_poll))]
#[test]
fn workers_of_one_server_are_refused_by_any_other() {
    use socketserver::blocking::{Request, Workers};
    let handler = |_: &mut Request<'_>| Ok(());
    for (name, workers) in [("threads", Workers::threads(1)), ("inline", Workers::inline())] {
        let mut first = Server::new().unwrap();
        for workers in [workers.clone(), workers.clone().daemon_threads(true)] {
            first.listen_blocking("127.0.0.1:0", &workers, move |_| handler).unwrap();
            first.bind_blocking("127.0.0.1:0", &workers, move |_| handler).unwrap();
        }
        let refuses = || {
            let mut other = Server::new().unwrap();
            let stream = other.listen_blocking("127.0.0.1:0", &workers, move |_| handler);
            let datagram = other.bind_blocking("127.0.0.1:0", &workers.clone(), move |_| handler);
            for error in [stream.unwrap_err(), datagram.unwrap_err()] {
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                assert!(error.to_string().contains(&format!("Workers::{name}")), "{error}");
            }
            assert_eq!(other.io().connection_count(), 0);
        };
        refuses();
        drop(first);
        // A thread may still have a permit of the server that was dropped.
        refuses();
    }
}

/// `Exit` ends the run and nobody else.
#[test]
fn the_others_stay_open_when_a_handler_ends_the_run() {
    struct Last(Rc<Cell<Option<CloseReason>>>);
    impl Handler for Last {
        fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            let text = input.take_all();
            if text == b"exit" {
                return Err(Exit.into());
            }
            cx.send(text);
            Ok(())
        }

        fn finish(&mut self, cx: &mut Context<'_>, _outcome: io::Result<()>) {
            self.0.set(cx.reason());
        }
    }
    let ended = Rc::new(Cell::new(None));
    let last = Rc::clone(&ended);
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, move |_| Last(Rc::clone(&last)));
    let (mut stays, mut ends) = (Client::connect(&addr), Client::connect(&addr));
    harness.echo(&mut stays, b"before");
    harness.echo(&mut ends, b"before");
    ends.send(b"exit");
    assert!(Exit::is_exit(&harness.serve_forever().unwrap_err()));
    assert_eq!(ended.replace(None), Some(CloseReason::HandlerError));
    // The next run serves them.
    harness.echo(&mut stays, b"after");
    assert_eq!(ended.get(), None);
    drop(harness);
    assert_eq!(ended.get(), Some(CloseReason::ShutdownTimeout));
}

/// Offloads work that waits for a word, in the callback of a timer.
fn offloads(server: &mut Server<Vec<&'static str>>) -> mpsc::Sender<()> {
    let (go, gate) = mpsc::channel();
    let mut gate = Some(gate);
    let owner = server
        .add_timer_handler(move |cx| {
            let gate = gate.take().unwrap();
            let dropped = Word(cx.handle());
            let work = move || gate.recv_timeout(PATIENCE).is_ok();
            cx.offload(work, move |words, _: &mut Io, _| {
                words.push("then");
                std::mem::forget(dropped);
            })
        })
        .unwrap();
    server.io_mut().set_timer(owner, Duration::ZERO);
    server.turn(None).unwrap();
    go
}

/// Says that `then` was dropped.
struct Word(ServerHandle<Vec<&'static str>>);

impl Drop for Word {
    fn drop(&mut self) {
        assert_eq!(self.0.post(|_, _| ()).unwrap_err().kind(), ErrorKind::BrokenPipe);
        DROPPED.with(|dropped| dropped.set(true));
        if let Some(tell) = TELL.lock().unwrap().take() {
            tell.send(()).unwrap();
        }
    }
}

thread_local! {
    static DROPPED: Cell<bool> = const { Cell::new(false) };
}

static TELL: std::sync::Mutex<Option<mpsc::Sender<()>>> = std::sync::Mutex::new(None);

#[test]
fn the_second_closure_of_an_offload_outlives_the_run_and_not_the_server() {
    let mut harness: Harness<Vec<&'static str>> = Harness::with_shared(vec![], Options::default());
    let go = offloads(&mut harness);
    harness.shutdown(Duration::ZERO).unwrap();
    assert!(harness.shared().is_empty());
    go.send(()).unwrap();
    // The next run calls it.
    harness.until(|server| *server.shared() == ["then"]);

    let go = offloads(&mut harness);
    let (tell, told) = mpsc::channel();
    *TELL.lock().unwrap() = Some(tell);
    drop(harness);
    let _ = go.send(());
    told.recv_timeout(PATIENCE).expect("it is neither called nor dropped");
}

/// On poll(2) a poll has no descriptor of its own.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod in_poll {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    /// What a level-triggered loop does with a server, as the guide has it.
    fn step<S>(server: &mut Server<S>) {
        let wait = server.poll_timeout().map(|wait| wait + Duration::from_micros(999));
        let wait = wait.unwrap_or(PATIENCE).min(PATIENCE);
        let ready = poll(
            &mut [PollFd::new(server.as_fd(), PollFlags::POLLIN)],
            PollTimeout::try_from(wait).unwrap(),
        );
        let ready = ready.unwrap();
        assert!(ready > 0 || wait < PATIENCE, "it sleeps for ever");
        server.turn(Some(Duration::ZERO)).unwrap();
    }

    #[test]
    fn timers_ring_in_another_loop() {
        let mut harness: Harness<u32> = Harness::with_shared(0, Options::default());
        let clock = harness
            .add_timer_handler(|cx| {
                *cx.shared += 1;
                Ok(())
            })
            .unwrap();
        for after in [ms(200), Duration::from_micros(300), Duration::ZERO] {
            harness.io_mut().set_timer(clock, after);
        }
        let mut steps = 0;
        while *harness.shared() < 3 {
            step(&mut harness);
            steps += 1;
        }
        assert!(steps < 20, "{steps} turns for three timers");
        assert_eq!(harness.poll_timeout(), None);
    }

    #[test]
    fn what_the_budgets_of_a_turn_leave_is_done_in_another_loop() {
        const SIZE: usize = 25 << 20;
        // One read, one write and one event a turn leave the most behind.
        let options = Options {
            read_buffer: 16 << 10,
            reads_per_turn: 1,
            writes_per_turn: 1,
            accepts_per_turn: 1,
            events_per_turn: 1,
            ..Options::default()
        };
        let mut harness = Harness::with_shared((), options);
        let addr = *harness.serve(Kind::Tcp, |_| Echo).ip().unwrap();
        let clients: Vec<_> = (0..3)
            .map(|_| {
                thread::spawn(move || {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    let mut reader = stream.try_clone().unwrap();
                    let reads = thread::spawn(move || {
                        let mut received = Vec::new();
                        reader.read_to_end(&mut received).map(|_| received.len())
                    });
                    stream.write_all(&vec![7; SIZE]).unwrap();
                    stream.shutdown(std::net::Shutdown::Write).unwrap();
                    reads.join().unwrap().unwrap()
                })
            })
            .collect();
        while harness.io().stats().all_ended() < 3 || harness.io().connection_count() > 0 {
            step(&mut harness);
        }
        for client in clients {
            assert_eq!(client.join().unwrap(), SIZE);
        }
    }

    #[test]
    fn calls_and_shutdowns_of_other_threads_wake_another_loop() {
        let mut harness: Harness<u32> = Harness::with_shared(0, Options::default());
        let addr = harness.serve(Kind::Tcp, |_| on_setup(|_: &mut Context<'_, u32>| Ok(())));
        let handle = harness.handle();
        let thread = thread::spawn(move || {
            let client = Client::connect(&addr);
            for _ in 0..100 {
                handle.post(|calls, _| *calls += 1).unwrap();
            }
            handle.shutdown(PATIENCE);
            (handle.wait(PATIENCE).is_some(), client)
        });
        while harness.report().is_none() {
            step(&mut harness);
        }
        assert!(thread.join().unwrap().0);
        assert_eq!(*harness.shared(), 100);
    }
}
