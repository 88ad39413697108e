//! Foreign sources share the loop, the loop lives in another, and something runs once a turn.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use socketserver::mio::net::{TcpStream, UdpSocket};
use socketserver::mio::unix::pipe;
use socketserver::mio::{Interest, Poll, Token};
use socketserver::{Context, Echo, Exit, Handler, Input, Options, Readiness, TraceEvent};

use crate::support::{Client, Harness, Kind, on_setup};

/// Takes everything a pipe has, into the shared bytes.
fn take_all(
    cx: &mut Context<'_, Vec<u8>>,
    pipe: &mut pipe::Receiver,
    _: Readiness,
) -> io::Result<()> {
    let mut buffer = [0; 100];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => cx.shared.extend(buffer.iter().take(n)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

#[test]
fn a_pipe_shares_the_loop_and_an_error_closes_it() {
    let mut harness: Harness<Vec<u8>> = Harness::with_shared(Vec::new(), Options::default());
    let (mut sender, receiver) = pipe::new().unwrap();
    let id = harness.watch(receiver, Interest::READABLE, take_all).unwrap();
    assert!(harness.io().is_open(id));
    for round in 1..=3 {
        sender.write_all(&[round; 250]).unwrap();
        harness.until(|server| server.shared_mut().len() == 250 * usize::from(round));
    }
    drop(sender);
    harness.until(|server| !server.io().is_open(id));
    assert_eq!(harness.io().local_addr(id), None);
    let steps = harness.steps();
    harness.until_quiet(&steps);
}

#[test]
fn an_exit_of_a_source_or_an_alarm_ends_the_run() {
    let mut harness = Harness::new();
    let (mut sender, receiver) = pipe::new().unwrap();
    sender.write_all(b"x").unwrap();
    let exit = |_: &mut Context<'_>, _: &mut pipe::Receiver, _| Err(Exit.into());
    harness.watch(receiver, Interest::READABLE, exit).unwrap();
    assert!(Exit::is_exit(&harness.serve_forever().unwrap_err()));
    let alarm = harness.add_timer_handler(|_| Err(Exit.into())).unwrap();
    harness.io_mut().set_timer(alarm, Duration::ZERO);
    assert!(Exit::is_exit(&harness.serve_forever().unwrap_err()));
}

#[test]
fn a_source_without_events_is_not_called_and_keeps_nobody_awake() {
    let mut harness: Harness<u32> = Harness::with_shared(0, Options::default());
    let (mut sender, receiver) = pipe::new().unwrap();
    let watch = |cx: &mut Context<'_, u32>, pipe: &mut pipe::Receiver, _| {
        *cx.shared += 1;
        while pipe.read(&mut [0; 8]).is_ok_and(|n| n > 0) {}
        Ok(())
    };
    harness.watch(receiver, Interest::READABLE, watch).unwrap();
    let steps = harness.steps();
    for called in 1..=3 {
        sender.write_all(b"x").unwrap();
        harness.until(|server| *server.shared_mut() == called);
        harness.until_quiet(&steps);
        steps.clear();
        harness.turn(Some(Duration::from_millis(20))).unwrap();
        assert_eq!((*harness.shared(), steps.all()), (called, vec![TraceEvent::Polled(0)]));
    }
}

#[test]
fn a_source_is_told_of_room_and_that_its_peer_has_gone() {
    let mut harness: Harness<Vec<Readiness>> = Harness::with_shared(Vec::new(), Options::default());
    let (sender, receiver) = pipe::new().unwrap();
    let watch = |cx: &mut Context<'_, Vec<Readiness>>, _: &mut pipe::Sender, readiness| {
        cx.shared.push(readiness);
        Ok(())
    };
    harness.watch(sender, Interest::WRITABLE, watch).unwrap();
    harness.until(|server| server.shared_mut().iter().any(|told| told.writable && !told.error));
    drop(receiver);
    harness.until(|server| server.shared_mut().iter().any(|told| told.error));
}

#[test]
#[cfg(target_os = "linux")]
fn a_source_is_told_of_urgent_data() {
    let mut harness: Harness<Vec<Readiness>> = Harness::with_shared(Vec::new(), Options::default());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let watch = |cx: &mut Context<'_, Vec<Readiness>>, _: &mut TcpStream, readiness| {
        cx.shared.push(readiness);
        Ok(())
    };
    let interests = Interest::READABLE | Interest::PRIORITY;
    harness.watch(TcpStream::from_std(stream), interests, watch).unwrap();
    socket2::SockRef::from(&peer).send_out_of_band(b"!").unwrap();
    harness.until(|server| server.shared_mut().iter().any(|told| told.urgent));
}

