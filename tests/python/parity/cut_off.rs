//! A connection and a datagram want the one place there is, and the connection is cut off.

use std::cell::Cell;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use socketserver::blocking::{Handler, Request, Workers};
use socketserver::{Addr, Server, SocketId, TraceEvent};

/// Turns of at most 10 ms in which all this has to happen.
const TURNS: usize = 2_000;

/// Answers with all that came; a connection has to end first.
struct Copy;

impl Handler for Copy {
    fn handle(&mut self, request: &mut Request<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        request.read_to_end(&mut bytes)?;
        request.send_all(&bytes)
    }
}

pub(crate) fn run(mode: &Workers) -> io::Result<()> {
    let mut server = Server::new()?;
    let streams = server.listen_blocking("127.0.0.1:0", mode, |_peer| Copy)?;
    let packets = server.bind_blocking("127.0.0.1:0", mode, |_peer| Copy)?;
    let accepted = Rc::new(Cell::new(None));
    let seen = Rc::clone(&accepted);
    server.set_trace(move |step| {
        if let TraceEvent::Accepted(_, id) = step {
            seen.set(Some(id));
        }
    });
    let _stream = TcpStream::connect(ip(&mut server, streams))?;
    turn_until(&mut server, |_| accepted.get().is_some() && mode.active_count() == 1)?;

    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_nonblocking(true)?;
    client.send_to(b"next", ip(&mut server, packets))?;
    turn_until(&mut server, |server| server.io().stats().packets_in == 1)?;

    // Nothing else will happen that could remind the socket of its datagram.
    server.io_mut().abort(accepted.get().unwrap());
    let mut answer = [0; 8];
    turn_until(&mut server, |_| client.recv(&mut answer).is_ok_and(|n| n == 4))?;
    println!("answered {}", String::from_utf8_lossy(&answer[..4]));
    Ok(())
}

fn ip(server: &mut Server, id: SocketId) -> SocketAddr {
    match server.io().local_addr(id) {
        Some(Addr::Ip(addr)) => addr,
        other => panic!("{other:?}"),
    }
}

fn turn_until(server: &mut Server, mut done: impl FnMut(&mut Server) -> bool) -> io::Result<()> {
    for _ in 0..TURNS {
        if done(server) {
            return Ok(());
        }
        server.turn(Some(Duration::from_millis(10)))?;
    }
    panic!("it did not come");
}
