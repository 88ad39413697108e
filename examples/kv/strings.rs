//! Commands that read and change values.

use crate::command::{SYNTAX, WRONG_NUMBER, is};
use crate::expiry::{self, TimeUnit};
use crate::memory::{CommandError, CommandResult};
use crate::number::integer;
use crate::parser::Args;
use crate::session::{Cx, Session};
use crate::store::{Expiry, NO_INTEGER, Store};
use crate::value::ValueRef;

/// Most bytes copied for one reply; large values are not copied.
const MAX_REPLY: usize = 16 << 20;
const TOO_LONG: CommandError = "ERR the reply would be too long";

pub(crate) fn get(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    cx.shared.replies.value_or_null(cx.shared.store.get(args.get(1)));
    Ok(())
}

/// The options of `SET`.
#[derive(Clone, Copy)]
struct SetOptions {
    expiry: Expiry,
    /// `Some(true)` for `XX`, `Some(false)` for `NX`.
    wanted: Option<bool>,
    gives_before: bool,
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub(crate) fn set(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let store = &mut cx.shared.store;
    if args.len() == 3 {
        store.set(args.get(1), args.value(2), Expiry::Never)?;
        cx.shared.replies.simple("OK");
        return Ok(());
    }
    let SetOptions { expiry, wanted, gives_before } = options(store, args)?;
    let (key, replies) = (args.get(1), &mut cx.shared.replies);
    let mark = replies.mark();
    let is_done = wanted.is_none_or(|wanted| wanted == store.contains(key));
    if gives_before {
        replies.value_or_null(store.get(key));
    } else if is_done {
        replies.simple("OK");
    } else {
        replies.null();
    }
    if is_done {
        store.set(key, args.value(2), expiry).inspect_err(|_| replies.truncate_to(mark))?;
    }
    Ok(())
}

fn options(store: &Store, args: &Args<'_>) -> Result<SetOptions, CommandError> {
    let mut set = SetOptions { expiry: Expiry::Never, wanted: None, gives_before: false };
    let mut words = args.skip(3);
    while let Some(word) = words.next() {
        if (is(word, "NX") || is(word, "XX")) && set.wanted.is_none_or(|xx| xx == is(word, "XX")) {
            set.wanted = Some(is(word, "XX"));
        } else if is(word, "GET") {
            set.gives_before = true;
        } else if set.expiry == Expiry::Never && is(word, "KEEPTTL") {
            set.expiry = Expiry::Keep;
        } else if let (Expiry::Never, Some(unit)) = (set.expiry, TimeUnit::named(word)) {
            let count = words.next().ok_or(SYNTAX)?;
            set.expiry = Expiry::At(expiry::later(store, count, unit)?);
        } else {
            return Err(SYNTAX);
        }
    }
    Ok(set)
}

pub(crate) fn setex(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    set_for(cx, args, TimeUnit::Seconds)
}

pub(crate) fn psetex(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    set_for(cx, args, TimeUnit::Millis)
}

fn set_for(cx: &mut Cx<'_>, args: &Args<'_>, unit: TimeUnit) -> CommandResult {
    let store = &mut cx.shared.store;
    let at = expiry::later(store, args.get(2), unit)?;
    store.set(args.get(1), args.value(3), Expiry::At(at))?;
    cx.shared.replies.simple("OK");
    Ok(())
}

pub(crate) fn setnx(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let store = &mut cx.shared.store;
    let is_new = !store.contains(args.get(1));
    if is_new {
        store.set(args.get(1), args.value(2), Expiry::Never)?;
    }
    cx.shared.replies.count(usize::from(is_new));
    Ok(())
}

pub(crate) fn mget(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let store = &cx.shared.store;
    let copied: usize = args.skip(1).map(|key| store.get(key).map_or(0, ValueRef::cost)).sum();
    if copied > MAX_REPLY {
        return Err(TOO_LONG);
    }
    cx.shared.replies.array(args.len() - 1);
    for key in args.skip(1) {
        cx.shared.replies.value_or_null(store.get(key));
    }
    Ok(())
}

pub(crate) fn mset(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    cx.shared.store.set_all(pairs(args)?)?;
    cx.shared.replies.simple("OK");
    Ok(())
}

pub(crate) fn msetnx(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let (pairs, store) = (pairs(args)?, &mut cx.shared.store);
    let are_new = pairs.clone().all(|(key, _)| !store.contains(key));
    if are_new {
        store.set_all(pairs)?;
    }
    cx.shared.replies.count(usize::from(are_new));
    Ok(())
}

fn pairs<'a>(
    args: &Args<'a>,
) -> Result<impl Iterator<Item = (&'a [u8], ValueRef<'a>)> + Clone, CommandError> {
    let args = *args;
    if args.len() % 2 == 0 {
        return Err(WRONG_NUMBER);
    }
    Ok((1..args.len()).step_by(2).map(move |nth| (args.get(nth), args.value(nth + 1))))
}

