//! The echo written directly on mio, by hand and for speed alone.
//!
//! Edge-triggered, both directions registered once, one read buffer, no second read after a short
//! one. It has no limits, no timeouts and no fairness, and a panic would end it: it is the lower
//! bound that others are compared with. It is correct: while a peer does not read, its input is not
//! read.

#![expect(clippy::indexing_slicing, reason = "the system returns no more than it was given")]

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);

/// The default of `Options::read_buffer`, so that neither side reads more at once.
const BUFFER: usize = 256 << 10;

/// The default of `Options::events_per_turn`.
const EVENTS: usize = 1_024;

struct BareConnection {
    stream: TcpStream,
    /// Output for which a write would block; nothing is read meanwhile.
    unsent: Vec<u8>,
}

/// A listener with the options of ours.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(addr))?;
    socket.listen(i32::MAX)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Echoes until `stop` is ready.
pub(crate) fn serve(mut listener: TcpListener, stop: Option<&mut dyn Source>) -> io::Result<()> {
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    if let Some(stop) = stop {
        poll.registry().register(stop, STOP, Interest::READABLE)?;
    }
    let mut events = Events::with_capacity(EVENTS);
    // Page-aligned, like the library's buffer.
    let mut memory = vec![0; BUFFER + 4_096];
    let start = memory.as_ptr().align_offset(4_096);
    let buffer = &mut memory[start..start + BUFFER];
    let mut clients: Slab<BareConnection> = Slab::new();
    loop {
        if let Err(error) = poll.poll(&mut events, None) {
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        for event in &events {
            match event.token() {
                LISTENER => accept(&listener, &mut clients, &poll)?,
                STOP => return Ok(()),
                Token(index) => {
                    let Some(client) = clients.get_mut(index) else { continue };
                    let readable = event.is_readable();
                    let over = client.echo(buffer, readable, event.is_read_closed());
                    if over.unwrap_or(true) {
                        clients.remove(index);
                    }
                }
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    clients: &mut Slab<BareConnection>,
    poll: &Poll,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                let entry = clients.vacant_entry();
                let both = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut stream, Token(entry.key()), both)?;
                entry.insert(BareConnection { stream, unsent: Vec::new() });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

impl BareConnection {
    /// Returns whether the peer has sent EOF.
    fn echo(&mut self, buffer: &mut [u8], readable: bool, read_closed: bool) -> io::Result<bool> {
        if !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(n) => drop(self.unsent.drain(..n)),
                Err(error) => return would_block(error),
            }
            if !self.unsent.is_empty() {
                return Ok(false);
            }
            // Readiness was reported once, and input not read, while output was blocked.
        } else if !readable {
            return Ok(false);
        }
        loop {
            let n = match self.stream.read(buffer) {
                Ok(0) => return Ok(true),
                Ok(n) => n,
                Err(error) => return would_block(error),
            };
            let bytes = &buffer[..n];
            let sent = match self.stream.write(bytes) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            if sent < n {
                self.unsent.extend_from_slice(&bytes[sent..]);
                return Ok(false);
            }
            if n < buffer.len() && !read_closed {
                return Ok(false);
            }
        }
    }
}

fn would_block(error: io::Error) -> io::Result<bool> {
    if error.kind() == io::ErrorKind::WouldBlock { Ok(false) } else { Err(error) }
}
