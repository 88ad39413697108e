//! What a peer gets of an answer is the whole of it or ends with a reset, and every byte is counted; and what others
//! ask of a connection while a thread has it is done when it comes back.

use std::io::{self, ErrorKind, Read};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socketserver::blocking::{Request, Workers};
use socketserver::{CloseReason, SendStatus, SocketId, TraceEvent};

use crate::support::{Client, Harness, Kind, PATIENCE};

/// More than the buffers of the system hold.
const MUCH: usize = 64 << 20;

fn accepted(steps: &[TraceEvent]) -> SocketId {
    let accepted = |step: &TraceEvent| match step {
        TraceEvent::Accepted(_, id) => Some(*id),
        _ => None,
    };
    steps.iter().find_map(accepted).unwrap()
}

/// Turns until the client has its end; of TCP it must be a reset.
#[track_caller]
fn ends_with_a_reset(server: &mut Harness, client: &mut Client, kind: Kind) {
    server.until(|_| client.look());
    // A Unix stream has no reset.
    if kind == Kind::Tcp {
        assert_eq!(client.end, Some(Err(ErrorKind::ConnectionReset)), "a clean end");
    }
}

/// Serves with a handler that is in the middle of a write that nobody reads; gives its client.
fn in_the_middle(server: &mut Harness, kind: Kind) -> (Client, SocketId) {
    let steps = server.steps();
    let (tell, told) = mpsc::channel();
    let addr = server.serve_blocking(kind, &Workers::threads(1), move |_| {
        let tell = tell.clone();
        move |request: &mut Request<'_>| {
            request.send_all(b"begun ")?;
            tell.send(()).unwrap();
            request.send_all(&vec![7; MUCH])
        }
    });
    let mut client = Client::connect(&addr);
    server.until(|_| told.try_recv().is_ok());
    // Some of the answer is with the client, and the write goes on.
    server.until(|_| {
        client.look_at_most(100);
        client.received.len() > 50
    });
    (client, accepted(&steps.all()))
}

kinds!(an_answer_whose_write_timed_out_ends_with_a_reset);

fn an_answer_whose_write_timed_out_ends_with_a_reset(kind: Kind) {
    for ignores_it in [false, true] {
        let mut server = Harness::new();
        let workers = Workers::threads(1).timeout(Duration::from_millis(50));
        let addr = server.serve_blocking(kind, &workers, move |_| {
            move |request: &mut Request<'_>| {
                let sent = request.send_all(&vec![7; MUCH]);
                assert_eq!(sent.as_ref().unwrap_err().kind(), ErrorKind::TimedOut);
                if ignores_it { Ok(()) } else { sent }
            }
        });
        let mut client = Client::connect(&addr);
        server.until_ended(1);
        let stats = *server.io().stats();
        assert_eq!(stats.bytes_sent, MUCH as u64);
        assert!(stats.bytes_out > 0 && stats.bytes_dropped > 0, "{stats:?}");
        ends_with_a_reset(&mut server, &mut client, kind);
        assert!(client.received.len() < MUCH);
    }
}

kinds!(an_answer_that_is_aborted_ends_with_a_reset);

fn an_answer_that_is_aborted_ends_with_a_reset(kind: Kind) {
    let mut server = Harness::new();
    let (mut client, id) = in_the_middle(&mut server, kind);
    assert!(server.io_mut().abort(id));
    // The thread tells what it wrote when its handler has returned. Until then the client reads nothing:
    // it could take all of the answer before the thread notices the end.
    server.until(|server| server.io().stats().bytes_dropped > 0);
    assert_eq!(server.ended(CloseReason::Aborted), 1);
    ends_with_a_reset(&mut server, &mut client, kind);
}

kinds!(an_answer_that_the_end_of_a_grace_cuts_ends_with_a_reset);

