//! The example `kv`: what it answers to every command, and that redis-server answers the same.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;

use super::resp::{ask, converse, encode, lines};
use crate::command::{Server, has, tcp};
use crate::example_server;
use crate::waits::{PATIENCE, until};

fn start() -> (Server, String) {
    let mut server = example_server::start("kv", &["127.0.0.1:0"]);
    let addr = example_server::addr(&mut server);
    (server, addr)
}

/// A redis-server, if it is installed.
pub(super) fn start_redis() -> Option<(Server, String)> {
    if !has("redis-server") {
        return None;
    }
    // It cannot choose a port itself.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut redis = Command::new("redis-server");
    redis.args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--databases", "1"]);
    let server = Server::of(redis.args(["--port", &port.to_string()]));
    let addr = format!("127.0.0.1:{port}");
    until("a server that starts", || TcpStream::connect(&addr).is_ok());
    Some((server, addr))
}

/// Commands, and what a server without keys answers to them.
const CONVERSATIONS: &[(&[&str], &str)] = &[
    (&["PING", "ping hello", "ECHO x"], "+PONG $5 hello $1 x"),
    (&["PING a b"], "-ERR wrong number of arguments for 'ping' command"),
    (&["GET a", "SET a 1", "GET a", "INCR a", "INCRBY a 40"], "$-1 +OK $1 1 :2 :42"),
    (&["SET a 42", "DECR a", "DECRBY a -9", "APPEND a 0", "STRLEN a"], "+OK :41 :50 :3 :3"),
    (
        &["SETNX b 3", "SETNX b 4", "GET b", "GETSET b 5", "GETDEL b", "GETDEL b"],
        ":1 :0 $1 3 $1 3 $1 5 $-1",
    ),
    (&["MSET c 3 d 4", "MGET c none d"], "+OK *3 $1 3 $-1 $1 4"),
    (&["MSET c 3 d"], "-ERR wrong number of arguments for 'mset' command"),
    (&["MSETNX c 3 d 4", "MSETNX d 5 e 6", "EXISTS c d e c"], ":1 :0 :3"),
    (&["SET a 1", "SET b 2", "DEL a b c", "UNLINK a", "DBSIZE"], "+OK +OK :2 :0 :0"),
    (&["SET a x", "INCR a"], "+OK -ERR value is not an integer or out of range"),
    (&["SET a 01", "INCR a"], "+OK -ERR value is not an integer or out of range"),
    (&["SET a 9223372036854775807", "INCR a"], "+OK -ERR increment or decrement would overflow"),
    (&["DECRBY a -9223372036854775808"], "-ERR decrement would overflow"),
    (&["TYPE a", "SET a 1", "TYPE a"], "+none +OK +string"),
    // SET with its options.
    (&["SET a 2 XX", "SET a 1 NX", "SET a 2 NX", "SET a 3 XX", "GET a"], "$-1 +OK $-1 +OK $1 3"),
    (&["SET a 1 GET", "SET a 2 GET", "SET a 3 NX GET", "GET a"], "$-1 $1 1 $1 2 $1 2"),
    (&["SET a 1 XX GET", "EXISTS a"], "$-1 :0"),
    (&["SET a 1 NX XX"], "-ERR syntax error"),
    (&["SET a 1 nx Nx", "GET a"], "+OK $1 1"),
    (&["SET a 1 EX"], "-ERR syntax error"),
    (&["SET a 1 EX 5 PX 5"], "-ERR syntax error"),
    (&["SET a 1 KEEPTTL EX 5"], "-ERR syntax error"),
    (&["SET a 1 EX 0"], "-ERR invalid expire time in 'set' command"),
    (&["SET a 1 PX -1"], "-ERR invalid expire time in 'set' command"),
    (&["SET a 1 EXAT 0"], "-ERR invalid expire time in 'set' command"),
    (&["SET a 1 EX 9223372036854775807"], "-ERR invalid expire time in 'set' command"),
    (&["SET a 1 PX 9223372036854775807"], "-ERR invalid expire time in 'set' command"),
    (&["SET a 1 EX x"], "-ERR value is not an integer or out of range"),
    (
        &["SET a 1 EX 100", "TTL a", "SET a 2 KEEPTTL", "TTL a", "SET a 3", "TTL a"],
        "+OK :100 +OK :100 +OK :-1",
    ),
    (
        &["SET a 1 PX 100400", "TTL a", "SETEX a 9 y", "TTL a", "PSETEX a 7000 y", "TTL a"],
        "+OK :100 +OK :9 +OK :7",
    ),
    (
        &["SET a 1 EXAT 33177117420", "EXPIRETIME a", "PEXPIRETIME a"],
        "+OK :33177117420 :33177117420000",
    ),
    (&["SET a 1 PXAT 33177117420123", "PEXPIRETIME a"], "+OK :33177117420123"),
    (&["SET a 1 PXAT 1", "GET a"], "+OK $-1"),
    (&["SETEX a 0 x"], "-ERR invalid expire time in 'setex' command"),
    (&["PSETEX a -5 x"], "-ERR invalid expire time in 'psetex' command"),
    (
        &["SET a 1", "GETEX a EX 100", "TTL a", "GETEX a", "TTL a", "GETEX a PERSIST", "TTL a"],
        "+OK $1 1 :100 $1 1 :100 $1 1 :-1",
    ),
    (
        &["GETEX none EX 0", "SET a 1", "GETEX a EX 0"],
        "$-1 +OK -ERR invalid expire time in 'getex' command",
    ),
    // EXPIRE and its kin.
    (
        &["TTL a", "PTTL a", "EXPIRETIME a", "PEXPIRETIME a", "PERSIST a", "EXPIRE a 5"],
        ":-2 :-2 :-2 :-2 :0 :0",
    ),
    (
        &["SET a 1", "TTL a", "PTTL a", "EXPIRETIME a", "PEXPIRETIME a", "PERSIST a"],
        "+OK :-1 :-1 :-1 :-1 :0",
    ),
    (
        &["SET a 1", "EXPIRE a 100", "TTL a", "PEXPIRE a 50000", "TTL a", "PERSIST a", "TTL a"],
        "+OK :1 :100 :1 :50 :1 :-1",
    ),
    (&["SET a 1", "EXPIREAT a 33177117420", "EXPIRETIME a"], "+OK :1 :33177117420"),
    (&["SET a 1", "PEXPIREAT a 33177117420123", "PEXPIRETIME a"], "+OK :1 :33177117420123"),
    (
        &["SET a 1", "EXPIRE a 0", "EXISTS a", "SET a 1", "EXPIREAT a 1", "EXISTS a"],
        "+OK :1 :0 +OK :1 :0",
    ),
    (&["SET a 1", "PEXPIRE a -1", "EXISTS a"], "+OK :1 :0"),
    (&["SET a 1", "EXPIRE a 9223370399119966"], "+OK -ERR invalid expire time in 'expire' command"),
    (
        &["SET a 1", "EXPIRE a -9223372036854776"],
        "+OK -ERR invalid expire time in 'expire' command",
    ),
    (
        &["SET a 1", "PEXPIRE a 9223372036854770000"],
        "+OK -ERR invalid expire time in 'pexpire' command",
    ),
    (&["SET a 1", "PEXPIREAT a 9223372036854770000", "EXISTS a"], "+OK :1 :1"),
    (&["SET a 1", "PEXPIREAT a -9223372036854770000", "EXISTS a"], "+OK :1 :0"),
    (&["SET a 1", "EXPIRE a x"], "+OK -ERR value is not an integer or out of range"),
    (
        &[
            "SET a 1",
            "EXPIRE a 100 XX",
            "EXPIRE a 100 NX",
            "EXPIRE a 200 NX",
            "EXPIRE a 200 XX",
            "TTL a",
        ],
        "+OK :0 :1 :0 :1 :200",
    ),
    (
        &[
            "SET a 1",
            "EXPIRE a 100 GT",
            "EXPIRE a 100 LT",
            "EXPIRE a 100 GT",
            "EXPIRE a 200 gt",
            "EXPIRE a 200 LT",
            "EXPIRE a 50 lt",
            "TTL a",
        ],
        "+OK :0 :1 :0 :1 :0 :1 :50",
    ),
    (
        &["SET a 1", "EXPIRE a 100", "EXPIRE a 200 XX GT", "EXPIRE a 300 XX LT", "TTL a"],
        "+OK :1 :1 :0 :200",
    ),
    (&["EXPIRE a 1 NX XX"], "-ERR NX and XX, GT or LT options at the same time are not compatible"),
    (&["EXPIRE a 1 GT LT"], "-ERR GT and LT options at the same time are not compatible"),
    (&["EXPIRE a 1 AB"], "-ERR Unsupported option AB"),
    // Transactions.
    (
        &["MULTI", "SET a 1", "INCR a", "GET none", "EXEC", "GET a"],
        "+OK +QUEUED +QUEUED +QUEUED *3 +OK :2 $-1 $1 2",
    ),
    (&["MULTI", "EXEC"], "+OK *0"),
    (
        &["MULTI", "SET a x", "INCR a", "GET a", "EXEC"],
        "+OK +QUEUED +QUEUED +QUEUED *3 +OK -ERR value is not an integer or out of range $1 x",
    ),
    (&["MULTI", "SET a 1", "DISCARD", "GET a"], "+OK +QUEUED +OK $-1"),
    (&["EXEC", "DISCARD"], "-ERR EXEC without MULTI -ERR DISCARD without MULTI"),
    (
        &["MULTI", "MULTI", "PING", "EXEC"],
        "+OK -ERR MULTI calls can not be nested +QUEUED *1 +PONG",
    ),
    (
        &["MULTI", "GET", "SET a 1", "EXEC", "GET a"],
        "+OK -ERR wrong number of arguments for 'get' command +QUEUED -EXECABORT Transaction discarded because of previous errors. $-1",
    ),
    (
        &["MULTI", "NONE x", "EXEC", "PING"],
        "+OK -ERR unknown command 'NONE', with args beginning with: 'x'  -EXECABORT Transaction discarded because of previous errors. +PONG",
    ),
    (&["WATCH a", "MULTI", "PING", "EXEC"], "+OK +OK +QUEUED *1 +PONG"),
    (
        &["WATCH a", "SET a 1", "MULTI", "PING", "EXEC", "MULTI", "PING", "EXEC"],
        "+OK +OK +OK +QUEUED *-1 +OK +QUEUED *1 +PONG",
    ),
    (&["SET a 1", "WATCH b a c", "INCR a", "MULTI", "PING", "EXEC"], "+OK +OK :2 +OK +QUEUED *-1"),
    (
        &["SET a 1", "WATCH a", "EXPIRE a 100", "MULTI", "PING", "EXEC"],
        "+OK +OK :1 +OK +QUEUED *-1",
    ),
    (&["SET a 1", "WATCH a", "APPEND a 1", "MULTI", "PING", "EXEC"], "+OK +OK :2 +OK +QUEUED *-1"),
    (
        &["SET a 1", "WATCH a", "DEL a", "SET a 1", "MULTI", "PING", "EXEC"],
        "+OK +OK :1 +OK +OK +QUEUED *-1",
    ),
    (&["SET a 1", "WATCH a", "FLUSHALL", "MULTI", "PING", "EXEC"], "+OK +OK +OK +OK +QUEUED *-1"),
    (&["WATCH a", "FLUSHDB", "MULTI", "PING", "EXEC"], "+OK +OK +OK +QUEUED *1 +PONG"),
    // What was changed and is not there again was changed.
    (&["WATCH a", "SET a 1", "DEL a", "MULTI", "PING", "EXEC"], "+OK +OK :1 +OK +QUEUED *-1"),
    (&["WATCH a", "SET a 1", "GETDEL a", "MULTI", "PING", "EXEC"], "+OK +OK $1 1 +OK +QUEUED *-1"),
    (&["WATCH a", "INCR a", "EXPIRE a -1", "MULTI", "PING", "EXEC"], "+OK :1 :1 +OK +QUEUED *-1"),
    (&["WATCH a", "APPEND a x", "FLUSHDB", "MULTI", "PING", "EXEC"], "+OK :1 +OK +OK +QUEUED *-1"),
    (
        &["WATCH a", "MSET b 1 a 1", "FLUSHALL", "MULTI", "PING", "EXEC"],
        "+OK +OK +OK +OK +QUEUED *-1",
    ),
    (
        &["WATCH b", "MSETNX a 1 b 1", "UNLINK b", "MULTI", "PING", "EXEC"],
        "+OK :1 :1 +OK +QUEUED *-1",
    ),
    (&["SET a 1", "WATCH a", "EXPIRE a 0", "MULTI", "PING", "EXEC"], "+OK +OK :1 +OK +QUEUED *-1"),
    (
        &["WATCH a", "SET a 1", "DEL a", "UNWATCH", "WATCH a", "MULTI", "PING", "EXEC"],
        "+OK +OK :1 +OK +OK +OK +QUEUED *1 +PONG",
    ),
    (
        &["SET a 1 EX 100", "WATCH a", "PERSIST a", "MULTI", "PING", "EXEC"],
        "+OK +OK :1 +OK +QUEUED *-1",
    ),
    (
        &["SET a 1", "WATCH a", "GETEX a EX 100", "MULTI", "PING", "EXEC"],
        "+OK +OK $1 1 +OK +QUEUED *-1",
    ),
    // What changes nothing is no change.
    (
        &["WATCH a", "DEL a", "EXPIRE a -1", "GETDEL a", "SET a 1 XX", "MULTI", "PING", "EXEC"],
        "+OK :0 :0 $-1 $-1 +OK +QUEUED *1 +PONG",
    ),
    (
        &[
            "SET a 1",
            "WATCH a",
            "SETNX a 2",
            "PERSIST a",
            "GETEX a",
            "EXPIRE a 9 XX",
            "MULTI",
            "PING",
            "EXEC",
        ],
        "+OK +OK :0 :0 $1 1 :0 +OK +QUEUED *1 +PONG",
    ),
    // What is refused before it is queued spoils a transaction.
    (
        &["MULTI", "CLIENT FOO", "SET a 1", "EXEC", "GET a"],
        "+OK -ERR unknown subcommand 'FOO'. Try CLIENT HELP. +QUEUED -EXECABORT Transaction discarded because of previous errors. $-1",
    ),
    (
        &["MULTI", "CLIENT ID x", "EXEC"],
        "+OK -ERR wrong number of arguments for 'client|id' command -EXECABORT Transaction discarded because of previous errors.",
    ),
    (
        &["MULTI", "CONFIG GET", "EXEC"],
        "+OK -ERR wrong number of arguments for 'config|get' command -EXECABORT Transaction discarded because of previous errors.",
    ),
    (
        &["MULTI", "command x", "EXEC"],
        "+OK -ERR unknown subcommand 'x'. Try COMMAND HELP. -EXECABORT Transaction discarded because of previous errors.",
    ),
    (
        &["MULTI", "SET a 1", "EXEC x", "GET a", "EXEC"],
        "+OK +QUEUED -EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command $-1 -ERR EXEC without MULTI",
    ),
    (
        &["WATCH a", "SET a 1", "EXEC x", "MULTI", "PING", "EXEC"],
        "+OK +OK -EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command +OK +QUEUED *1 +PONG",
    ),
    (
        &["MULTI", "DISCARD x", "PING", "EXEC"],
        "+OK -ERR wrong number of arguments for 'discard' command +QUEUED -EXECABORT Transaction discarded because of previous errors.",
    ),
    // What is refused only when it is done spoils nothing.
    (
        &["MULTI", "PING a b", "FLUSHALL x y", "AUTH a b c", "CLIENT NO-EVICT x", "PING", "EXEC"],
        "+OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED *5 -ERR wrong number of arguments for 'ping' command -ERR syntax error -ERR syntax error -ERR syntax error +PONG",
    ),
    (
        &["MULTI", "MULTI", "WATCH a", "PING", "EXEC"],
        "+OK -ERR MULTI calls can not be nested -ERR WATCH inside MULTI is not allowed +QUEUED *1 +PONG",
    ),
    (
        &["WATCH a", "SET a 1", "UNWATCH", "MULTI", "PING", "EXEC"],
        "+OK +OK +OK +OK +QUEUED *1 +PONG",
    ),
    (
        &["WATCH a", "SET a 1", "MULTI", "DISCARD", "MULTI", "INCR a", "EXEC"],
        "+OK +OK +OK +OK +OK +QUEUED *1 :2",
    ),
    (
        &["SET a 1", "WATCH a", "GET a", "MULTI", "GET a", "EXEC"],
        "+OK +OK $1 1 +OK +QUEUED *1 $1 1",
    ),
    (&["MULTI", "SET a 1", "QUIT", "PING"], "+OK +QUEUED +OK"),
    (
        &["MULTI", "SET a 1", "RESET", "EXEC", "GET a"],
        "+OK +QUEUED +RESET -ERR EXEC without MULTI $-1",
    ),
    // The connection.
    (&["SELECT 0", "SELECT 1"], "+OK -ERR DB index is out of range"),
    (&["HELLO 1"], "-NOPROTO unsupported protocol version"),
    (&["HELLO x"], "-ERR Protocol version is not an integer or out of range"),
    (
        &["HELLO 2 SETNAME me AUTH nobody x"],
        "-WRONGPASS invalid username-password pair or user is disabled.",
    ),
    (
        &["AUTH default x", "AUTH nobody x"],
        "+OK -WRONGPASS invalid username-password pair or user is disabled.",
    ),
    (
        &["AUTH x"],
        "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
    ),
    (&["CLIENT SETNAME me", "CLIENT GETNAME", "RESET", "CLIENT GETNAME"], "+OK $2 me +RESET $-1"),
    (
        &["CLIENT SETNAME a\nb"],
        "-ERR Client names cannot contain spaces, newlines or special characters.",
    ),
    (&["CLIENT NO-EVICT on", "CLIENT NO-EVICT maybe"], "+OK -ERR syntax error"),
    (&["CLIENT ID 1"], "-ERR wrong number of arguments for 'client|id' command"),
    (&["CLIENT REPLY OFF", "PING", "NONE", "SET a 1", "CLIENT REPLY ON", "GET a"], "+OK $1 1"),
    (&["CLIENT REPLY SKIP", "PING", "PING x"], "$1 x"),
    (&["CLIENT REPLY SKIP", "CLIENT REPLY ON", "PING"], "+OK +PONG"),
    (&["CLIENT KILL ID 0"], "-ERR client-id should be greater than 0"),
    (&["CLIENT KILL 1.2.3.4:5"], "-ERR No such client"),
    (&["CLIENT LIST TYPE x"], "-ERR Unknown client type 'x'"),
    (&["CLIENT LIST TYPE master"], "$0"),
    (&["CONFIG GET save", "CONFIG GET SAV* nothing"], "*2 $4 save $0 *2 $4 save $0"),
    (&["CONFIG GET *nothing*", "CONFIG GET appen[a-e]on?y"], "*0 *2 $10 appendonly $2 no"),
    (&["CONFIG GET proto-max-bulk-len"], "*2 $18 proto-max-bulk-len $9 536870912"),
    (&["CONFIG SET none 1"], "-ERR Unknown option or number of arguments for CONFIG SET - 'none'"),
    (&["CONFIG NONE"], "-ERR unknown subcommand 'NONE'. Try CONFIG HELP."),
    (&["CONFIG"], "-ERR wrong number of arguments for 'config' command"),
    (&["COMMAND GETKEYS MSET a 1 b 2", "COMMAND GETKEYS GET x"], "*2 $1 a $1 b *1 $1 x"),
    (&["COMMAND INFO none"], "*1 $-1"),
    (&["PUBLISH nobody x"], ":0"),
    (&["GET"], "-ERR wrong number of arguments for 'get' command"),
    (&["GET a b"], "-ERR wrong number of arguments for 'get' command"),
    (&["NONSENSE a b"], "-ERR unknown command 'NONSENSE', with args beginning with: 'a' 'b' "),
    // RESP3.
    (&["HELLO 3 AUTH default x SETNAME me", "CLIENT GETNAME", "GET a"], "HELLO $2 me _"),
    (
        &["HELLO 3", "SET a 1", "MGET a b", "WATCH a", "SET a 2", "MULTI", "GET a", "EXEC"],
        "HELLO +OK *2 $1 1 _ +OK +OK +OK +QUEUED _",
    ),
    (&["HELLO 3", "SET a 1 XX", "GETDEL a"], "HELLO _ _"),
    (&["HELLO 3", "CONFIG GET save"], "HELLO %1 $4 save $0"),
    (
        &["HELLO 3", "SUBSCRIBE a b", "PING", "GET a", "UNSUBSCRIBE a", "UNSUBSCRIBE"],
        "HELLO >3 $9 subscribe $1 a :1 >3 $9 subscribe $1 b :2 +PONG _ >3 $11 unsubscribe $1 a :1 >3 $11 unsubscribe $1 b :0",
    ),
    (&["HELLO 3", "CLIENT REPLY OFF", "SUBSCRIBE a"], "HELLO >3 $9 subscribe $1 a :1"),
    (
        &["SUBSCRIBE a", "PING", "PING x", "GET a", "UNSUBSCRIBE a", "GET a"],
        "*3 $9 subscribe $1 a :1 *2 $4 pong $0 *2 $4 pong $1 x -ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context *3 $11 unsubscribe $1 a :0 $-1",
    ),
    (&["SUBSCRIBE a", "RESET", "GET a", "PUBLISH a x"], "*3 $9 subscribe $1 a :1 +RESET $-1 :0"),
    (
        &["SUBSCRIBE a a", "UNSUBSCRIBE b"],
        "*3 $9 subscribe $1 a :1 *3 $9 subscribe $1 a :1 *3 $11 unsubscribe $1 b :1",
    ),
];

