//! What each path answers.

use std::io;

use socketserver::{Input, Sent};

use crate::body::{Body, Piece};
use crate::connection::{Connection, Cx, EVENT_EVERY, Echo, GoOn, State};
use crate::events;
use crate::files::{self, Found, Part, Transfer};
use crate::request::{Framing, Request};
use crate::response::{Response, Status};

/// Methods that exist; any other is not implemented anywhere here.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];

const HTML: (&str, &str) = ("Content-Type", "text/html; charset=utf-8");

impl Connection {
    /// Answers one request, or begins to.
    pub(crate) fn route(
        &mut self,
        cx: &mut Cx<'_>,
        request: &Request<'_>,
        nothing_else: bool,
    ) -> GoOn {
        // A body that nobody wants is not read: the connection ends with the answer.
        let is_echo = request.path == "/echo";
        let is_unwanted = !is_echo && request.framing != Framing::Length(0);
        self.is_last |= !request.keep_alive || is_unwanted;
        if request.path == "/" && request.method == "GET" && request.is_modern && !self.is_last {
            let sent = cx.io.send(cx.id, &cx.shared.hello);
            return Ok(self.end_answer(cx, sent));
        }
        let allowed: &[&str] = if is_echo { &["POST"] } else { &["GET", "HEAD"] };
        if !METHODS.contains(&request.method) {
            return Ok(self.refuse(cx, Status::NOT_IMPLEMENTED));
        }
        if !allowed.contains(&request.method) {
            self.is_last |= request.framing != Framing::Length(0);
            let allowed = allowed.join(", ");
            return Ok(self.answer(cx, Status::METHOD_NOT_ALLOWED, true, ("Allow", &allowed), ""));
        }
        let with_body = request.method != "HEAD";
        match (request.path, request.path.strip_prefix("/files/"), &cx.shared.files) {
            ("/echo", ..) => Ok(self.begin_echo(cx, request, nothing_else)),
            ("/events", ..) => Ok(self.begin_events(cx, with_body)),
            ("/clock", ..) => Ok(self.answer(cx, Status::OK, with_body, HTML, events::PAGE)),
            ("/", ..) => {
                let hello = cx.shared.unusual_hello(!self.is_last, with_body);
                let sent = cx.io.send(cx.id, hello);
                Ok(self.end_answer(cx, sent))
            }
            (_, Some(path), Some(root)) => match files::find(root, path) {
                Ok(found) => self.begin_file(cx, request, with_body, found),
                Err(status) => Ok(self.tell(cx, status, with_body)),
            },
            _ => Ok(self.tell(cx, Status::NOT_FOUND, with_body)),
        }
    }

    // Short answers.

    /// An answer that is one piece, with one header of its own.
    fn answer(
        &mut self,
        cx: &mut Cx<'_>,
        status: Status,
        with_body: bool,
        (name, value): (&str, &str),
        body: &str,
    ) -> bool {
        let mut response = Response::begin(&mut cx.shared.scratch, status, &cx.shared.date);
        response.header(name, value);
        response.header("Content-Length", body.len());
        response.end(!self.is_last);
        let mut sent = cx.io.send(cx.id, &cx.shared.scratch);
        if with_body {
            sent = cx.send(body.as_bytes());
        }
        self.end_answer(cx, sent)
    }

    /// Says what it came to.
    fn tell(&mut self, cx: &mut Cx<'_>, status: Status, with_body: bool) -> bool {
        let body = format!("{} {}\n", status.0, status.1);
        self.answer(cx, status, with_body, ("Content-Type", "text/plain"), &body)
    }

    /// Says what is wrong; where the next request begins is not known any more.
    pub(crate) fn refuse(&mut self, cx: &mut Cx<'_>, status: Status) -> bool {
        self.is_last = true;
        self.tell(cx, status, true)
    }

    /// The answer is complete. If the peer does not keep up, what else has come in is left: it is
    /// shown again when there is room for answers.
    pub(crate) fn end_answer(&mut self, cx: &mut Cx<'_>, sent: Sent) -> bool {
        self.state = State::Head;
        if self.is_last {
            cx.close();
        }
        !self.is_last && sent == Sent::Queued
    }

    // The body comes back.

