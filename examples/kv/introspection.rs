//! `COMMAND`: the table of commands, as clients ask for it.

use crate::command::{Command, SYNTAX, Subcommand, is, perform_subcommand};
use crate::memory::CommandResult;
use crate::parser::Args;
use crate::replies::Replies;
use crate::session::{Cx, Session};
use crate::table::COMMANDS;

pub(crate) static COMMAND: &[Subcommand] = &[
    ("COUNT", "command|count", 0..=0, count),
    ("LIST", "command|list", 0..=usize::MAX, list),
    ("INFO", "command|info", 0..=usize::MAX, info),
    ("DOCS", "command|docs", 0..=usize::MAX, docs),
    ("GETKEYS", "command|getkeys", 2..=usize::MAX, keys),
];

/// `COMMAND [COUNT | LIST | INFO [name...] | DOCS [name...] | GETKEYS command...]`
pub(crate) fn command(cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) -> CommandResult {
    if args.len() > 1 {
        return perform_subcommand(COMMAND, cx, me, args);
    }
    all(&mut cx.shared.replies, entry);
    Ok(())
}

fn count(cx: &mut Cx<'_>, _me: &mut Session, _args: &Args<'_>) -> CommandResult {
    cx.shared.replies.count(COMMANDS.len());
    Ok(())
}

/// `COMMAND LIST`, without a filter.
fn list(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    if args.len() > 2 {
        return Err(SYNTAX);
    }
    all(&mut cx.shared.replies, |replies, command| replies.bulk(command.name.as_bytes()));
    Ok(())
}

fn info(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let replies = &mut cx.shared.replies;
    if args.len() == 2 {
        all(replies, entry);
        return Ok(());
    }
    replies.array(args.len() - 2);
    for name in args.skip(2) {
        match Command::named(name) {
            Some(command) => entry(replies, command),
            None => replies.null(),
        }
    }
    Ok(())
}

fn all(replies: &mut Replies, show: impl Fn(&mut Replies, &Command)) {
    replies.array(COMMANDS.len());
    for command in COMMANDS {
        show(replies, command);
    }
}

fn entry(replies: &mut Replies, command: &Command) {
    let (first, last, step) = command.keys;
    replies.array(10);
    replies.bulk(command.name.as_bytes());
    replies.integer(command.arity());
    replies.set(command.flags.len());
    for flag in command.flags {
        replies.simple(flag);
    }
    for number in [first, last, step] {
        replies.integer(i64::from(number));
    }
    // ACL categories, tips, key specifications and subcommands: empty.
    replies.set(0);
    (0..3).for_each(|_| replies.array(0));
}

fn docs(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let replies = &mut cx.shared.replies;
    let is_asked =
        |command: &&Command| args.len() == 2 || args.skip(2).any(|name| is(name, command.name));
    let asked: Vec<&Command> = COMMANDS.iter().filter(is_asked).collect();
    replies.map(asked.len());
    for command in asked {
        replies.bulk(command.name.as_bytes());
        replies.map(2);
        for (name, value) in [("summary", command.summary), ("group", command.group())] {
            replies.bulk(name.as_bytes());
            replies.bulk(value.as_bytes());
        }
    }
    Ok(())
}

/// `COMMAND GETKEYS command...`: the arguments that are keys.
fn keys(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let replies = &mut cx.shared.replies;
    let command = Command::named(args.get(2)).ok_or("ERR Invalid command specified")?;
    let words = args.len() - 2;
    if !command.takes(words) {
        return Err("ERR Invalid number of arguments specified for command");
    }
    let (Ok(first), Ok(step)) = (usize::try_from(command.keys.0), usize::try_from(command.keys.2))
    else {
        return Ok(());
    };
    if first == 0 {
        return Err("ERR The command has no key arguments");
    }
    let last = usize::try_from(command.keys.1).unwrap_or(words - 1);
    let places: Vec<usize> = (first..=last).step_by(step.max(1)).collect();
    replies.array(places.len());
    for place in places {
        replies.bulk(args.get(place + 2));
    }
    Ok(())
}
