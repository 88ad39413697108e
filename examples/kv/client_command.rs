//! `CLIENT` and its subcommands: what a client says about itself and asks about others.

use socketserver::SocketId;

use crate::clients::{Attribute, ClientMemory, ClientRecord};
use crate::command::{SYNTAX, Subcommand, is, perform_subcommand, text};
use crate::connection::BAD_NAME;
use crate::memory::{CommandError, CommandResult};
use crate::number::integer;
use crate::parser::Args;
use crate::session::{Cx, ReplyMode, Session};
use crate::value::ValueRef;

pub(crate) static CLIENT: &[Subcommand] = &[
    ("ID", "client|id", 0..=0, id),
    ("INFO", "client|info", 0..=0, info),
    ("LIST", "client|list", 0..=usize::MAX, list),
    ("SETNAME", "client|setname", 1..=1, set_name),
    ("GETNAME", "client|getname", 0..=0, get_name),
    ("SETINFO", "client|setinfo", 2..=2, set_info),
    ("REPLY", "client|reply", 1..=1, reply),
    ("NO-EVICT", "client|no-evict", 1..=1, on_or_off),
    ("NO-TOUCH", "client|no-touch", 1..=1, on_or_off),
    ("GETREDIR", "client|getredir", 0..=0, get_redirection),
    ("KILL", "client|kill", 1..=usize::MAX, kill),
];

/// `CLIENT subcommand...`
pub(crate) fn client(cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) -> CommandResult {
    perform_subcommand(CLIENT, cx, me, args)
}

fn id(cx: &mut Cx<'_>, me: &mut Session, _args: &Args<'_>) -> CommandResult {
    cx.shared.replies.integer(i64::try_from(me.record.number).unwrap_or(i64::MAX));
    Ok(())
}

fn info(cx: &mut Cx<'_>, me: &mut Session, _args: &Args<'_>) -> CommandResult {
    let mut lines = String::new();
    me.record.line(cx.io.now(), memory_of(cx, &me.record), &mut lines);
    cx.shared.replies.verbatim(&lines);
    Ok(())
}

/// `CLIENT LIST [TYPE normal | pubsub | master | replica] [ID number...]`
fn list(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let (clients, mut lines) = (&cx.shared.clients, String::new());
    let mut show = |client: &ClientRecord| {
        client.line(cx.io.now(), memory_of(cx, client), &mut lines);
    };
    let word = args.get(2);
    if args.len() == 2 {
        clients.iter().for_each(|client| show(client));
    } else if is(word, "TYPE") && args.len() == 4 {
        let Some(kind) = ClientType::named(args.get(3)) else {
            let what = format!("ERR Unknown client type '{}'", text(args.get(3)));
            cx.shared.replies.error(&what);
            return Ok(());
        };
        clients.iter().filter(|client| kind.is_of(client)).for_each(|client| show(client));
    } else if is(word, "ID") && args.len() > 3 {
        for number in args.skip(3) {
            let number = positive(number).ok_or("ERR Invalid client ID")?;
            clients.get(number).into_iter().for_each(|client| show(client));
        }
    } else {
        return Err(SYNTAX);
    }
    cx.shared.replies.verbatim(&lines);
    Ok(())
}

/// Returns the memory that a client occupies beside keys and values.
pub(crate) fn memory_of(cx: &Cx<'_>, client: &ClientRecord) -> ClientMemory {
    let queued = cx.shared.output_queues.queued(client.socket);
    let output = cx.io.pending_output(client.socket) + queued;
    ClientMemory { input: client.input.get(), output }
}

fn positive(number: &[u8]) -> Option<u64> {
    integer(number).and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0)
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum ClientType {
    Normal,
    PubSub,
    Replica,
}

impl ClientType {
    fn named(word: &[u8]) -> Option<ClientType> {
        match () {
            () if is(word, "normal") => Some(ClientType::Normal),
            () if is(word, "pubsub") => Some(ClientType::PubSub),
            () if ["master", "slave", "replica"].iter().any(|kind| is(word, kind)) => {
                Some(ClientType::Replica)
            }
            () => None,
        }
    }

    fn is_of(self, client: &ClientRecord) -> bool {
        self == if client.channels.get() > 0 { ClientType::PubSub } else { ClientType::Normal }
    }
}

fn set_name(cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) -> CommandResult {
    if !me.record.set_attribute(Attribute::Name, args.get(2)) {
        return Err(BAD_NAME);
    }
    cx.shared.replies.simple("OK");
    Ok(())
}

fn get_name(cx: &mut Cx<'_>, me: &mut Session, _args: &Args<'_>) -> CommandResult {
    let name = me.record.name();
    let name = Some(name.as_bytes()).filter(|name| !name.is_empty());
    cx.shared.replies.value_or_null(name.map(ValueRef::Small));
    Ok(())
}

