//! Length fields: what is written is taken again, and what a field cannot say is refused.

use std::io::{self, Write};

use crate::bytes::{Bytes, pieces};
use crate::conn::framing::LengthField;
use crate::conn::input::Input;

/// A [`LengthField`] of which one can ask what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// 0 is a varint.
    width: usize,
    is_little: bool,
    offset: usize,
    adjustment: i64,
    counts_head: bool,
}

impl Field {
    pub(crate) fn any(choices: &mut Bytes<'_>) -> Field {
        let width = [1, 2, 3, 4, 8, 0][choices.below(6)];
        let flags = choices.byte();
        let offset = if flags & 4 == 0 { 0 } else { choices.below(40) };
        let adjustment = match flags >> 3 & 3 {
            0 => 0,
            1 | 2 => i64::from(choices.byte() as i8),
            _ => choices.number::<8>() as i64,
        };
        let (is_little, counts_head) = (flags & 1 != 0, flags & 2 != 0);
        Field { width, is_little, offset, adjustment, counts_head }
    }

    pub(crate) fn own(&self) -> LengthField {
        let field = match self.width {
            1 => LengthField::U8,
            2 => LengthField::U16,
            3 => LengthField::U24,
            4 => LengthField::U32,
            8 => LengthField::U64,
            _ => LengthField::VARINT,
        };
        let field = if self.is_little { field.little_endian() } else { field };
        let field = field.offset(self.offset).adjustment(self.adjustment);
        if self.counts_head { field.including_header() } else { field }
    }

    /// Where the body begins and where it ends, if all of it is there.
    pub(crate) fn search(&self, rest: &[u8], max: usize) -> io::Result<Option<(usize, usize)>> {
        let invalid = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        let Some(field) = rest.get(self.offset..) else { return Ok(None) };
        let mut number: u128 = 0;
        let head = if self.width == 0 {
            let end = field.iter().take(10).position(|byte| *byte < 0x80);
            for (nth, byte) in field.iter().take(end.map_or(10, |end| end + 1)).enumerate() {
                number |= u128::from(byte & 0x7F) << (7 * nth);
            }
            let is_too_long = number >> 64 != 0 || end.is_none() && field.len() >= 10;
            if is_too_long {
                return invalid("the length of a frame exceeds 64 bits".into());
            }
            let Some(end) = end else { return Ok(None) };
            self.offset + end + 1
        } else {
            let Some(digits) = field.get(..self.width) else { return Ok(None) };
            for nth in 0..self.width {
                let digit = digits[if self.is_little { self.width - 1 - nth } else { nth }];
                number = number << 8 | u128::from(digit);
            }
            self.offset + self.width
        };
        let body = self.body(number as i128, head);
        if body < 0 {
            return invalid("the length of a frame is less than its minimum".into());
        }
        if body > max as i128 || head as i128 + body > i128::from(u64::MAX) {
            return invalid(format!("frame longer than {max} bytes"));
        }
        let end = head + usize::try_from(body).expect("it is at most max");
        Ok((end <= rest.len()).then_some((head, end)))
    }

    /// How long a body is if the field says so much.
    fn body(&self, number: i128, head: usize) -> i128 {
        let counted = if self.counts_head { head as i128 } else { 0 };
        number + i128::from(self.adjustment) - counted
    }

    /// Whether the field can say how long a body of so many bytes is.
    fn can_say(&self, len: usize) -> bool {
        let fits = |width: usize, bits: usize| {
            let number = len as i128 - self.body(0, self.offset + width);
            number >= 0 && number >> bits == 0
        };
        match self.width {
            0 => (1..=10).any(|width| fits(width, (7 * width).min(64))),
            width => fits(width, 8 * width),
        }
    }
}

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    let field = Field::any(&mut choices);
    let max = match choices.byte() {
        255 => usize::MAX,
        n => usize::from(n),
    };
    let before = choices.below(4);
    let seed = choices.byte();
    let body = choices.0;

    let mut out = vec![b'x'; before];
    let mut frame = field.own().begin(&mut out, max);
    assert_eq!(frame.header_mut().len(), field.offset);
    frame.header_mut().fill(b'h');
    let mut written = 0;
    for piece in pieces(body, seed) {
        if frame.write_all(piece).is_ok() {
            written += piece.len();
        } else {
            assert!(written + piece.len() > max, "{field:?} refused {piece:?}");
        }
        assert!(frame.len() == written && written <= max);
    }
    if seed % 8 == 7 {
        drop(frame);
        assert_eq!(out, vec![b'x'; before], "half a frame was left");
        return;
    }
    let is_told = frame.finish().is_ok();
    assert_eq!(is_told, field.can_say(written), "{field:?}, {written} bytes");
    let (untouched, rest) = out.split_at(before);
    assert!(untouched.iter().all(|byte| *byte == b'x'));
    if !is_told {
        assert!(rest.is_empty(), "a frame that could not be told was left");
        return;
    }
    let mut input = Input::new(rest);
    let taken = input.take_frame_with(&field.own(), max).expect("our own frame is refused");
    let taken = taken.expect("our own frame is not complete");
    assert!(taken.head.starts_with(&vec![b'h'; field.offset]));
    assert_eq!(taken.body.len(), written, "{field:?}");
    if written == body.len() {
        assert_eq!(taken.body, body);
    }
    assert!(input.is_empty());
    assert_eq!(field.search(rest, max).ok().flatten(), Some((taken.head.len(), rest.len())));
}
