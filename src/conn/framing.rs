//! Length-prefixed frames: recognising and writing them.
//!
//! A [`LengthField`] says where the length is and what it counts.
//! [`Input::take_frame_with`](crate::Input::take_frame_with) takes such frames,
//! [`LengthField::begin`] writes them. No memory is reserved for a length that a peer claims.

use std::io;

mod writer;

pub use writer::FrameWriter;

/// The position, width and meaning of the length of a frame.
///
/// The constants are named by their width. All are in network order, most significant byte first,
/// unless changed by [`LengthField::little_endian`]; [`LengthField::VARINT`] has an order of its own.
///
/// ```
/// use socketserver::{Input, LengthField};
///
/// // A kind in one byte, then the length of everything in two, then the rest.
/// const MESSAGE: LengthField = LengthField::U16.offset(1).including_header();
///
/// let mut input = Input::new(b"\x07\x00\x05hi\x08\x00");
/// let frame = input.take_frame_with(&MESSAGE, 1024)?.unwrap();
/// assert_eq!((frame.head, frame.body), (&b"\x07\x00\x05"[..], &b"hi"[..]));
/// assert_eq!(input.take_frame_with(&MESSAGE, 1024)?, None, "the next one is not complete");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LengthField {
    width: Width,
    offset: usize,
    adjustment: i64,
    counts_head: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Width {
    /// This number of bytes, 1 to 8, most significant first.
    Big(usize),
    /// This number of bytes, least significant first.
    Little(usize),
    Varint,
}

/// One frame, borrowed from the input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame<'a> {
    /// The bytes up to and including the length.
    pub head: &'a [u8],
    /// The bytes behind the length.
    pub body: &'a [u8],
}

/// What the first bytes of a frame say about its size.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FrameSize {
    /// The length is known once this number of bytes has arrived.
    HeadNeeds(usize),
    Whole {
        head: usize,
        body: usize,
    },
}

/// The longest varint of 64 bits.
const LONGEST_VARINT: usize = 10;

/// The largest offset. A writer reserves the bytes in front of the length in advance, so they need
/// a limit, and no protocol has more.
const LARGEST_OFFSET: usize = 65_535;

impl LengthField {
    /// A length of one byte.
    pub const U8: LengthField = LengthField::fixed(1);
    /// A length of two bytes.
    pub const U16: LengthField = LengthField::fixed(2);
    /// A length of three bytes.
    pub const U24: LengthField = LengthField::fixed(3);
    /// A length of four bytes.
    pub const U32: LengthField = LengthField::fixed(4);
    /// A length of eight bytes.
    pub const U64: LengthField = LengthField::fixed(8);
    /// A length of one to ten bytes, seven bits in each, the least significant first (LEB128, as in
    /// Protocol Buffers). Padding with zeros is accepted; a number above 64 bits is an error.
    pub const VARINT: LengthField = LengthField { width: Width::Varint, ..LengthField::fixed(0) };

    const fn fixed(width: usize) -> LengthField {
        LengthField { width: Width::Big(width), offset: 0, adjustment: 0, counts_head: false }
    }

    /// Puts the least significant byte first. Has no effect on a varint.
    #[must_use]
    pub const fn little_endian(mut self) -> LengthField {
        if let Width::Big(width) = self.width {
            self.width = Width::Little(width);
        }
        self
    }

    /// Puts the length behind `offset` other bytes of the frame, at most 65,535. Taking or writing
    /// a frame with a larger offset is an [`InvalidInput`](io::ErrorKind::InvalidInput) error.
    #[must_use]
    pub const fn offset(mut self, offset: usize) -> LengthField {
        self.offset = offset;
        self
    }

    /// Adds `more` to the length to get the size of the body; `more` may be negative.
    #[must_use]
    pub const fn adjustment(mut self, more: i64) -> LengthField {
        self.adjustment = more;
        self
    }

