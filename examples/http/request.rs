//! Heads of requests: what they say, and which of them could be read in two ways.
//!
//! Wherever two readers of the same bytes could see different requests (RFC 9112, section 11.2), it
//! is refused and the connection closed: two lengths, a length beside a coding, a name with a space.

use std::mem::MaybeUninit;
use std::str;

use httparse::{Error, Header};

use crate::response::Status;

/// Bytes of a head.
pub(crate) const HEAD_LIMIT: usize = 16 << 10;
/// Bytes of a target.
pub(crate) const TARGET_LIMIT: usize = 8 << 10;
/// Lines of a head.
const HEADERS: usize = 64;

/// How the body of a request ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// Without the query; still encoded.
    pub(crate) path: &'a str,
    /// HTTP/1.1 and not 1.0.
    pub(crate) is_modern: bool,
    pub(crate) keep_alive: bool,
    pub(crate) framing: Framing,
    pub(crate) expects_continue: bool,
    pub(crate) range: Option<&'a str>,
    pub(crate) if_range: Option<&'a str>,
    pub(crate) if_modified_since: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Reads a head that is complete, with the empty line at its end.
    pub(crate) fn parse(head: &'a [u8]) -> Result<Request<'a>, Status> {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS];
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(head, &mut headers) {
            // An empty line before the end would let others see two heads in this one.
            Ok(httparse::Status::Complete(len)) if len == head.len() => {}
            Err(Error::TooManyHeaders) => return Err(Status::FIELDS_TOO_LARGE),
            Err(Error::Version) => return Err(Status::VERSION_NOT_SUPPORTED),
            _ => return Err(Status::BAD_REQUEST),
        }
        let is_modern = parsed.version == Some(1);
        let mut request = Request {
            method: parsed.method.unwrap_or_default(),
            path: path(parsed.path.unwrap_or_default())?,
            is_modern,
            keep_alive: is_modern,
            framing: Framing::Length(0),
            expects_continue: false,
            range: None,
            if_range: None,
            if_modified_since: None,
        };
        request.read(parsed.headers)?;
        Ok(request)
    }

    fn read(&mut self, headers: &[Header<'a>]) -> Result<(), Status> {
        let (mut hosts, mut lengths, mut codings) = (0, 0, 0);
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("host") {
                hosts += 1;
            } else if is("connection") {
                self.read_connection(text(header)?);
            } else if is("content-length") {
                lengths += 1;
                self.framing = Framing::Length(length(header.value)?);
            } else if is("transfer-encoding") {
                codings += 1;
                if !header.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Status::NOT_IMPLEMENTED);
                }
            } else if is("expect") {
                if !header.value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Status::EXPECTATION_FAILED);
                }
                self.expects_continue = self.is_modern;
            } else if is("range") {
                self.range = Some(text(header)?);
            } else if is("if-range") {
                self.if_range = Some(text(header)?);
            } else if is("if-modified-since") {
                self.if_modified_since = Some(text(header)?);
            }
        }
        if codings > 0 {
            self.framing = Framing::Chunked;
        }
        let is_clear = lengths + codings <= 1 && (codings == 0 || self.is_modern);
        let has_host = hosts == 1 || hosts == 0 && !self.is_modern;
        if is_clear && has_host { Ok(()) } else { Err(Status::BAD_REQUEST) }
    }

    fn read_connection(&mut self, value: &str) {
        for option in value.split(',').map(str::trim) {
            if option.eq_ignore_ascii_case("close") {
                self.keep_alive = false;
            } else if option.eq_ignore_ascii_case("keep-alive") && !self.is_modern {
                self.keep_alive = true;
            }
        }
    }
}

/// The path of a target: `/path?query`, or the same behind `http://host`.
fn path(target: &str) -> Result<&str, Status> {
    if target.len() > TARGET_LIMIT {
        return Err(Status::URI_TOO_LONG);
    }
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/"),
        None => target,
    };
    let path = path.split('?').next().unwrap_or_default();
    if path.starts_with('/') || path == "*" { Ok(path) } else { Err(Status::BAD_REQUEST) }
}

fn text<'a>(header: &Header<'a>) -> Result<&'a str, Status> {
    str::from_utf8(header.value).map_err(|_| Status::BAD_REQUEST)
}

/// Digits and nothing else: no sign, no list.
fn length(value: &[u8]) -> Result<u64, Status> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Status::BAD_REQUEST);
    }
    let digits = str::from_utf8(value).unwrap_or_default();
    digits.parse().map_err(|_| Status::CONTENT_TOO_LARGE)
}