#[test]
fn a_panic_of_a_source_closes_that_source_only() {
    let mut harness: Harness<Vec<u8>> = Harness::with_shared(Vec::new(), Options::default());
    let (mut sender, receiver) = pipe::new().unwrap();
    let (mut other_sender, other) = pipe::new().unwrap();
    let bad = harness
        .watch(receiver, Interest::READABLE, |_, _, _| panic!("expected by this test"))
        .unwrap();
    harness.watch(other, Interest::READABLE, take_all).unwrap();
    sender.write_all(b"x").unwrap();
    harness.until(|server| !server.io().is_open(bad));
    other_sender.write_all(b"fine").unwrap();
    harness.until(|server| server.shared_mut() == b"fine");
}

#[test]
fn a_closed_source_is_dropped_and_hears_nothing_more() {
    let mut harness: Harness<Vec<u8>> = Harness::with_shared(Vec::new(), Options::default());
    let (mut sender, receiver) = pipe::new().unwrap();
    let id = harness.watch(receiver, Interest::READABLE, take_all).unwrap();
    sender.write_all(b"too late").unwrap();
    harness.io_mut().close(id);
    harness.turn(Some(Duration::from_millis(1))).unwrap();
    assert!(harness.shared().is_empty());
    assert_eq!(sender.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_datagram_socket_of_ones_own_shares_the_loop() {
    let mut harness = Harness::new();
    let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap();
    harness
        .watch(socket, Interest::READABLE, |_, socket, readiness| {
            assert!(readiness.readable);
            let mut buffer = [0; 100];
            while let Ok((n, peer)) = socket.recv_from(&mut buffer) {
                socket.send_to(buffer.get(..n).unwrap_or_default(), peer)?;
            }
            Ok(())
        })
        .unwrap();
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_nonblocking(true).unwrap();
    for message in [b"one", b"two"] {
        client.send_to(message, addr).unwrap();
        let mut buffer = [0; 100];
        harness.until(|_| client.recv(&mut buffer).is_ok());
        assert!(buffer.starts_with(message));
    }
}

#[test]
fn a_timer_of_a_source_calls_it_with_nothing_ready() {
    let mut harness: Harness<Vec<Readiness>> = Harness::with_shared(Vec::new(), Options::default());
    let (_sender, receiver) = pipe::new().unwrap();
    let watch = |cx: &mut Context<'_, Vec<Readiness>>, _: &mut pipe::Receiver, readiness| {
        cx.shared.push(readiness);
        Ok(())
    };
    let id = harness.watch(receiver, Interest::READABLE, watch).unwrap();
    harness.io_mut().set_timer(id, Duration::from_millis(5));
    harness.until(|server| !server.shared_mut().is_empty());
    assert_eq!(*harness.shared(), [Readiness::default()]);
    harness.io_mut().set_timer(id, Duration::from_millis(5));
    harness.io_mut().close(id);
    harness.until(|server| !server.io().is_open(id));
    let steps = harness.steps();
    harness.until_quiet(&steps);
    assert_eq!(harness.shared().len(), 1, "its timers go with it");
}

#[test]
fn a_handler_may_watch_a_source_and_answer_from_it() {
    let (sender, receiver) = pipe::new().unwrap();
    let mut receiver = Some(receiver);
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, move |_| {
        let mut receiver = receiver.take();
        on_setup(move |cx: &mut Context<'_>| {
            let client = cx.id;
            let receiver = receiver.take().unwrap();
            cx.watch(receiver, Interest::READABLE, move |cx, pipe, _| {
                let mut buffer = [0; 100];
                let n = pipe.read(&mut buffer)?;
                cx.io.send(client, buffer.get(..n).unwrap_or_default());
                Ok(())
            })?;
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    let mut sender = sender;
    sender.write_all(b"from the pipe").unwrap();
    assert_eq!(harness.receive(&mut client, 13), b"from the pipe");
}

#[test]
fn a_source_that_cannot_be_registered_is_an_error_and_leaves_nothing() {
    let mut harness = Harness::new();
    let (_sender, receiver) = pipe::new().unwrap();
    // What is registered with one poll cannot be registered with another.
    let poll = Poll::new().unwrap();
    let mut receiver = receiver;
    poll.registry().register(&mut receiver, Token(0), Interest::READABLE).unwrap();
    assert!(harness.watch(receiver, Interest::READABLE, |_, _, _| Ok(())).is_err());
    let steps = harness.steps();
    harness.until_quiet(&steps);
}

#[test]
fn service_actions_run_once_a_turn_and_may_use_everything() {
    let mut harness: Harness<u32> = Harness::with_shared(0, Options::default());
    harness.set_service_actions(|turns, _| *turns += 1);
    for turn in 1..=5 {
        harness.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(*harness.shared(), turn);
    }
    let id = Rc::new(Cell::new(None));
    let found = Rc::clone(&id);
    let addr = harness.serve(Kind::Tcp, move |_| {
        let found = Rc::clone(&found);
        Wrapped { setup: move |id| found.set(Some(id)), handler: Tells }
    });
    harness.set_service_actions(move |turns, io| {
        if *turns == 1_000 {
            *turns = 0;
            io.send(id.get().unwrap(), b"seen at the end of the turn");
        }
    });
    let mut client = Client::connect(&addr);
    client.send(b"now");
    assert_eq!(harness.receive(&mut client, 27), b"seen at the end of the turn");
}

struct Tells;
impl Handler<u32> for Tells {
    fn handle(&mut self, cx: &mut Context<'_, u32>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        *cx.shared = 1_000;
        Ok(())
    }
}

/// Tells its id at the start, and leaves the rest to another.
struct Wrapped<F, H> {
    setup: F,
    handler: H,
}

impl<F: FnMut(socketserver::SocketId), H: Handler<u32>> Handler<u32> for Wrapped<F, H> {
    fn setup(&mut self, cx: &mut Context<'_, u32>) -> io::Result<()> {
        (self.setup)(cx.id);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_, u32>, input: &mut Input<'_>) -> io::Result<()> {
        self.handler.handle(cx, input)
    }
}

#[test]
fn a_panic_in_service_actions_ends_nothing() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    harness.set_service_actions(|(), _| panic!("expected by this test"));
    let mut client = Client::connect(&addr);
    harness.echo(&mut client, b"still here");
}

/// On poll(2) a poll has no descriptor of its own.
#[cfg(not(mio_unsupported_force_poll_poll))]
mod in_another_loop {
    use super::*;
    use std::os::fd::{AsFd, AsRawFd};

    use socketserver::TraceEvent;
    use socketserver::mio::Events;
    use socketserver::mio::unix::SourceFd;

    #[test]
    fn the_loop_lives_in_another_loop() {
        let mut harness = Harness::new();
        let addr = harness.serve(Kind::Tcp, |_| Echo);
        harness.turn(Some(Duration::ZERO)).unwrap();
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(8);
        let fd = harness.server.as_fd().as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), Token(7), Interest::READABLE).unwrap();
        poll.poll(&mut events, Some(Duration::from_millis(20))).unwrap();
        assert!(events.is_empty(), "an idle server is not readable");
        let mut client = Client::connect(&addr);
        client.send(b"through two loops");
        for _ in 0..100 {
            poll.poll(&mut events, Some(Duration::from_millis(500))).unwrap();
            if events.is_empty() {
                break;
            }
            assert!(events.iter().all(|event| event.token() == Token(7)));
            // An edge: turn until there is nothing left to do.
            let steps = harness.steps();
            loop {
                steps.clear();
                harness.turn(Some(Duration::ZERO)).unwrap();
                if steps.all() == [TraceEvent::Polled(0)] {
                    break;
                }
            }
            client.look();
            if client.received == b"through two loops" {
                return;
            }
        }
        panic!("the outer loop was not told: {:?}", client.received);
    }
}

#[test]
fn an_alarm_rings_for_its_timers_until_it_fails() {
    let mut harness: Harness<u32> = Harness::with_shared(0, Options::default());
    let clock = harness
        .add_timer_handler(|cx| {
            *cx.shared += 1;
            if *cx.shared == 3 { Err(ErrorKind::Other.into()) } else { Ok(()) }
        })
        .unwrap();
    for nth in 0..5 {
        harness.io_mut().set_timer(clock, Duration::from_millis(nth));
    }
    harness.until(|server| !server.io().is_open(clock));
    assert_eq!(*harness.shared(), 3, "its other timers went with it");
}
