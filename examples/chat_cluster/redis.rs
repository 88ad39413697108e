//! The two connections to Redis, one that subscribes and one that publishes, because a subscriber
//! may send no other commands.

use std::io;

use socketserver::{Context, Handler, Input, Io, TimerId};

use crate::ClusterState;
use crate::protocol::{MAX_LINE, encode, message, unexpected};

type Cx<'a> = Context<'a, ClusterState>;

/// Checks that Redis is alive by a `PING` twice in the timeout.
#[derive(Default)]
struct Ping {
    is_asked: bool,
    /// Whether bytes were received since the last `PING`.
    is_answered: bool,
}

impl Ping {
    fn start(cx: &mut Cx<'_>) {
        cx.set_timer(cx.shared.redis_timeout / 2);
    }

    /// Sends the next `PING`. `Err` if the last one was not answered.
    fn due(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        if self.is_asked && !self.is_answered {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer to PING"));
        }
        *self = Ping { is_asked: true, is_answered: false };
        cx.send(&encode(&[b"PING"]));
        Ping::start(cx);
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct Subscriber {
    ping: Ping,
}

impl Handler<ClusterState> for Subscriber {
    fn setup(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        Ping::start(cx);
        cx.io.send(cx.id, &encode(&[b"SUBSCRIBE", cx.shared.channel.as_bytes()]));
        Ok(())
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) -> io::Result<()> {
        self.ping.is_answered = true;
        while let Some([kind, _channel, payload]) = message(input)? {
            match kind {
                b"subscribe" => {
                    cx.shared.is_subscribed = true;
                    cx.shared.compare(cx.io);
                }
                b"message" => {
                    let actions = cx.shared.cluster.receive(payload);
                    for line in actions.tell {
                        cx.shared.send_to_members(cx.io, None, &line);
                    }
                    for message in actions.publish {
                        cx.shared.publish(cx.io, &message);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Cx<'_>, _timer: TimerId) -> io::Result<()> {
        self.ping.due(cx)
    }

    fn finish(&mut self, cx: &mut Cx<'_>, outcome: io::Result<()>) {
        cx.shared.report_loss(cx.io, &outcome);
        cx.shared.is_subscribed = false;
        cx.shared.compare(cx.io);
    }
}

#[derive(Default)]
pub(crate) struct Publisher {
    ping: Ping,
}

impl Handler<ClusterState> for Publisher {
    fn setup(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        Ping::start(cx);
        cx.shared.publisher = Some(cx.id);
        cx.shared.compare(cx.io);
        Ok(())
    }

    /// Redis replies the count of subscribers, which does not help here.
    fn handle(&mut self, _cx: &mut Cx<'_>, input: &mut Input<'_>) -> io::Result<()> {
        self.ping.is_answered = true;
        while let Some(line) = input.take_line(MAX_LINE)? {
            if line.starts_with(b"-") {
                return Err(unexpected(line));
            }
        }
        Ok(())
    }

    /// Messages may have been dropped while the output was congested; servers that missed one
    /// request it.
    fn drained(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        cx.shared.compare(cx.io);
        Ok(())
    }

    /// Stays open while there are members whose last lines it has to publish.
    fn shutdown(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        cx.shared.close_after_last_member(cx.io);
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Cx<'_>, _timer: TimerId) -> io::Result<()> {
        self.ping.due(cx)
    }

    fn finish(&mut self, cx: &mut Cx<'_>, outcome: io::Result<()>) {
        cx.shared.report_loss(cx.io, &outcome);
        cx.shared.publisher = None;
        cx.shared.compare(cx.io);
    }
}

impl ClusterState {
    fn report_loss(&mut self, io: &Io, outcome: &io::Result<()>) {
        if !io.is_shutting_down() {
            self.redis_errors.report(outcome);
        }
    }

    /// Publishes a message, unless Redis is away or congested; other servers request a line they
    /// missed.
    pub(crate) fn publish(&mut self, io: &mut Io, message: &[u8]) {
        if let Some(publisher) = self.publisher.filter(|publisher| !io.is_congested(*publisher)) {
            io.send(publisher, &encode(&[b"PUBLISH", self.channel.as_bytes(), message]));
        }
    }

    pub(crate) fn close_after_last_member(&mut self, io: &mut Io) {
        if let Some(publisher) = self.publisher.filter(|_| self.members.is_empty()) {
            io.close(publisher);
        }
    }
}
