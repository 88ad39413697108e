//! The input of a blocking handler: bytes as they arrive, or complete pieces with a limit.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use super::socket::BlockingSocket;
use crate::conn::framing::{Frame, LengthField};
use crate::conn::input::{Input, Unconsumed};

/// Where the bytes come from.
pub(super) enum ReadSource {
    Stream(BufReader<BlockingSocket>),
    Packet(Cursor<Vec<u8>>),
}

/// The input of one request; holds an incomplete piece until the rest has arrived.
pub(super) struct Reader {
    source: ReadSource,
    /// The first part of an incomplete piece.
    unconsumed: Unconsumed,
    /// The length of the piece that the last call returned, still in its buffer; the next call consumes it.
    returned: usize,
    /// The limit of one call that has no limit of its own.
    limit: usize,
}

/// The result of a search for a piece.
enum PieceFound<T> {
    Whole(T),
    /// EOF before the first byte of the piece.
    Eof,
    /// EOF inside the piece.
    Partial,
}

/// The size of one read; also the capacity that an incomplete piece may have above its limit.
const ONE_READ: usize = 8 << 10;

impl Reader {
    pub(super) fn of_stream(socket: BlockingSocket, limit: usize) -> Reader {
        let source = ReadSource::Stream(BufReader::with_capacity(ONE_READ, socket));
        Reader { source, unconsumed: Unconsumed::default(), returned: 0, limit }
    }

    pub(super) fn of_packet(packet: Vec<u8>) -> Reader {
        let source = ReadSource::Packet(Cursor::new(packet));
        Reader { source, unconsumed: Unconsumed::default(), returned: 0, limit: usize::MAX }
    }

    pub(super) fn source(&self) -> &ReadSource {
        &self.source
    }

    pub(super) fn socket_mut(&mut self) -> Option<&mut BlockingSocket> {
        match &mut self.source {
            ReadSource::Stream(reader) => Some(reader.get_mut()),
            ReadSource::Packet(_) => None,
        }
    }

    pub(super) fn line(&mut self, max: usize) -> io::Result<Option<&[u8]>> {
        match self.find(max, |input| Ok(input.take_line(max)?.map(<[u8]>::len)))? {
            PieceFound::Whole(len) => Ok(self.returned().get(..len)),
            PieceFound::Eof => Ok(None),
            PieceFound::Partial => {
                self.returned = self.unconsumed.len();
                Ok(Some(self.returned()))
            }
        }
    }

    pub(super) fn delimited(&mut self, separator: &[u8], max: usize) -> io::Result<Option<&[u8]>> {
        let found =
            self.find(max, |input| Ok(input.take_delimited(separator, max)?.map(<[u8]>::len)));
        Ok(complete(found?)?.and_then(|len| self.returned().get(..len)))
    }

