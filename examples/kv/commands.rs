//! What each command does to the keys, and what it replies.

use std::time::{Duration, Instant};

use crate::resp::{Args, Replies, integer};
use crate::store::{Expiry, NO_INTEGER, Refused, Store};

/// The commands that this program knows, for those who ask and for telling a wrong number of
/// arguments from a wrong name.
const NAMES: &str = "GET SET SETEX PSETEX SETNX MGET MSET DEL UNLINK EXISTS INCR DECR INCRBY DECRBY \
    APPEND STRLEN EXPIRE PEXPIRE TTL PTTL PERSIST DBSIZE FLUSHALL FLUSHDB PING ECHO SELECT COMMAND \
    CONFIG CLIENT INFO HELLO QUIT SUBSCRIBE UNSUBSCRIBE PUBLISH";

/// Bytes of one reply; several values that are longer together are refused.
pub(crate) const MAX_REPLY: usize = 16 << 20;

const SYNTAX: Refused = "ERR syntax error";
const NO_TIME: Refused = "ERR invalid expire time";

/// The name in capitals; a longer one than all we know is cut, and then unknown as well.
pub(crate) fn capitals(name: &[u8]) -> ([u8; 16], usize) {
    let mut capitals = [0; 16];
    for (place, byte) in capitals.iter_mut().zip(name) {
        *place = byte.to_ascii_uppercase();
    }
    (capitals, name.len().min(capitals.len()))
}

/// Does what a command says that concerns keys, or nothing but its own connection.
pub(crate) fn run(
    name: &[u8],
    store: &mut Store,
    args: &Args<'_, '_>,
    out: &mut Replies,
) -> Result<(), Refused> {
    let key = args.get(1);
    match (name, args.len()) {
        (b"GET", 2) => value(store.get(key), out),
        (b"SET", 3..) => set(store, args, out)?,
        (b"SETEX", 4) => set_for(store, args, 1_000, out)?,
        (b"PSETEX", 4) => set_for(store, args, 1, out)?,
        (b"SETNX", 3) => {
            let is_new = !store.contains(key);
            if is_new {
                store.set(key, args.get(2), Expiry::Never)?;
            }
            out.count(usize::from(is_new));
        }
        (b"MGET", 2..) => several(store, args, out)?,
        (b"MSET", 3..) if args.len() % 2 == 1 => {
            for nth in (1..args.len()).step_by(2) {
                store.set(args.get(nth), args.get(nth + 1), Expiry::Never)?;
            }
            out.simple("OK");
        }
        (b"DEL" | b"UNLINK", 2..) => {
            out.count(args.skip(1).filter(|key| store.remove(key)).count());
        }
        (b"EXISTS", 2..) => out.count(args.skip(1).filter(|key| store.contains(key)).count()),
        (b"INCR", 2) => out.integer(store.add(key, 1)?),
        (b"DECR", 2) => out.integer(store.add(key, -1)?),
        (b"INCRBY", 3) => out.integer(store.add(key, number(args.get(2))?)?),
        (b"DECRBY", 3) => {
            let less = number(args.get(2))?.checked_neg().ok_or(NO_INTEGER)?;
            out.integer(store.add(key, less)?);
        }
        (b"APPEND", 3) => {
            let value = [store.get(key).unwrap_or_default(), args.get(2)].concat();
            store.set(key, &value, Expiry::Keep)?;
            out.count(value.len());
        }
        (b"STRLEN", 2) => out.count(store.get(key).map_or(0, <[u8]>::len)),
        (b"EXPIRE", 3) => expire(store, args, 1_000, out)?,
        (b"PEXPIRE", 3) => expire(store, args, 1, out)?,
        (b"TTL", 2) => time_left(store, key, 1_000, out),
        (b"PTTL", 2) => time_left(store, key, 1, out),
        (b"PERSIST", 2) => {
            let had = store.time_left(key).is_some();
            store.expire(key, None);
            out.count(usize::from(had));
        }
        (b"DBSIZE", 1) => out.count(store.len()),
        (b"FLUSHALL" | b"FLUSHDB", 1..=2) => {
            store.clear();
            out.simple("OK");
        }
        (b"PING", 1) => out.simple("PONG"),
        (b"PING" | b"ECHO", 2) => out.bulk(key),
        (b"SELECT", 2) if key == b"0" => out.simple("OK"),
        (b"SELECT", 2) => return Err("ERR DB index is out of range"),
        (b"COMMAND", _) => command(key, out),
        (b"CONFIG", 3) if key.eq_ignore_ascii_case(b"GET") => config(store, args.get(2), out),
        (b"CLIENT", 3..) if named(key, &["SETNAME", "SETINFO"]) => out.simple("OK"),
        (b"CLIENT", 2) if named(key, &["GETNAME"]) => out.null(),
        (b"CONFIG" | b"CLIENT", 2..) => return Err("ERR unknown subcommand"),
        (b"HELLO", 1..) => hello(args, out)?,
        _ => not_so(name, args, out),
    }
    Ok(())
}

fn number(digits: &[u8]) -> Result<i64, Refused> {
    integer(digits).ok_or(NO_INTEGER)
}

fn value(value: Option<&[u8]>, out: &mut Replies) {
    match value {
        Some(value) => out.bulk(value),
        None => out.null(),
    }
}

