//! Takes complete pieces from the input of a request: lines, delimited pieces, frames.

use std::io;

use super::Request;
use crate::conn::framing::{Frame, LengthField};

impl<S> Request<'_, S> {
    /// Takes the next line, without its `\n` or `\r\n`; `None` at EOF. As in Python, and with
    /// [`BufRead::lines`](io::BufRead::lines), the last line needs no `\n`. Where an incomplete line must
    /// not pass for a complete one, use [`Request::take_until`].
    ///
    /// ```
    /// # use std::io::{self, Write};
    /// # use socketserver::blocking::Request;
    /// fn greet(request: &mut Request<'_>) -> io::Result<()> {
    ///     while let Some(name) = request.take_line(80)? {
    ///         let greeting = format!("hello {}\n", String::from_utf8_lossy(name));
    ///         request.send_all(greeting.as_bytes())?;
    ///     }
    ///     Ok(())
    /// }
    /// # socketserver::Server::new()?.listen_blocking(
    /// #     "127.0.0.1:0", &socketserver::blocking::Workers::inline(), |_| greet)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when the line is longer than `max` bytes without its
    /// `\n`; like every read, [`TimedOut`](io::ErrorKind::TimedOut) and the error of the system call.
    pub fn take_line(&mut self, max: usize) -> io::Result<Option<&[u8]>> {
        self.reader.line(max)
    }

    /// Takes the bytes before the next `byte`, and consumes `byte` too; `None` at EOF.
    ///
    /// ```
    /// # use std::io;
    /// # use socketserver::blocking::Request;
    /// fn upper(request: &mut Request<'_>) -> io::Result<()> {
    ///     while let Some(text) = request.take_until(b'\0', 80)? {
    ///         let answer = [&text.to_ascii_uppercase()[..], b"\0"].concat();
    ///         request.send_all(&answer)?;
    ///     }
    ///     Ok(())
    /// }
    /// # socketserver::Server::new()?.listen_blocking(
    /// #     "127.0.0.1:0", &socketserver::blocking::Workers::inline(), |_| upper)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when more than `max` bytes precede it, or have
    /// arrived without it; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) at EOF after some bytes
    /// without it.
    pub fn take_until(&mut self, byte: u8, max: usize) -> io::Result<Option<&[u8]>> {
        self.reader.delimited(&[byte], max)
    }

    /// Takes the bytes before the next `separator` of 1 to 7 bytes, and consumes the separator too;
    /// `None` at EOF.
    ///
    /// ```
    /// # use std::io;
    /// # use socketserver::blocking::Request;
    /// fn heads(request: &mut Request<'_>) -> io::Result<()> {
    ///     while let Some(head) = request.take_delimited(b"\r\n\r\n", 8 << 10)? {
    ///         let answer = format!("{} bytes\n", head.len());
    ///         request.send_all(answer.as_bytes())?;
    ///     }
    ///     Ok(())
    /// }
    /// # socketserver::Server::new()?.listen_blocking(
    /// #     "127.0.0.1:0", &socketserver::blocking::Workers::inline(), |_| heads)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Request::take_until`], and [`InvalidInput`](io::ErrorKind::InvalidInput) when
    /// `separator` is empty or longer than 7 bytes.
    pub fn take_delimited(&mut self, separator: &[u8], max: usize) -> io::Result<Option<&[u8]>> {
        self.reader.delimited(separator, max)
    }

    /// Takes the next frame, a length of four bytes in network byte order and its body, and returns the
    /// body; `None` at EOF.
    ///
    /// ```
    /// # use std::io;
    /// # use socketserver::LengthField;
    /// # use socketserver::blocking::Request;
    /// fn echo(request: &mut Request<'_>) -> io::Result<()> {
    ///     while let Some(body) = request.take_frame(64 << 10)? {
    ///         let mut answer = Vec::new();
    ///         LengthField::U32.write(&mut answer, body, 64 << 10)?;
    ///         request.send_all(&answer)?;
    ///     }
    ///     Ok(())
    /// }
    /// # socketserver::Server::new()?.listen_blocking(
    /// #     "127.0.0.1:0", &socketserver::blocking::Workers::inline(), |_| echo)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Request::take_frame_with`].
    pub fn take_frame(&mut self, max: usize) -> io::Result<Option<&[u8]>> {
        Ok(self.reader.frame(&LengthField::U32, max)?.map(|frame| frame.body))
    }

    /// Takes the next frame, whose header has the length as `field` says; `None` at EOF.
    ///
    /// ```
    /// # use std::io;
    /// # use socketserver::LengthField;
    /// # use socketserver::blocking::Request;
    /// fn upper(request: &mut Request<'_>) -> io::Result<()> {
    ///     while let Some(frame) = request.take_frame_with(&LengthField::U16, 4096)? {
    ///         let mut answer = Vec::new();
    ///         LengthField::U16.write(&mut answer, &frame.body.to_ascii_uppercase(), 4096)?;
    ///         request.send_all(&answer)?;
    ///     }
    ///     Ok(())
    /// }
    /// # socketserver::Server::new()?.listen_blocking(
    /// #     "127.0.0.1:0", &socketserver::blocking::Workers::inline(), |_| upper)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when the body is longer than `max` or has a negative
    /// length, as soon as the length has arrived; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) at EOF
    /// inside a frame.
    pub fn take_frame_with(
        &mut self,
        field: &LengthField,
        max: usize,
    ) -> io::Result<Option<Frame<'_>>> {
        self.reader.frame(field, max)
    }

    /// Takes exactly `n` bytes, where the peer has announced `n` (`Content-Length`); `None` at EOF
    /// before the first of them. For a constant `n`, [`Read::read_exact`](io::Read::read_exact) is enough.
    ///
    /// ```
    /// # use std::io;
    /// # use socketserver::blocking::Request;
    /// /// A line with the length of the body, then the body.
    /// fn echo(request: &mut Request<'_>) -> io::Result<()> {
    ///     let line = request.take_line(20)?.unwrap_or_default();
    ///     let length = std::str::from_utf8(line).ok().and_then(|line| line.parse().ok());
    ///     let Some(body) = request.take_exact(length.unwrap_or(0), 64 << 10)? else { return Ok(()) };
    ///     let body = body.to_vec();
    ///     request.send_all(&body)
    /// }
    /// # socketserver::Server::new()?.listen_blocking(
    /// #     "127.0.0.1:0", &socketserver::blocking::Workers::inline(), |_| echo)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when `n` is more than `max`;
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) at EOF after fewer than `n` bytes.
    pub fn take_exact(&mut self, n: usize, max: usize) -> io::Result<Option<&[u8]>> {
        self.reader.take_exact(n, max)
    }
}
