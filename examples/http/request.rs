//! A parsed request, and the checks against request smuggling.
//!
//! If two parsers of the same bytes could see different requests (RFC 9112, 11.2), the request is
//! rejected and the connection closed: two lengths, a length beside a transfer coding, a name with
//! a space, a line that ends with a bare LF.

use std::str;

use crate::head::{Fields, Head, HeadError};
use crate::response::Status;
use crate::target::RequestTarget;

/// Longest head in bytes.
pub(crate) const HEAD_LIMIT: usize = 16 << 10;
/// Longest target in bytes.
pub(crate) const TARGET_LIMIT: usize = 8 << 10;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

#[derive(Debug)]
pub(crate) struct Request<'f, 'a> {
    pub(crate) head: Head<'f, 'a>,
    pub(crate) target: RequestTarget<'a>,
    pub(crate) keep_alive: bool,
    pub(crate) framing: Framing,
    pub(crate) expects_continue: bool,
}

impl<'f, 'a> Request<'f, 'a> {
    /// Parses a complete head, with the empty line at its end.
    pub(crate) fn parse(head: &'a [u8], fields: &'f mut Fields<'a>) -> Result<Self, Status> {
        let head = Head::parse(head, fields).map_err(|fault| match fault {
            HeadError::Malformed => Status::BAD_REQUEST,
            HeadError::TooManyFields => Status::FIELDS_TOO_LARGE,
            HeadError::Version => Status::VERSION_NOT_SUPPORTED,
        })?;
        if head.target.len() > TARGET_LIMIT {
            return Err(Status::URI_TOO_LONG);
        }
        let target = RequestTarget::parse(head.method, head.target)?;
        let keep_alive = if head.is_http_1_1 {
            !head.lists("connection", "close")
        } else {
            head.lists("connection", "keep-alive") && !head.lists("connection", "close")
        };
        let (framing, expects_continue) = (framing(&head)?, expects_continue(&head)?);
        Ok(Request { head, target, keep_alive, framing, expects_continue })
    }

    /// Whether the answer has a body; that to a HEAD does not.
    pub(crate) fn wants_body(&self) -> bool {
        self.head.method != "HEAD"
    }
}

fn framing(head: &Head<'_, '_>) -> Result<Framing, Status> {
    let has = |name| head.values(name).next().is_some();
    match (has("transfer-encoding"), has("content-length")) {
        (false, false) => Ok(Framing::Length(0)),
        (false, true) => head.only("content-length").and_then(length).ok_or(Status::BAD_REQUEST),
        // HTTP/1.0 has no transfer codings, so a proxy on the way may see another end of the body.
        (true, false) if head.is_http_1_1 => coding(head),
        (true, _) => Err(Status::BAD_REQUEST),
    }
}

/// Parses digits only: no sign, no list, no overflow.
fn length(value: &[u8]) -> Option<Framing> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let digits = str::from_utf8(value).ok().filter(|_| is_number)?;
    digits.parse().ok().map(Framing::Length)
}

/// The end of a body is known only if `chunked` is the last coding and occurs once. Other codings
/// are not implemented.
fn coding(head: &Head<'_, '_>) -> Result<Framing, Status> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let chunked = head.list("transfer-encoding").filter(|coding| is_chunked(coding)).count();
    match (head.list("transfer-encoding").last().is_some_and(is_chunked), chunked) {
        (true, 1) if head.list("transfer-encoding").count() == 1 => Ok(Framing::Chunked),
        (true, 1) => Err(Status::NOT_IMPLEMENTED),
        _ => Err(Status::BAD_REQUEST),
    }
}

/// Whether the client waits for status 100, which HTTP/1.0 does not know.
fn expects_continue(head: &Head<'_, '_>) -> Result<bool, Status> {
    let mut expects = false;
    for expectation in head.list("expect") {
        if !expectation.eq_ignore_ascii_case(b"100-continue") {
            return Err(Status::EXPECTATION_FAILED);
        }
        expects = head.is_http_1_1;
    }
    Ok(expects)
}
