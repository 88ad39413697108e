//! A read that a signal does not end. Where a socket has a timeout, read(2) fails with `EINTR` when the
//! process is stopped and continued, or frozen and thawed, also without a handler (signal(7)).

use std::io::{self, Read};

pub(crate) trait ReadSome: Read {
    /// As [`Read::read`], again after an interruption.
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl<R: Read + ?Sized> ReadSome for R {}
