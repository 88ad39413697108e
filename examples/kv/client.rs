//! One client: its commands are parsed where they lie, and the replies of a turn leave together.

use std::collections::BTreeSet;
use std::io;

use socketserver::{Context, Handler, Input, Sent};

use crate::Shared;
use crate::channels::{MAX_CHANNELS, MAX_NAME};
use crate::commands::{self, capitals};
use crate::resp::{Args, Parser};

type Cx<'a> = Context<'a, Shared>;

/// Replies are sent when there are so many bytes of them, and at the end of a turn.
const FLUSH: usize = 32 << 10;

#[derive(Default)]
pub(crate) struct Client {
    parser: Parser,
    channels: BTreeSet<Box<[u8]>>,
}

impl Handler<Shared> for Client {
    fn handle(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) -> io::Result<()> {
        cx.shared.store.now = cx.io.now();
        self.serve(cx, input);
        cx.shared.wake_at_next_deadline(cx.io);
        Ok(())
    }

    fn finish(&mut self, cx: &mut Cx<'_>, _outcome: io::Result<()>) {
        for channel in &self.channels {
            cx.shared.channels.leave(channel, cx.id);
        }
    }
}

impl Client {
    /// Answers what has come. When the client does not take the answers it stops; the library shows
    /// the rest again when it has taken them, also when the server is about to end.
    fn serve(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) {
        let mut is_over = false;
        while !is_over {
            match self.parser.next(input) {
                Ok(Some(args)) if args.len() == 0 => {}
                Ok(Some(args)) => is_over = run(cx, &mut self.channels, &args),
                Ok(None) => break,
                Err(fault) => {
                    cx.shared.replies.error(&format!("ERR Protocol error: {}", fault.0));
                    is_over = true;
                }
            }
            if cx.shared.replies.bytes.len() >= FLUSH && flush(cx) != Sent::Queued && !is_over {
                return;
            }
        }
        flush(cx);
        if is_over {
            cx.close();
        }
    }
}

fn flush(cx: &mut Cx<'_>) -> Sent {
    let replies = &mut cx.shared.replies.bytes;
    if replies.is_empty() {
        return Sent::Queued;
    }
    let sent = cx.io.send(cx.id, replies);
    replies.clear();
    // One large value does not stay for ever.
    replies.shrink_to(2 * FLUSH);
    sent
}

/// Does what a command says, and says whether it was the last.
fn run(cx: &mut Cx<'_>, channels: &mut BTreeSet<Box<[u8]>>, args: &Args<'_, '_>) -> bool {
    let (name, len) = capitals(args.get(0));
    let name = name.get(..len).unwrap_or_default();
    let Shared { store, replies, .. } = cx.shared;
    match (name, args.len()) {
        (b"SUBSCRIBE", 2..) => args.skip(1).for_each(|name| subscribe(cx, channels, name)),
        (b"UNSUBSCRIBE", _) => unsubscribe(cx, channels, args),
        (b"PING", 1..=2) if !channels.is_empty() => {
            replies.array(2);
            replies.bulk(b"pong");
            replies.bulk(args.get(1));
        }
        (b"QUIT", _) => {
            replies.simple("OK");
            return true;
        }
        _ if !channels.is_empty() => {
            let allowed = "(UN)SUBSCRIBE / PING / QUIT are allowed in this context";
            replies.error(&format!("ERR Can't execute this command: only {allowed}"));
        }
        (b"PUBLISH", 3) => publish(cx, args.get(1), args.get(2)),
        (b"INFO", _) => info(cx),
        _ => {
            if let Err(refused) = commands::run(name, store, args, replies) {
                replies.error(refused);
            }
        }
    }
    false
}

fn subscribe(cx: &mut Cx<'_>, channels: &mut BTreeSet<Box<[u8]>>, name: &[u8]) {
    let Shared { channels: all, replies, .. } = cx.shared;
    if name.len() > MAX_NAME || channels.len() >= MAX_CHANNELS && !channels.contains(name) {
        return replies.error("ERR too many channels, or too long a name");
    }
    all.join(name, cx.id);
    channels.insert(name.into());
    replies.array(3);
    replies.bulk(b"subscribe");
    replies.bulk(name);
    replies.count(channels.len());
}

/// From those that are named, or from all; either way there is a reply.
fn unsubscribe(cx: &mut Cx<'_>, channels: &mut BTreeSet<Box<[u8]>>, args: &Args<'_, '_>) {
    let Shared { channels: all, replies, .. } = cx.shared;
    let names: Vec<Option<Box<[u8]>>> = match args.len() {
        2.. => args.skip(1).map(|name| Some(name.into())).collect(),
        _ if channels.is_empty() => vec![None],
        _ => channels.iter().cloned().map(Some).collect(),
    };
    for name in names {
        replies.array(3);
        replies.bulk(b"unsubscribe");
        match name {
            Some(name) => {
                channels.remove(&name);
                all.leave(&name, cx.id);
                replies.bulk(&name);
            }
            None => replies.null(),
        }
        replies.count(channels.len());
    }
}

/// A subscriber that does not keep up is ended by the output limit of the library.
fn publish(cx: &mut Cx<'_>, channel: &[u8], message: &[u8]) {
    let Shared { channels, replies, .. } = cx.shared;
    // The message is put together behind the replies that wait, and taken away again.
    let start = replies.bytes.len();
    replies.array(3);
    replies.bulk(b"message");
    replies.bulk(channel);
    replies.bulk(message);
    let clients = channels.clients(channel);
    let count = clients.len();
    for client in clients {
        cx.io.send(client, replies.bytes.get(start..).unwrap_or_default());
    }
    replies.bytes.truncate(start);
    replies.count(count);
}

fn info(cx: &mut Cx<'_>) {
    let Shared { store, replies, .. } = cx.shared;
    let (clients, used, limit) = (cx.io.connections(), store.used(), store.limit());
    let (keys, expiring) = (store.len(), store.expiring());
    let text = format!(
        "# Clients\r\nconnected_clients:{clients}\r\n\
         # Memory\r\nused_memory:{used}\r\nmaxmemory:{limit}\r\n\
         # Keyspace\r\ndb0:keys={keys},expires={expiring}\r\n"
    );
    replies.bulk(text.as_bytes());
}
