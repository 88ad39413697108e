//! What each path answers.

use std::mem;

use socketserver::{Input, SendStatus};

use crate::body::{Body, Piece};
use crate::conditions::{self, RangeRequest, Validators};
use crate::connection::{Cx, EVENT_EVERY, EventStream, HttpConnection, ReadMore, RequestState};
use crate::events;
use crate::files::{self, Resource, StaticFile, Transfer};
use crate::head;
use crate::request::{Framing, Request};
use crate::response::{Response, Status};
use crate::spool::{SpooledBody, SpooledContent};

/// Methods that have a path as their target; any other is 501.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"];

const HTML: (&str, &str) = ("Content-Type", "text/html; charset=utf-8");

impl HttpConnection {
    /// Answers a request, or begins to. `Ok(true)` if the next request may be parsed.
    pub(crate) fn route(
        &mut self,
        cx: &mut Cx<'_>,
        request: &Request<'_, '_>,
        nothing_else: bool,
    ) -> ReadMore {
        let (method, path) = (request.head.method, request.target.path);
        let is_conditional = request.head.has_any("if-");
        let is_echo = method == "POST" && allowed(path).contains(&"POST");
        // A body without use is not read: the connection closes after the answer.
        let is_unwanted = !is_echo && request.framing != Framing::Length(0);
        self.is_last |= !request.keep_alive || is_unwanted;
        let is_plain_get =
            path == "/" && method == "GET" && request.head.is_http_1_1 && !is_conditional;
        if is_plain_get && !self.is_last {
            let sent = cx.io.send(cx.id, &cx.shared.hello);
            return Ok(self.end_answer(cx, sent));
        }
        if !METHODS.contains(&method) {
            return Ok(self.refuse(cx, Status::NOT_IMPLEMENTED, true));
        }
        if method == "OPTIONS" || !allowed(path).contains(&method) {
            return Ok(self.send_allow(cx, method, path));
        }
        if is_echo {
            return Ok(self.begin_echo(cx, request, nothing_else));
        }
        self.serve_get(cx, request)
    }

    /// Answers a GET or a HEAD.
    fn serve_get(&mut self, cx: &mut Cx<'_>, request: &Request<'_, '_>) -> ReadMore {
        let (path, with_body) = (request.target.path, request.wants_body());
        if let Some(file) = in_files(path) {
            let found = cx.shared.files.as_ref().map(|root| files::find(root, file));
            return match found.unwrap_or(Err(Status::NOT_FOUND)) {
                Ok(Resource::File(served)) => self.begin_file(cx, request, served),
                Ok(Resource::Directory) => Ok(self.redirect(cx, request)),
                Err(status) => Ok(self.send_status(cx, status, with_body)),
            };
        }
        // Generated pages have no validators.
        let condition = conditions::check(request, &Validators::default());
        Ok(match (path, condition) {
            ("/events", _) => self.begin_events(cx, request),
            ("/" | "/clock", Some(status)) => self.send_status(cx, status, with_body),
            ("/clock", None) => self.answer(cx, Status::OK, with_body, HTML, events::PAGE),
            ("/", None) => {
                let hello = cx.shared.hello_variant(!self.is_last, with_body);
                let sent = cx.io.send(cx.id, hello);
                self.end_answer(cx, sent)
            }
            _ => self.send_status(cx, Status::NOT_FOUND, with_body),
        })
    }

    // Short answers.

    /// Sends an answer with one header of its own.
    fn answer(
        &mut self,
        cx: &mut Cx<'_>,
        status: Status,
        with_body: bool,
        (name, value): (&str, &str),
        body: &str,
    ) -> bool {
        let site = &mut *cx.shared;
        let mut response = Response::begin(&mut site.scratch, status, site.date.as_deref());
        response.header(name, value);
        // These two have neither a body nor a `Content-Length`.
        let has_body = ![Status::NO_CONTENT, Status::NOT_MODIFIED].contains(&status);
        if has_body {
            response.header("Content-Length", body.len());
        }
        response.end(!self.is_last);
        let mut sent = cx.io.send(cx.id, &cx.shared.scratch);
        if with_body && has_body {
            sent = cx.send(body.as_bytes());
        }
        self.end_answer(cx, sent)
    }

