//! One connection: request after request, each answered before the next is looked at.

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
    /// The connection ends with the answer that is under way.
    pub(crate) is_last: bool,
    /// While a head has begun to come in.
    head_timer: Option<TimerId>,
    /// Bytes of a head in which no line ends as none may.
    scanned: usize,
    /// Until the connection is idle for too long, or the next event is due.
    timer: Option<TimerId>,
    /// When a head came last, or 4 KiB went either way. The timer looks at this when it comes up, so
    /// nothing needs to be done for it at each request.
    active_at: Option<Instant>,
    /// What was on its way to the client at the last look, not sent or not acknowledged, if nothing
    /// happened since.
    unacknowledged: Option<usize>,
    /// Bytes that are not yet progress.
    pub(crate) uncounted_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) enum RequestState {
    #[default]
    Head,
    /// A body comes in that is to go back.
    Echo(Body, SpooledBody),
    /// Paused until the file is sent.
    File(Transfer),
    EventStream(EventStream),
}

#[derive(Debug)]
pub(crate) struct EventStream {
    /// So many were sent.
    pub(crate) count: u64,
    pub(crate) is_chunked: bool,
}

pub(crate) type Cx<'a> = Context<'a, Site>;

/// Whether to go on with what else has come in.
pub(crate) type ReadMore = io::Result<bool>;

/// The end of a body in chunks.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

pub(crate) const EVENT_EVERY: Duration = Duration::from_secs(1);

impl Handler<Site> for HttpConnection {
    fn setup(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
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
            // What waits behind the file is shown again.
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
            RequestState::EventStream(events) => {
                events.count += 1;
                // Who does not keep up misses some.
                if !cx.io.is_congested(cx.id) {
                    events.send(cx);
                }
                self.set_timer(cx, EVENT_EVERY);
            }
            // Nothing was asked, so there is nothing to answer.
            RequestState::Head if self.head_timer.is_none() => cx.close(),
            RequestState::File(_) => drop(cx.io.abort(cx.id)),
            RequestState::Head | RequestState::Echo(..) => {
                self.refuse(cx, Status::REQUEST_TIMEOUT, true);
            }
        }
        Ok(())
    }

    /// A client that has no more to ask is still answered. Events go on until it leaves: as in nginx,
    /// which sends a file to the end, its half-close is no reason to cut an answer off. Where it has
    /// left in truth, the next event finds that out.
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
        // A head that has begun is waited for, as half a body is, within its own time and the grace.
        let is_idle = matches!(self.state, RequestState::Head) && self.head_timer.is_none();
        if is_idle || matches!(self.state, RequestState::EventStream(_)) {
            cx.close();
        }
        Ok(())
    }
}

impl EventStream {
    /// Sends the next one.
    pub(crate) fn send(&self, cx: &mut Cx<'_>) {
        let date = cx.shared.date.as_deref().unwrap_or("the clock is wrong");
        let event = events::event(self.count, date, self.is_chunked);
        cx.send(event.as_bytes());
    }
}

impl HttpConnection {
    /// Sets the one timer that is not for a head, in place of the one before.
    pub(crate) fn set_timer(&mut self, cx: &mut Cx<'_>, after: Duration) {
        if let Some(before) = self.timer.replace(cx.set_timer(after)) {
            cx.io.cancel_timer(before);
        }
    }

    /// Something happened that is no idleness.
    pub(crate) fn record_activity(&mut self, now: Instant) {
        self.active_at = Some(now);
        self.unacknowledged = None;
    }

    /// How much longer it may be idle; `None` when that is over. A client that reads slowly and
    /// steadily shows only in what its system acknowledges, and in that it shows only at the second
    /// look: so one that leaves something on its way has the time once more.
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
        // Empty lines before a request are allowed for.
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

    /// A head has begun: it has to go on, and its lines have to end as they must, or its end would
    /// never be seen.
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

/// What is wrong with a head that is too long.
fn head_limit_status(head: &[u8]) -> Status {
    let line = head.get(..TARGET_LIMIT).unwrap_or(head);
    match (line.contains(&b'\n'), line.contains(&b' ')) {
        (true, _) => Status::FIELDS_TOO_LARGE,
        (false, true) => Status::URI_TOO_LONG,
        // No method is that long.
        (false, false) => Status::BAD_REQUEST,
    }
}

/// Whether this begins a HEAD, whose answer never has a body.
fn is_for_head(head: &[u8]) -> bool {
    head.starts_with(b"HEAD ")
}