/// The same of what Redis 7.0 still did otherwise: its own message a client got before the reply.
const SINCE_7_2: &[(&[&str], &str)] = &[
    (
        &["HELLO 3", "SUBSCRIBE a", "PUBLISH a x"],
        "HELLO >3 $9 subscribe $1 a :1 :1 >3 $7 message $1 a $1 x",
    ),
    (
        &["HELLO 3", "SUBSCRIBE a", "MULTI", "PUBLISH a x", "PING", "EXEC"],
        "HELLO >3 $9 subscribe $1 a :1 +OK +QUEUED +QUEUED *2 :1 +PONG >3 $7 message $1 a $1 x",
    ),
];

#[test]
fn messages_to_oneself_follow_the_reply() {
    let (_server, addr) = start();
    for (commands, expected) in SINCE_7_2 {
        assert_eq!(without_greeting(&addr, commands), *expected, "{commands:?}");
    }
}

#[test]
fn every_command_does_what_redis_says() {
    let (_server, addr) = start();
    let redis = start_redis();
    for (commands, expected) in CONVERSATIONS {
        assert_eq!(without_greeting(&addr, commands), *expected, "{commands:?}");
        if let Some((_server, redis)) = &redis {
            assert_eq!(without_greeting(redis, commands), *expected, "redis-server: {commands:?}");
        }
        for addr in [Some(&addr), redis.as_ref().map(|(_server, addr)| addr)].into_iter().flatten()
        {
            ask(addr, b"FLUSHALL\r\n");
        }
    }
}

