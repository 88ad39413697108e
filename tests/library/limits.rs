//! More clients than there is room for wait, and a shortage of descriptors is survived.

use std::time::{Duration, Instant};

use socketserver::{Echo, Options, TraceEvent};

use crate::support::{Client, Harness, Kind};

kinds!(above_max_connections_clients_wait_and_are_served_as_others_leave);

fn above_max_connections_clients_wait_and_are_served_as_others_leave(kind: Kind) {
    let mut harness =
        Harness::with_shared((), Options { max_connections: 5, ..Options::default() });
    let addr = harness.serve(kind, |_| Echo);
    let steps = harness.steps();
    let mut clients = Client::connect_many(&addr, 20);
    for client in &mut clients {
        client.send(b"hello");
    }
    let mut served = 0;
    while !clients.is_empty() {
        harness.until(|_| {
            let most = clients.len().min(5);
            clients.iter_mut().take(most).all(|client| {
                client.look();
                client.received == b"hello"
            })
        });
        assert!(harness.io().connection_count() <= 5);
        steps.clear();
        harness.until_quiet(&steps);
        let accepted = steps.count(|step| matches!(step, TraceEvent::Accepted(..)));
        assert_eq!(accepted, 0, "it was full");
        // Whoever came first leaves first.
        drop(clients.remove(0));
        served += 1;
        harness.until(|server| server.io().stats().all_ended() == served);
    }
    harness.until_ended(20);
}

#[test]
fn a_full_server_sleeps() {
    let mut harness =
        Harness::with_shared((), Options { max_connections: 1, ..Options::default() });
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let mut clients = Client::connect_many(&addr, 3);
    harness.echo(&mut clients[0], b"x");
    let steps = harness.steps();
    harness.until_quiet(&steps);
    steps.clear();
    let began = Instant::now();
    harness.turn(Some(Duration::from_millis(30))).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(25));
    assert_eq!(steps.all(), [TraceEvent::Polled(0)]);
}

#[test]
fn several_full_listeners_all_get_their_turn_when_there_is_room() {
    let mut harness =
        Harness::with_shared((), Options { max_connections: 2, ..Options::default() });
    let first = harness.serve(Kind::Tcp, |_| Echo);
    let second = harness.serve(Kind::Unix, |_| Echo);
    let mut clients = Client::connect_many(&first, 4);
    clients.extend(Client::connect_many(&second, 4));
    for client in &mut clients {
        client.send(b"hello");
    }
    let mut answered = 0;
    harness.until(|server| {
        assert!(server.io().connection_count() <= 2);
        clients.retain_mut(|client| {
            client.look();
            let done = client.received == b"hello";
            answered += usize::from(done);
            !done
        });
        answered == 8
    });
}

#[test]
fn a_closed_listener_that_waited_for_room_is_gone() {
    let mut harness =
        Harness::with_shared((), Options { max_connections: 1, ..Options::default() });
    let id = harness.serve_as(Kind::Tcp, |_| Echo);
    let addr = harness.io().local_addr(id).unwrap();
    let mut clients = Client::connect_many(&addr, 2);
    harness.echo(&mut clients[0], b"x");
    harness.io_mut().close(id);
    harness.turn(Some(Duration::from_millis(1))).unwrap();
    assert!(!harness.io().is_open(id));
    clients.remove(0).reset();
    harness.until_ended(1);
    // Its backlog went with it.
    harness.until(|_| clients[0].look());
}
