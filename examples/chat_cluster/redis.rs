//! The two connections to Redis: one is told what is published, the other publishes. A connection
//! that has subscribed may do nothing else, so there are two.

use std::io;

use socketserver::{Context, Handler, Input, Io};

use crate::Shared;

type Cx<'a> = Context<'a, Shared>;

/// Bytes of one message; ours are far shorter.
const MAX_MESSAGE: usize = 64 << 10;
/// Bytes of a line that is no message.
const MAX_LINE: usize = 1_024;

pub(crate) struct Subscriber;

impl Handler<Shared> for Subscriber {
    fn setup(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        cx.io.send(cx.id, &encode(&[b"SUBSCRIBE", cx.shared.channel.as_bytes()]));
        Ok(())
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) -> io::Result<()> {
        while let Some([kind, _channel, payload]) = message(input)? {
            match kind {
                b"subscribe" => {
                    cx.shared.is_subscribed = true;
                    cx.shared.compare(cx.io);
                }
                b"message" => {
                    let follows = cx.shared.cluster.hear(payload);
                    for line in follows.tell {
                        cx.shared.tell(cx.io, None, &line);
                    }
                    for message in follows.publish {
                        cx.shared.publish(cx.io, &message);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn finish(&mut self, cx: &mut Cx<'_>, _outcome: io::Result<()>) {
        cx.shared.is_subscribed = false;
        cx.shared.compare(cx.io);
    }
}

pub(crate) struct Publisher;

impl Handler<Shared> for Publisher {
    fn setup(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        cx.shared.publisher = Some(cx.id);
        cx.shared.compare(cx.io);
        Ok(())
    }

    /// Redis says how many have heard each message, which says nothing about who.
    fn handle(&mut self, _cx: &mut Cx<'_>, input: &mut Input<'_>) -> io::Result<()> {
        while let Some(line) = input.line(MAX_LINE)? {
            if line.starts_with(b"-") {
                return Err(unexpected(line));
            }
        }
        Ok(())
    }

    /// Not all that was to be published was; who missed it will ask for it.
    fn drained(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        cx.shared.compare(cx.io);
        Ok(())
    }

    /// It stays as long as there are members whose last words it has to pass on.
    fn shutdown(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        cx.shared.leave_with_the_last(cx.io);
        Ok(())
    }

    fn finish(&mut self, cx: &mut Cx<'_>, _outcome: io::Result<()>) {
        cx.shared.publisher = None;
        cx.shared.compare(cx.io);
    }
}

impl Shared {
    /// While Redis is away, or slow, nothing is published: it is kept, and asked for later.
    pub(crate) fn publish(&mut self, io: &mut Io, message: &[u8]) {
        if let Some(publisher) = self.publisher.filter(|publisher| !io.is_congested(*publisher)) {
            io.send(publisher, &encode(&[b"PUBLISH", self.channel.as_bytes(), message]));
        }
    }

    pub(crate) fn leave_with_the_last(&mut self, io: &mut Io) {
        if let Some(publisher) = self.publisher.filter(|_| self.members.is_empty()) {
            io.close(publisher);
        }
    }
}

/// A command as Redis takes it.
fn encode(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// The next message, which has three parts: what it is, its channel, and a text or a number.
fn message<'a>(input: &mut Input<'a>) -> io::Result<Option<[&'a [u8]; 3]>> {
    // A look at what is there; it is taken only when it is complete.
    let mut ahead = Input::new(input.rest());
    let Some(head) = ahead.line(MAX_LINE)? else { return Ok(None) };
    if head != b"*3" {
        return Err(unexpected(head));
    }
    let mut parts = [&[][..]; 3];
    for part in &mut parts {
        let Some(line) = ahead.line(MAX_LINE)? else { return Ok(None) };
        *part = match line.split_first() {
            Some((b':', number)) => number,
            Some((b'$', digits)) => {
                let len = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
                let len: usize = len.ok_or_else(|| unexpected(line))?;
                let end = (input.len() - ahead.len()).saturating_add(len).saturating_add(2);
                if !input.need(end, MAX_MESSAGE)? {
                    return Ok(None);
                }
                let bulk = ahead.take(len).unwrap_or_default();
                ahead.take(2);
                bulk
            }
            _ => return Err(unexpected(line)),
        };
    }
    input.take(input.len() - ahead.len());
    Ok(Some(parts))
}

fn unexpected(line: &[u8]) -> io::Error {
    let what = format!("Redis said {:?}", String::from_utf8_lossy(line));
    io::Error::new(io::ErrorKind::InvalidData, what)
}