/// Words that are no keys of anything, so that a command has nothing to do with them.
const WORDS: [&str; 5] = ["x", "1", "x", "y", "z"];
/// Subcommands that redis-server 7.0 has as well, and two that nobody has.
const SUBCOMMANDS: [(&str, &[&str]); 3] = [
    (
        "CLIENT",
        &["ID", "INFO", "LIST", "SETNAME", "GETNAME", "NO-EVICT", "GETREDIR", "KILL", "FOO"],
    ),
    ("CONFIG", &["GET", "SET", "RESETSTAT", ""]),
    ("COMMAND", &["COUNT", "LIST", "INFO", "DOCS", "GETKEYS", "FOO"]),
];

/// All that can be said, right or wrong, and what ends a conversation apart.
fn everything(addr: &str) -> Vec<Vec<String>> {
    let list = ask(addr, b"COMMAND LIST\r\n");
    let names = lines(&list).into_iter().skip(2).step_by(2).map(|name| vec![name]);
    let subcommands = SUBCOMMANDS.iter().flat_map(|(of, all)| all.iter().map(|sub| vec![*of, sub]));
    let beginnings = names.chain(subcommands).chain([vec!["nonsense"]]);
    let more = |words: Vec<&str>| {
        let with = |n| [&words[..], &WORDS[..n]].concat().into_iter().map(String::from).collect();
        (0..=WORDS.len()).map(with).collect::<Vec<_>>()
    };
    beginnings.filter(|words| words[0] != "quit").flat_map(more).collect()
}

