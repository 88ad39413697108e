//! Transactions: `MULTI`, `EXEC`, and the keys of `WATCH`.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::command::Command;
use crate::large::Large;
use crate::large_command::LargeCommand;
use crate::memory::{CommandError, CommandResult, Reservation};
use crate::missing_keys::MissingKey;
use crate::parser::{Args, MAX_COMMAND};
use crate::session::{Cx, Session};
use crate::store::Store;

/// Most bytes of the queued commands of a transaction, and of the watched keys of a client.
const MAX_BYTES: usize = MAX_COMMAND;
/// After this many bytes of replies, the remaining commands are refused.
const MAX_REPLY: usize = 16 << 20;
/// Approximate cost of a queued command without its bytes, and of each argument.
const COMMAND: usize = 128;
const ARGUMENT: usize = size_of::<Range<usize>>();

#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// `None` outside of a transaction.
    queue: Option<CommandQueue>,
    watched: Option<WatchedKeys>,
}

/// Commands queued for `EXEC`.
#[derive(Debug)]
struct CommandQueue {
    commands: Vec<QueuedCommand>,
    reserved: Reservation,
    /// Whether a command was refused, which makes `EXEC` fail.
    has_error: bool,
}

#[derive(Debug)]
struct QueuedCommand {
    command: &'static Command,
    ranges: Box<[Range<usize>]>,
    args: LargeCommand,
}

/// Watched keys with their states at `WATCH`.
#[derive(Debug)]
struct WatchedKeys {
    keys: BTreeMap<Box<[u8]>, KeyState>,
    reserved: Reservation,
}

/// The state of a key at `WATCH`.
#[derive(Debug)]
enum KeyState {
    /// The number of the key's last change.
    Present(u64),
    Missing(MissingKey),
}

impl KeyState {
    fn of(store: &Store, key: &[u8]) -> KeyState {
        store
            .version(key)
            .map_or_else(|| KeyState::Missing(store.missing_keys.watch(key)), KeyState::Present)
    }

    /// Whether the key was changed since, or created and removed.
    fn has_changed(&self, store: &Store, key: &[u8]) -> bool {
        match self {
            KeyState::Present(version) => store.version(key) != Some(*version),
            KeyState::Missing(absence) => absence.was_created(),
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

    /// Records that a command was refused before it was queued.
    pub(crate) fn set_error(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.has_error = true;
        }
    }

    pub(crate) fn queue(
        &mut self,
        cx: &mut Cx<'_>,
        command: &'static Command,
        args: &Args<'_>,
    ) -> CommandResult {
        let Some(queue) = &mut self.queue else { return Ok(()) };
        let cost = COMMAND + args.len() * ARGUMENT + args.skip(0).map(<[u8]>::len).sum::<usize>();
        let reserved = reserve(&mut queue.reserved, cost, "ERR the transaction is too long");
        queue.has_error |= reserved.is_err();
        reserved?;
        queue.commands.push(QueuedCommand::new(command, args));
        cx.shared.replies.simple("QUEUED");
        Ok(())
    }
}

fn reserve(reserved: &mut Reservation, cost: usize, too_much: CommandError) -> CommandResult {
    if reserved.bytes() + cost > MAX_BYTES {
        return Err(too_much);
    }
    reserved.reserve(cost)
}

impl QueuedCommand {
    /// Copies the arguments out of the input.
    fn new(command: &'static Command, args: &Args<'_>) -> QueuedCommand {
        let mut head = Vec::with_capacity(args.skip(0).map(<[u8]>::len).sum());
        let mut place = |arg: &[u8]| {
            let start = head.len();
            head.extend_from_slice(arg);
            start..head.len()
        };
        let ranges = args.skip(0).map(&mut place).collect();
        let larges: Vec<(usize, Large)> =
            args.large_command.map_or_else(Vec::new, |a| a.larges().to_vec());
        QueuedCommand { command, ranges, args: LargeCommand::of(head, larges) }
    }

    fn args(&self) -> Args<'_> {
        Args { bytes: &self.args.head, ranges: &self.ranges, large_command: Some(&self.args) }
    }
}

/// `MULTI`
pub(crate) fn multi(cx: &mut Cx<'_>, me: &mut Session, _args: &Args<'_>) -> CommandResult {
    if me.transaction.is_open() {
        return Err("ERR MULTI calls can not be nested");
    }
    let reserved = Reservation::new(&cx.shared.store.memory);
    me.transaction.queue = Some(CommandQueue { commands: Vec::new(), reserved, has_error: false });
    me.update_record();
    cx.shared.replies.simple("OK");
    Ok(())
}

/// `EXEC`
pub(crate) fn exec(cx: &mut Cx<'_>, me: &mut Session, _args: &Args<'_>) -> CommandResult {
    let Some(queue) = me.transaction.queue.take() else { return Err("ERR EXEC without MULTI") };
    let watched = std::mem::take(&mut me.transaction).watched;
    me.update_record();
    if queue.has_error {
        return Err("EXECABORT Transaction discarded because of previous errors.");
    }
    let store = &cx.shared.store;
    let mut keys = watched.iter().flat_map(|watched| &watched.keys);
    if keys.any(|(key, seen)| seen.has_changed(store, key)) {
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
pub(crate) fn discard(cx: &mut Cx<'_>, me: &mut Session, _args: &Args<'_>) -> CommandResult {
    if !me.transaction.is_open() {
        return Err("ERR DISCARD without MULTI");
    }
    me.transaction = Transaction::default();
    me.update_record();
    cx.shared.replies.simple("OK");
    Ok(())
}

/// `WATCH key...`
pub(crate) fn watch(cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) -> CommandResult {
    if me.transaction.is_open() {
        return Err("ERR WATCH inside MULTI is not allowed");
    }
    let store = &cx.shared.store;
    let watched = me.transaction.watched.get_or_insert_with(|| WatchedKeys {
        keys: BTreeMap::new(),
        reserved: Reservation::new(&store.memory),
    });
    for key in args.skip(1) {
        if !watched.keys.contains_key(key) {
            // A missing key is stored twice.
            reserve(&mut watched.reserved, COMMAND + 2 * key.len(), "ERR too many watched keys")?;
            watched.keys.insert(key.into(), KeyState::of(store, key));
        }
    }
    me.update_record();
    cx.shared.replies.simple("OK");
    Ok(())
}

/// `UNWATCH`
pub(crate) fn unwatch(cx: &mut Cx<'_>, me: &mut Session, _args: &Args<'_>) -> CommandResult {
    me.transaction.watched = None;
    me.update_record();
    cx.shared.replies.simple("OK");
    Ok(())
}
