//! Datagrams over real sockets: whole or not at all, one answer each, and nothing owed.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::net::UdpSocket;

use common::Tested;
use socketserver::Echo;

#[test]
fn a_datagram_of_every_size_comes_back_whole() {
    for addr in ["127.0.0.1:0", "[::1]:0"] {
        let mut tested = Tested::new();
        let id = tested.bind(addr, Echo).unwrap();
        let server = tested.io().local_addr(id).unwrap();
        let client = UdpSocket::bind(addr).unwrap();
        client.connect(server.ip().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        for size in [0, 1, 64, 1_472, 9_000, 65_507] {
            let packet = common::pattern(size, size as u64);
            client.send(&packet).unwrap();
            let mut answer = vec![0; 70_000];
            let mut came = None;
            tested.until(|_| {
                came = client.recv(&mut answer).ok();
                came.is_some()
            });
            assert!(answer[..came.unwrap()] == packet, "{size}");
        }
    }
}