#[test]
fn in_a_transaction_every_command_is_queued_or_refused_as_redis_does() {
    let (_server, addr) = start();
    let Some((_redis, redis)) = start_redis() else { return };
    let said = |addr: &str, command: &[String]| {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let commands = [&["MULTI"][..], &words, &["PING"], &["EXEC"], &["EXEC"]];
        let sent: Vec<u8> = commands.into_iter().flat_map(encode).collect();
        let answer = ask(addr, &sent);
        // What was asked for may differ, and whether it was done may not.
        let end = answer.find("\r\n*").unwrap_or(answer.len());
        answer[..end].to_string()
    };
    let everything = everything(&addr);
    assert!(everything.len() > 400, "{}", everything.len());
    for command in everything {
        assert_eq!(said(&addr, &command), said(&redis, &command), "{command:?}");
    }
}

#[test]
fn a_watched_key_that_came_and_expired_was_changed() {
    let (_server, kv) = start();
    let redis = start_redis();
    for addr in [Some(&kv), redis.as_ref().map(|(_server, addr)| addr)].into_iter().flatten() {
        let mut watcher = tcp(addr);
        watcher.write_all(b"WATCH a\r\n").unwrap();
        read_until(&mut watcher, "+OK\r\n");
        assert_eq!(ask(addr, b"SET a 1 PX 1\r\n"), "+OK\r\n");
        let end = Instant::now() + PATIENCE;
        while ask(addr, b"DBSIZE\r\n") != ":0\r\n" {
            assert!(Instant::now() < end, "it does not expire");
        }
        watcher.write_all(b"MULTI\r\nSET b 1\r\nEXEC\r\n").unwrap();
        assert_eq!(read_until(&mut watcher, "*-1\r\n"), "+OK\r\n+QUEUED\r\n*-1\r\n", "{addr}");
        assert_eq!(ask(addr, b"GET b\r\n"), "$-1\r\n");
    }
}