/// `GETSET key value`
pub(crate) fn getset(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let (store, replies) = (&mut cx.shared.store, &mut cx.shared.replies);
    let mark = replies.mark();
    replies.value_or_null(store.get(args.get(1)));
    let set = store.set(args.get(1), args.value(2), Expiry::Never);
    set.inspect_err(|_| replies.truncate_to(mark))
}

pub(crate) fn getdel(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    cx.shared.replies.value_or_null(cx.shared.store.get(args.get(1)));
    cx.shared.store.remove(args.get(1));
    Ok(())
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub(crate) fn getex(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let store = &mut cx.shared.store;
    let (key, word) = (args.get(1), args.get(2));
    let expiry = match (args.len(), TimeUnit::named(word)) {
        (2, _) => Expiry::Keep,
        (3, _) if is(word, "PERSIST") => Expiry::Never,
        // Redis does not parse the time if the key is missing.
        (4, Some(_)) if !store.contains(key) => Expiry::Keep,
        (4, Some(unit)) => Expiry::At(expiry::later(store, args.get(3), unit)?),
        _ => return Err(SYNTAX),
    };
    cx.shared.replies.value_or_null(store.get(key));
    match expiry {
        Expiry::Keep => {}
        Expiry::Never => drop(expiry::clear(store, key)),
        Expiry::At(at) => drop(expiry::set(store, key, at)),
    }
    Ok(())
}

pub(crate) fn del(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let store = &mut cx.shared.store;
    cx.shared.replies.count(args.skip(1).filter(|key| store.remove(key)).count());
    Ok(())
}

pub(crate) fn exists(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let store = &cx.shared.store;
    cx.shared.replies.count(args.skip(1).filter(|key| store.contains(key)).count());
    Ok(())
}

/// `TYPE key`
pub(crate) fn kind(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let is_there = cx.shared.store.contains(args.get(1));
    cx.shared.replies.simple(if is_there { "string" } else { "none" });
    Ok(())
}

pub(crate) fn incr(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    add(cx, args, 1)
}

pub(crate) fn decr(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    add(cx, args, -1)
}

pub(crate) fn incrby(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    add(cx, args, integer(args.get(2)).ok_or(NO_INTEGER)?)
}

pub(crate) fn decrby(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let less = integer(args.get(2)).ok_or(NO_INTEGER)?;
    add(cx, args, less.checked_neg().ok_or("ERR decrement would overflow")?)
}

fn add(cx: &mut Cx<'_>, args: &Args<'_>, more: i64) -> CommandResult {
    let sum = cx.shared.store.add(args.get(1), more)?;
    cx.shared.replies.integer(sum);
    Ok(())
}

pub(crate) fn append(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let len = cx.shared.store.append(args.get(1), args.value(2))?;
    cx.shared.replies.count(len);
    Ok(())
}

pub(crate) fn strlen(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    cx.shared.replies.count(cx.shared.store.get(args.get(1)).map_or(0, ValueRef::len));
    Ok(())
}

pub(crate) fn dbsize(cx: &mut Cx<'_>, _me: &mut Session, _args: &Args<'_>) -> CommandResult {
    cx.shared.replies.count(cx.shared.store.len());
    Ok(())
}

fn is_flush_mode(word: &[u8]) -> bool {
    is(word, "ASYNC") || is(word, "SYNC")
}

/// `FLUSHALL [ASYNC | SYNC]`; either way the memory is freed in steps.
pub(crate) fn flush(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    if args.len() > 2 || args.len() == 2 && !is_flush_mode(args.get(1)) {
        return Err(SYNTAX);
    }
    cx.shared.store.clear();
    cx.shared.replies.simple("OK");
    Ok(())
}