    /// Sends an answer that consists of its status.
    fn send_status(&mut self, cx: &mut Cx<'_>, status: Status, with_body: bool) -> bool {
        let body = format!("{} {}\n", status.0, status.1);
        self.answer(cx, status, with_body, ("Content-Type", "text/plain"), &body)
    }

    /// Sends an error and closes, because the start of the next request is unknown.
    pub(crate) fn refuse(&mut self, cx: &mut Cx<'_>, status: Status, with_body: bool) -> bool {
        self.is_last = true;
        self.send_status(cx, status, with_body)
    }

    /// Sends the allowed methods: 204 for OPTIONS, 405 for a method that is not allowed.
    fn send_allow(&mut self, cx: &mut Cx<'_>, method: &str, path: &str) -> bool {
        let is_asked = method == "OPTIONS";
        let status = if is_asked { Status::NO_CONTENT } else { Status::METHOD_NOT_ALLOWED };
        self.answer(cx, status, true, ("Allow", &allowed(path).join(", ")), "")
    }

    /// Redirects to the same path with a trailing slash.
    fn redirect(&mut self, cx: &mut Cx<'_>, request: &Request<'_, '_>) -> bool {
        let mut location = format!("{}/", request.target.path);
        if let Some(query) = request.target.query {
            location.push('?');
            location.push_str(query);
        }
        let status = Status::MOVED_PERMANENTLY;
        self.answer(cx, status, request.wants_body(), ("Location", &location), "")
    }

    /// Ends an answer. Returns `false` while the output is congested: the rest of the input is
    /// delivered again when the output has drained.
    pub(crate) fn end_answer(&mut self, cx: &mut Cx<'_>, sent: SendStatus) -> bool {
        self.state = RequestState::Head;
        if self.is_last {
            cx.close();
        }
        !self.is_last && sent == SendStatus::Queued
    }

    // The echo of a body.