fn an_answer_that_the_end_of_a_grace_cuts_ends_with_a_reset(kind: Kind) {
    let mut server = Harness::new();
    let (mut client, _) = in_the_middle(&mut server, kind);
    let report = server.shutdown(Duration::ZERO).unwrap();
    assert_eq!(report.forced, 1);
    assert!(report.bytes_dropped > 0, "{report:?}");
    ends_with_a_reset(&mut server, &mut client, kind);
}

modes!(every_byte_of_a_blocking_handler_is_counted);

fn every_byte_of_a_blocking_handler_is_counted(workers: &Workers) {
    let mut server = Harness::new();
    let addr = server.serve_blocking(Kind::Tcp, workers, |_| {
        |request: &mut Request<'_>| {
            let mut rest = Vec::new();
            request.read_to_end(&mut rest)?;
            request.send_all(&vec![7; 100_000])
        }
    });
    let mut client = Client::connect(&addr);
    client.send(&[1; 1_000]);
    client.finish_sending();
    assert_eq!(server.receive_to_end(&mut client).len(), 100_000);
    drop(client);
    server.until_ended(1);
    let stats = *server.io().stats();
    let counted = (stats.bytes_in, stats.bytes_sent, stats.bytes_out, stats.bytes_dropped);
    assert_eq!(counted, (1_000, 100_000, 100_000, 0));
}

/// A handler that says that it is there, and goes on when it may.
fn held(server: &mut Harness, kind: Kind) -> (Client, SocketId, Sender<()>) {
    let steps = server.steps();
    let (open, opened): (Sender<()>, Receiver<()>) = mpsc::channel();
    let opened = Arc::new(Mutex::new(opened));
    let workers = Workers::threads(1);
    let addr = server.serve_blocking(kind, &workers, move |_| {
        let opened = Arc::clone(&opened);
        move |request: &mut Request<'_>| {
            request.send_all(b"one ")?;
            opened.lock().unwrap().recv_timeout(PATIENCE).map_err(io::Error::other)?;
            request.send_all(b"two ")
        }
    });
    let mut client = Client::connect(&addr);
    assert_eq!(server.receive(&mut client, 4), b"one ");
    (client, accepted(&steps.all()), open)
}

kinds!(what_is_sent_to_a_connection_that_a_thread_has_leaves_behind_its_answer);

fn what_is_sent_to_a_connection_that_a_thread_has_leaves_behind_its_answer(kind: Kind) {
    for large in [false, true] {
        let mut server = Harness::new();
        let (mut client, id, open) = held(&mut server, kind);
        let line = if large { vec![b'x'; 100_000] } else { b"line".to_vec() };
        let sent = server.io_mut().send(id, &line);
        assert!(matches!(sent, SendStatus::Queued | SendStatus::Congested));
        for _ in 0..5 {
            server.turn(Some(Duration::ZERO)).unwrap();
        }
        open.send(()).unwrap();
        assert!(server.receive_to_end(&mut client) == [&b"two "[..], &line].concat());
        drop(client);
        server.until_ended(1);
    }
}

kinds!(a_connection_that_a_thread_has_is_closed_when_it_comes_back);

fn a_connection_that_a_thread_has_is_closed_when_it_comes_back(kind: Kind) {
    let closes: [fn(&mut Harness, SocketId) -> bool; 2] =
        [|server, id| server.io_mut().close(id), |server, id| server.io_mut().shutdown_write(id)];
    for close in closes {
        let mut server = Harness::new();
        let (mut client, id, open) = held(&mut server, kind);
        server.io_mut().send(id, b"line");
        assert!(close(&mut server, id));
        assert!(!close(&mut server, id), "it is closed already");
        assert!(!server.io().is_open(id));
        for _ in 0..5 {
            server.turn(Some(Duration::ZERO)).unwrap();
            client.look();
        }
        assert_eq!((client.end, server.io().connection_count()), (None, 1), "the handler goes on");
        open.send(()).unwrap();
        assert_eq!(server.receive_to_end(&mut client), b"two line");
        drop(client);
        server.until_ended(1);
        assert_eq!(server.ended(CloseReason::Closed), 1);
    }
}
