//! The handler of one connection: each request is answered before the next is parsed.

use std::io;
use std::time::{Duration, Instant};

use socketserver::{Context, Handler, Input, SendStatus, TimerId};

use crate::body::Body;
use crate::events;
use crate::files::Transfer;
use crate::head::{has_bare_lf, no_fields};
use crate::request::{HEAD_LIMIT, Request, TARGET_LIMIT};
use crate::response::Status;
use crate::site::Site;
use crate::spool::SpooledBody;

#[derive(Debug, Default)]
pub(crate) struct HttpConnection {
    pub(crate) state: RequestState,
    /// Whether the connection counts in `Site::places`.
    has_place: bool,
    /// Whether the connection closes after the current answer.
    pub(crate) is_last: bool,
    /// `Some` while a head is incomplete.
    head_timer: Option<TimerId>,
    /// Bytes of an incomplete head that were checked for a bare LF.
    scanned: usize,
    /// The idle timeout, or the time of the next event.
    timer: Option<TimerId>,
    /// Time of the last head, or of the last 4 KiB in either direction. The timer reads it when it
    /// expires, so a request does not rearm the timer.
    active_at: Option<Instant>,
    /// Bytes not sent or not acknowledged when the timer last expired; `None` after activity.
    unacknowledged: Option<usize>,
    /// Bytes received since the last activity was recorded.
    pub(crate) uncounted_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) enum RequestState {
    #[default]
    Head,
    /// Receives a body that will be sent back.
    Echo(Body, SpooledBody),
    /// Sends a file; input is paused.
    File(Transfer),
    EventStream(EventStream),
}

#[derive(Debug)]
pub(crate) struct EventStream {
    /// The number of the last event.
    pub(crate) count: u64,
    pub(crate) ends_at: Instant,
    pub(crate) is_chunked: bool,
}

pub(crate) type Cx<'a> = Context<'a, Site>;

/// Whether to parse the rest of the input.
pub(crate) type ReadMore = io::Result<bool>;

/// Ends a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

pub(crate) const EVENT_EVERY: Duration = Duration::from_secs(1);

impl Handler<Site> for HttpConnection {
    fn setup(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        self.has_place = cx.shared.places.take();
        if !self.has_place {
            cx.shared.refresh(cx.io.now());
            self.refuse(cx, Status::SERVICE_UNAVAILABLE, true);
            return Ok(());
        }
        self.set_timer(cx, cx.shared.limits.idle_timeout);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) -> io::Result<()> {
        cx.shared.refresh(cx.io.now());
        loop {
            let read_more = match &mut self.state {
                RequestState::Head => self.head(cx, input)?,
                RequestState::Echo(..) => self.echo(cx, input)?,
                RequestState::File(_) => false,
                RequestState::EventStream(_) => {
                    input.take_all();
                    false
                }
            };
            if !read_more {
                return Ok(());
            }
        }
    }

    fn drained(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        if let RequestState::File(transfer) = &mut self.state {
            transfer.send_more(cx)?;
            let is_over = transfer.is_over();
            self.record_activity(cx.io.now());
            if !is_over {
                return Ok(());
            }
            self.end_answer(cx, SendStatus::Queued);
            // The library delivers the requests after the file again.
            cx.io.resume(cx.id);
        }
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Cx<'_>, timer: TimerId) -> io::Result<()> {
        cx.shared.refresh(cx.io.now());
        let is_head = self.head_timer == Some(timer);
        let is_about_idleness = !is_head && !matches!(self.state, RequestState::EventStream(_));
        if is_about_idleness && let Some(left) = self.idle_left(cx) {
            self.set_timer(cx, left);
            return Ok(());
        }
        match &mut self.state {
            RequestState::EventStream(events) if events.ends_at <= cx.io.now() => {
                if events.is_chunked {
                    cx.send(LAST_CHUNK);
                }
                cx.close();
            }
            RequestState::EventStream(events) => {
                events.count = events.count.wrapping_add(1);
                // A slow client misses events.
                if !cx.io.is_congested(cx.id) {
                    events.send(cx);
                }
                self.set_timer(cx, EVENT_EVERY);
            }
            // There is no request to answer.
            RequestState::Head if self.head_timer.is_none() => cx.close(),
            RequestState::File(_) => drop(cx.io.abort(cx.id)),
            RequestState::Head | RequestState::Echo(..) => {
                self.refuse(cx, Status::REQUEST_TIMEOUT, true);
            }
        }
        Ok(())
    }

    /// A half-close still gets its answers. Events continue until the client closes: a half-close
    /// is no reason to cut an answer, as in nginx, which sends a file to its end. If the client is
    /// gone, sending the next event fails.
    fn eof(&mut self, cx: &mut Cx<'_>, _rest: &[u8]) -> io::Result<()> {
        if !matches!(self.state, RequestState::EventStream(_)) {
            cx.close();
        }
        Ok(())
    }

