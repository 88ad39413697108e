//! What a handler sees of the bytes that came in; framing.
//!
//! An [`Input`] is a view: it owns nothing, and what a handler does not take is shown again, in
//! front of what comes next. [`Held`] is where such bytes wait in the meantime.

use std::io::{self, BufRead};

/// The bytes of one connection that have come in and were not yet taken.
///
/// Taking is final. What is left when `handle` returns is kept and shown again together with the
/// next bytes, up to [`Options::input_limit`](crate::Options::input_limit).
#[derive(Debug)]
pub struct Input<'a> {
    rest: &'a [u8],
    searched: Searched,
}

/// How far a byte was looked for in vain, so that a long line that arrives in many pieces is
/// searched once and not once for each piece.
#[derive(Clone, Copy, Debug, Default)]
struct Searched {
    byte: u8,
    /// Counted from the first byte that is not taken.
    len: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Input<'a> {
        Input { rest: bytes, searched: Searched::default() }
    }

    /// Everything that was not taken yet, without taking it.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes were not taken yet.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything was taken.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes everything there is.
    #[inline]
    pub fn take_all(&mut self) -> &'a [u8] {
        self.searched.len = 0;
        std::mem::take(&mut self.rest)
    }

    /// Takes exactly `n` bytes; `None`, and nothing taken, while fewer have come.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let wanted = self.rest.get(..n)?;
        self.advance(n);
        Some(wanted)
    }

    /// Takes up to and including the next `byte`, and gives what stands before it; `None` while it
    /// has not come.
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when more than `max` bytes stand before it, or
    /// have come without it: a limit is required because the peer decides the length.
    pub fn take_until(&mut self, byte: u8, max: usize) -> io::Result<Option<&'a [u8]>> {
        let rest = self.rest;
        let known = if self.searched.byte == byte { self.searched.len } else { 0 };
        // `skip_until` is the one fast search for a byte that std offers.
        let mut unsearched = rest.get(known..).unwrap_or_default();
        let end = known + unsearched.skip_until(byte)?;
        let Some((&last, before)) = rest.get(..end).and_then(<[u8]>::split_last) else {
            return Ok(None);
        };
        let found = last == byte && end > known;
        if end - usize::from(found) > max {
            return Err(too_long("delimited piece", max));
        }
        if !found {
            self.searched = Searched { byte, len: end };
            return Ok(None);
        }
        self.advance(end);
        Ok(Some(before))
    }

    /// Takes the next line, without its `\n` or `\r\n`; `None` while its end has not come.
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when the line is longer than `max` bytes,
    /// counted without the `\n`.
    pub fn line(&mut self, max: usize) -> io::Result<Option<&'a [u8]>> {
        let line = self.take_until(b'\n', max).map_err(|_| too_long("line", max))?;
        Ok(line.map(|line| line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// Takes the next frame: a length of four bytes, most significant first, then so many bytes,
    /// which are given without the length; `None` while it is not complete.
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when the length says more than `max`, as soon
    /// as it is known; nothing is ever reserved on the word of a length.
    pub fn frame(&mut self, max: usize) -> io::Result<Option<&'a [u8]>> {
        let Some((head, body)) = self.rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let len = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
        if len > max {
            return Err(too_long("frame", max));
        }
        let Some(body) = body.get(..len) else { return Ok(None) };
        self.advance(4 + len);
        Ok(Some(body))
    }

    fn advance(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.rest = self.rest.get(n..).unwrap_or_default();
        self.searched.len = self.searched.len.saturating_sub(n);
    }
}

fn too_long(what: &str, max: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} longer than {max} bytes"))
}

/// Bytes that a handler left, on the heap only while there are any.
#[derive(Debug, Default)]
pub(crate) struct Held(Option<Box<Kept>>);

#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    /// Where the bytes that are not taken begin.
    start: usize,
    searched: Searched,
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |kept| kept.bytes.len() - kept.start)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The bytes held, as a handler shall see them.
    pub(crate) fn input(&self) -> Input<'_> {
        match &self.0 {
            None => Input::new(&[]),
            Some(kept) => Input {
                rest: kept.bytes.get(kept.start..).unwrap_or_default(),
                searched: kept.searched,
            },
        }
    }

    /// Puts what came in behind what is held. The first bytes get a place of exactly their size:
    /// ten thousand connections that each hold half a line cost ten thousand half lines.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if let Some(kept) = &mut self.0 {
            // Moving the rest to the front only when at least as much was taken keeps the cost of
            // all moves below the number of bytes that ever came in.
            if kept.start > kept.bytes.len() / 2 {
                kept.bytes.drain(..kept.start);
                kept.start = 0;
            }
            kept.bytes.extend_from_slice(bytes);
        } else if !bytes.is_empty() {
            let kept = Kept { bytes: bytes.to_vec(), start: 0, searched: Searched::default() };
            self.0 = Some(Box::new(kept));
        }
    }

    /// Remembers what a handler left of [`Held::input`]; frees everything when that was nothing.
    pub(crate) fn keep(&mut self, left: Left) {
        let Some(kept) = &mut self.0 else { return };
        kept.start = kept.bytes.len().saturating_sub(left.len);
        kept.searched = left.searched;
        if left.len == 0 {
            self.0 = None;
        }
    }

    /// Takes over what a handler left of bytes that are not held yet.
    pub(crate) fn hold(&mut self, input: &Input<'_>) {
        debug_assert!(self.is_empty());
        self.append(input.rest);
        if let Some(kept) = &mut self.0 {
            kept.searched = input.searched;
        }
    }
}

