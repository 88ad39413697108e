//! One connection: request after request, each answered before the next is looked at.

use std::io;
use std::time::Duration;

use socketserver::{Context, Handler, Input, Sent, TimerId};

use crate::body::Body;
use crate::events;
use crate::files::Transfer;
use crate::request::{HEAD_LIMIT, Request, TARGET_LIMIT};
use crate::response::Status;
use crate::site::Site;

#[derive(Debug, Default)]
pub(crate) struct Connection {
    pub(crate) state: State,
    /// The connection ends with the answer that is under way.
    pub(crate) is_last: bool,
    /// While a head has begun to come in.
    head_timer: Option<TimerId>,
    /// Until the connection is idle for too long, or the next event is due.
    timer: Option<TimerId>,
    /// Heads that came, and every 4 KiB that went either way; and what that was when the timer was
    /// set. So nothing needs to be done for the timer at each request.
    pub(crate) progress: u64,
    progress_seen: u64,
    /// Bytes that are not yet progress.
    pub(crate) moved: u64,
}

#[derive(Debug, Default)]
pub(crate) enum State {
    #[default]
    Head,
    Echo(Echo),
    /// Paused until the file is sent.
    File(Transfer),
    /// So many events were sent.
    Events(u64),
}

#[derive(Debug)]
pub(crate) struct Echo {
    pub(crate) body: Body,
    /// The head of the answer was sent.
    pub(crate) has_begun: bool,
    pub(crate) is_chunked: bool,
}

pub(crate) type Cx<'a> = Context<'a, Site>;

/// Whether to go on with what else has come in.
pub(crate) type GoOn = io::Result<bool>;

pub(crate) const EVENT_EVERY: Duration = Duration::from_secs(1);

impl Handler<Site> for Connection {
    fn setup(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        self.set_timer(cx, cx.shared.limits.idle_timeout);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) -> io::Result<()> {
        cx.shared.refresh(cx.io.now());
        loop {
            let go_on = match &mut self.state {
                State::Head => self.head(cx, input)?,
                State::Echo(_) => self.echo(cx, input)?,
                State::File(_) => false,
                State::Events(_) => {
                    input.take_all();
                    false
                }
            };
            if !go_on {
                return Ok(());
            }
        }
    }

    fn drained(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        if let State::File(transfer) = &mut self.state {
            self.progress += 1;
            transfer.go_on(cx)?;
            if !transfer.is_over() {
                return Ok(());
            }
            self.end_answer(cx, Sent::Queued);
            // What waits behind the file is shown again.
            cx.io.resume(cx.id);
        }
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Cx<'_>, timer: TimerId) -> io::Result<()> {
        cx.shared.refresh(cx.io.now());
        let is_head = self.head_timer == Some(timer);
        match &mut self.state {
            State::Events(count) => {
                *count += 1;
                // Who does not keep up misses some.
                if !cx.io.is_congested(cx.id) {
                    let event = events::event(*count, &cx.shared.date);
                    cx.send(event.as_bytes());
                }
                self.set_timer(cx, EVENT_EVERY);
            }
            _ if !is_head && self.progress != self.progress_seen => {
                self.progress_seen = self.progress;
                self.set_timer(cx, cx.shared.limits.idle_timeout);
            }
            State::Head if !is_head => cx.close(),
            State::Echo(Echo { has_begun: true, .. }) | State::File(_) => cx.io.abort(cx.id),
            State::Head | State::Echo(_) => {
                self.refuse(cx, Status::REQUEST_TIMEOUT);
            }
        }
        Ok(())
    }

    fn shutdown(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        self.is_last = true;
        if matches!(self.state, State::Head | State::Events(_)) {
            cx.close();
        }
        Ok(())
    }
}

impl Connection {
    /// Sets the one timer that is not for a head, in place of the one before.
    pub(crate) fn set_timer(&mut self, cx: &mut Cx<'_>, after: Duration) {
        if let Some(before) = self.timer.replace(cx.set_timer(after)) {
            cx.io.cancel_timer(before);
        }
    }

    fn head(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) -> GoOn {
        // Empty lines before a request are allowed for.
        while input.rest().starts_with(b"\r\n") {
            input.take(2);
        }
        let rest = input.rest();
        let head = match input.delimited(b"\r\n\r\n", HEAD_LIMIT) {
            Ok(Some(head)) => rest.get(..head.len() + 4).unwrap_or_default(),
            Ok(None) => {
                if !rest.is_empty() && self.head_timer.is_none() {
                    self.head_timer = Some(cx.set_timer(cx.shared.limits.head_timeout));
                }
                return Ok(false);
            }
            Err(_) => {
                let is_target = !rest.iter().take(TARGET_LIMIT).any(|byte| *byte == b'\n');
                let status =
                    if is_target { Status::URI_TOO_LONG } else { Status::FIELDS_TOO_LARGE };
                return Ok(self.refuse(cx, status));
            }
        };
        if let Some(timer) = self.head_timer.take() {
            cx.io.cancel_timer(timer);
        }
        self.progress += 1;
        match Request::parse(head) {
            Ok(request) => self.route(cx, &request, input.is_empty()),
            Err(status) => Ok(self.refuse(cx, status)),
        }
    }
}
