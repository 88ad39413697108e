//! `MULTI`, `EXEC`, and the keys that are watched for changes.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::absent::Absence;
use crate::apart::Apart;
use crate::command::Command;
use crate::large::Large;
use crate::memory::{Refused, Taken};
use crate::parser::{Args, MAX_COMMAND};
use crate::session::{Cx, Session};
use crate::store::Store;

/// What all commands of a transaction, or all watched keys of a client, may take together.
const MAX_BYTES: usize = MAX_COMMAND;
/// Bytes of replies after which the commands that are left are refused.
const MAX_REPLY: usize = 16 << 20;
/// What a command costs besides its bytes, about, and what each of its arguments does.
const COMMAND: usize = 128;
const ARGUMENT: usize = size_of::<Range<usize>>();

#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// `None` while there is none.
    queue: Option<Queue>,
    watched: Option<Watched>,
}

/// Commands that wait for `EXEC`.
#[derive(Debug)]
struct Queue {
    commands: Vec<Queued>,
    taken: Taken,
    /// One of them was refused, so none will be done.
    is_spoilt: bool,
}

#[derive(Debug)]
struct Queued {
    command: &'static Command,
    places: Box<[Range<usize>]>,
    args: Apart,
}

/// Keys, and how each was when it was looked at.
#[derive(Debug)]
struct Watched {
    keys: BTreeMap<Box<[u8]>, Seen>,
    taken: Taken,
}

/// How a key was when it was looked at.
#[derive(Debug)]
enum Seen {
    /// With the number of its last change.
    There(u64),
    Absent(Absence),
}

impl Seen {
    fn of(store: &Store, key: &[u8]) -> Seen {
        store.version(key).map_or_else(|| Seen::Absent(store.absent.watch(key)), Seen::There)
    }

    /// Whether it was changed since. A key that came and went again was.
    fn is_past(&self, store: &Store, key: &[u8]) -> bool {
        match self {
            Seen::There(version) => store.version(key) != Some(*version),
            Seen::Absent(absence) => absence.has_come(),
        }
    }
}

impl Transaction {
    pub(crate) fn is_open(&self) -> bool {
        self.queue.is_some()
    }

    pub(crate) fn queued(&self) -> Option<usize> {
        self.queue.as_ref().map(|queue| queue.commands.len())
    }

    pub(crate) fn watched(&self) -> usize {
        self.watched.as_ref().map_or(0, |watched| watched.keys.len())
    }

    /// A command was refused before it came into the queue.
    pub(crate) fn spoil(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.is_spoilt = true;
        }
    }

    pub(crate) fn queue(
        &mut self,
        cx: &mut Cx<'_>,
        command: &'static Command,
        args: &Args<'_>,
    ) -> Result<(), Refused> {
        let Some(queue) = &mut self.queue else { return Ok(()) };
        let cost = COMMAND + args.len() * ARGUMENT + args.skip(0).map(<[u8]>::len).sum::<usize>();
        let taken = take(&mut queue.taken, cost, "ERR the transaction is too long");
        queue.is_spoilt |= taken.is_err();
        taken?;
        queue.commands.push(Queued::new(command, args));
        cx.shared.replies.simple("QUEUED");
        Ok(())
    }
}

fn take(taken: &mut Taken, cost: usize, too_much: Refused) -> Result<(), Refused> {
    if taken.bytes() + cost > MAX_BYTES {
        return Err(too_much);
    }
    taken.take(cost)
}

impl Queued {
    /// A copy of what lies in the input.
    fn new(command: &'static Command, args: &Args<'_>) -> Queued {
        let mut head = Vec::with_capacity(args.skip(0).map(<[u8]>::len).sum());
        let mut place = |arg: &[u8]| {
            let start = head.len();
            head.extend_from_slice(arg);
            start..head.len()
        };
        let places = args.skip(0).map(&mut place).collect();
        let larges: Vec<(usize, Large)> = args.apart.map_or_else(Vec::new, |a| a.larges().to_vec());
        Queued { command, places, args: Apart::of(head, larges) }
    }

    fn args(&self) -> Args<'_> {
        Args { bytes: &self.args.head, places: &self.places, apart: Some(&self.args) }
    }
}

/// `MULTI`
pub(crate) fn multi(cx: &mut Cx<'_>, me: &mut Session, _args: &Args<'_>) -> Result<(), Refused> {
    if me.transaction.is_open() {
        return Err("ERR MULTI calls can not be nested");
    }
    let taken = Taken::new(&cx.shared.store.memory);
    me.transaction.queue = Some(Queue { commands: Vec::new(), taken, is_spoilt: false });
    me.note();
    cx.shared.replies.simple("OK");
    Ok(())
}

/// `EXEC`
pub(crate) fn exec(cx: &mut Cx<'_>, me: &mut Session, _args: &Args<'_>) -> Result<(), Refused> {
    let Some(queue) = me.transaction.queue.take() else { return Err("ERR EXEC without MULTI") };
    let watched = std::mem::take(&mut me.transaction).watched;
    me.note();
    if queue.is_spoilt {
        return Err("EXECABORT Transaction discarded because of previous errors.");
    }
    let store = &cx.shared.store;
    let mut keys = watched.iter().flat_map(|watched| &watched.keys);
    if keys.any(|(key, seen)| seen.is_past(store, key)) {
        cx.shared.replies.null_array();
        return Ok(());
    }
    cx.shared.replies.array(queue.commands.len());
    let start = cx.shared.replies.bytes.len();
    me.is_in_transaction = true;
    for queued in &queue.commands {
        if cx.shared.replies.bytes.len() - start > MAX_REPLY {
            cx.shared.replies.error("ERR the reply to the transaction would be too long");
        } else {
            queued.command.perform(cx, me, &queued.args());
        }
    }
    me.is_in_transaction = false;
    cx.shared.replies.append(&std::mem::take(&mut me.messages));
    Ok(())
}

/// `DISCARD`
pub(crate) fn discard(cx: &mut Cx<'_>, me: &mut Session, _args: &Args<'_>) -> Result<(), Refused> {
    if !me.transaction.is_open() {
        return Err("ERR DISCARD without MULTI");
    }
    me.transaction = Transaction::default();
    me.note();
    cx.shared.replies.simple("OK");
    Ok(())
}

/// `WATCH key...`
pub(crate) fn watch(cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) -> Result<(), Refused> {
    if me.transaction.is_open() {
        return Err("ERR WATCH inside MULTI is not allowed");
    }
    let store = &cx.shared.store;
    let watched = me
        .transaction
        .watched
        .get_or_insert_with(|| Watched { keys: BTreeMap::new(), taken: Taken::new(&store.memory) });
    for key in args.skip(1) {
        if !watched.keys.contains_key(key) {
            // One that is not there lies here twice.
            take(&mut watched.taken, COMMAND + 2 * key.len(), "ERR too many watched keys")?;
            watched.keys.insert(key.into(), Seen::of(store, key));
        }
    }
    me.note();
    cx.shared.replies.simple("OK");
    Ok(())
}

/// `UNWATCH`
pub(crate) fn unwatch(cx: &mut Cx<'_>, me: &mut Session, _args: &Args<'_>) -> Result<(), Refused> {
    me.transaction.watched = None;
    me.note();
    cx.shared.replies.simple("OK");
    Ok(())
}