/// What a handler left of an [`Input`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    len: usize,
    searched: Searched,
}

impl Input<'_> {
    pub(crate) fn left(&self) -> Left {
        Left { len: self.len(), searched: self.searched }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `stream` in pieces that end at `cuts` and collects what `parse` takes.
    fn parse_in_pieces(
        stream: &[u8],
        cuts: &[usize],
        mut parse: impl FnMut(&mut Input<'_>) -> io::Result<Option<Vec<u8>>>,
    ) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut held = Held::default();
        let mut parsed = Vec::new();
        let mut from = 0;
        for &cut in cuts.iter().chain([&stream.len()]) {
            held.append(&stream[from..cut]);
            from = cut;
            let mut input = held.input();
            while let Some(piece) = parse(&mut input).unwrap() {
                parsed.push(piece);
            }
            let left = input.left();
            held.keep(left);
        }
        (parsed, held.input().rest().to_vec())
    }

    #[test]
    fn every_chunking_gives_the_same_lines() {
        let stream = b"\n\r\nab\r\nc\rd\n\nlast one\nrest";
        let whole = parse_in_pieces(stream, &[], |i| Ok(i.line(8)?.map(<[u8]>::to_vec)));
        assert_eq!(whole.0, [&b""[..], b"", b"ab", b"c\rd", b"", b"last one"]);
        assert_eq!(whole.1, b"rest");
        for first in 0..stream.len() {
            for second in first..stream.len() {
                let cut = parse_in_pieces(stream, &[first, second], |i| {
                    Ok(i.line(8)?.map(<[u8]>::to_vec))
                });
                assert_eq!(cut, whole, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn every_chunking_gives_the_same_frames() {
        let stream = b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01x\0\0\0\x02y";
        let whole = parse_in_pieces(stream, &[], |i| Ok(i.frame(3)?.map(<[u8]>::to_vec)));
        assert_eq!(whole.0, [&b"abc"[..], b"", b"x"]);
        for first in 0..stream.len() {
            for second in first..stream.len() {
                let cut = parse_in_pieces(stream, &[first, second], |i| {
                    Ok(i.frame(3)?.map(<[u8]>::to_vec))
                });
                assert_eq!(cut, whole, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_line_at_the_limit_passes_and_one_above_fails_with_or_without_its_end() {
        assert_eq!(Input::new(b"abc\n").line(3).unwrap(), Some(&b"abc"[..]));
        assert_eq!(Input::new(b"abc").line(3).unwrap(), None);
        for long in [&b"abcd\n"[..], b"abcd"] {
            let error = Input::new(long).line(3).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert_eq!(error.to_string(), "line longer than 3 bytes");
        }
    }

    #[test]
    fn a_frame_above_the_limit_fails_before_its_body_comes() {
        let error = Input::new(b"\xFF\xFF\xFF\xFF").frame(1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn changing_the_byte_looked_for_searches_again() {
        let mut held = Held::default();
        held.append(b"a b");
        let mut input = held.input();
        assert_eq!(input.take_until(b'\n', 9).unwrap(), None);
        assert_eq!(input.take_until(b' ', 9).unwrap(), Some(&b"a"[..]));
        assert_eq!(input.rest(), b"b");
        assert_eq!(input.take_until(b'\n', 9).unwrap(), None);
    }

    #[test]
    fn a_megabyte_line_byte_by_byte_is_searched_once() {
        let mut held = Held::default();
        let mut looked_at = 0;
        for _ in 0..1 << 20 {
            held.append(b"x");
            let mut input = held.input();
            let before = input.searched.len;
            assert_eq!(input.line(1 << 20).unwrap(), None);
            looked_at += input.searched.len - before;
            let left = input.left();
            held.keep(left);
        }
        assert_eq!(looked_at, 1 << 20);
    }

    #[test]
    fn held_bytes_take_about_their_own_size_and_none_when_taken() {
        let mut held = Held::default();
        held.hold(&Input::new(b"0123456789"));
        assert!(held.0.as_ref().unwrap().bytes.capacity() <= 16);
        let mut input = held.input();
        assert_eq!(input.take(10).map(<[u8]>::len), Some(10));
        let left = input.left();
        held.keep(left);
        assert!(held.0.is_none());
    }

    #[test]
    fn take_gives_all_or_nothing() {
        let mut input = Input::new(b"abc");
        assert_eq!(input.take(4), None);
        assert_eq!(input.take(2), Some(&b"ab"[..]));
        assert_eq!(input.take_all(), b"c");
        assert!(input.is_empty());
    }
}