    fn shutdown(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        self.is_last = true;
        if let RequestState::EventStream(EventStream { is_chunked: true, .. }) = self.state {
            cx.send(LAST_CHUNK);
        }
        // An incomplete head or body may still be completed, within its own timeout and the grace.
        let is_idle = matches!(self.state, RequestState::Head) && self.head_timer.is_none();
        if is_idle || matches!(self.state, RequestState::EventStream(_)) {
            cx.close();
        }
        Ok(())
    }

    fn finish(&mut self, cx: &mut Cx<'_>, _outcome: io::Result<()>) {
        if self.has_place {
            cx.shared.places.give_back();
        }
    }
}

impl EventStream {
    /// Sends the next event.
    pub(crate) fn send(&self, cx: &mut Cx<'_>) {
        let date = cx.shared.date.as_deref().unwrap_or("the clock is wrong");
        let event = events::event(self.count, date, self.is_chunked);
        cx.send(event.as_bytes());
    }
}

impl HttpConnection {
    /// Sets the idle timer, and cancels the one before.
    pub(crate) fn set_timer(&mut self, cx: &mut Cx<'_>, after: Duration) {
        if let Some(before) = self.timer.replace(cx.set_timer(after)) {
            cx.io.cancel_timer(before);
        }
    }

    /// Restarts the idle timeout.
    pub(crate) fn record_activity(&mut self, now: Instant) {
        self.active_at = Some(now);
        self.unacknowledged = None;
    }

    /// Returns the rest of the idle timeout; `None` if it has expired. A client that reads slowly
    /// is only visible in what its system acknowledges, which takes two samples. So a client with
    /// unacknowledged bytes gets the timeout once more, and again while their number shrinks.
    fn idle_left(&mut self, cx: &Cx<'_>) -> Option<Duration> {
        let (now, most) = (cx.io.now(), cx.shared.limits.idle_timeout);
        let idle = self.active_at.map_or(most, |at| now.saturating_duration_since(at));
        let left = most.saturating_sub(idle);
        if !left.is_zero() {
            return Some(left);
        }
        let unacknowledged = cx.io.pending_output(cx.id) + cx.io.unacknowledged(cx.id).unwrap_or(0);
        let before = self.unacknowledged.replace(unacknowledged);
        let has_moved = before.map_or(unacknowledged > 0, |before| unacknowledged < before);
        has_moved.then(|| {
            self.active_at = Some(now);
            most
        })
    }

    fn head(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) -> ReadMore {
        // Empty lines before a request are allowed (RFC 9112, 2.2).
        while input.peek().starts_with(b"\r\n") {
            input.take(2);
            self.scanned = 0;
        }
        let rest = input.peek();
        let head = match input.take_delimited(b"\r\n\r\n", HEAD_LIMIT) {
            Ok(Some(head)) => rest.get(..head.len() + 4).unwrap_or_default(),
            Ok(None) => return Ok(self.partial_head(cx, rest)),
            Err(_) => return Ok(self.refuse(cx, head_limit_status(rest), !is_for_head(rest))),
        };
        self.scanned = 0;
        if let Some(timer) = self.head_timer.take() {
            cx.io.cancel_timer(timer);
        }
        self.record_activity(cx.shared.now);
        match Request::parse(head, &mut no_fields()) {
            Ok(request) => self.route(cx, &request, input.is_empty()),
            Err(status) => Ok(self.refuse(cx, status, !is_for_head(head))),
        }
    }

    /// Arms the timer of an incomplete head, and rejects a bare LF at once, because a head with it
    /// would never be complete.
    fn partial_head(&mut self, cx: &mut Cx<'_>, rest: &[u8]) -> bool {
        if !rest.is_empty() && self.head_timer.is_none() {
            self.head_timer = Some(cx.set_timer(cx.shared.limits.head_timeout));
        }
        let new = rest.get(self.scanned.saturating_sub(1)..).unwrap_or_default();
        self.scanned = rest.len();
        if rest.starts_with(b"\n") || has_bare_lf(new) {
            return self.refuse(cx, Status::BAD_REQUEST, !is_for_head(rest));
        }
        false
    }
}

/// The status for a head above its limit.
fn head_limit_status(head: &[u8]) -> Status {
    let line = head.get(..TARGET_LIMIT).unwrap_or(head);
    match (line.contains(&b'\n'), line.contains(&b' ')) {
        (true, _) => Status::FIELDS_TOO_LARGE,
        (false, true) => Status::URI_TOO_LONG,
        // No method is this long.
        (false, false) => Status::BAD_REQUEST,
    }
}

/// Whether this is a HEAD request, whose answer has no body.
fn is_for_head(head: &[u8]) -> bool {
    head.starts_with(b"HEAD ")
}
