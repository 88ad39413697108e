//! Commands about the connection itself.

use crate::clients::Attribute;
use crate::command::{SYNTAX, WRONG_NUMBER, is};
use crate::memory::{CommandError, CommandResult};
use crate::number::integer;
use crate::parser::Args;
use crate::replies::Protocol;
use crate::session::{Cx, Session};
use crate::store::NO_INTEGER;

pub(crate) const BAD_NAME: CommandError =
    "ERR Client names cannot contain spaces, newlines or special characters.";
const WRONG_USER: CommandError = "WRONGPASS invalid username-password pair or user is disabled.";

/// `PING [text]`. A subscriber gets the answer in the form of a message.
pub(crate) fn ping(cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) -> CommandResult {
    let replies = &mut cx.shared.replies;
    if args.len() > 2 {
        return Err(WRONG_NUMBER);
    }
    if me.is_subscriber() {
        replies.array(2);
        replies.bulk(b"pong");
        replies.value(args.value(1));
    } else if args.len() == 1 {
        replies.simple("PONG");
    } else {
        replies.value(args.value(1));
    }
    Ok(())
}

pub(crate) fn echo(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    cx.shared.replies.value(args.value(1));
    Ok(())
}

/// `HELLO [2 | 3 [AUTH user password] [SETNAME name]]`
pub(crate) fn hello(cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) -> CommandResult {
    let protocol = match (args.len(), args.get(1)) {
        (1, _) => me.record.protocol.get(),
        (_, b"2") => Protocol::Resp2,
        (_, b"3") => Protocol::Resp3,
        (_, version) if integer(version).is_none() => {
            return Err("ERR Protocol version is not an integer or out of range");
        }
        _ => return Err("NOPROTO unsupported protocol version"),
    };
    let (mut words, mut name) = (args.skip(2), None);
    while let Some(word) = words.next() {
        if is(word, "AUTH") {
            check(words.next().zip(words.next()).ok_or(SYNTAX)?.0)?;
        } else if is(word, "SETNAME") {
            name = Some(words.next().ok_or(SYNTAX)?);
        } else {
            return Err(SYNTAX);
        }
    }
    if name.is_some_and(|name| !me.record.set_attribute(Attribute::Name, name)) {
        return Err(BAD_NAME);
    }
    me.set_protocol(&mut cx.shared.replies, protocol);
    greet(cx, me);
    Ok(())
}

fn greet(cx: &mut Cx<'_>, me: &Session) {
    let replies = &mut cx.shared.replies;
    replies.map(7);
    for (name, value) in [("server", "kv"), ("version", env!("CARGO_PKG_VERSION"))] {
        replies.bulk(name.as_bytes());
        replies.bulk(value.as_bytes());
    }
    replies.bulk(b"proto");
    replies.integer(me.record.protocol.get().number());
    replies.bulk(b"id");
    replies.integer(i64::try_from(me.record.number).unwrap_or(i64::MAX));
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        replies.bulk(name.as_bytes());
        replies.bulk(value.as_bytes());
    }
    replies.bulk(b"modules");
    replies.array(0);
}

/// `AUTH [user] password`. This server has no passwords. As in a Redis without any, the user
/// `default` may send any password; a password alone is an error, because it is probably meant for
/// another server.
pub(crate) fn auth(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    if args.len() > 3 {
        return Err(SYNTAX);
    }
    if args.len() == 2 {
        return Err("ERR AUTH <password> called without any password configured for the default \
                    user. Are you sure your configuration is correct?");
    }
    check(args.get(1))?;
    cx.shared.replies.simple("OK");
    Ok(())
}

fn check(user: &[u8]) -> CommandResult {
    if user == b"default" { Ok(()) } else { Err(WRONG_USER) }
}

/// `SELECT 0`
pub(crate) fn select(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    match integer(args.get(1)) {
        Some(0) => cx.shared.replies.simple("OK"),
        Some(_) => return Err("ERR DB index is out of range"),
        None => return Err(NO_INTEGER),
    }
    Ok(())
}

pub(crate) fn reset(cx: &mut Cx<'_>, me: &mut Session, _args: &Args<'_>) -> CommandResult {
    me.reset(cx);
    cx.shared.replies.simple("RESET");
    Ok(())
}

pub(crate) fn quit(cx: &mut Cx<'_>, me: &mut Session, _args: &Args<'_>) -> CommandResult {
    me.is_closing = true;
    cx.shared.replies.simple("OK");
    Ok(())
}
