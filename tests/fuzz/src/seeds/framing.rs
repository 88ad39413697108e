//! Seeds of `framing` and `fields`.

use super::{Seed, plain};

pub(crate) fn frames() -> Vec<Seed> {
    // How the input is cut, the longest frame, how the first frame is taken and how the second, then the input.
    // 0 is a line, 1 up to a byte, 2 up to a separator (its length less one, its bytes), 4 a length field (its
    // width, its flags), 6 a record (the size of its words), 7 so many bytes.
    plain([
        ("lines-with-lf-and-crlf", b"\x03\xff\0\0one\ntwo\r\n\nthree"),
        ("line-too-long-with-its-end", b"\x03\x04\0\0abcd\nabcde\n"),
        ("line-too-long-without-its-end", b"\x03\x04\0\0abcde"),
        ("until-zero", b"\x03\xff\x01\0\x01\0ab\0\0c"),
        ("two-separators-cut", b"\x03\xff\x02\x01\r\n\x02\x01\r\na\r\nb\r"),
        ("separator-that-overlaps-itself", b"\x03\xff\x02\x02aab\x02\x02aabaaabaab"),
        ("separator-behind-the-limit", b"\x03\x02\x02\x01::\x02\x01::ab::abc::"),
        ("length-of-16-bits", b"\x03\xff\x04\x01\0\x04\x01\0\0\x03abc\0\0\0\x01"),
        (
            "length-of-32-bits-little-endian",
            b"\x03\xff\x04\x03\x01\x04\x03\x01\x02\0\0\0ab\0\0\0\x01",
        ),
        ("length-above-the-limit", b"\x03\x04\x04\0\0\x04\0\0\x04abcd\x05"),
        ("varint-of-two-bytes", b"\x03\xff\x04\x05\0\x04\x05\0\x83\0abc\x80"),
        (
            "varint-of-65-bits",
            b"\x03\xff\x04\x05\0\x04\x05\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        ),
        ("records", b"\x03\x08\x06\x02\x06\x02\x02abcd\x01ab\x04"),
        ("a-line-then-five-bytes", b"\x03\xff\0\x07\x05len\r\nhellolen"),
        ("nothing-is-wanted", b"\x03\xff\x07\0\x07\0abc"),
    ])
}

pub(crate) fn fields() -> Vec<Seed> {
    // The width (0 to 3: 1 to 4 bytes, 4: 8 bytes, 5: a varint), flags (1 little endian, 2 the head is counted,
    // 4 an offset, 8 a small and 24 a large adjustment), those, the longest body, bytes before, how the body is cut.
    let of_length = |head: &[u8], len: usize| [head, &vec![b'b'; len]].concat();
    let mut seeds = plain([
        ("one-byte", b"\0\0\xff\x01\x03body"),
        ("two-bytes-little-endian", b"\x01\x01\xff\0\x03body"),
        ("three-bytes-behind-an-offset", b"\x02\x04\x05\xff\x02\x03body"),
        ("four-bytes-that-count-the-head", b"\x03\x02\xff\0\x03body"),
        ("eight-bytes-with-an-adjustment", b"\x04\x08\xfc\xff\0\x03body"),
        ("eight-bytes-with-the-lowest-adjustment", b"\x04\x18\x80\0\0\0\0\0\0\0\xff\0\x03body"),
        ("varint-that-counts-the-head", b"\x05\x06\x03\xff\0\x03body"),
        ("body-above-the-limit", b"\0\0\x02\0\x01body"),
        ("dropped-half-way", b"\0\0\xff\x01\x07body"),
        ("adjustment-above-the-length", b"\0\x08\x7f\xff\0\x03body"),
        ("no-body", b"\x05\0\xff\0\0"),
    ]);
    seeds.extend([
        ("body-that-one-byte-cannot-say", of_length(b"\0\0\xff\0\x03", 256)),
        ("varint-of-two-bytes", of_length(b"\x05\0\xff\0\x03", 200)),
        ("varint-that-counts-itself-into-two-bytes", of_length(b"\x05\x02\xff\0\x03", 127)),
    ]);
    seeds
}
