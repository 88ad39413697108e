//! Other threads reach the server through its handle, at any time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use socketserver::{Context, Echo, Options, SendStatus, Server, ServerHandle, ShutdownReport};

use crate::read_some::ReadSome;
use crate::support::{Client, Harness, Kind, PATIENCE, on_input, on_setup};

/// A server that serves in a thread of its own. Its ledger is checked when the run has ended.
fn serve_elsewhere() -> (ServerHandle, u16, thread::JoinHandle<ShutdownReport>) {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut server = Server::new().unwrap();
        let id = server.listen("127.0.0.1:0", |_| Echo).unwrap();
        let port = server.io().local_addr(id).unwrap().port().unwrap();
        tell.send((server.handle(), port)).unwrap();
        server.serve_forever().unwrap();
        server.io().verify_stats().unwrap();
        server.report().unwrap()
    });
    let (handle, port) = told.recv().unwrap();
    (handle, port, thread)
}

#[test]
fn a_shutdown_from_another_thread_is_noticed_at_once() {
    let (handle, port, thread) = serve_elsewhere();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"hello").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    drop(client);
    let asked = Instant::now();
    handle.shutdown(PATIENCE);
    thread.join().unwrap();
    // Far below any period with which a flag could be looked at, on the busiest machine.
    assert!(asked.elapsed() < Duration::from_millis(400), "{:?}", asked.elapsed());
}

#[test]
fn a_shutdown_right_after_the_start_ends_the_run_every_time() {
    for _ in 0..20 {
        let (handle, _, thread) = serve_elsewhere();
        handle.shutdown(Duration::ZERO);
        thread.join().unwrap();
    }
}

#[test]
fn a_shutdown_before_the_start_ends_the_first_run_at_once() {
    let mut harness = Harness::new();
    harness.serve(Kind::Tcp, |_| Echo);
    harness.handle().shutdown(PATIENCE);
    harness.serve_forever().unwrap();
    assert_eq!(harness.report(), Some(ShutdownReport::default()));
}

#[test]
fn a_shutdown_twice_and_after_the_end_changes_nothing() {
    let (handle, port, thread) = serve_elsewhere();
    handle.shutdown(PATIENCE);
    handle.shutdown(PATIENCE);
    assert!(handle.wait(PATIENCE).is_some());
    handle.shutdown(Duration::ZERO);
    thread.join().unwrap();
    handle.shutdown(Duration::ZERO);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn after_a_shutdown_the_server_serves_again_on_the_same_listener() {
    let (tell, told) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut server = Server::new().unwrap();
        let id = server.listen("127.0.0.1:0", |_| Echo).unwrap();
        let addr = server.io().local_addr(id).unwrap();
        for _ in 0..3 {
            tell.send((server.handle(), addr.port().unwrap())).unwrap();
            server.serve_forever().unwrap();
            may_go_on.recv().unwrap();
        }
        server.io().verify_stats().unwrap();
        server.io().stats().accepted
    });
    let mut early = None;
    for round in 0..3 {
        let (handle, port) = told.recv().unwrap();
        let mut client =
            early.take().unwrap_or_else(|| TcpStream::connect(("127.0.0.1", port)).unwrap());
        client.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        handle.shutdown(PATIENCE);
        assert_eq!(client.read_some(&mut answer).unwrap(), 0);
        drop(client);
        assert_eq!(handle.wait(PATIENCE).map(|report| report.forced), Some(0), "run {round}");
        // Between two runs nobody is served, but whoever comes waits for the next.
        early = Some(TcpStream::connect(("127.0.0.1", port)).unwrap());
        handle.shutdown(Duration::ZERO);
        go_on.send(()).unwrap();
    }
    assert_eq!(thread.join().unwrap(), 3);
}

