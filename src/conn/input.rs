//! Input as a handler sees it, and framing.
//!
//! An [`Input`] is a view that owns nothing. Bytes that a handler does not take are delivered
//! again, in front of the next ones; in the meantime they are stored in [`Unconsumed`].
//!
//! Framing takes linear time however the bytes are split. [`Unconsumed`] keeps what is known about
//! its bytes: how far each of [`SEARCHES`] separators was searched, how many bytes the handler
//! requires (until then it is not called), and when the first byte arrived (`frame_timeout`). Its
//! capacity grows by doubling as bytes arrive, never for a length that a peer claims; consumed bytes
//! are removed only when they are more than the rest.

use std::io::{self, BufRead};

use crate::conn::framing::{Frame, FrameSize, LengthField};

mod unconsumed;

pub(crate) use unconsumed::Unconsumed;

/// The bytes of one connection that have arrived and were not taken yet.
///
/// Taking is final. Bytes that are left when `handle` returns are delivered again together with the
/// next ones, up to [`Options::input_limit`](crate::Options::input_limit). Their wait for the
/// rest is limited by [`Options::frame_timeout`](crate::Options::frame_timeout).
///
/// | protocol | takes |
/// |---|---|
/// | lines | [`Input::take_line`] |
/// | pieces that end with a byte, or with several | [`Input::take_until`], [`Input::take_delimited`] |
/// | pieces of a fixed size | [`Input::take`] |
/// | a length, then that many bytes | [`Input::take_frame`], [`Input::take_frame_with`] |
/// | anything else | [`Input::peek`] and [`Input::require`], then [`Input::take`] |
///
/// Each of them that waits for something takes a limit, because the peer decides the length; what
/// is to become whole has to fit into [`Options::input_limit`](crate::Options::input_limit) too. Time
/// is linear in the bytes that come, however they are cut: what was searched in vain is not
/// searched again, also with up to four separators in turn, and while more of a frame is missing the
/// handler is not called at all.
#[derive(Debug)]
pub struct Input<'a> {
    rest: &'a [u8],
    scan: ScanState,
}

/// What is known about unconsumed bytes, so that it need not be found out again when more arrive.
/// All lengths are counted from the first of them.
#[derive(Clone, Copy, Debug, Default)]
struct ScanState {
    /// The number of bytes that the handler requires.
    needed: usize,
    /// The searches in vain; `None` if there was none.
    searches: Option<[Search; SEARCHES]>,
}

/// A search in vain.
#[derive(Clone, Copy, Debug, Default)]
struct Search {
    separator: Separator,
    /// The length in which no `separator` ends.
    len: usize,
}

/// How many separators are remembered; one more replaces the one that costs least to search again.
const SEARCHES: usize = 4;

/// A separator in one word: its length, and then its bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Separator(u64);

/// The most bytes of a [`Separator`].
const LONGEST_SEPARATOR: usize = 7;

impl Separator {
    fn of(bytes: &[u8]) -> Separator {
        Separator(bytes.iter().fold(bytes.len() as u64, |word, byte| word << 8 | u64::from(*byte)))
    }
}

