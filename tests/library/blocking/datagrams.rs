//! Handlers that block, and datagrams: what one that fails leaves behind.

use std::io;
use std::net::UdpSocket;

use socketserver::blocking::{Handler, Request, Workers};

use crate::support::Harness;

/// Answers in `setup`, where it then may fail.
struct Early;

impl Handler for Early {
    fn setup(&mut self, request: &mut Request<'_>) -> io::Result<()> {
        request.send_all(b"begun ")?;
        match request.datagram() {
            Some(b"error") => Err(io::Error::other("expected by this test")),
            // So that nothing is printed.
            Some(b"panic") => std::panic::resume_unwind(Box::new("expected by this test")),
            _ => Ok(()),
        }
    }

    fn handle(&mut self, request: &mut Request<'_>) -> io::Result<()> {
        request.send_all(b"and done")
    }
}

/// In Python the answer is sent by `finish`, which does not run then.
#[test]
fn what_a_setup_wrote_that_failed_is_no_answer() {
    for mode in [Workers::inline(), Workers::threads(1)] {
        let mut harness = Harness::new();
        let id = harness.bind_blocking("127.0.0.1:0", &mode, |_| Early).unwrap();
        let addr = *harness.io().local_addr(id).unwrap().ip().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(addr).unwrap();
        client.set_nonblocking(true).unwrap();
        for question in [&b"error"[..], b"panic", b"well"] {
            client.send(question).unwrap();
        }
        let mut answer = [0; 20];
        let mut came = None;
        harness.until(|_| {
            came = client.recv(&mut answer).ok();
            came.is_some()
        });
        assert_eq!(&answer[..came.unwrap()], b"begun and done");
        let stats = harness.io().stats();
        assert_eq!((stats.packets_failed, stats.packets_sent), (2, 1));
    }
}