    pub(super) fn frame(
        &mut self,
        field: &LengthField,
        max: usize,
    ) -> io::Result<Option<Frame<'_>>> {
        let found = self.find(max, |input| {
            Ok(input.take_frame_with(field, max)?.map(|frame| frame.head.len()))
        });
        let Some(head) = complete(found?)? else { return Ok(None) };
        let frame = self.returned().split_at_checked(head);
        Ok(frame.map(|(head, body)| Frame { head, body }))
    }

    pub(super) fn take_exact(&mut self, n: usize, max: usize) -> io::Result<Option<&[u8]>> {
        // Refuses `n` above `max` before any input has arrived, and returns no bytes without a read.
        Input::new(&[]).require(n, max)?;
        if n == 0 {
            return Ok(Some(&[]));
        }
        let found = self.find(max, |input| {
            Ok(if input.require(n, max)? { input.take(n).map(<[u8]>::len) } else { None })
        });
        Ok(complete(found?)?.and_then(|len| self.returned().get(..len)))
    }

    /// Reads until `take` finds a complete piece. The piece stays at the front of its buffer, and the next
    /// call consumes it.
    fn find<T>(
        &mut self,
        max: usize,
        take: impl Fn(&mut Input<'_>) -> io::Result<Option<T>>,
    ) -> io::Result<PieceFound<T>> {
        self.consume_returned();
        loop {
            if self.unconsumed.is_empty() {
                let piece = self.source.fill_buf()?;
                if piece.is_empty() {
                    return Ok(PieceFound::Eof);
                }
                let (all, mut input) = (piece.len(), Input::new(piece));
                if let Some(found) = take(&mut input)? {
                    self.returned = all - input.len();
                    return Ok(PieceFound::Whole(found));
                }
                self.unconsumed.store(&input, 0);
                self.source.consume(all);
            } else {
                let mut input = self.unconsumed.input();
                let all = input.len();
                if let Some(found) = take(&mut input)? {
                    self.returned = all - input.len();
                    return Ok(PieceFound::Whole(found));
                }
                let left = input.remainder();
                self.unconsumed.store_remainder(left, 0);
                if !self.collect(max)? {
                    return Ok(PieceFound::Partial);
                }
            }
        }
    }

    /// Appends one read to the incomplete piece; `false` at EOF.
    fn collect(&mut self, max: usize) -> io::Result<bool> {
        let piece = self.source.fill_buf()?;
        let n = piece.len();
        self.unconsumed.reserve(n, max.saturating_add(ONE_READ));
        self.unconsumed.append(piece);
        self.source.consume(n);
        Ok(n > 0)
    }

    /// The piece that was found, in its buffer.
    fn returned(&self) -> &[u8] {
        let there = if self.unconsumed.is_empty() {
            self.source.buffer()
        } else {
            self.unconsumed.input().peek()
        };
        there.get(..self.returned).unwrap_or_default()
    }

    fn consume_returned(&mut self) {
        let returned = std::mem::take(&mut self.returned);
        if returned > 0 {
            self.skip(returned);
        }
    }

    fn skip(&mut self, n: usize) {
        if self.unconsumed.is_empty() {
            return self.source.consume(n);
        }
        let mut input = self.unconsumed.input();
        input.take(n.min(input.len()));
        let left = input.remainder();
        self.unconsumed.store_remainder(left, 0);
    }

    /// Appends the input up to and including the next `byte`, or to EOF if that is `None`.
    fn gather(&mut self, byte: Option<u8>, into: &mut Vec<u8>) -> io::Result<usize> {
        let mut gathered = 0;
        loop {
            let limit = self.limit;
            let piece = self.fill_buf()?;
            let n = match byte {
                // `skip_until` is the one fast search for a byte that std offers.
                Some(byte) => {
                    let mut rest = piece;
                    rest.skip_until(byte)?
                }
                None => piece.len(),
            };
            if n > limit - gathered {
                return Err(over_limit(limit));
            }
            let piece = piece.get(..n).unwrap_or_default();
            into.extend_from_slice(piece);
            gathered += n;
            let is_last = n == 0 || byte.is_some_and(|byte| piece.last() == Some(&byte));
            self.consume(n);
            if is_last {
                return Ok(gathered);
            }
        }
    }

    /// Like [`Reader::gather`], for text. After an error `into` has the input before it, if that is UTF-8.
    fn gather_text(&mut self, byte: Option<u8>, into: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        let gathered = self.gather(byte, &mut bytes);
        match String::from_utf8(bytes) {
            Ok(text) => into.push_str(&text),
            Err(_) if gathered.is_err() => {}
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
        gathered
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.consume_returned();
        if self.unconsumed.is_empty() {
            return self.source.read(buffer);
        }
        let n = self.unconsumed.input().peek().read(buffer)?;
        self.skip(n);
        Ok(n)
    }

    fn read_to_end(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        self.gather(None, into)
    }

    fn read_to_string(&mut self, into: &mut String) -> io::Result<usize> {
        self.gather_text(None, into)
    }
}

impl BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.consume_returned();
        if self.unconsumed.is_empty() {
            self.source.fill_buf()
        } else {
            Ok(self.unconsumed.input().peek())
        }
    }

    fn consume(&mut self, n: usize) {
        self.consume_returned();
        self.skip(n);
    }

    fn read_until(&mut self, byte: u8, into: &mut Vec<u8>) -> io::Result<usize> {
        self.gather(Some(byte), into)
    }

    fn read_line(&mut self, into: &mut String) -> io::Result<usize> {
        self.gather_text(Some(b'\n'), into)
    }
}

impl ReadSource {
    /// The buffered input.
    fn buffer(&self) -> &[u8] {
        match self {
            ReadSource::Stream(reader) => reader.buffer(),
            ReadSource::Packet(packet) => {
                let at = usize::try_from(packet.position()).unwrap_or(usize::MAX);
                packet.get_ref().get(at..).unwrap_or_default()
            }
        }
    }
}

impl Read for ReadSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            ReadSource::Stream(reader) => reader.read(buffer),
            ReadSource::Packet(packet) => packet.read(buffer),
        }
    }
}

impl BufRead for ReadSource {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            ReadSource::Stream(reader) => reader.fill_buf(),
            ReadSource::Packet(packet) => packet.fill_buf(),
        }
    }

    fn consume(&mut self, n: usize) {
        match self {
            ReadSource::Stream(reader) => reader.consume(n),
            ReadSource::Packet(packet) => packet.consume(n),
        }
    }
}

/// Maps EOF inside a piece to an error.
fn complete<T>(found: PieceFound<T>) -> io::Result<Option<T>> {
    match found {
        PieceFound::Whole(found) => Ok(Some(found)),
        PieceFound::Eof => Ok(None),
        PieceFound::Partial => {
            let what = "unexpected EOF inside a frame or a delimited piece";
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, what))
        }
    }
}

fn over_limit(limit: usize) -> io::Error {
    let what = format!(
        "one read exceeds {limit} bytes (Options::input_limit): take lines and frames with a limit of \
         their own (Request::take_line, Request::take_frame_with), or read in pieces"
    );
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