impl<'a> Input<'a> {
    /// Wraps bytes from any source, to take frames outside of a server: in a test, from a file, out
    /// of a datagram.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Input<'a> {
        Input { rest: bytes, scan: ScanState::default() }
    }

    /// Returns all bytes that were not taken yet, without taking them.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> &'a [u8] {
        self.rest
    }

    /// The number of bytes that were not taken yet.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether all bytes were taken.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes all bytes.
    #[inline]
    pub fn take_all(&mut self) -> &'a [u8] {
        // The scan state of an empty input is never used.
        std::mem::take(&mut self.rest)
    }

    /// Takes exactly `n` bytes; `None`, and nothing taken, while fewer have arrived.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let wanted = self.rest.get(..n)?;
        self.advance(n);
        Some(wanted)
    }

    /// Whether `n` bytes are there that were not taken yet. If not, the handler is not called again
    /// before they are, or the peer ends; but [`Io::resume`](crate::Io::resume) after a pause shows
    /// it what there is. Taking anything makes this void.
    ///
    /// ```
    /// use socketserver::Input;
    ///
    /// /// A record: the number of words, then the words of four bytes each.
    /// fn record<'a>(input: &mut Input<'a>) -> std::io::Result<Option<&'a [u8]>> {
    ///     let Some(words) = input.peek().first() else { return Ok(None) };
    ///     let len = 1 + 4 * usize::from(*words);
    ///     Ok(if input.require(len, 401)? { input.take(len) } else { None })
    /// }
    ///
    /// assert_eq!(record(&mut Input::new(b"\x01abc"))?, None);
    /// assert_eq!(record(&mut Input::new(b"\x01abcde"))?, Some(&b"\x01abcd"[..]));
    /// assert!(record(&mut Input::new(b"\xFFabcde")).is_err(), "longer than 401 bytes");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when `n` is more than `max`: what is needed
    /// usually follows from what the peer said.
    pub fn require(&mut self, n: usize, max: usize) -> io::Result<bool> {
        if n > max {
            return Err(too_long("piece", max));
        }
        let is_there = n <= self.len();
        self.scan.needed = if is_there { 0 } else { n };
        Ok(is_there)
    }

    /// Takes the bytes up to and including the next `byte`, and returns those in front of it;
    /// `None` while it has not arrived.
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when more than `max` bytes precede it, or have
    /// arrived without it: a limit is required because the peer decides the length.
    pub fn take_until(&mut self, byte: u8, max: usize) -> io::Result<Option<&'a [u8]>> {
        self.seek(&[byte], max, "delimited piece")
    }

    /// Takes the bytes up to and including the next `separator` of 1 to 7 bytes, and returns those
    /// in front of it; `None` while it has not arrived.
    ///
    /// ```
    /// use socketserver::Input;
    ///
    /// let mut input = Input::new(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody");
    /// let head = input.take_delimited(b"\r\n\r\n", 8192)?;
    /// assert_eq!(head, Some(&b"GET / HTTP/1.1\r\nHost: a"[..]));
    /// assert_eq!(input.peek(), b"body");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when more than `max` bytes precede it, or have
    /// arrived without it, apart from the last ones, which may be all of a separator but its end;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when the separator is empty or longer than 7
    /// bytes.
    pub fn take_delimited(&mut self, separator: &[u8], max: usize) -> io::Result<Option<&'a [u8]>> {
        if separator.is_empty() || separator.len() > LONGEST_SEPARATOR {
            let what = format!("a separator must have 1 to {LONGEST_SEPARATOR} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        self.seek(separator, max, "delimited piece")
    }

    /// Takes the next line, without its `\n` or `\r\n`; `None` while its end has not arrived.
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when the line is longer than `max` bytes,
    /// counted without the `\n`.
    pub fn take_line(&mut self, max: usize) -> io::Result<Option<&'a [u8]>> {
        let line = self.seek(b"\n", max, "line")?;
        Ok(line.map(|line| line.strip_suffix(b"\r").unwrap_or(line)))
    }

    // Inlined, so that a search for one byte compares one byte.
    #[inline(always)]
    fn seek(&mut self, separator: &[u8], max: usize, what: &str) -> io::Result<Option<&'a [u8]>> {
        let rest = self.rest;
        let name = Separator::of(separator);
        let mut end = self.searched(name).min(rest.len());
        let last = separator.last().copied().unwrap_or_default();
        let found = loop {
            // `skip_until` is the one fast search for a byte in std.
            end += rest.get(end..).unwrap_or_default().skip_until(last)?;
            let piece = rest.get(..end).unwrap_or_default();
            match piece.strip_suffix(separator) {
                Some(before) => break Some(before),
                _ if end == rest.len() => break None,
                _ => {}
            }
        };
        // The last bytes may be the beginning of a separator, which is no part of the piece.
        let len = found.map_or(end + 1 - separator.len().min(end + 1), <[u8]>::len);
        if len > max {
            return Err(too_long(what, max));
        }
        if found.is_some() {
            self.advance(end);
        } else {
            self.note_search(name, end);
        }
        Ok(found)
    }

    /// The length in which no `separator` ends.
    #[inline]
    fn searched(&self, separator: Separator) -> usize {
        let Some(searches) = &self.scan.searches else { return 0 };
        let before = searches.iter().find(|before| before.separator == separator);
        before.map_or(0, |before| before.len)
    }

    fn note_search(&mut self, separator: Separator, len: usize) {
        let searches = self.scan.searches.get_or_insert_default();
        let same = searches.iter().position(|before| before.separator == separator);
        let least = || (0..SEARCHES).min_by_key(|nth| searches.get(*nth).map(|one| one.len));
        let nth = same.or_else(least).unwrap_or_default();
        if let Some(place) = searches.get_mut(nth) {
            *place = Search { separator, len };
        }
    }

    /// Takes the next frame: a length of four bytes, most significant first, and that many bytes,
    /// which are returned without the length; `None` while it is incomplete. The same as
    /// [`Input::take_frame_with`] a [`LengthField::U32`].
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when the length is more than `max`, as soon as
    /// it is known; no memory is reserved for a length that a peer claims.
    pub fn take_frame(&mut self, max: usize) -> io::Result<Option<&'a [u8]>> {
        Ok(self.take_frame_with(&LengthField::U32, max)?.map(|frame| frame.body))
    }

    /// Takes the next length-prefixed frame, as `field` defines it; `None` while it is incomplete.
    /// Then the handler is not called again before it is complete, see [`Input::require`].
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) when the body is longer than `max` or has a
    /// negative length, as soon as the length is known.
    #[inline]
    pub fn take_frame_with(
        &mut self,
        field: &LengthField,
        max: usize,
    ) -> io::Result<Option<Frame<'a>>> {
        let missing = match field.measure(self.rest, max)? {
            FrameSize::HeadNeeds(n) => n,
            FrameSize::Whole { head, body } => {
                if let Some((frame, _)) = self.rest.split_at_checked(head + body) {
                    self.advance(head + body);
                    let (head, body) = frame.split_at_checked(head).unwrap_or_default();
                    return Ok(Some(Frame { head, body }));
                }
                head + body
            }
        };
        self.scan.needed = missing;
        Ok(None)
    }

    fn advance(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.rest = self.rest.get(n..).unwrap_or_default();
        self.scan.needed = 0;
        if self.scan.searches.is_some() {
            self.scan.advance(n);
        }
    }
}

impl ScanState {
    /// The first `n` bytes were taken.
    fn advance(&mut self, n: usize) {
        let Some(searches) = &mut self.searches else { return };
        let mut known = 0;
        for search in &mut *searches {
            search.len = search.len.saturating_sub(n);
            known |= search.len;
        }
        if known == 0 {
            self.searches = None;
        }
    }
}

fn too_long(what: &str, max: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} longer than {max} bytes"))
}

#[cfg(test)]
mod tests;