    fn begin_echo(&mut self, cx: &mut Cx<'_>, request: &Request<'_>, nothing_else: bool) -> bool {
        let body = match Body::new(request.framing, cx.shared.limits.body) {
            Ok(body) => body,
            Err(status) => return self.refuse(cx, status),
        };
        if request.expects_continue && nothing_else {
            cx.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        // HTTP/1.0 knows no chunks; there the end of the connection is that of the answer.
        self.is_last |= !request.is_modern;
        self.state = State::Echo(Echo { body, has_begun: false, is_chunked: request.is_modern });
        true
    }

    pub(crate) fn echo(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) -> GoOn {
        let State::Echo(echo) = &mut self.state else { return Ok(true) };
        let piece = match echo.body.next(input) {
            Ok(Piece::More) => return Ok(false),
            Ok(piece) => piece,
            Err(status) if !echo.has_begun => return Ok(self.refuse(cx, status)),
            // Without its last chunk everybody sees that the answer is not complete.
            Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        };
        if !echo.has_begun {
            echo.has_begun = true;
            let site = &mut *cx.shared;
            let mut response = Response::begin(&mut site.scratch, Status::OK, &site.date);
            response.header("Content-Type", "application/octet-stream");
            if echo.is_chunked {
                response.header("Transfer-Encoding", "chunked");
            }
            response.end(!self.is_last);
            cx.io.send(cx.id, &site.scratch);
        }
        let Piece::Data(data) = piece else {
            let end: &[u8] = if echo.is_chunked { b"0\r\n\r\n" } else { b"" };
            let sent = cx.send(end);
            return Ok(self.end_answer(cx, sent));
        };
        self.moved += data.len() as u64;
        self.progress += self.moved >> 12;
        self.moved &= 0xFFF;
        let sent = if echo.is_chunked {
            cx.send(format!("{:x}\r\n", data.len()).as_bytes());
            cx.send(data);
            cx.send(b"\r\n")
        } else {
            cx.send(data)
        };
        // While the peer does not keep up, nothing more is read; what was read goes on.
        Ok(sent != Sent::Gone)
    }

    // Files.

    fn begin_file(
        &mut self,
        cx: &mut Cx<'_>,
        request: &Request<'_>,
        with_body: bool,
        found: Found,
    ) -> GoOn {
        let modified = httpdate::fmt_http_date(found.modified);
        let known = request.if_modified_since.and_then(|d| httpdate::parse_http_date(d).ok());
        let (status, first, len) = match files::part(request, found.len, &modified) {
            _ if known.is_some_and(|known| found.modified <= known) => (Status::NOT_MODIFIED, 0, 0),
            Part::Whole => (Status::OK, 0, found.len),
            Part::Range(first, len) => (Status::PARTIAL_CONTENT, first, len),
            Part::Unsatisfiable => (Status::RANGE_NOT_SATISFIABLE, 0, 0),
        };
        let site = &mut *cx.shared;
        let mut response = Response::begin(&mut site.scratch, status, &site.date);
        response.header("Last-Modified", modified);
        response.header("Accept-Ranges", "bytes");
        if status != Status::NOT_MODIFIED {
            response.header("Content-Type", found.media_type);
            response.header("Content-Length", len);
        }
        if status == Status::PARTIAL_CONTENT {
            let last = first + len - 1;
            response.header("Content-Range", format_args!("bytes {first}-{last}/{}", found.len));
        } else if status == Status::RANGE_NOT_SATISFIABLE {
            response.header("Content-Range", format_args!("bytes */{}", found.len));
        }
        response.end(!self.is_last);
        let sent = cx.io.send(cx.id, &site.scratch);
        if !with_body || len == 0 {
            return Ok(self.end_answer(cx, sent));
        }
        let mut transfer = Transfer::new(found.file, first, len)?;
        let sent = transfer.go_on(cx)?;
        if transfer.is_over() {
            return Ok(self.end_answer(cx, sent));
        }
        cx.pause();
        self.state = State::File(transfer);
        Ok(false)
    }

    // Events.

    fn begin_events(&mut self, cx: &mut Cx<'_>, with_body: bool) -> bool {
        let site = &mut *cx.shared;
        let mut response = Response::begin(&mut site.scratch, Status::OK, &site.date);
        response.header("Content-Type", "text/event-stream");
        response.header("Cache-Control", "no-store");
        // The events have no end but that of the connection.
        response.end(false);
        self.is_last = true;
        let sent = cx.io.send(cx.id, &site.scratch);
        if !with_body {
            return self.end_answer(cx, sent);
        }
        let event = events::event(1, &site.date);
        cx.send(event.as_bytes());
        self.set_timer(cx, EVENT_EVERY);
        self.state = State::Events(1);
        true
    }
}
