//! The encoder of response heads.

use std::fmt::Display;
use std::io::Write;

/// A status code and its reason phrase.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Status(pub(crate) u16, pub(crate) &'static str);

impl Status {
    pub(crate) const OK: Status = Status(200, "OK");
    pub(crate) const NO_CONTENT: Status = Status(204, "No Content");
    pub(crate) const PARTIAL_CONTENT: Status = Status(206, "Partial Content");
    pub(crate) const MOVED_PERMANENTLY: Status = Status(301, "Moved Permanently");
    pub(crate) const NOT_MODIFIED: Status = Status(304, "Not Modified");
    pub(crate) const BAD_REQUEST: Status = Status(400, "Bad Request");
    pub(crate) const NOT_FOUND: Status = Status(404, "Not Found");
    pub(crate) const METHOD_NOT_ALLOWED: Status = Status(405, "Method Not Allowed");
    pub(crate) const REQUEST_TIMEOUT: Status = Status(408, "Request Timeout");
    pub(crate) const PRECONDITION_FAILED: Status = Status(412, "Precondition Failed");
    pub(crate) const CONTENT_TOO_LARGE: Status = Status(413, "Content Too Large");
    pub(crate) const URI_TOO_LONG: Status = Status(414, "URI Too Long");
    pub(crate) const RANGE_NOT_SATISFIABLE: Status = Status(416, "Range Not Satisfiable");
    pub(crate) const EXPECTATION_FAILED: Status = Status(417, "Expectation Failed");
    pub(crate) const MISDIRECTED_REQUEST: Status = Status(421, "Misdirected Request");
    pub(crate) const FIELDS_TOO_LARGE: Status = Status(431, "Request Header Fields Too Large");
    pub(crate) const NOT_IMPLEMENTED: Status = Status(501, "Not Implemented");
    pub(crate) const SERVICE_UNAVAILABLE: Status = Status(503, "Service Unavailable");
    pub(crate) const VERSION_NOT_SUPPORTED: Status = Status(505, "HTTP Version Not Supported");
}

/// A head being written.
pub(crate) struct Response<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Response<'a> {
    /// Begins a head in `out`, which is cleared. Without a date there is no `Date`.
    pub(crate) fn begin(out: &'a mut Vec<u8>, status: Status, date: Option<&str>) -> Response<'a> {
        out.clear();
        let Status(code, meaning) = status;
        // `io::Write` for `Vec` never fails.
        let _ = write!(out, "HTTP/1.1 {code} {meaning}\r\n");
        let mut response = Response { out };
        if let Some(date) = date {
            response.header("Date", date);
        }
        response
    }

    pub(crate) fn header(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.out, "{name}: {value}\r\n");
    }

    /// HTTP/1.0 needs `keep-alive` and HTTP/1.1 needs `close`; both accept either.
    pub(crate) fn end(self, keep_alive: bool) {
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let _ = write!(self.out, "Connection: {connection}\r\n\r\n");
    }
}
