//! Commands about the deadlines of keys.

use crate::clock::Millis;
use crate::command::{is, text};
use crate::memory::{CommandError, CommandResult};
use crate::number::integer;
use crate::parser::Args;
use crate::session::{Cx, Session};
use crate::store::{Expiry, NO_INTEGER, Store};

const NO_TIME: CommandError = "ERR invalid expire time in '%' command";

/// The unit of a time, and whether it is relative or absolute.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimeUnit {
    Seconds,
    Millis,
    /// Absolute: since 1970.
    SecondsAt,
    MillisAt,
}

impl TimeUnit {
    /// Returns the unit of an option of `SET`; `None` for another word.
    pub(crate) fn named(word: &[u8]) -> Option<TimeUnit> {
        use TimeUnit::{Millis, MillisAt, Seconds, SecondsAt};
        let names = [("EX", Seconds), ("PX", Millis), ("EXAT", SecondsAt), ("PXAT", MillisAt)];
        names.into_iter().find(|(name, _)| is(word, name)).map(|(_, unit)| unit)
    }

    /// Returns the deadline on the store's clock; `None` on overflow.
    fn time(self, store: &Store, count: i64) -> Option<Millis> {
        let millis = match self {
            TimeUnit::Seconds | TimeUnit::SecondsAt => count.checked_mul(1_000)?,
            TimeUnit::Millis | TimeUnit::MillisAt => count,
        };
        match self {
            TimeUnit::Seconds | TimeUnit::Millis => store.now().checked_add(millis),
            TimeUnit::SecondsAt | TimeUnit::MillisAt => {
                Some(millis.saturating_sub(store.clock.stepped()))
            }
        }
    }
}

/// Returns the deadline for a key that is set now. `Err` unless it is a positive integer in range.
pub(crate) fn later(store: &Store, count: &[u8], unit: TimeUnit) -> Result<Millis, CommandError> {
    let count = integer(count).ok_or(NO_INTEGER)?;
    Some(count).filter(|n| *n > 0).and_then(|n| unit.time(store, n)).ok_or(NO_TIME)
}

/// Sets the deadline of a key, or removes the key if it is past. Returns `false` if there is no
/// such key.
pub(crate) fn set(store: &mut Store, key: &[u8], at: Millis) -> bool {
    if at <= store.now() { store.remove(key) } else { store.expire(key, Some(at)) }
}

/// Removes the deadline of a key; returns `false` if it has none.
pub(crate) fn clear(store: &mut Store, key: &[u8]) -> bool {
    let had = matches!(store.expiry(key), Some(Expiry::At(_)));
    had && store.expire(key, None)
}

pub(crate) fn expire(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    expire_in(cx, args, TimeUnit::Seconds)
}

pub(crate) fn pexpire(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    expire_in(cx, args, TimeUnit::Millis)
}

pub(crate) fn expireat(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    expire_in(cx, args, TimeUnit::SecondsAt)
}

pub(crate) fn pexpireat(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    expire_in(cx, args, TimeUnit::MillisAt)
}

/// `EXPIRE key time [NX | XX | GT | LT]`
fn expire_in(cx: &mut Cx<'_>, args: &Args<'_>, unit: TimeUnit) -> CommandResult {
    let (store, replies) = (&mut cx.shared.store, &mut cx.shared.replies);
    let condition = match ExpireCondition::of(args) {
        Ok(condition) => condition,
        Err(what) => {
            replies.error(&what);
            return Ok(());
        }
    };
    let count = integer(args.get(2)).ok_or(NO_INTEGER)?;
    let at = unit.time(store, count).ok_or(NO_TIME)?;
    let key = args.get(1);
    let allowed = store.expiry(key).is_some_and(|before| condition.allows(before, at));
    replies.count(usize::from(allowed && set(store, key, at)));
    Ok(())
}

/// The options of `EXPIRE`.
#[derive(Clone, Copy, Debug, Default)]
struct ExpireCondition {
    /// Only if the key has no deadline.
    nx: bool,
    /// Only if the key has a deadline.
    xx: bool,
    /// Only if the new deadline is later.
    gt: bool,
    /// Only if the new deadline is earlier.
    lt: bool,
}

impl ExpireCondition {
    fn of(args: &Args<'_>) -> Result<ExpireCondition, String> {
        let mut condition = ExpireCondition::default();
        let ExpireCondition { nx, xx, gt, lt } = &mut condition;
        for word in args.skip(3) {
            let mut known = [("NX", &mut *nx), ("XX", xx), ("GT", gt), ("LT", lt)];
            let Some((_, option)) = known.iter_mut().find(|(name, _)| is(word, name)) else {
                return Err(format!("ERR Unsupported option {}", text(word)));
            };
            **option = true;
        }
        let ExpireCondition { nx, xx, gt, lt } = condition;
        match () {
            () if nx && (xx || gt || lt) => {
                Err("ERR NX and XX, GT or LT options at the same time are not compatible".into())
            }
            () if gt && lt => {
                Err("ERR GT and LT options at the same time are not compatible".into())
            }
            () => Ok(condition),
        }
    }

    /// Whether `at` may replace `before`. A key without a deadline counts as one with an infinite
    /// deadline.
    fn allows(self, before: Expiry, at: Millis) -> bool {
        let ExpireCondition { nx, xx, gt, lt } = self;
        match before {
            Expiry::At(before) => !nx && (!gt || at > before) && (!lt || at < before),
            Expiry::Never | Expiry::Keep => !xx && !gt,
        }
    }
}

pub(crate) fn persist(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let had = clear(&mut cx.shared.store, args.get(1));
    cx.shared.replies.count(usize::from(had));
    Ok(())
}

pub(crate) fn ttl(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    time(cx, args, |store, at| seconds(at.saturating_sub(store.now())))
}

pub(crate) fn pttl(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    time(cx, args, |store, at| at.saturating_sub(store.now()))
}

pub(crate) fn expiretime(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    time(cx, args, |store, at| seconds(at.saturating_add(store.clock.stepped())))
}

pub(crate) fn pexpiretime(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    time(cx, args, |store, at| at.saturating_add(store.clock.stepped()))
}

/// Replies with `what(store, deadline)`; -1 if the key has no deadline, -2 if there is no such key.
fn time(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    what: impl FnOnce(&Store, Millis) -> i64,
) -> CommandResult {
    let store = &cx.shared.store;
    cx.shared.replies.integer(match store.expiry(args.get(1)) {
        Some(Expiry::At(at)) => what(store, at),
        Some(Expiry::Never | Expiry::Keep) => -1,
        None => -2,
    });
    Ok(())
}

/// Rounds to whole seconds, as Redis does.
fn seconds(millis: Millis) -> i64 {
    millis.saturating_add(500) / 1_000
}
