//! An id that has gone stale reaches nobody, whoever lives in its slot now.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use socketserver::{
    CloseReason, Context, Echo, Handler, Input, Options, SendStatus, SocketId, TimerId,
};

use crate::support::{Call, CallLog, Client, Harness, Kind, Recording};

kinds!(clients_that_come_and_go_within_one_batch_are_not_mixed_up);

fn clients_that_come_and_go_within_one_batch_are_not_mixed_up(kind: Kind) {
    let mut harness = Harness::new();
    let (journal, addr) = harness.serve_recorded(kind, move |_| Echo);
    let mut clients = Client::connect_many(&addr, 10);
    harness.until(|server| server.io().connection_count() == 10);
    for round in 0..30_u8 {
        // All of this lies in one batch: ends, bytes of those who stay, and new ones.
        let gone: Vec<Client> = clients.drain(..5).collect();
        for (n, client) in gone.into_iter().enumerate() {
            if kind == Kind::Tcp && n % 2 == 0 { client.reset() } else { drop(client) }
        }
        for client in &mut clients {
            client.send(&[round; 10]);
        }
        let mut new = Client::connect_many(&addr, 5);
        for client in &mut new {
            client.send(&[round + 100; 10]);
        }
        harness.turn(Some(Duration::ZERO)).unwrap();
        for client in &mut clients {
            assert_eq!(harness.receive(client, 10), [round; 10]);
        }
        for client in &mut new {
            assert_eq!(harness.receive(client, 10), [round + 100; 10]);
        }
        clients.append(&mut new);
    }
    harness.until(|server| server.io().connection_count() == 10);
    let ids: HashSet<SocketId> = journal.ids().into_iter().collect();
    assert_eq!(ids.len(), 160, "an id was given out twice");
    journal.assert_order(false);
}

#[test]
fn a_stale_socket_id_reaches_nobody() {
    let mut harness = Harness::new();
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| Echo);
    let mut first = Client::connect(&addr);
    harness.echo(&mut first, b"x");
    drop(first);
    harness.until_ended(1);
    let stale = journal.ids()[0];
    let mut second = Client::connect(&addr);
    harness.echo(&mut second, b"y");
    assert_ne!(journal.ids()[1], stale);
    let io = harness.io_mut();
    assert_eq!(io.send(stale, b"for the dead"), SendStatus::Closed);
    io.pause(stale);
    io.shutdown_write(stale);
    io.set_read_while_congested(stale, true);
    io.set_timer(stale, Duration::ZERO);
    io.close(stale);
    io.abort(stale);
    io.resume(stale);
    assert!(!io.is_open(stale) && !io.is_congested(stale) && !io.is_paused(stale));
    assert_eq!(
        (io.peer_addr(stale), io.local_addr(stale), io.pending_output(stale)),
        (None, None, 0)
    );
    assert_eq!(io.set_nodelay(stale, true).unwrap_err().kind(), io::ErrorKind::NotConnected);
    for _ in 0..3 {
        harness.turn(Some(Duration::from_millis(1))).unwrap();
    }
    harness.echo(&mut second, b"still here");
    assert_eq!(second.received, b"");
    assert_eq!(journal.count(|call| call == Call::Timeout), 0);
}

/// Sets one timer, which by its default ends the conversation.
struct Timed;

impl Handler<Vec<TimerId>> for Timed {
    fn setup(&mut self, cx: &mut Context<'_, Vec<TimerId>>) -> io::Result<()> {
        let timer = cx.set_timer(Duration::from_millis(20));
        cx.shared.push(timer);
        Ok(())
    }

    fn handle(
        &mut self,
        cx: &mut Context<'_, Vec<TimerId>>,
        input: &mut Input<'_>,
    ) -> io::Result<()> {
        cx.send(input.take_all());
        Ok(())
    }
}

#[test]
fn a_timer_of_the_dead_reaches_nobody_in_the_same_slot() {
    let mut harness: Harness<Vec<TimerId>> = Harness::with_shared(Vec::new(), Options::default());
    let journal = CallLog::default();
    let witness = journal.clone();
    let mortal = harness.serve(Kind::Tcp, move |_| Recording::new(&witness, Timed));
    let addr = harness.serve(Kind::Unix, move |_| Echo);
    let first = Client::connect(&mortal);
    harness.until(|server| server.shared_mut().len() == 1);
    first.reset();
    harness.until_ended(1);
    let mut heirs = Client::connect_many(&addr, 3);
    for heir in &mut heirs {
        harness.echo(heir, b"alive");
    }
    let since = harness.io_mut().now();
    harness.until(|server| server.io_mut().now() - since > Duration::from_millis(40));
    assert_eq!(journal.count(|call| call == Call::Timeout), 0);
    for heir in &mut heirs {
        harness.echo(heir, b"alive");
    }
}

#[test]
fn a_stale_timer_id_cancels_nobody_elses_timer() {
    let mut harness: Harness<Vec<TimerId>> = Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, |_| Timed);
    let first = Client::connect(&addr);
    harness.until(|server| server.shared_mut().len() == 1);
    let stale = harness.shared_mut()[0];
    assert!(harness.io_mut().cancel_timer(stale));
    assert!(!harness.io_mut().cancel_timer(stale));
    let second = Client::connect(&addr);
    harness.until(|server| server.shared_mut().len() == 2);
    assert!(!harness.io_mut().cancel_timer(stale));
    harness.until(|server| server.io().stats().ended(CloseReason::HandlerError) == 1);
    assert_eq!(harness.io().connection_count(), 1 + 1, "one is served on, one lingers");
    drop((first, second));
    harness.until_ended(2);
}
