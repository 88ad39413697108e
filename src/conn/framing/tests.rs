//! Every kind of length field, written and taken again, whatever a peer puts there.

use std::io::Write;

use super::*;
use crate::conn::input::Input;

mod model;

const FIELDS: [LengthField; 6] = [
    LengthField::U8,
    LengthField::U16,
    LengthField::U24,
    LengthField::U32,
    LengthField::U64,
    LengthField::VARINT,
];

/// Every field in every order, place and way of counting.
fn variants() -> impl Iterator<Item = LengthField> {
    FIELDS.into_iter().flat_map(|field| [field, field.little_endian()]).flat_map(|field| {
        [0, 1, 3].into_iter().flat_map(move |offset| {
            [-5, -1, 0, 2].into_iter().flat_map(move |more| {
                let field = field.offset(offset).adjustment(more);
                [field, field.including_header()]
            })
        })
    })
}

#[test]
#[cfg_attr(miri, ignore = "too long")]
fn what_is_written_is_taken_again_however_it_is_cut() {
    for field in variants() {
        for len in [0, 1, 2, 5, 126, 127, 128, 129, 300] {
            let body: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut out = b"before".to_vec();
            let mut frame = field.begin(&mut out, len);
            frame.header_mut().fill(b'h');
            frame.write_all(&body).unwrap();
            if frame.finish().is_err() {
                // The field cannot say it: too few bits, or less than nothing.
                assert_eq!(out, b"before");
                let narrow = field.width == Width::Big(1) || field.width == Width::Little(1);
                assert!(
                    narrow && len > 120 || i128::from(field.adjustment) > len as i128,
                    "{field:?} {len}"
                );
                continue;
            }
            let bytes = &out[6..];
            for cut in 0..bytes.len() {
                assert_eq!(Input::new(&bytes[..cut]).take_frame_with(&field, 300).unwrap(), None);
            }
            let mut input = Input::new(bytes);
            let frame = input.take_frame_with(&field, len).unwrap().unwrap();
            assert_eq!(frame.body, body, "{field:?}");
            assert!(frame.head.starts_with(&b"hhh"[..field.offset]));
            assert!(input.is_empty());
        }
    }
}

/// What a frame with such a head comes to.
fn measure(field: LengthField, head: &[u8], max: usize) -> Result<FrameSize, io::ErrorKind> {
    field.measure(head, max).map_err(|error| error.kind())
}

#[test]
fn no_length_is_too_hostile() {
    let invalid = Err(io::ErrorKind::InvalidData);
    let ones = [0xFF; 16];
    for field in variants() {
        for max in [0, 1, 200] {
            assert_eq!(measure(field, &ones, max), invalid, "{field:?} {max}");
        }
        let said_nothing = measure(field, &[0; 16], 200);
        match said_nothing {
            Ok(FrameSize::Whole { head, body }) => {
                let counted = if field.counts_head { head as i128 } else { 0 };
                assert_eq!(body as i128, i128::from(field.adjustment) - counted, "{field:?}");
            }
            _ => assert!(field.adjustment < 0 || field.counts_head, "{field:?}"),
        }
    }
    let most = LengthField::U64.adjustment(i64::MAX);
    assert_eq!(measure(most, &ones, usize::MAX), invalid);
    assert_eq!(
        measure(LengthField::U64, &ones, usize::MAX),
        invalid,
        "with its head it has no end"
    );
    let least = LengthField::U64.adjustment(i64::MIN);
    assert_eq!(measure(least, &[0; 8], usize::MAX), invalid);
}

