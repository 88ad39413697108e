//! One test for each fault of datagram sockets that was found and repaired.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use common::Tested;
use socketserver::{Addr, Context, DatagramHandler, Options};

const GRACE: Duration = Duration::from_secs(5);

/// Counts what its socket comes to.
#[derive(Clone, Default)]
struct Counts {
    shutdowns: Rc<Cell<u32>>,
    finishes: Rc<Cell<u32>>,
    /// With whom it exchanges datagrams from the shutdown on.
    peer: Option<Addr>,
}

impl DatagramHandler for Counts {
    fn handle(&mut self, _: &mut Context<'_>, _: &[u8], _: &Addr) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.shutdowns.set(self.shutdowns.get() + 1);
        match self.peer.take() {
            Some(peer) => cx.io.connect_peer(cx.id, &peer),
            None => Ok(()),
        }
    }

    fn finish(&mut self, _: &mut Context<'_>, _: io::Result<()>) {
        self.finishes.set(self.finishes.get() + 1);
    }
}

fn shut_down(tested: &mut Tested) {
    tested.io_mut().shutdown(GRACE);
    tested.until(|server| !server.io().is_shutting_down());
}

/// Found by the simulated world, seed 491.
#[test]
fn a_shutdown_that_follows_at_once_on_another_is_told_again() {
    let counts = Counts::default();
    let mut tested = Tested::new();
    tested.bind("127.0.0.1:0", counts.clone()).unwrap();
    shut_down(&mut tested);
    shut_down(&mut tested);
    assert_eq!((counts.shutdowns.get(), counts.finishes.get()), (2, 0));
}

/// Found by the simulated world, seed 739.
#[test]
fn a_socket_that_gets_its_peer_during_a_shutdown_closes_with_it() {
    let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = Some(Addr::Ip(peer.local_addr().unwrap()));
    let counts = Counts { peer, ..Counts::default() };
    let mut tested = Tested::new();
    tested.bind("127.0.0.1:0", counts.clone()).unwrap();
    shut_down(&mut tested);
    assert_eq!((counts.shutdowns.get(), counts.finishes.get()), (1, 1));
}

/// More than any system keeps for a Unix socket.
#[cfg(unix)]
const MANY: usize = 4_000;

/// Found by the simulated world, seed 11751.
#[cfg(unix)]
#[test]
fn a_socket_that_is_closed_from_outside_while_its_peer_reads_nothing_ends_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deaf");
    let _deaf = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let counts = Counts::default();
    let close_timeout = Duration::from_millis(20);
    let mut tested = Tested::with_shared((), Options { close_timeout, ..Options::default() });
    let id = tested.connect_datagram(&*path, counts.clone()).unwrap();
    for _ in 0..MANY {
        tested.io_mut().send(id, b"?");
    }
    let steps = tested.steps();
    tested.until_quiet(&steps);
    assert_ne!(tested.io().queued_packets(id), 0);
    tested.io_mut().close(id);
    tested.until(|_| counts.finishes.get() == 1);
    assert_eq!(tested.io().queued_packets(id), 0);
}

/// Found by the simulated world, seed 575.
#[cfg(unix)]
#[test]
fn an_answer_to_who_does_not_read_does_not_hold_up_the_peer_that_came_later() {
    let folder = tempfile::tempdir().unwrap();
    let [own, deaf, peer] = ["own", "deaf", "peer"].map(|name| folder.path().join(name));
    let _deaf = std::os::unix::net::UnixDatagram::bind(&deaf).unwrap();
    let hears = std::os::unix::net::UnixDatagram::bind(&peer).unwrap();
    hears.set_nonblocking(true).unwrap();
    let mut tested = Tested::new();
    let id = tested.bind(&*own, Counts::default()).unwrap();
    for _ in 0..MANY {
        tested.io_mut().send_to(id, b"?", &Addr::Unix(deaf.clone()));
    }
    tested.io_mut().connect_peer(id, &Addr::Unix(peer)).unwrap();
    tested.io_mut().send(id, b"!");
    tested.until(|_| hears.recv(&mut [0; 2]).is_ok());
    assert_eq!(tested.io().queued_packets(id), 0);
}
