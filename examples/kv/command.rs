//! A command: its name, its arity, its flags and its function.

use std::ops::RangeInclusive;

use crate::large_command::LargeCommand;
use crate::memory::{CommandError, CommandResult};
use crate::parser::Args;
use crate::session::{Cx, Session};
use crate::table::COMMANDS;

/// Replaced by the command's name in an error.
const NAME: char = '%';
pub(crate) const WRONG_NUMBER: CommandError = "ERR wrong number of arguments for '%' command";
pub(crate) const SYNTAX: CommandError = "ERR syntax error";

/// Most bytes of a client's command that an error repeats.
const MAX_SHOWN: usize = 128;

pub(crate) type CommandFn = fn(&mut Cx<'_>, &mut Session, &Args<'_>) -> CommandResult;

/// Name, full name, count of arguments after it, function.
pub(crate) type Subcommand = (&'static str, &'static str, RangeInclusive<usize>, CommandFn);

#[derive(Debug)]
pub(crate) struct Command {
    /// In lower case.
    pub(crate) name: &'static str,
    /// Fewest and most arguments, the name included.
    min: usize,
    max: usize,
    /// As in the reply to `COMMAND`.
    pub(crate) flags: &'static [&'static str],
    /// Index of the first key, index of the last (from the end if negative) and the step between
    /// keys; zeros for a command without keys.
    pub(crate) keys: (i8, i8, i8),
    large: TakesLarge,
    availability: Availability,
    subcommands: &'static [Subcommand],
    run: CommandFn,
    pub(crate) summary: &'static str,
}

/// Which arguments may be large.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TakesLarge {
    Nowhere,
    At(usize),
    /// Every value of key-value pairs.
    Pairs,
}

/// In which states of the session a command is allowed, and whether `MULTI` queues it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Availability {
    Plain,
    /// Allowed while subscribed in RESP2; replies by messages.
    PubSub,
    /// Runs at once in a transaction.
    NotQueued,
    /// Runs at once in a transaction, and is allowed while subscribed.
    Always,
}

/// A row of the table: name, count of arguments with the name, function, summary.
pub(crate) const fn row(
    name: &'static str,
    args: RangeInclusive<usize>,
    run: CommandFn,
    summary: &'static str,
) -> Command {
    Command {
        name,
        min: *args.start(),
        max: *args.end(),
        flags: &["fast"],
        keys: (0, 0, 0),
        large: TakesLarge::Nowhere,
        availability: Availability::Plain,
        subcommands: &[],
        run,
        summary,
    }
}

impl Command {
    pub(crate) const fn reads(mut self, first: i8, last: i8) -> Command {
        self.flags = &["readonly", "fast"];
        self.keys = (first, last, 1);
        self
    }

    pub(crate) const fn writes(mut self, first: i8, last: i8, step: i8) -> Command {
        self.flags = &["write", "denyoom"];
        self.keys = (first, last, step);
        self
    }

    pub(crate) const fn large(mut self, large: TakesLarge) -> Command {
        self.large = large;
        self
    }

    pub(crate) const fn pubsub(mut self) -> Command {
        self.availability = Availability::PubSub;
        self.flags = &["pubsub"];
        self
    }

    pub(crate) const fn not_queued(mut self) -> Command {
        self.availability = Availability::NotQueued;
        self
    }

    pub(crate) const fn always(mut self) -> Command {
        self.availability = Availability::Always;
        self
    }

    pub(crate) const fn with(mut self, subcommands: &'static [Subcommand]) -> Command {
        self.subcommands = subcommands;
        self
    }

