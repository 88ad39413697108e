//! Standard input of the server program, a socket on which the test says what to do.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

pub(crate) struct Orders(UnixStream);

impl Orders {
    pub(crate) fn from_stdin() -> io::Result<Orders> {
        Ok(Orders(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?)))
    }

    /// The same for the loop, which must never block.
    pub(crate) fn source(&self) -> io::Result<socketserver::mio::net::UnixStream> {
        self.0.try_clone().map(socketserver::mio::net::UnixStream::from_std)
    }

    /// While the loop runs nothing blocks; between two runs there is nothing else to do.
    pub(crate) fn block(&self, on: bool) -> io::Result<()> {
        self.0.set_nonblocking(!on)
    }

    /// The next order, and not a byte of the one after it; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<String>> {
        let mut order = Vec::new();
        let mut byte = [0];
        loop {
            match self.0.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) if byte == *b"\n" => {
                    return Ok(Some(String::from_utf8_lossy(&order).into_owned()));
                }
                Ok(_) => order.extend_from_slice(&byte),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The orders that have come while the loop runs.
pub(crate) fn come_in(source: &mut socketserver::mio::net::UnixStream) -> Vec<String> {
    let mut bytes = Vec::new();
    // It ends with `WouldBlock`, or at the end.
    let _ = source.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).lines().map(str::to_string).collect()
}
