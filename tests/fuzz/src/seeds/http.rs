//! Seeds of `http_heads` and `http_bodies`.

use super::{Seed, each};
use crate::http_heads::etag;

/// The length of the file that a head asks for.
const LENGTH: u64 = 1_000;

/// A head, where it is cut for a second reading, and the length of the file.
fn head(text: &str) -> Vec<u8> {
    [&[5][..], &LENGTH.to_be_bytes(), &[0], text.as_bytes()].concat()
}

/// A head with these fields.
fn get(fields: &str) -> Vec<u8> {
    head(&format!("GET /a%20b/c?d HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

pub(crate) fn heads() -> Vec<Seed> {
    let known = etag(LENGTH);
    let mut behind_nel = head("GET /files/hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=");
    behind_nel.extend(b"\x85-00000400752841041379326\r\n\r\n");
    vec![
        ("get-with-range", get("Range: bytes=5-20\r\n")),
        (
            "range-if-unchanged-since",
            get("Range: bytes=5-\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
        ),
        ("range-if-etag", get(&format!("Range: bytes=0-0\r\nIf-Range: {known}\r\n"))),
        ("range-past-the-end", get("Range: bytes=1000-\r\n")),
        ("two-ranges", get("Range: bytes=0-1, -5\r\n")),
        (
            "if-match-weak-and-if-none-match",
            get(&format!("If-Match: W/{known}, {known}\r\nIf-None-Match: W/{known}\r\n")),
        ),
        (
            "changed-since-and-unmodified-since",
            get(
                "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\nIf-Unmodified-Since: Sat, 05 Nov 1994 08:49:37 GMT\r\n",
            ),
        ),
        (
            "post-chunked-expects-100",
            head(
                "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
            ),
        ),
        (
            "http-1-0-put-with-length-and-suffix-range",
            head(
                "PUT http://a/b HTTP/1.0\r\nContent-Length: 10\r\nConnection: keep-alive\r\nRange: bytes=-5\r\n\r\n",
            ),
        ),
        (
            "options-asterisk-and-close",
            head("OPTIONS * HTTP/1.1\r\nHost: a:80\r\nConnection: x, close\r\n\r\n"),
        ),
        (
            "length-and-coding",
            head(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
        ),
        ("two-hosts", head("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")),
        ("bare-lf", head("GET / HTTP/1.1\nHost: a\n\n")),
        ("path-with-dots-and-escapes", head("/a/%2e%2e/.b/%5c%00/..%2Fc")),
        ("range-behind-a-byte-that-unicode-calls-space", behind_nel),
    ]
}

pub(crate) fn bodies() -> Vec<Seed> {
    // How it is cut, the limit, how it ends, and what has come. Of a length, two bytes more say it.
    const CHUNKED: &[u8] = &[b'!', 0, 64, 1];
    const OF_FIVE: &[u8] = &[b'!', 0, 64, 0, 0, 5];
    each([
        ("length", OF_FIVE, "helloGET / HTTP/1.1\r\n"),
        ("length-not-all-there", OF_FIVE, "hel"),
        ("length-above-the-limit", &[b'!', 0, 4, 0, 0, 5], "hello"),
        ("length-of-nothing", &[b'!', 0, 64, 0, 0, 0], "GET"),
        (
            "chunks-extension-trailer-and-next-request",
            CHUNKED,
            "3\r\nabc\r\n0;x=y\r\nA: b\r\n\r\nGET",
        ),
        (
            "chunk-extensions-quoted-and-blank",
            CHUNKED,
            "A;a=b; c ;d = \"e\\\"f\"\r\n0123456789\r\n0\r\n\r\n",
        ),
        ("chunk-extension-quoted-without-end", CHUNKED, "1;a=\"b\r\n"),
        ("chunk-extension-without-value", CHUNKED, "1;a=\r\n"),
        ("chunk-size-of-65-bits", CHUNKED, "10000000000000000\r\n"),
        ("chunk-size-missing", CHUNKED, ";a\r\n"),
        (
            "chunks-above-the-limit-together",
            CHUNKED,
            "30\r\n000000000000000000000000000000000000000000000000\r\n11\r\n",
        ),
        ("chunk-longer-than-its-size", CHUNKED, "1\r\nab\r\n"),
        ("chunk-line-with-bare-lf", CHUNKED, "1\nab"),
        ("chunk-line-with-bare-cr", CHUNKED, "1\r;a\r\n"),
        ("chunked-trailer-without-name", CHUNKED, "0\r\n: b\r\n\r\n"),
        ("chunked-trailer-with-control-character", CHUNKED, "0\r\nA: \u{1}\r\n\r\n"),
    ])
}