    pub(crate) fn named(name: &[u8]) -> Option<&'static Command> {
        COMMANDS.iter().find(|command| is(name, command.name))
    }

    /// Returns the command that `args` call, or the error to reply.
    #[inline]
    pub(crate) fn find(args: &Args<'_>) -> Result<&'static Command, String> {
        let Some(command) = Command::named(args.get(0)) else { return Err(unknown(args)) };
        if !command.takes(args.len()) {
            return Err(command.refusal(WRONG_NUMBER));
        }
        match args.large_command {
            Some(large_command) => command.check(large_command),
            None => Ok(command),
        }
    }

    /// Whether `args`, the count with the name, is within the arity.
    #[inline]
    pub(crate) fn takes(&self, args: usize) -> bool {
        self.min <= args && args <= self.max
    }

    #[cold]
    fn check(&'static self, large_command: &LargeCommand) -> Result<&'static Command, String> {
        if let Some(refused) = large_command.refused {
            return Err(refused.into());
        }
        let takes = |nth: usize| match self.large {
            TakesLarge::Nowhere => false,
            TakesLarge::At(place) => place == nth,
            TakesLarge::Pairs => nth % 2 == 0,
        };
        if large_command.larges().iter().all(|(nth, _)| takes(*nth)) {
            Ok(self)
        } else {
            Err("ERR only values may have this length".into())
        }
    }

    /// Checks the name and arity of a subcommand before a transaction queues it; `Err` is the error
    /// to reply. Running it checks the same.
    pub(crate) fn check_subcommand(&self, args: &Args<'_>) -> Result<(), String> {
        if self.subcommands.is_empty() || args.len() == 1 {
            return Ok(());
        }
        subcommand(self.subcommands, args).map(drop)
    }

    /// Runs the command and writes its replies.
    #[inline]
    pub(crate) fn perform(&self, cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) {
        me.record.command.set(self.name);
        if let Err(refused) = (self.run)(cx, me, args) {
            cx.shared.replies.error(&self.refusal(refused));
        }
    }

    #[cold]
    fn refusal(&self, refused: CommandError) -> String {
        refused.replace(NAME, self.name)
    }

    /// As in the reply to `COMMAND`: negative if it is a minimum.
    pub(crate) fn arity(&self) -> i64 {
        let min = i64::try_from(self.min).unwrap_or(i64::MAX);
        if self.min == self.max { min } else { -min }
    }

    /// The command's group in the documentation of Redis.
    pub(crate) fn group(&self) -> &'static str {
        match (self.availability, self.keys) {
            (Availability::PubSub, _) => "pubsub",
            (Availability::NotQueued, _) => "transactions",
            (_, (0, ..)) => "connection",
            _ => "string",
        }
    }

    pub(crate) fn is_queued(&self) -> bool {
        !matches!(self.availability, Availability::NotQueued | Availability::Always)
    }

    pub(crate) fn is_for_subscribers(&self) -> bool {
        matches!(self.availability, Availability::PubSub | Availability::Always)
            || self.name == "ping"
    }

    pub(crate) fn replies_by_messages(&self) -> bool {
        self.availability == Availability::PubSub
    }
}

/// Runs the subcommand that the second argument names.
pub(crate) fn perform_subcommand(
    subcommands: &'static [Subcommand],
    cx: &mut Cx<'_>,
    me: &mut Session,
    args: &Args<'_>,
) -> CommandResult {
    match subcommand(subcommands, args) {
        Ok((_, name, _, run)) => {
            me.record.command.set(name);
            return run(cx, me, args);
        }
        Err(what) => cx.shared.replies.error(&what),
    }
    Ok(())
}

fn subcommand(
    subcommands: &'static [Subcommand],
    args: &Args<'_>,
) -> Result<&'static Subcommand, String> {
    let word = args.get(1);
    let Some(found) = subcommands.iter().find(|(name, ..)| is(word, name)) else {
        let (container, word) = (text(args.get(0)).to_uppercase(), text(word));
        return Err(format!("ERR unknown subcommand '{word}'. Try {container} HELP."));
    };
    let (_, name, takes, _) = found;
    if !takes.contains(&(args.len() - 2)) {
        return Err(WRONG_NUMBER.replace(NAME, name));
    }
    Ok(found)
}

#[cold]
fn unknown(args: &Args<'_>) -> String {
    let mut words = String::new();
    for word in args.skip(1) {
        let Some(left) = MAX_SHOWN.checked_sub(words.len()).filter(|left| *left > 0) else { break };
        words = format!("{words}'{}' ", text(word.get(..left).unwrap_or(word)));
    }
    let name = text(args.get(0));
    format!("ERR unknown command '{name}', with args beginning with: {words}")
}

/// Bytes of a client as text, cut to `MAX_SHOWN` bytes.
pub(crate) fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word.get(..MAX_SHOWN).unwrap_or(word)).into_owned()
}

/// Whether `word` is `name`, ignoring case.
pub(crate) fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}
