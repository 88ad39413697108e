//! Commands about channels.

use crate::memory::CommandResult;
use crate::parser::Args;
use crate::replies::{Protocol, Replies};
use crate::session::{Cx, Session};
use crate::value::ValueRef;

/// `SUBSCRIBE channel...`, with one reply for each channel.
pub(crate) fn subscribe(cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) -> CommandResult {
    for name in args.skip(1) {
        if let Err(refused) = cx.shared.channels.subscribe(&mut me.channels, name, &me.record) {
            me.update_record();
            return Err(refused);
        }
        confirm(cx, me, "subscribe", Some(name));
    }
    me.update_record();
    Ok(())
}

/// `UNSUBSCRIBE [channel...]`, from all channels if none is named, with at least one reply.
pub(crate) fn unsubscribe(cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) -> CommandResult {
    if args.len() == 1 && me.channels.is_empty() {
        confirm(cx, me, "unsubscribe", None);
    } else if args.len() == 1 {
        while let Some(name) = me.channels.first() {
            cx.shared.channels.unsubscribe(&mut me.channels, &name, cx.id);
            confirm(cx, me, "unsubscribe", Some(&name));
        }
    }
    for name in args.skip(1) {
        cx.shared.channels.unsubscribe(&mut me.channels, name, cx.id);
        confirm(cx, me, "unsubscribe", Some(name));
    }
    me.update_record();
    Ok(())
}

fn confirm(cx: &mut Cx<'_>, me: &Session, what: &str, name: Option<&[u8]>) {
    let replies = &mut cx.shared.replies;
    replies.push(3);
    replies.bulk(what.as_bytes());
    replies.value_or_null(name.map(ValueRef::Small));
    replies.count(me.channels.len());
}

/// `PUBLISH channel message`. A subscriber that reads too slowly is ended (`slow_subscriber.rs`). The
/// calling client gets its own message after the reply.
pub(crate) fn publish(cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) -> CommandResult {
    let (channel, text) = (args.get(1), args.value(2));
    let messages =
        [Protocol::Resp2, Protocol::Resp3].map(|protocol| message(protocol, channel, text));
    let mut count = 0;
    let mut own = None;
    for client in cx.shared.channels.clients(channel) {
        let [second, third] = &messages;
        let message = if client.protocol.get() == Protocol::Resp2 { second } else { third };
        if client.socket == cx.id {
            own = Some(message);
        } else {
            cx.shared.output_queues.message(cx.io, client, message);
        }
        count += 1;
    }
    cx.shared.replies.count(count);
    if let Some(message) = own {
        let all = if me.is_in_transaction { &mut me.messages } else { &mut cx.shared.replies };
        all.append(message);
    }
    Ok(())
}

fn message(protocol: Protocol, channel: &[u8], text: ValueRef<'_>) -> Replies {
    let mut message = Replies::of(protocol);
    message.push(3);
    message.bulk(b"message");
    message.bulk(channel);
    message.value(text);
    message
}