/// `CLIENT SETINFO LIB-NAME name | LIB-VER version`
fn set_info(cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) -> CommandResult {
    let word = match args.get(2) {
        what if is(what, "LIB-NAME") => Attribute::Library,
        what if is(what, "LIB-VER") => Attribute::Version,
        what => {
            cx.shared.replies.error(&format!("ERR Unrecognized option '{}'", text(what)));
            return Ok(());
        }
    };
    if !me.record.set_attribute(word, args.get(3)) {
        return Err(match word {
            Attribute::Library => {
                "ERR lib-name cannot contain spaces, newlines or special characters."
            }
            _ => "ERR lib-ver cannot contain spaces, newlines or special characters.",
        });
    }
    cx.shared.replies.simple("OK");
    Ok(())
}

/// `CLIENT REPLY ON | OFF | SKIP`
fn reply(cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) -> CommandResult {
    let reply_mode = match args.get(2) {
        word if is(word, "ON") => ReplyMode::On,
        word if is(word, "OFF") => ReplyMode::Off,
        word if is(word, "SKIP") => ReplyMode::Skip,
        _ => return Err(SYNTAX),
    };
    me.set_reply_mode(reply_mode);
    if reply_mode == ReplyMode::On {
        cx.shared.replies.simple("OK");
    }
    Ok(())
}

/// `CLIENT NO-EVICT | NO-TOUCH ON | OFF`: accepted without effect, since neither clients nor keys
/// are evicted.
fn on_or_off(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    if !is(args.get(2), "ON") && !is(args.get(2), "OFF") {
        return Err(SYNTAX);
    }
    cx.shared.replies.simple("OK");
    Ok(())
}

/// `CLIENT GETREDIR`: -1, since there is no client tracking.
fn get_redirection(cx: &mut Cx<'_>, _: &mut Session, _: &Args<'_>) -> CommandResult {
    cx.shared.replies.integer(-1);
    Ok(())
}

/// The filters of `CLIENT KILL`; a client must pass all of them.
struct KillFilter<'a> {
    number: Option<u64>,
    addr: Option<&'a [u8]>,
    local_addr: Option<&'a [u8]>,
    kind: Option<ClientType>,
    min_age: Option<u64>,
    /// Whether the calling client is spared.
    skip_me: bool,
}

impl<'a> KillFilter<'a> {
    fn of(args: &Args<'a>) -> Result<KillFilter<'a>, CommandError> {
        let (number, addr, local_addr, kind, min_age) = (None, None, None, None, None);
        let mut kill_filter = KillFilter { number, addr, local_addr, kind, min_age, skip_me: true };
        if args.len() % 2 == 1 {
            return Err(SYNTAX);
        }
        for nth in (2..args.len()).step_by(2) {
            let value = args.get(nth + 1);
            match args.get(nth) {
                word if is(word, "ID") => {
                    let number = positive(value).ok_or("ERR client-id should be greater than 0")?;
                    kill_filter.number = Some(number);
                }
                word if is(word, "ADDR") => kill_filter.addr = Some(value),
                word if is(word, "LADDR") => kill_filter.local_addr = Some(value),
                word if is(word, "TYPE") => {
                    kill_filter.kind =
                        Some(ClientType::named(value).ok_or("ERR Unknown client type")?);
                }
                word if is(word, "USER") && value == b"default" => {}
                word if is(word, "USER") => return Err("ERR No such user"),
                word if is(word, "MAXAGE") => {
                    let seconds =
                        integer(value).ok_or("ERR maxage is not an integer or out of range")?;
                    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
                    kill_filter.min_age =
                        Some(seconds.ok_or("ERR maxage should be greater than 0")?);
                }
                word if is(word, "SKIPME") && is(value, "yes") => kill_filter.skip_me = true,
                word if is(word, "SKIPME") && is(value, "no") => kill_filter.skip_me = false,
                _ => return Err(SYNTAX),
            }
        }
        Ok(kill_filter)
    }

    fn includes(&self, client: &ClientRecord, cx: &Cx<'_>) -> bool {
        let age = cx.io.now().saturating_duration_since(client.since).as_secs();
        self.number.is_none_or(|number| number == client.number)
            && self.addr.is_none_or(|addr| addr == client.addr.as_bytes())
            && self.local_addr.is_none_or(|addr| addr == client.local_addr.as_bytes())
            && self.kind.is_none_or(|kind| kind.is_of(client))
            && self.min_age.is_none_or(|least| age >= least)
            && !(self.skip_me && client.socket == cx.id)
    }
}

/// `CLIENT KILL addr`, or `CLIENT KILL option value...`
fn kill(cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) -> CommandResult {
    let is_old = args.len() == 3;
    let kill_filter = if is_old {
        let addr = Some(args.get(2));
        KillFilter {
            number: None,
            addr,
            local_addr: None,
            kind: None,
            min_age: None,
            skip_me: false,
        }
    } else {
        KillFilter::of(args)?
    };
    let all = cx.shared.clients.iter().filter(|client| kill_filter.includes(client, cx));
    let sockets: Vec<SocketId> = all.map(|client| client.socket).collect();
    for socket in &sockets {
        if *socket == cx.id {
            me.is_closing = true;
        } else {
            cx.io.abort(*socket);
        }
    }
    match (is_old, sockets.len()) {
        (true, 0) => return Err("ERR No such client"),
        (true, _) => cx.shared.replies.simple("OK"),
        (false, count) => cx.shared.replies.count(count),
    }
    Ok(())
}
