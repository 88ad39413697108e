//! Writes one frame, and its length last.

use std::io::{self, Write};

use super::{LONGEST_VARINT, LengthField, Width, too_long};

/// A frame that is being written, from [`LengthField::begin`]. The bytes written are its body.
///
/// Dropping it without [`FrameWriter::finish`] removes the frame, so half a frame is never sent.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    field: LengthField,
    out: &'a mut Vec<u8>,
    /// The offsets of the frame and of its body in `out`.
    start: usize,
    body: usize,
    max: usize,
    ended: bool,
}

impl<'a> FrameWriter<'a> {
    pub(super) fn new(field: LengthField, out: &'a mut Vec<u8>, max: usize) -> FrameWriter<'a> {
        let start = out.len();
        let reserved = match field.width {
            Width::Big(width) | Width::Little(width) => width,
            // Most frames are short; the bodies of longer ones are moved once.
            Width::Varint => 1,
        };
        // With an invalid field nothing is written, and every call fails.
        let offset = field.check().map_or(0, |()| field.offset);
        let body = start + offset + reserved;
        out.resize(body, 0);
        FrameWriter { field, out, start, body, max, ended: false }
    }

    /// The bytes in front of the length, as many as [`LengthField::offset`] says; zeros at first.
    pub fn header_mut(&mut self) -> &mut [u8] {
        let end = self.start.saturating_add(self.field.offset);
        self.out.get_mut(self.start..end).unwrap_or_default()
    }

    /// The length of the body so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len() - self.body
    }

    /// Whether the body is empty so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Completes the frame: writes the length of the body.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when the field cannot represent the length;
    /// then the frame is removed.
    pub fn finish(mut self) -> io::Result<()> {
        self.field.check()?;
        let at = self.start + self.field.offset;
        match self.field.width {
            Width::Big(width) => {
                let bytes = self.number(width, 8 * width)?.to_be_bytes();
                self.patch(at, bytes.iter().skip(bytes.len() - width));
            }
            Width::Little(width) => {
                let bytes = self.number(width, 8 * width)?.to_le_bytes();
                self.patch(at, bytes.iter().take(width));
            }
            Width::Varint => {
                let (number, width) = self.varint()?;
                self.out.splice(at..self.body, varint_bytes(number, width));
            }
        }
        self.ended = true;
        Ok(())
    }

    fn patch<'b>(&mut self, at: usize, digits: impl Iterator<Item = &'b u8>) {
        for (place, digit) in self.out.iter_mut().skip(at).zip(digits) {
            *place = *digit;
        }
    }

    /// The number for a field of `width` bytes; an error if it does not fit into `bits`.
    fn number(&self, width: usize, bits: usize) -> io::Result<u64> {
        let head = self.field.offset + width;
        let number = self.len() as i128 - self.field.more_than_said(head);
        match u64::try_from(number) {
            Ok(number) if bits >= 64 || number >> bits == 0 => Ok(number),
            _ => {
                let what = format!("the length field of a frame cannot represent {number}");
                Err(io::Error::new(io::ErrorKind::InvalidInput, what))
            }
        }
    }

    /// The number for a varint, and its width. If it counts itself, one depends on the other.
    fn varint(&self) -> io::Result<(u64, usize)> {
        for width in 1..LONGEST_VARINT {
            if let Ok(number) = self.number(width, 7 * width) {
                return Ok((number, width));
            }
        }
        Ok((self.number(LONGEST_VARINT, 64)?, LONGEST_VARINT))
    }
}

/// Encodes `number` in exactly `width` bytes.
fn varint_bytes(number: u64, width: usize) -> impl Iterator<Item = u8> {
    (1..=width).map(move |nth| {
        let [digit, ..] = (number >> (7 * (nth - 1)) & 0x7F).to_le_bytes();
        if nth < width { digit | 0x80 } else { digit }
    })
}

impl Write for FrameWriter<'_> {
    /// Takes all bytes, or none if the body would become too long.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.field.check()?;
        if bytes.len() > self.max.saturating_sub(self.len()) {
            return Err(too_long(io::ErrorKind::InvalidInput, self.max));
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for FrameWriter<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.out.truncate(self.start);
        }
    }
}
