//! `COMMAND`: what can be done, as clients ask for it.

use crate::command::{Command, WRONG_NUMBER, is, text};
use crate::memory::Refused;
use crate::parser::Args;
use crate::replies::Replies;
use crate::session::{Cx, Session};
use crate::table::COMMANDS;

/// `COMMAND [COUNT | LIST | INFO [name...] | DOCS [name...] | GETKEYS command...]`
pub(crate) fn command(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> Result<(), Refused> {
    let (what, replies) = (args.get(1), &mut cx.shared.replies);
    match () {
        () if args.len() == 1 => all(replies, entry),
        () if is(what, "COUNT") => replies.count(COMMANDS.len()),
        () if is(what, "LIST") => all(replies, |replies, command| {
            replies.bulk(command.name.as_bytes());
        }),
        () if is(what, "INFO") && args.len() == 2 => all(replies, entry),
        () if is(what, "INFO") => {
            replies.array(args.len() - 2);
            for name in args.skip(2) {
                match Command::named(name) {
                    Some(command) => entry(replies, command),
                    None => replies.null(),
                }
            }
        }
        () if is(what, "DOCS") => docs(replies, args),
        () if is(what, "GETKEYS") && args.len() > 2 => return keys(replies, args),
        () if is(what, "GETKEYS") => return Err(WRONG_NUMBER),
        () => {
            let what = text(what);
            replies.error(&format!("ERR unknown subcommand '{what}'. Try COMMAND HELP."));
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
    // Categories of access, tips, what says more about keys, subcommands: none.
    replies.set(0);
    (0..3).for_each(|_| replies.array(0));
}

fn docs(replies: &mut Replies, args: &Args<'_>) {
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
}

/// Which arguments of a command are keys.
fn keys(replies: &mut Replies, args: &Args<'_>) -> Result<(), Refused> {
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
