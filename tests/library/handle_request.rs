//! One client at a time, as Python's `handle_request` does it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socketserver::{Addr, Context, Echo, RequestOutcome, TraceEvent};

use crate::support::{Client, Harness, Kind, PATIENCE, delay, ms, on_setup, silence};

/// A client that says something, ends and takes the echo, in a thread of its own.
fn visit(addr: &Addr, text: &'static str) -> JoinHandle<String> {
    let mut stream = TcpStream::connect(addr.ip().unwrap()).unwrap();
    thread::spawn(move || {
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
}

#[test]
fn one_call_serves_one_client_and_the_others_wait_for_the_next() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let clients: Vec<_> = ["one", "two", "three"].iter().map(|text| visit(&addr, text)).collect();
    for served in 1..=3 {
        assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
        let stats = *harness.io().stats();
        assert_eq!((stats.accepted, stats.all_ended()), (served, served));
    }
    let answers: Vec<String> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert_eq!(answers, ["one", "two", "three"]);
    assert_eq!(harness.handle_request(Some(ms(1))).unwrap(), RequestOutcome::TimedOut);
}

#[test]
fn when_nobody_comes_it_times_out_in_time() {
    let mut harness = Harness::new();
    harness.serve(Kind::Tcp, |_| Echo);
    for timeout in [Duration::ZERO, ms(50)] {
        let began = Instant::now();
        assert_eq!(harness.handle_request(Some(timeout)).unwrap(), RequestOutcome::TimedOut);
        assert!(began.elapsed() >= timeout);
        assert!(began.elapsed() < timeout + ms(500));
    }
}

#[test]
fn a_client_that_already_waits_is_served_even_without_any_time() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    harness.turn(Some(Duration::ZERO)).unwrap();
    let client = visit(&addr, "early");
    assert_eq!(harness.handle_request(Some(Duration::ZERO)).unwrap(), RequestOutcome::Handled);
    assert_eq!(client.join().unwrap(), "early");
}

#[test]
fn without_a_listener_and_after_a_shutdown_it_is_closed() {
    let mut harness = Harness::new();
    assert_eq!(harness.handle_request(None).unwrap(), RequestOutcome::Closed);
    harness.serve(Kind::Tcp, |_| Echo);
    harness.io_mut().shutdown(Duration::ZERO);
    assert_eq!(harness.handle_request(None).unwrap(), RequestOutcome::Closed);
    assert_eq!(harness.handle_request(Some(ms(1))).unwrap(), RequestOutcome::TimedOut);
    harness.io_mut().server_close();
    assert_eq!(harness.handle_request(None).unwrap(), RequestOutcome::Closed);
}

#[test]
fn a_client_whose_setup_fails_was_handled() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| {
        on_setup(|_: &mut Context<'_>| Err(std::io::ErrorKind::Other.into()))
    });
    let client = visit(&addr, "");
    assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    assert_eq!(client.join().unwrap(), "");
}

#[test]
fn a_refused_client_is_not_the_one() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let mut asked = 0;
    harness.set_verify_request(move |(), _| {
        asked += 1;
        asked > 1
    });
    let mut refused = Client::connect(&addr);
    let client = visit(&addr, "welcome");
    assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    assert_eq!(client.join().unwrap(), "welcome");
    assert!(refused.look());
}

#[test]
fn whoever_was_left_waiting_is_served_by_turns_as_well() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let first = visit(&addr, "first");
    let mut second = Client::connect(&addr);
    assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    first.join().unwrap();
    harness.echo(&mut second, b"second");
}

#[test]
fn others_who_are_connected_are_served_meanwhile() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let mut stays = Client::connect(&addr);
    harness.echo(&mut stays, b"before");
    stays.send(b"during");
    let client = visit(&addr, "one");
    assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    client.join().unwrap();
    assert_eq!(harness.receive(&mut stays, 6), b"during");
    assert_eq!(harness.io().connection_count(), 1);
}

#[test]
fn datagrams_that_wait_for_the_next_call_keep_nobody_awake() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let id = harness.bind("127.0.0.1:0", Echo).unwrap();
    let to = harness.io().local_addr(id).unwrap();
    let mut client = TcpStream::connect(addr.ip().unwrap()).unwrap();
    let client = thread::spawn(move || {
        // Time enough for a loop that spins to be seen spinning.
        silence(ms(50));
        client.shutdown(Shutdown::Write).unwrap();
        client.read_to_end(&mut Vec::new()).unwrap()
    });
    // The client takes the call, and then the datagrams come.
    let mut seen = false;
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let destination = *to.ip().unwrap();
    harness.set_verify_request(move |(), _| {
        if !std::mem::replace(&mut seen, true) {
            for _ in 0..10 {
                sender.send_to(b"later", destination).unwrap();
            }
        }
        true
    });
    let steps = harness.steps();
    assert_eq!(harness.handle_request(Some(PATIENCE)).unwrap(), RequestOutcome::Handled);
    assert_eq!(client.join().unwrap(), 0);
    let turns = steps.count(|step| matches!(step, TraceEvent::Polled(_)));
    assert!(turns < 50, "it turned {turns} times for a conversation and ten datagrams");
    assert_eq!(harness.io().stats().packets_in, 0);
    // Stepped by hand, it takes them all.
    harness.until(|server| server.io().stats().packets_in == 10);
}

/// A slow callback is none of the client's time.
#[test]
fn a_client_that_came_while_a_callback_was_slow_is_served_though_the_time_is_over() {
    let timeout = ms(20);
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let late = std::rc::Rc::new(std::cell::RefCell::new(None));
    let kept = std::rc::Rc::clone(&late);
    let clock = harness
        .add_timer_handler(move |_| {
            *kept.borrow_mut() = Some(visit(&addr, "in time"));
            delay(timeout + ms(1));
            Ok(())
        })
        .unwrap();
    harness.io_mut().set_timer(clock, ms(1));
    assert_eq!(harness.handle_request(Some(timeout)).unwrap(), RequestOutcome::Handled);
    assert_eq!(late.take().unwrap().join().unwrap(), "in time");
}