/// A writer reserves the bytes in front of the length, so their number has a limit.
#[test]
fn an_offset_above_the_limit_can_neither_be_taken_nor_written() {
    let last = LengthField::U8.offset(LARGEST_OFFSET);
    let mut out = Vec::new();
    last.write(&mut out, b"body", 9).unwrap();
    let whole = FrameSize::Whole { head: LARGEST_OFFSET + 1, body: 4 };
    assert_eq!(measure(last, &out, 9), Ok(whole));
    for field in FIELDS {
        for offset in [LARGEST_OFFSET + 1, 1 << 40, usize::MAX] {
            let field = field.offset(offset);
            let refused = Err(io::ErrorKind::InvalidInput);
            assert_eq!(measure(field, b"", 9), refused);
            assert_eq!(
                measure(LengthField::U8.offset(LARGEST_OFFSET + 1), &[0; 70_000], 9),
                refused
            );
            let mut out = vec![7];
            let error = field.write(&mut out, b"body", 9).unwrap_err();
            assert!(error.to_string().contains("LengthField::offset"), "{error}");
            assert_eq!(out, [7], "it leaves no trace");
            let mut frame = field.begin(&mut out, 9);
            assert!(frame.header_mut().is_empty() && frame.is_empty());
            assert_eq!(frame.finish().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}

#[test]
fn a_length_at_the_limit_passes_and_one_above_does_not() {
    for field in FIELDS {
        let mut out = Vec::new();
        field.write(&mut out, &[0; 100], 100).unwrap();
        let head = out.len() - 100;
        assert_eq!(measure(field, &out, 100), Ok(FrameSize::Whole { head, body: 100 }));
        assert_eq!(measure(field, &out, 99), Err(io::ErrorKind::InvalidData));
    }
}

#[test]
fn varints_are_those_of_protocol_buffers() {
    let field = LengthField::VARINT;
    for (bytes, head, body) in [
        (&b"\0"[..], 1, 0),
        (b"\x7F", 1, 127),
        (b"\x80\x01", 2, 128),
        (b"\xAC\x02", 2, 300),
        (b"\x81\x80\0", 3, 1),
        (b"\x81\x80\x80\x80\x80\x80\x80\x80\x80\0", 10, 1),
    ] {
        assert_eq!(measure(field, bytes, 300), Ok(FrameSize::Whole { head, body }));
        for cut in 0..bytes.len() {
            assert_eq!(measure(field, &bytes[..cut], 300), Ok(FrameSize::HeadNeeds(cut + 1)));
        }
    }
    let invalid = Err(io::ErrorKind::InvalidData);
    for bytes in [
        // 2^64, one byte too many, and 2^64 - 1, which is only too long.
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02\0",
        b"\x81\x80\x80\x80\x80\x80\x80\x80\x80\x80\0",
        b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\0",
    ] {
        assert_eq!(measure(field, bytes, 1 << 20), invalid);
    }
    // 2^63 is the last bit that there is.
    let bytes = b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01";
    let whole = FrameSize::Whole { head: 10, body: 1 << 63 };
    assert_eq!(measure(field, bytes, usize::MAX), Ok(whole));
}

#[test]
fn a_varint_that_counts_itself_finds_its_own_width() {
    let field = LengthField::VARINT.including_header();
    for len in [0, 125, 126, 127, 128, 16_380, 16_381, 16_382, 16_383] {
        let mut out = Vec::new();
        field.write(&mut out, &vec![7; len], len).unwrap();
        let frame = Input::new(&out).take_frame_with(&field, len).unwrap().unwrap();
        assert_eq!(frame.body.len(), len);
    }
    // No more bytes than it takes, with the last number of each width and the first of the next.
    for (len, head) in [(0, 1), (126, 1), (127, 2), (16_381, 2), (16_382, 3)] {
        let mut out = Vec::new();
        field.write(&mut out, &vec![7; len], len).unwrap();
        assert_eq!(out.len(), head + len);
    }
}

#[test]
fn a_frame_that_is_too_long_or_was_given_up_leaves_no_trace() {
    let mut out = b"kept".to_vec();
    let mut frame = LengthField::U32.offset(2).begin(&mut out, 3);
    assert!(frame.is_empty());
    frame.write_all(b"abc").unwrap();
    assert_eq!(frame.write(b"d").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!((frame.len(), frame.is_empty()), (3, false));
    drop(frame);
    assert_eq!(out, b"kept");
    let error = LengthField::U8.write(&mut out, &[0; 256], 1_000).unwrap_err();
    assert_eq!(error.to_string(), "the length field of a frame cannot represent 256");
    assert!(LengthField::U8.write(&mut out, b"ab", 1).is_err());
    assert_eq!(out, b"kept");
}