/// So many units from now.
fn deadline(store: &Store, count: &[u8], unit: u64) -> Result<Instant, Refused> {
    let count = u64::try_from(number(count)?).ok().filter(|n| *n > 0).ok_or(NO_TIME)?;
    let after = Duration::from_millis(count.checked_mul(unit).ok_or(NO_TIME)?);
    store.now.checked_add(after).ok_or(NO_TIME)
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | KEEPTTL]`
fn set(store: &mut Store, args: &Args<'_, '_>, out: &mut Replies) -> Result<(), Refused> {
    let (key, mut expiry, mut wanted) = (args.get(1), Expiry::Never, None);
    let mut nth = 3;
    while nth < args.len() {
        let option = args.get(nth);
        if named(option, &["NX", "XX"]) && wanted.is_none() {
            wanted = Some(option.eq_ignore_ascii_case(b"XX"));
        } else if named(option, &["KEEPTTL"]) && expiry == Expiry::Never {
            expiry = Expiry::Keep;
        } else if named(option, &["EX", "PX"]) && expiry == Expiry::Never && nth + 1 < args.len() {
            let unit = if option.eq_ignore_ascii_case(b"EX") { 1_000 } else { 1 };
            nth += 1;
            expiry = Expiry::At(deadline(store, args.get(nth), unit)?);
        } else {
            return Err(SYNTAX);
        }
        nth += 1;
    }
    if wanted.is_some_and(|wanted| wanted != store.contains(key)) {
        out.null();
    } else {
        store.set(key, args.get(2), expiry)?;
        out.simple("OK");
    }
    Ok(())
}

/// `SETEX key s value`
fn set_for(
    store: &mut Store,
    args: &Args<'_, '_>,
    unit: u64,
    out: &mut Replies,
) -> Result<(), Refused> {
    let at = deadline(store, args.get(2), unit)?;
    store.set(args.get(1), args.get(3), Expiry::At(at))?;
    out.simple("OK");
    Ok(())
}

fn several(store: &Store, args: &Args<'_, '_>, out: &mut Replies) -> Result<(), Refused> {
    let len: usize = args.skip(1).map(|key| store.get(key).map_or(0, <[u8]>::len)).sum();
    if len > MAX_REPLY {
        return Err("ERR the reply would be too long");
    }
    out.array(args.len() - 1);
    for key in args.skip(1) {
        value(store.get(key), out);
    }
    Ok(())
}

/// A time that is over already removes the key.
fn expire(
    store: &mut Store,
    args: &Args<'_, '_>,
    unit: u64,
    out: &mut Replies,
) -> Result<(), Refused> {
    let (key, count) = (args.get(1), args.get(2));
    let is_there = if number(count)? <= 0 {
        store.remove(key)
    } else {
        let at = deadline(store, count, unit)?;
        store.expire(key, Some(at))
    };
    out.count(usize::from(is_there));
    Ok(())
}

fn time_left(store: &Store, key: &[u8], unit: u128, out: &mut Replies) {
    out.integer(match store.time_left(key) {
        None if store.contains(key) => -1,
        None => -2,
        // Rounded up, so that what is still there has not nothing left.
        Some(left) => i64::try_from(left.as_millis().div_ceil(unit)).unwrap_or(i64::MAX),
    });
}

fn named(word: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
}

/// Enough for `redis-cli`, which can do without.
fn command(what: &[u8], out: &mut Replies) {
    match what {
        b"" => {
            out.array(NAMES.split_whitespace().count());
            for name in NAMES.split_whitespace() {
                out.array(6);
                out.bulk(name.to_ascii_lowercase().as_bytes());
                out.integer(-1);
                out.array(0);
                (0..3).for_each(|_| out.integer(0));
            }
        }
        _ if named(what, &["COUNT"]) => out.count(NAMES.split_whitespace().count()),
        _ => out.array(0),
    }
}

/// What `redis-benchmark` asks for, and the bound.
fn config(store: &Store, what: &[u8], out: &mut Replies) {
    let limit = store.limit().to_string();
    let all = [("save", ""), ("appendonly", "no"), ("maxmemory", limit.as_str())];
    let asked = all.iter().filter(|(name, _)| what == b"*" || named(what, &[name]));
    out.array(2 * asked.clone().count());
    for (name, value) in asked {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
}

fn hello(args: &Args<'_, '_>, out: &mut Replies) -> Result<(), Refused> {
    if args.len() > 1 && args.get(1) != b"2" {
        return Err("NOPROTO unsupported protocol version");
    }
    out.array(6);
    for word in ["server", "kv", "version", env!("CARGO_PKG_VERSION"), "proto"] {
        out.bulk(word.as_bytes());
    }
    out.integer(2);
    Ok(())
}

/// A name that nobody knows, or a wrong number of arguments.
fn not_so(name: &[u8], args: &Args<'_, '_>, out: &mut Replies) {
    let shown = String::from_utf8_lossy(args.get(0).get(..64).unwrap_or(args.get(0))).to_string();
    if NAMES.split_whitespace().any(|known| known.as_bytes() == name) {
        let shown = shown.to_ascii_lowercase();
        out.error(&format!("ERR wrong number of arguments for '{shown}' command"));
    } else {
        out.error(&format!("ERR unknown command '{shown}'"));
    }
}
