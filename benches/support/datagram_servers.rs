//! UDP echoes: ours, and two written by hand for speed alone.
//!
//! The plain loop calls `recvfrom` and `sendto` and can do nothing else; the loop on mio can share
//! its thread with other sockets, like ours. All have the same socket options.

#![expect(clippy::indexing_slicing, reason = "the system returns no more than it was given")]

use std::io;
use std::net::{SocketAddr, UdpSocket};

use mio::event::Source;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use socketserver::{Echo, Server};

const SOCKET: Token = Token(0);
const STOP: Token = Token(1);

/// The default of `Options::events_per_turn`.
const EVENTS: usize = 1_024;

/// The default of `Options::max_packet_size`.
const MAX_DATAGRAM: usize = 65_535;

/// What ours requests by default; the kernel limits it to its maximum.
const SOCKET_BUFFER: usize = 4 << 20;

/// Binds a server of this crate with default options. Returns it with its address.
pub(crate) fn bind_ours(addr: SocketAddr) -> io::Result<(Server, SocketAddr)> {
    let mut server = Server::new()?;
    let id = server.bind(addr, Echo)?;
    let addr = server.io().local_addr(id).and_then(|addr| addr.ip().copied());
    Ok((server, addr.ok_or(io::ErrorKind::AddrNotAvailable)?))
}

/// A blocking socket with the options of ours.
pub(crate) fn bind_bare(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.bind(&SockAddr::from(addr))?;
    Ok(socket.into())
}

/// Echoes until an empty datagram, because nothing else reaches a thread in `recvfrom`.
pub(crate) fn serve_loop(socket: &UdpSocket) -> io::Result<()> {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let (n, peer) = socket.recv_from(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        socket.send_to(&buffer[..n], peer)?;
    }
}

/// Echoes until `stop` is ready.
pub(crate) fn serve_mio(socket: UdpSocket, stop: Option<&mut dyn Source>) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let mut socket = mio::net::UdpSocket::from_std(socket);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut socket, SOCKET, Interest::READABLE)?;
    if let Some(stop) = stop {
        poll.registry().register(stop, STOP, Interest::READABLE)?;
    }
    let mut events = Events::with_capacity(EVENTS);
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            match event.token() {
                STOP => return Ok(()),
                _ => echo_all(&socket, &mut buffer)?,
            }
        }
    }
}

/// Echoes until receiving would block. A datagram for which sending would block is dropped.
fn echo_all(socket: &mio::net::UdpSocket, buffer: &mut [u8]) -> io::Result<()> {
    let nothing = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    loop {
        let (n, peer) = match socket.recv_from(buffer) {
            Err(error) if nothing(&error) => return Ok(()),
            came => came?,
        };
        match socket.send_to(&buffer[..n], peer) {
            Err(error) if !nothing(&error) => return Err(error),
            _ => {}
        }
    }
}