    /// The length counts the whole frame, itself and the bytes in front of it included.
    #[must_use]
    pub const fn including_header(mut self) -> LengthField {
        self.counts_head = true;
        self
    }

    /// Measures a frame by its first bytes.
    #[inline]
    pub(super) fn measure(&self, bytes: &[u8], max: usize) -> io::Result<FrameSize> {
        let field = bytes.get(self.offset..).unwrap_or_default();
        let (number, width) = match self.width {
            Width::Big(width) => (field.get(..width).map(|digits| number(digits.iter())), width),
            Width::Little(width) => {
                (field.get(..width).map(|digits| number(digits.iter().rev())), width)
            }
            Width::Varint => varint(field)?,
        };
        let head = self.offset.saturating_add(width);
        let Some(number) = number else {
            self.check()?;
            return Ok(FrameSize::HeadNeeds(head));
        };
        let body = i128::from(number) + self.more_than_said(head);
        if body < 0 {
            let what = "the length of a frame is less than its minimum";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        match usize::try_from(body) {
            Ok(body) if body <= max && head.checked_add(body).is_some() => {
                self.check()?;
                Ok(FrameSize::Whole { head, body })
            }
            _ => Err(too_long(io::ErrorKind::InvalidData, max)),
        }
    }

    /// `Err` if the offset is too large.
    #[inline]
    fn check(&self) -> io::Result<()> {
        if self.offset > LARGEST_OFFSET { Err(too_far(self.offset)) } else { Ok(()) }
    }

    /// The number to add to the length to get the size of the body.
    #[inline]
    fn more_than_said(&self, head: usize) -> i128 {
        let counted = if self.counts_head { head as i128 } else { 0 };
        i128::from(self.adjustment) - counted
    }

    /// Begins a frame at the end of `out`, with a body of at most `max` bytes. The bytes written to
    /// it are the body; [`FrameWriter::finish`] writes the length in front of them.
    ///
    /// ```
    /// use std::io::Write;
    /// use socketserver::LengthField;
    ///
    /// let mut out = Vec::new();
    /// let mut frame = LengthField::U16.begin(&mut out, 1024);
    /// write!(frame, "{} and {}", 1, 2)?;
    /// frame.finish()?;
    /// assert_eq!(out, b"\0\x071 and 2");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn begin<'a>(&self, out: &'a mut Vec<u8>, max: usize) -> FrameWriter<'a> {
        FrameWriter::new(*self, out, max)
    }

    /// Appends a frame with this body to `out`.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when the body is longer than `max`, or the
    /// field cannot represent its length; then `out` is unchanged.
    pub fn write(&self, out: &mut Vec<u8>, body: &[u8], max: usize) -> io::Result<()> {
        let mut frame = self.begin(out, max);
        io::Write::write_all(&mut frame, body)?;
        frame.finish()
    }
}

/// The most significant byte comes first.
#[inline]
fn number<'a>(digits: impl Iterator<Item = &'a u8>) -> u64 {
    digits.fold(0, |number, digit| number << 8 | u64::from(*digit))
}

/// The number, or `None` if it is incomplete; and the bytes it takes, or takes at least.
fn varint(bytes: &[u8]) -> io::Result<(Option<u64>, usize)> {
    let mut number = 0;
    for (nth, &byte) in bytes.iter().take(LONGEST_VARINT).enumerate() {
        if nth + 1 == LONGEST_VARINT && byte > 1 {
            let what = "the length of a frame exceeds 64 bits";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        number |= u64::from(byte & 0x7F) << (7 * nth);
        if byte < 0x80 {
            return Ok((Some(number), nth + 1));
        }
    }
    Ok((None, bytes.len() + 1))
}

#[cold]
fn too_long(kind: io::ErrorKind, max: usize) -> io::Error {
    io::Error::new(kind, format!("frame longer than {max} bytes"))
}

#[cold]
fn too_far(offset: usize) -> io::Error {
    let what = format!("LengthField::offset must not exceed {LARGEST_OFFSET} bytes ({offset})");
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests;
