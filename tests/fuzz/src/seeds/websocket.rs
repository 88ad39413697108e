//! Seeds of `websocket_heads`, `websocket_frames` and `websocket`.

use super::{Seed, each};

/// Sixteen bytes.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub(crate) fn heads() -> Vec<Seed> {
    let asks = |line: &str, upgrade: &str, key: &str, version: &str| {
        let fields = format!("Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: {version}\r\n");
        // Cut for a second reading at byte 20.
        format!("\u{14}{line}\r\nHost: a\r\n{upgrade}\r\n{fields}\r\n").into_bytes()
    };
    const GET: &str = "GET / HTTP/1.1";
    const UPGRADE: &str = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade";
    let with = |field: &str| asks(GET, &format!("{UPGRADE}\r\n{field}"), KEY, "13");
    vec![
        ("upgrade", asks(GET, UPGRADE, KEY, "13")),
        (
            "absolute-target-and-other-case",
            asks(
                "GET HTTP://a/ HTTP/1.1",
                "upgrade: h2c, WebSocket\r\nCONNECTION: UPGRADE",
                KEY,
                "13",
            ),
        ),
        ("post", asks("POST / HTTP/1.1", UPGRADE, KEY, "13")),
        ("http-1-0", asks("GET / HTTP/1.0", UPGRADE, KEY, "13")),
        ("http-2", asks("GET / HTTP/2.0", UPGRADE, KEY, "13")),
        ("no-path", asks("GET x HTTP/1.1", UPGRADE, KEY, "13")),
        ("of-a-browser", b"\x14GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n".to_vec()),
        (
            "connection-without-upgrade",
            asks(GET, "Upgrade: websocket\r\nConnection: close", KEY, "13"),
        ),
        ("version-8", asks(GET, UPGRADE, KEY, "8")),
        ("key-of-15-bytes", asks(GET, UPGRADE, "dGhlIHNhbXBsZSBub25j", "13")),
        ("with-a-body", with("Content-Length: 1")),
        ("with-length-zero", with("Content-Length: 0")),
        ("with-a-coding", with("Transfer-Encoding: chunked")),
        ("malformed-field", with("Bad Name: x")),
    ]
}

/// A frame as a client sends it: its first byte, its length as it is written, a mask of `\x01`.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len();
    let mut frame = vec![first];
    if len < 126 {
        frame.push(0x80 + len as u8);
    } else {
        frame.push(0x80 + 126);
        frame.extend((len as u16).to_be_bytes());
    }
    frame.extend([1; 4]);
    frame.extend(payload.iter().map(|byte| byte ^ 1));
    frame
}

const LAST: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = LAST | 8;
const PING: u8 = LAST | 9;
const PONG: u8 = LAST | 0xA;

/// How the frames are cut, and they; of a conversation also the longest message.
fn cut(choices: &[u8], frames: &[Vec<u8>]) -> Vec<u8> {
    [choices, &frames.concat()].concat()
}

pub(crate) fn frames() -> Vec<Seed> {
    let one = |bytes: &[u8]| [&[3], bytes].concat();
    let some = |frames: &[Vec<u8>]| cut(&[3], frames);
    vec![
        ("text", some(&[frame(LAST | TEXT, b"hello")])),
        (
            "fragments-around-a-ping",
            some(&[frame(TEXT, b"a"), frame(PING, b"p"), frame(LAST | CONTINUATION, b"b")]),
        ),
        ("binary-of-16-bits", some(&[frame(LAST | BINARY, &[b'x'; 200]), frame(PONG, b"")])),
        ("binary-of-64-bits-cut", one(b"\x82\xff\0\0\0\0\0\x01\0\0\x01\x01\x01\x01abc")),
        ("length-in-more-bits-than-it-needs", one(b"\x82\xfe\0\x7d\x01\x01\x01\x01abc")),
        ("length-with-the-highest-bit", one(b"\x82\xff\x80\0\0\0\0\0\0\0\x01\x01\x01\x01abc")),
        ("without-a-mask", one(b"\x81\x02hi")),
        ("reserved-bit", one(b"\xc1\x82\0\0\0\0hi")),
        ("unknown-opcode", one(b"\x83\x80\0\0\0\0")),
        ("ping-in-fragments", one(b"\x09\x80\0\0\0\0")),
        ("close-too-long", one(b"\x88\xfe\0\x80\0\0\0\0")),
        ("head-cut", one(b"\x82\xfe\x01")),
        ("utf-8-of-every-width", one("aé€😀".as_bytes())),
        ("utf-8-cut-in-a-character", one(b"a\xf0\x9f\x98")),
        ("surrogate", one(b"a\xed\xa0\x80")),
    ]
}

pub(crate) fn conversations() -> Vec<Seed> {
    let some = |frames: &[Vec<u8>]| cut(&[3, 255], frames);
    let leave = |payload: &[u8]| some(&[frame(CLOSE, payload)]);
    vec![
        (
            "text-fragments-a-ping-and-close",
            some(&[
                frame(LAST | TEXT, b"hi"),
                frame(TEXT, b"b"),
                frame(CONTINUATION, b""),
                frame(LAST | CONTINUATION, b"b"),
                frame(PING, b""),
                frame(PONG, b"?"),
                frame(CLOSE, &1000_u16.to_be_bytes()),
            ]),
        ),
        ("binary-of-16-bits", some(&[frame(LAST | BINARY, &[0xff; 200])])),
        (
            "message-at-its-limit",
            cut(&[3, 4], &[frame(TEXT, b"ab"), frame(LAST | CONTINUATION, b"cd")]),
        ),
        (
            "message-above-its-limit",
            cut(&[3, 4], &[frame(TEXT, b"ab"), frame(LAST | CONTINUATION, b"cde")]),
        ),
        ("continuation-of-nothing", some(&[frame(LAST | CONTINUATION, b"a")])),
        ("text-in-the-middle-of-a-message", some(&[frame(TEXT, b"a"), frame(LAST | TEXT, b"b")])),
        (
            "character-over-two-fragments",
            some(&[frame(TEXT, b"\xc3"), frame(LAST | CONTINUATION, b"\xa9")]),
        ),
        ("text-that-is-not-utf-8", some(&[frame(TEXT, b"a\xff")])),
        ("text-that-ends-in-a-character", some(&[frame(LAST | TEXT, b"a\xc3")])),
        ("ping-cut", cut(&[3, 255], &[frame(PING, b"abc")[..8].to_vec()])),
        ("close-without-a-code", leave(b"")),
        ("close-with-half-a-code", leave(b"\x03")),
        ("close-with-a-reason", leave(b"\x0f\xa0done")),
        ("close-with-a-reserved-code", leave(&1005_u16.to_be_bytes())),
        ("close-with-a-reason-that-is-not-utf-8", leave(b"\x03\xe8\xff")),
        ("no-frame", each([("", &[3, 255], "GET / HTTP/1.1\r\n")]).remove(0).1),
    ]
}
