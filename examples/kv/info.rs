//! `INFO`, `TIME` and `CONFIG`: what the server tells about itself.

use std::fmt::Write;

use crate::client_command::memory_of;
use crate::clock::since_1970;
use crate::command::{SYNTAX, Subcommand, is, perform_subcommand, text};
use crate::glob::matches;
use crate::large::MAX_VALUE;
use crate::memory::CommandResult;
use crate::parser::{Args, MAX_LINE};
use crate::session::{Cx, Session};
use crate::slow_subscriber::{HARD_LIMIT, SOFT_LIMIT, SOFT_TIME};

/// The version of Redis whose behaviour these commands have.
const REDIS_VERSION: &str = "7.2.0";

/// `INFO [section...]`
pub(crate) fn info(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let mut all = String::new();
    for (name, lines) in sections(cx) {
        let is_wanted = |word: &[u8]| {
            is(word, name) || ["all", "default", "everything"].iter().any(|all| is(word, all))
        };
        if args.len() == 1 || args.skip(1).any(is_wanted) {
            let space = if all.is_empty() { "" } else { "\r\n" };
            // `fmt::Write` for `String` never fails.
            let _ = write!(all, "{space}# {name}\r\n{lines}");
        }
    }
    cx.shared.replies.verbatim(&all);
    Ok(())
}

fn sections(cx: &Cx<'_>) -> [(&'static str, String); 6] {
    let (store, memory) = (&cx.shared.store, &cx.shared.store.memory);
    let uptime = store.clock.uptime(cx.io.now()).as_secs();
    let (used, limit) = (memory.used(), memory.limit());
    let clients: usize = cx.shared.clients.iter().map(|client| memory_of(cx, client).sum()).sum();
    let (keys, expires) = (store.len(), store.expiring());
    let keyspace = format!("db0:keys={keys},expires={expires},avg_ttl=0\r\n");
    let server = format!(
        "redis_version:{REDIS_VERSION}\r\nserver_name:kv\r\nkv_version:{}\r\n\
         redis_mode:standalone\r\nos:{}\r\narch_bits:{}\r\nprocess_id:{}\r\ntcp_port:{}\r\n\
         uptime_in_seconds:{uptime}\r\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        usize::BITS,
        std::process::id(),
        cx.shared.port,
    );
    [
        ("Server", server),
        (
            "Clients",
            format!(
                "connected_clients:{}\r\nmaxclients:{}\r\n",
                cx.shared.clients.len(),
                cx.shared.places.most(),
            ),
        ),
        (
            "Memory",
            format!(
                "used_memory:{used}\r\nmaxmemory:{limit}\r\nmaxmemory_policy:noeviction\r\n\
                 mem_clients_normal:{clients}\r\n"
            ),
        ),
        ("Persistence", "loading:0\r\n".into()),
        ("Replication", "role:master\r\nconnected_slaves:0\r\n".into()),
        ("Keyspace", if keys == 0 { String::new() } else { keyspace }),
    ]
}

/// `TIME`
pub(crate) fn time(cx: &mut Cx<'_>, _me: &mut Session, _args: &Args<'_>) -> CommandResult {
    let now = since_1970();
    cx.shared.replies.array(2);
    cx.shared.replies.bulk(now.as_secs().to_string().as_bytes());
    cx.shared.replies.bulk(now.subsec_micros().to_string().as_bytes());
    Ok(())
}

pub(crate) static CONFIG: &[Subcommand] = &[
    ("GET", "config|get", 1..=usize::MAX, config_get),
    ("SET", "config|set", 2..=usize::MAX, config_set),
    ("RESETSTAT", "config|resetstat", 0..=0, config_reset_statistics),
];

/// `CONFIG subcommand...`. No setting can be changed while the server runs.
pub(crate) fn config(cx: &mut Cx<'_>, me: &mut Session, args: &Args<'_>) -> CommandResult {
    perform_subcommand(CONFIG, cx, me, args)
}

/// `CONFIG GET pattern...`
fn config_get(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    let all = settings(cx);
    let is_wanted = |name: &str| args.skip(2).any(|pattern| matches(pattern, name.as_bytes()));
    let wanted: Vec<_> = all.iter().filter(|(name, _)| is_wanted(name)).collect();
    cx.shared.replies.map(wanted.len());
    for (name, value) in wanted {
        cx.shared.replies.bulk(name.as_bytes());
        cx.shared.replies.bulk(value.as_bytes());
    }
    Ok(())
}

/// `CONFIG SET name value...`
fn config_set(cx: &mut Cx<'_>, _me: &mut Session, args: &Args<'_>) -> CommandResult {
    if args.len() % 2 == 1 {
        return Err(SYNTAX);
    }
    let name = text(args.get(2));
    let known = settings(cx).iter().any(|(known, _)| is(name.as_bytes(), known));
    cx.shared.replies.error(&if known {
        format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - can't set \
             immutable config"
        )
    } else {
        format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
    });
    Ok(())
}

/// `CONFIG RESETSTAT`: accepted without effect, since there are no statistics.
fn config_reset_statistics(cx: &mut Cx<'_>, _me: &mut Session, _args: &Args<'_>) -> CommandResult {
    cx.shared.replies.simple("OK");
    Ok(())
}

/// The settings under their names in Redis.
fn settings(cx: &Cx<'_>) -> [(&'static str, String); 12] {
    let soft_seconds = SOFT_TIME.as_secs();
    [
        ("save", String::new()),
        ("appendonly", "no".into()),
        ("maxmemory", cx.shared.store.memory.limit().to_string()),
        ("maxmemory-policy", "noeviction".into()),
        ("maxclients", cx.shared.places.most().to_string()),
        ("databases", "1".into()),
        ("port", cx.shared.port.to_string()),
        ("timeout", "0".into()),
        ("tcp-keepalive", "300".into()),
        ("proto-max-bulk-len", MAX_VALUE.to_string()),
        ("proto-inline-max-size", MAX_LINE.to_string()),
        ("client-output-buffer-limit", format!("pubsub {HARD_LIMIT} {SOFT_LIMIT} {soft_seconds}")),
    ]
}
