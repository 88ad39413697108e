//! `Read`, `BufRead` and `Write` of a request, each with the limits of the server.

use std::io::{self, BufRead, Read, Write};

use super::Request;

/// `read_to_end` and `read_to_string` are bounded by [`Options::input_limit`](crate::Options::input_limit).
impl<S> Read for Request<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }

    fn read_to_end(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        self.reader.read_to_end(into)
    }

    fn read_to_string(&mut self, into: &mut String) -> io::Result<usize> {
        self.reader.read_to_string(into)
    }
}

/// `read_line`, `read_until`, `lines` and `split` are bounded by
/// [`Options::input_limit`](crate::Options::input_limit); [`Request::take_line`] has a limit of its own.
impl<S> BufRead for Request<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.reader.consume(n);
    }

    fn read_until(&mut self, byte: u8, into: &mut Vec<u8>) -> io::Result<usize> {
        self.reader.read_until(byte, into)
    }

    fn read_line(&mut self, into: &mut String) -> io::Result<usize> {
        self.reader.read_line(into)
    }
}

/// `write` writes all of its argument or fails, so it never returns a shorter length.
impl<S> Write for Request<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(socket) = self.reader.socket_mut() {
            return socket.write(bytes);
        }
        self.reply.get_or_insert_default().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
