//! TCP clients for every server: one thread writes to all blocking sockets, then reads from all.
//! Answers are compared with what was sent.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Any port of the loopback interface.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Far above any answer's time, also under valgrind, so a fault ends a run instead of blocking it.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Connected clients and their message.
pub(crate) struct StreamClients {
    streams: Vec<TcpStream>,
    message: Vec<u8>,
    answer: Vec<u8>,
}

impl StreamClients {
    /// Connects `count` clients to the server at `addr`; a message has `size` bytes.
    pub(crate) fn connect(
        addr: SocketAddr,
        count: usize,
        size: usize,
    ) -> io::Result<StreamClients> {
        let streams = (0..count).map(|_| connect(addr)).collect::<io::Result<_>>()?;
        let message = (0..size).map(|i| (i % 251) as u8).collect();
        Ok(StreamClients { streams, message, answer: vec![0; size] })
    }

    /// Sends one message from each client, and receives the answers.
    pub(crate) fn round(&mut self) -> io::Result<()> {
        for stream in &mut self.streams {
            stream.write_all(&self.message)?;
        }
        for stream in &mut self.streams {
            stream.read_exact(&mut self.answer)?;
            if self.answer != self.message {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the echo differs from what was sent",
                ));
            }
        }
        Ok(())
    }
}

/// Connects one client, with timeouts.
pub(crate) fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}
