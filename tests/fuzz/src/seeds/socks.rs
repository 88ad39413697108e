//! Seeds of `socks`.

use super::{Seed, plain};

pub(crate) fn all() -> Vec<Seed> {
    // What is read, where it is cut for a second reading, and the bytes. Of replies, the outcome and the address.
    plain([
        ("greeting", b"\0\x02\x05\x02\0\x02"),
        ("greeting-without-methods", b"\0\x01\x05\0"),
        ("login", b"\x01\x05\x01\x04user\x04pass"),
        ("login-of-another-version", b"\x01\0\x05\0\0"),
        ("request-by-name", b"\x02\x09\x05\x01\0\x03\x07a-b.exa\0P"),
        ("request-by-ipv4", b"\x02\x09\x05\x01\0\x01\x7f\0\0\x01\0P"),
        ("request-by-ipv6", b"\x02\x09\x05\x01\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0P"),
        ("request-by-name-that-is-an-address", b"\x02\x09\x05\x01\0\x03\x09127.0.0.1\0P"),
        ("request-by-empty-name", b"\x02\0\x05\x01\0\x03\0\0P"),
        ("request-to-bind", b"\x02\x09\x05\x02\0\x01\x7f\0\0\x01\0P"),
        ("request-of-unknown-kind", b"\x02\0\x05\x01\0\x05"),
        ("request-v4", b"\x03\x05\x04\x01\0P\x7f\0\0\x01user\0"),
        ("request-v4a-by-name", b"\x03\x05\x04\x01\0P\0\0\0\x01\0a.example\0"),
        ("request-v4-name-cut", b"\x03\x05\x04\x01\0P\0\0\0\x01user\0a.ex"),
        ("reply-with-ipv4", b"\x04\0\x04\0P\x7f\0\0\x01"),
        ("refusal-and-ipv6", b"\x04\0\x01\0P\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"),
    ])
}