#[test]
fn wait_gives_up_in_time_and_knows_a_server_that_is_gone() {
    let mut harness = Harness::new();
    harness.serve(Kind::Tcp, |_| Echo);
    let handle = harness.handle();
    let asked = Instant::now();
    assert_eq!(handle.wait(Duration::from_millis(20)), None);
    assert!(asked.elapsed() >= Duration::from_millis(20));
    drop(harness);
    assert_eq!(handle.wait(PATIENCE), None);
    assert!(asked.elapsed() < PATIENCE);
    handle.shutdown(Duration::ZERO);
    let error = handle.post(|(), _| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_handler_may_shut_its_own_server_down() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| {
        on_input(|cx: &mut Context<'_>, input| {
            cx.send(input.take_all());
            cx.handle().shutdown(PATIENCE);
            cx.handle().shutdown(PATIENCE);
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    client.send(b"last");
    harness.serve_forever().unwrap();
    while !client.look() {}
    assert_eq!(client.received, b"last");
    assert_eq!(harness.report().map(|report| (report.drained, report.forced)), Some((1, 0)));
}

#[test]
fn calls_from_many_threads_all_run_once_and_in_the_order_of_each() {
    let mut harness: Harness<Vec<(usize, usize)>> =
        Harness::with_shared(Vec::new(), Options::default());
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let handle = harness.handle();
            thread::spawn(move || {
                for n in 0..2_000 {
                    handle.post(move |shared, _| shared.push((thread, n))).unwrap();
                }
            })
        })
        .collect();
    harness.until(|server| server.shared_mut().len() == 8_000);
    for thread in threads {
        thread.join().unwrap();
    }
    for thread in 0..4 {
        let of: Vec<usize> = harness
            .shared_mut()
            .iter()
            .filter(|call| call.0 == thread)
            .map(|call| call.1)
            .collect();
        assert_eq!(of, (0..2_000).collect::<Vec<_>>());
    }
}

#[test]
fn a_sleeping_server_is_woken_by_a_call() {
    let mut harness = Harness::with_shared(false, Options::default());
    let handle = harness.handle();
    let thread = thread::spawn(move || handle.post(|called, _| *called = true).unwrap());
    while !*harness.shared_mut() {
        harness.turn(None).unwrap();
    }
    thread.join().unwrap();
}

#[test]
fn a_send_from_another_thread_reaches_its_peer_and_a_stale_id_nobody() {
    let mut harness = Harness::new();
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| Echo);
    let mut client = Client::connect(&addr);
    harness.echo(&mut client, b"x");
    let (handle, id) = (harness.handle(), journal.ids()[0]);
    thread::spawn(move || handle.send(id, b"news".as_slice()).unwrap()).join().unwrap();
    assert_eq!(harness.receive(&mut client, 4), b"news");
    drop(client);
    harness.until_ended(1);
    let mut heir = Client::connect(&addr);
    harness.echo(&mut heir, b"x");
    harness.handle().send(id, b"for the dead".as_slice()).unwrap();
    harness.echo(&mut heir, b"y");
    assert_eq!(harness.io_mut().send(id, b""), SendStatus::Closed);
}

#[test]
fn above_the_mailbox_limit_a_call_is_refused_and_room_comes_back() {
    let mut harness = Harness::with_shared(0, Options { post_queue: 3, ..Options::default() });
    let handle = harness.handle();
    for _ in 0..4 {
        for _ in 0..3 {
            handle.post(|n, _| *n += 1).unwrap();
        }
        assert_eq!(handle.post(|n, _| *n += 100).unwrap_err().kind(), ErrorKind::WouldBlock);
        let before = *harness.shared_mut();
        harness.until(|server| *server.shared_mut() == before + 3);
    }
}