/// The answer to `HELLO 3` says who answers, so only its beginning must be right.
fn without_greeting(addr: &str, commands: &[&str]) -> String {
    let answer = converse(addr, commands);
    match answer.strip_prefix("%7 $6 server ") {
        Some(greeting) => {
            let (_, behind) = greeting.split_once(" $7 modules *0").unwrap();
            format!("HELLO{behind}")
        }
        None => answer,
    }
}

#[test]
fn a_greeting_says_which_language_follows() {
    let (_server, addr) = start();
    let greeting = |id, proto| {
        let version = env!("CARGO_PKG_VERSION");
        let len = version.len();
        format!(
            "$6 server $2 kv $7 version ${len} {version} $5 proto :{proto} $2 id :{id} \
             $4 mode $10 standalone $4 role $6 master $7 modules *0"
        )
    };
    assert_eq!(converse(&addr, &["HELLO"]), format!("*14 {}", greeting(1, 2)));
    assert_eq!(converse(&addr, &["HELLO 3"]), format!("%7 {}", greeting(2, 3)));
    let back = format!("%7 {} *14 {} $-1", greeting(3, 3), greeting(3, 2));
    assert_eq!(converse(&addr, &["HELLO 3", "HELLO 2", "GET a"]), back);
}

#[test]
fn clients_are_listed_by_what_they_said_and_ended_when_that_is_asked_for() {
    let (_server, addr) = start();
    let mut other = tcp(&addr);
    let said = [
        &["HELLO", "3", "SETNAME", "other"][..],
        &["CLIENT", "SETINFO", "LIB-NAME", "test"],
        &["CLIENT", "SETINFO", "LIB-VER", "1.2"],
        &["SUBSCRIBE", "news"],
    ];
    other.write_all(&said.iter().flat_map(|words| encode(words)).collect::<Vec<u8>>()).unwrap();
    read_until(&mut other, "news\r\n:1\r\n");
    let all = ask(&addr, b"CLIENT LIST\r\n");
    let lines: Vec<&str> = all.lines().filter(|line| line.starts_with("id=")).collect();
    assert_eq!(lines.len(), 2, "{all}");
    let local = other.local_addr().unwrap();
    for said in [
        &format!(" addr={local} laddr={addr} "),
        " name=other ",
        " flags=P ",
        " sub=1 ",
        " cmd=subscribe ",
        " resp=3 ",
        " lib-name=test lib-ver=1.2",
    ] {
        assert!(lines[0].contains(said), "{said}: {}", lines[0]);
    }
    assert!(lines[1].contains(" name= ") && lines[1].contains(" cmd=client|list "), "{}", lines[1]);
    let number = lines[0].strip_prefix("id=").unwrap().split(' ').next().unwrap();
    let listed = ask(&addr, format!("CLIENT LIST ID {number} 77\r\n").as_bytes());
    assert_eq!(listed.lines().filter(|line| line.starts_with("id=")).count(), 1, "{listed}");
    assert_eq!(ask(&addr, format!("CLIENT KILL ID {number}\r\n").as_bytes()), ":1\r\n");
    assert!(matches!(other.read(&mut [0]), Ok(0) | Err(_)), "it goes on");
    assert_eq!(ask(&addr, b"CLIENT KILL TYPE pubsub SKIPME no\r\n"), ":0\r\n");
}

fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        all.push(byte[0]);
    }
    String::from_utf8(all).unwrap()
}

#[test]
fn info_says_what_clients_look_for_section_by_section() {
    let (_server, addr) = start();
    let all = ask(&addr, b"SET a 1\r\nINFO\r\n");
    let port = addr.rsplit(':').next().unwrap();
    for line in [
        "redis_version:7.2.0",
        "redis_mode:standalone",
        "connected_clients:1",
        "maxmemory:1073741824",
        "loading:0",
        "role:master",
        "db0:keys=1,expires=0,avg_ttl=0",
        &format!("tcp_port:{port}"),
    ] {
        assert!(lines(&all).contains(&line), "{line}: {all}");
    }
    let some = ask(&addr, b"INFO keyspace Replication\r\n");
    let headings: Vec<&str> = some.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(headings, ["# Replication", "# Keyspace"]);
    assert_eq!(ask(&addr, b"INFO none\r\n"), "$0\r\n\r\n");
    let verbatim = ask(&addr, b"HELLO 3\r\nINFO replication\r\n");
    assert!(verbatim.contains("=52\r\ntxt:# Replication\r\nrole:master\r\n"), "{verbatim}");
}

#[test]
fn what_can_be_done_is_documented() {
    let (_server, addr) = start();
    let count = ask(&addr, b"COMMAND COUNT\r\n");
    let count: usize = count.trim_matches([':', '\r', '\n']).parse().unwrap();
    let list = ask(&addr, b"COMMAND LIST\r\n");
    assert!(list.starts_with(&format!("*{count}\r\n")), "{list}");
    assert!(ask(&addr, b"COMMAND\r\n").starts_with(&format!("*{count}\r\n*10\r\n")));
    assert!(ask(&addr, b"COMMAND DOCS\r\n").starts_with(&format!("*{}\r\n", 2 * count)));
    let names: Vec<&str> = lines(&list).into_iter().skip(2).step_by(2).collect();
    assert_eq!(names.len(), count);
    for name in names {
        let docs = ask(&addr, format!("COMMAND DOCS {name}\r\n").as_bytes());
        assert!(docs.starts_with("*2\r\n") && docs.contains("$7\r\nsummary\r\n"), "{name}: {docs}");
        let refused = format!("wrong number of arguments for '{name}' command");
        let many = ask(&addr, encode(&[&[name][..], &["x"; 3]].concat()).as_slice());
        let none = ask(&addr, encode(&[name]).as_slice());
        assert!(!many.contains("unknown command"), "{name}: {many}");
        assert!(!none.is_empty(), "{name}");
        // Whoever takes none takes a bounded number, or the other way round.
        assert!(none.contains(&refused) || !none.contains("wrong number"), "{name}: {none}");
    }
    let get = "*1 *10 $3 get :2 *2 +readonly +fast :1 :1 :1 *0 *0 *0 *0";
    assert_eq!(converse(&addr, &["COMMAND INFO GET"]), get);
}
