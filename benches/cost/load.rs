//! Loads other than messages on open connections.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use super::support::client::StreamClients;

const PIECE: usize = 256 << 10;

/// Opens `count` connections, `at_once` at a time: connect, 64 bytes, their echo, close.
pub(crate) fn short_connections(addr: SocketAddr, count: usize, at_once: usize) -> io::Result<()> {
    for _ in 0..count / at_once {
        StreamClients::connect(addr, at_once, 64)?.round()?;
    }
    Ok(())
}

/// Sends `total` bytes, a multiple of [`PIECE`], over one connection, while the echo is read.
pub(crate) fn bulk(stream: &TcpStream, total: usize) -> io::Result<()> {
    let mut sending = stream.try_clone()?;
    let writer = thread::spawn(move || {
        let piece = vec![7; PIECE];
        for _ in 0..total / PIECE {
            sending.write_all(&piece)?;
        }
        Ok::<_, io::Error>(())
    });
    let mut receiving = stream;
    let mut buffer = vec![0; PIECE];
    let mut left = total / PIECE * PIECE;
    while left > 0 {
        match receiving.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => left -= n,
        }
    }
    writer.join().map_err(|_| io::Error::other("the writer panicked"))?
}
