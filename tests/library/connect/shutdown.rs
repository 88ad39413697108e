//! What nobody has asked for, such as a look whether another server is well, holds up no shutdown.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::{Addr, CloseReason, Context, Echo, Handler, Input, Options};

use crate::support::{Call, CallLog, Client, Harness, Kind, PATIENCE, Recording, on_input};

/// A listener that answers nobody, because its backlog is full of those who are kept with it.
pub(super) fn silent() -> (Socket, Vec<Socket>, Addr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&addr);
        waiting.push(client);
    }
    (listener, waiting, Addr::Ip(addr.as_socket().unwrap()))
}

/// Looks whether a server is well.
struct Probe;

impl<S> Handler<S> for Probe {
    fn handle(&mut self, _: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }
}

const OFTEN: Duration = Duration::from_millis(1);

/// Has a timer begin a look at `to`, again and again, from now on.
fn look_often<S: 'static>(harness: &mut Harness<S>, to: Addr, journal: &CallLog) {
    let journal = journal.clone();
    let clock = harness.add_timer_handler(move |cx| {
        cx.connect(to.clone(), Recording::new(&journal, Probe))?;
        cx.set_timer(OFTEN);
        Ok(())
    });
    harness.io_mut().set_timer(clock.unwrap(), Duration::ZERO);
}

#[test]
fn connections_that_a_timer_begins_and_nobody_answers_do_not_hold_up_a_shutdown() {
    let (_listener, _waiting, addr) = silent();
    let mut harness = Harness::new();
    let journal = CallLog::default();
    look_often(&mut harness, addr, &journal);
    harness.until(|server| server.io().stats().connected >= 3);
    let began = Instant::now();
    let report = harness.shutdown(PATIENCE).unwrap();
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    assert_eq!((report.forced, report.bytes_dropped), (0, 0));
    assert_eq!(harness.io().connection_count(), 0);
    let aborted = (CloseReason::ConnectFailed, Some(io::ErrorKind::ConnectionAborted));
    assert!(journal.finishes().iter().all(|finish| *finish == aborted));
}

/// They stand, are told of the shutdown, and close; the other server never does.
#[test]
fn connections_that_a_timer_begins_and_that_stand_do_not_hold_up_a_shutdown() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = Addr::Ip(other.local_addr().unwrap());
    let options = Options { linger_timeout: PATIENCE, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let journal = CallLog::default();
    let began = Instant::now();
    look_often(&mut harness, addr, &journal);
    let report = harness.shutdown(PATIENCE).unwrap();
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    assert_eq!(report.forced, 0);
    drop(other);
}

/// Serves on until something comes.
struct Stays;

impl Handler for Stays {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        cx.send(input.take_all());
        cx.close();
        Ok(())
    }
    fn shutdown(&mut self, _: &mut Context<'_>) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn while_a_conversation_goes_on_the_looks_go_on_too() {
    let (_listener, _waiting, addr) = silent();
    let mut harness = Harness::new();
    let journal = CallLog::default();
    let here = harness.serve(Kind::Tcp, |_| Stays);
    let mut client = Client::connect(&here);
    harness.until(|server| server.io().stats().accepted == 1);
    look_often(&mut harness, addr, &journal);
    harness.io_mut().shutdown(PATIENCE);
    harness.until(|server| server.io().stats().connected >= 5);
    assert!(harness.io().is_shutting_down());
    assert!(journal.finishes().is_empty(), "they are not cut off before the end");
    client.send(b"bye");
    assert_eq!(harness.receive_to_end(&mut client), b"bye");
    drop(client);
    harness.until(|server| server.report().is_some());
    assert_eq!(harness.report().map(|report| report.forced), Some(0));
}

#[test]
fn what_a_timer_wanted_to_be_sent_is_waited_for() {
    let (_listener, _waiting, addr) = silent();
    let mut harness = Harness::new();
    let clock = harness.add_timer_handler(move |cx| {
        let id = cx.connect(addr.clone(), Probe)?;
        cx.io.send(id, b"a report");
        Ok(())
    });
    harness.io_mut().set_timer(clock.unwrap(), Duration::ZERO);
    harness.until(|server| server.io().stats().connected == 1);
    let report = harness.shutdown(Duration::from_millis(30)).unwrap();
    assert_eq!((report.drained, report.forced, report.bytes_dropped), (0, 1, 8));
}

/// What one connects to that is told so at the very end would outlive the shutdown.
#[test]
fn a_look_that_is_given_up_at_the_end_cannot_begin_another() {
    struct Again(Addr, Rc<RefCell<Vec<io::ErrorKind>>>);
    impl Handler for Again {
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn finish(&mut self, cx: &mut Context<'_>, _: io::Result<()>) {
            // A panic in here would be caught.
            let again = cx.connect(self.0.clone(), Echo);
            self.1.borrow_mut().extend(again.err().map(|error| error.kind()));
        }
    }
    let (_listener, _waiting, addr) = silent();
    let mut harness = Harness::new();
    let refused = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&refused);
    let clock = harness.add_timer_handler(move |cx| {
        cx.connect(addr.clone(), Again(addr.clone(), Rc::clone(&seen)))?;
        Ok(())
    });
    harness.io_mut().set_timer(clock.unwrap(), Duration::ZERO);
    harness.until(|server| server.io().stats().connected == 1);
    harness.shutdown(PATIENCE).unwrap();
    assert_eq!(*refused.borrow(), [io::ErrorKind::ConnectionAborted]);
    assert_eq!(harness.io().connection_count(), 0);
}

/// A conversation that begins one may owe it to somebody.
#[test]
fn a_connection_that_a_conversation_has_begun_is_waited_for() {
    let (_listener, _waiting, addr) = silent();
    let mut harness = Harness::new();
    let journal = CallLog::default();
    let witness = journal.clone();
    let here = harness.serve(Kind::Tcp, move |_| {
        let (addr, witness) = (addr.clone(), witness.clone());
        on_input(move |cx: &mut Context<'_>, input: &mut Input<'_>| {
            input.take_all();
            cx.connect(addr.clone(), Recording::new(&witness, Probe))?;
            cx.close();
            Ok(())
        })
    });
    let mut client = Client::connect(&here);
    client.send(b"x");
    harness.receive_to_end(&mut client);
    drop(client);
    harness.shutdown(Duration::from_millis(30)).unwrap();
    let forced = Call::Finish(CloseReason::ShutdownTimeout, Some(io::ErrorKind::TimedOut));
    assert_eq!(journal.calls(), [forced]);
}