#[test]
fn a_panic_in_a_call_costs_nobody_anything() {
    let mut harness = Harness::with_shared(0, Options::default());
    let addr = harness.serve(Kind::Tcp, |_| {
        on_input(|cx: &mut Context<'_, i32>, input| {
            cx.send(input.take_all());
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    let handle = harness.handle();
    handle.post(|n, _| *n += 1).unwrap();
    handle.post(|_, _| panic!("expected by this test")).unwrap();
    handle.post(|n, _| *n += 1).unwrap();
    harness.until(|server| *server.shared_mut() == 2);
    harness.echo(&mut client, b"still here");
}

#[test]
fn a_call_made_by_a_call_runs_in_a_later_turn() {
    let mut harness = Harness::with_shared(0, Options::default());
    call_again(&harness.handle());
    for turn in 1..20 {
        harness.turn(None).unwrap();
        assert_eq!(*harness.shared(), turn);
    }
}

fn call_again(handle: &ServerHandle<i32>) {
    let next = handle.clone();
    let _ = handle.post(move |n, _| {
        *n += 1;
        call_again(&next);
    });
}

#[test]
fn calls_that_never_ran_are_dropped_with_the_server() {
    let harness = Harness::new();
    let (alive, gone) = mpsc::channel::<()>();
    harness.handle().post(move |(), _| drop(alive)).unwrap();
    drop(harness);
    assert_eq!(gone.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

// Offloaded work.

type Results = Vec<Result<i32, ErrorKind>>;

#[test]
fn offloaded_work_comes_back_into_the_loop_and_a_panic_in_it_as_an_error() {
    let mut harness: Harness<Results> = Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, |_| {
        on_setup(|cx: &mut Context<'_, Results>| {
            let id = cx.id;
            let keep = |shared: &mut Results, result: io::Result<i32>| {
                shared.push(result.map_err(|error| error.kind()));
            };
            cx.offload(
                || 42,
                move |shared, io, result| {
                    keep(shared, result);
                    io.send(id, b"done");
                },
            )?;
            cx.offload(
                || panic!("expected by this test"),
                move |shared, _, result| {
                    keep(shared, result);
                },
            )
        })
    });
    let mut client = Client::connect(&addr);
    assert_eq!(harness.receive(&mut client, 4), b"done");
    harness.until(|server| server.shared_mut().len() == 2);
    harness.shared_mut().sort();
    assert_eq!(*harness.shared(), [Ok(42), Err(ErrorKind::Other)]);
}

#[test]
fn offloaded_work_comes_back_even_when_its_connection_is_gone() {
    let (go_on, may_go_on) = mpsc::channel();
    let mut may_go_on = Some(may_go_on);
    let mut harness: Harness<Vec<SendStatus>> =
        Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, move |_| {
        let mut may_go_on = may_go_on.take();
        on_setup(move |cx: &mut Context<'_, Vec<SendStatus>>| {
            let (id, may_go_on) = (cx.id, may_go_on.take().unwrap());
            cx.offload(
                move || may_go_on.recv().unwrap(),
                move |shared, io, _| shared.push(io.send(id, b"too late")),
            )
        })
    });
    let client = Client::connect(&addr);
    harness.until(|server| server.io().connection_count() == 1);
    client.reset();
    harness.until_ended(1);
    go_on.send(()).unwrap();
    harness.until(|server| !server.shared_mut().is_empty());
    assert_eq!(*harness.shared(), [SendStatus::Closed]);
}

#[test]
fn above_the_work_limit_offloading_is_refused() {
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let mut may_go_on = Some(may_go_on);
    let options = Options { offload_queue: 2, offload_threads: 1, ..Options::default() };
    let mut harness: Harness<Vec<ErrorKind>> = Harness::with_shared(Vec::new(), options);
    let addr = harness.serve(Kind::Tcp, move |_| {
        let mut may_go_on = may_go_on.take();
        on_setup(move |cx: &mut Context<'_, Vec<ErrorKind>>| {
            let may_go_on = may_go_on.take().unwrap();
            let id = cx.id;
            cx.offload(move || may_go_on.recv(), |_, _, _| {})?;
            cx.offload(|| (), move |_, io, _| _ = io.close(id))?;
            let refused = cx.offload(|| (), |_, _, _| {}).unwrap_err();
            cx.shared.push(refused.kind());
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    harness.until(|server| server.shared_mut().len() == 1);
    assert_eq!(*harness.shared(), [ErrorKind::WouldBlock]);
    go_on.send(()).unwrap();
    harness.receive_to_end(&mut client);
}