    fn begin_echo(
        &mut self,
        cx: &mut Cx<'_>,
        request: &Request<'_, '_>,
        nothing_else: bool,
    ) -> bool {
        let body = match Body::new(request.framing, cx.shared.limits.body) {
            Ok(body) => body,
            Err(status) => return self.refuse(cx, status, true),
        };
        let is_awaited = nothing_else && request.framing != Framing::Length(0);
        if request.expects_continue && is_awaited {
            cx.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.state = RequestState::Echo(body, SpooledBody::new(&cx.shared.disk));
        true
    }

    pub(crate) fn echo(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) -> ReadMore {
        let RequestState::Echo(body, spooled) = &mut self.state else { return Ok(true) };
        match body.next(input) {
            Ok(Piece::More) => Ok(false),
            Ok(Piece::Data(data)) => {
                self.uncounted_bytes += data.len() as u64;
                let (spooled, is_enough) = (spooled.push(data), self.uncounted_bytes > 0xFFF);
                self.uncounted_bytes &= 0xFFF;
                if is_enough {
                    self.record_activity(cx.shared.now);
                }
                match spooled {
                    Ok(()) => Ok(true),
                    // The body is acceptable, but there is no space for it now.
                    Err(_) => Ok(self.refuse(cx, Status::SERVICE_UNAVAILABLE, true)),
                }
            }
            Ok(Piece::End) => self.send_back(cx),
            Err(status) => Ok(self.refuse(cx, status, true)),
        }
    }

    fn send_back(&mut self, cx: &mut Cx<'_>) -> ReadMore {
        let RequestState::Echo(_, spooled) = mem::take(&mut self.state) else { return Ok(true) };
        let (body, len) = spooled.rewind()?;
        let site = &mut *cx.shared;
        let mut response = Response::begin(&mut site.scratch, Status::OK, site.date.as_deref());
        response.header("Content-Type", "application/octet-stream");
        response.header("Content-Length", len);
        response.end(!self.is_last);
        cx.io.send(cx.id, &site.scratch);
        match body {
            SpooledContent::Memory(bytes) => {
                let sent = cx.send(&bytes);
                Ok(self.end_answer(cx, sent))
            }
            SpooledContent::File(file, reservation) => {
                self.transfer(cx, Transfer::of_spooled(file, len, reservation))
            }
        }
    }

    // Files.

    fn begin_file(
        &mut self,
        cx: &mut Cx<'_>,
        request: &Request<'_, '_>,
        served: StaticFile,
    ) -> ReadMore {
        let StaticFile { file, len, media_type, validators } = served;
        let condition = conditions::check(request, &validators);
        let range = conditions::part(request, len, &validators);
        let (status, first, part) = match status_and_part(condition, range, len) {
            Ok(found) => found,
            Err(status) => return Ok(self.send_status(cx, status, request.wants_body())),
        };
        let site = &mut *cx.shared;
        let mut response = Response::begin(&mut site.scratch, status, site.date.as_deref());
        response.header("Accept-Ranges", "bytes");
        if let Some(etag) = validators.etag {
            response.header("ETag", etag);
        }
        if let Some(modified) = validators.modified.and_then(head::date) {
            response.header("Last-Modified", modified);
        }
        if status != Status::NOT_MODIFIED {
            response.header("Content-Type", media_type);
            response.header("Content-Length", part);
        }
        if status == Status::PARTIAL_CONTENT {
            let last = first + part - 1;
            response.header("Content-Range", format_args!("bytes {first}-{last}/{len}"));
        } else if status == Status::RANGE_NOT_SATISFIABLE {
            response.header("Content-Range", format_args!("bytes */{len}"));
        }
        response.end(!self.is_last);
        let sent = cx.io.send(cx.id, &site.scratch);
        if !request.wants_body() || part == 0 {
            return Ok(self.end_answer(cx, sent));
        }
        self.transfer(cx, Transfer::new(file, first, part)?)
    }

    /// Sends a file: what the peer takes now, and the rest in `drained`.
    fn transfer(&mut self, cx: &mut Cx<'_>, mut transfer: Transfer) -> ReadMore {
        let sent = transfer.send_more(cx)?;
        if transfer.is_over() {
            return Ok(self.end_answer(cx, sent));
        }
        cx.pause();
        self.state = RequestState::File(transfer);
        Ok(false)
    }

    // Events.

    fn begin_events(&mut self, cx: &mut Cx<'_>, request: &Request<'_, '_>) -> bool {
        let is_chunked = request.head.is_http_1_1;
        let site = &mut *cx.shared;
        let mut response = Response::begin(&mut site.scratch, Status::OK, site.date.as_deref());
        response.header("Content-Type", "text/event-stream");
        response.header("Cache-Control", "no-store");
        if is_chunked {
            response.header("Transfer-Encoding", "chunked");
        }
        // Events end with the connection, so no further request is answered.
        response.end(false);
        self.is_last = true;
        let sent = cx.io.send(cx.id, &site.scratch);
        if !request.wants_body() {
            return self.end_answer(cx, sent);
        }
        // A browser whose answer ended asks for what comes after the last event.
        let last = request.head.only("last-event-id").and_then(number).unwrap_or(0);
        let ends_at = cx.io.now() + cx.shared.limits.events_time;
        let events = EventStream { count: last.wrapping_add(1), ends_at, is_chunked };
        events.send(cx);
        self.set_timer(cx, EVENT_EVERY);
        self.state = RequestState::EventStream(events);
        true
    }
}

/// Returns the status of a file's answer, and the first byte and the length of its body; `Err` with the
/// status of a failed condition.
fn status_and_part(
    condition: Option<Status>,
    range: RangeRequest,
    len: u64,
) -> Result<(Status, u64, u64), Status> {
    match (condition, range) {
        (Some(Status::NOT_MODIFIED), _) => Ok((Status::NOT_MODIFIED, 0, 0)),
        (Some(status), _) => Err(status),
        (None, RangeRequest::Whole) => Ok((Status::OK, 0, len)),
        (None, RangeRequest::Range(first, part)) => Ok((Status::PARTIAL_CONTENT, first, part)),
        (None, RangeRequest::Unsatisfiable) => Ok((Status::RANGE_NOT_SATISFIABLE, 0, 0)),
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The path below `/files`; `None` for other paths.
fn in_files(path: &str) -> Option<&str> {
    path.strip_prefix("/files").filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The methods that a path allows.
fn allowed(path: &str) -> &'static [&'static str] {
    match path {
        "/echo" => &["OPTIONS", "POST"],
        "/" | "*" => &["GET", "HEAD", "OPTIONS", "POST"],
        _ => &["GET", "HEAD", "OPTIONS"],
    }
}
