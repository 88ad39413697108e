//! More clients than there is room for wait, and a shortage of descriptors is survived.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::env;
use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Client, Kind, Tested};
use socketserver::{Echo, Options, TraceEvent};

#[test]
fn above_max_connections_clients_wait_and_are_served_as_others_leave() {
    for kind in Kind::ALL {
        let mut tested =
            Tested::with_shared((), Options { max_connections: 5, ..Options::default() });
        let addr = tested.serve(kind, |_| Echo);
        let steps = tested.steps();
        let mut clients = Client::connect_many(&addr, 20);
        for client in &mut clients {
            client.send(b"hello");
        }
        let mut served = 0;
        while !clients.is_empty() {
            tested.until(|_| {
                let most = clients.len().min(5);
                clients.iter_mut().take(most).all(|client| {
                    client.look();
                    client.received == b"hello"
                })
            });
            assert!(tested.io().connection_count() <= 5);
            steps.clear();
            tested.until_quiet(&steps);
            let accepted = steps.count(|step| matches!(step, TraceEvent::Accepted(..)));
            assert_eq!(accepted, 0, "it was full");
            // Whoever came first leaves first.
            drop(clients.remove(0));
            served += 1;
            tested.until(|server| server.io().stats().all_ended() == served);
        }
        tested.until_ended(20);
    }
}

#[test]
fn a_full_server_sleeps() {
    let mut tested = Tested::with_shared((), Options { max_connections: 1, ..Options::default() });
    let addr = tested.serve(Kind::Tcp, |_| Echo);
    let mut clients = Client::connect_many(&addr, 3);
    tested.echo(&mut clients[0], b"x");
    let steps = tested.steps();
    tested.until_quiet(&steps);
    steps.clear();
    let began = Instant::now();
    tested.turn(Some(Duration::from_millis(30))).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(25));
    assert_eq!(steps.all(), [TraceEvent::Polled(0)]);
}

#[test]
fn several_full_listeners_all_get_their_turn_when_there_is_room() {
    let mut tested = Tested::with_shared((), Options { max_connections: 2, ..Options::default() });
    let first = tested.serve(Kind::Tcp, |_| Echo);
    let second = tested.serve(Kind::Unix, |_| Echo);
    let mut clients = Client::connect_many(&first, 4);
    clients.extend(Client::connect_many(&second, 4));
    for client in &mut clients {
        client.send(b"hello");
    }
    let mut answered = 0;
    tested.until(|server| {
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
    let mut tested = Tested::with_shared((), Options { max_connections: 1, ..Options::default() });
    let id = tested.serve_as(Kind::Tcp, |_| Echo);
    let addr = tested.io().local_addr(id).unwrap();
    let mut clients = Client::connect_many(&addr, 2);
    tested.echo(&mut clients[0], b"x");
    tested.io_mut().close(id);
    tested.turn(Some(Duration::from_millis(1))).unwrap();
    assert!(!tested.io().is_open(id));
    clients.remove(0).reset();
    tested.until_ended(1);
    // Its backlog went with it.
    tested.until(|_| clients[0].look());
}

/// Says to the test below that it runs alone in a process with few descriptors.
const CHILD: &str = "SOCKETSERVER_TEST_FEW_DESCRIPTORS";

#[test]
fn a_shortage_of_descriptors_is_survived_without_a_spin_and_left_behind() {
    if env::var_os(CHILD).is_some() {
        return survive_a_shortage();
    }
    let this = env::current_exe().unwrap();
    let name = "a_shortage_of_descriptors_is_survived_without_a_spin_and_left_behind";
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact --nocapture --test-threads=1 \"$1\""])
        .arg(this)
        .arg(name)
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

fn survive_a_shortage() {
    let mut tested = Tested::new();
    let addr = tested.serve(Kind::Tcp, |_| Echo);
    let mut served = Client::connect(&addr);
    tested.echo(&mut served, b"before");
    // All that is left goes to clients and files, so that not one can be accepted.
    let mut clients = Client::connect_many(&addr, 20);
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    let steps = tested.steps();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(500) {
        tested.turn(Some(Duration::from_millis(500))).unwrap();
    }
    // Tried again every 100 ms, and asleep in between.
    let turns = steps.count(|step| matches!(step, TraceEvent::Polled(_)));
    assert!((4..20).contains(&turns), "{turns} turns");
    let errors = tested.io().stats().accept_errors;
    assert!((4..20).contains(&errors), "{errors} errors");
    assert_eq!(tested.io().stats().accepted, 1);
    tested.echo(&mut served, b"during");
    // As soon as there is room, everybody who waits is served, and no new client is needed.
    files.truncate(3);
    let recovered = Instant::now();
    for client in &mut clients {
        tested.echo(client, b"after");
    }
    assert!(recovered.elapsed() < Duration::from_secs(1));
    // When a connection ends there is room at once, before any time is over.
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    files.pop();
    let mut late = Client::connect(&addr);
    tested.until(|server| server.io().stats().accept_errors > errors);
    drop(clients.pop());
    tested.echo(&mut late, b"at once");
}
