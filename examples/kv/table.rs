//! The table of commands. Lookup is linear, so frequent commands come first.

use crate::command::{Command, TakesLarge, row};
use crate::parser::MAX_ARGS;
use crate::{
    client_command, connection, expiry, info, introspection, strings, subscriptions, transaction,
};

const ANY: usize = MAX_ARGS;
const AT_1: TakesLarge = TakesLarge::At(1);
const AT_2: TakesLarge = TakesLarge::At(2);
const AT_3: TakesLarge = TakesLarge::At(3);
const PAIRS: TakesLarge = TakesLarge::Pairs;

pub(crate) static COMMANDS: &[Command] = &[
    row("get", 2..=2, strings::get, "The value of a key.").reads(1, 1),
    row("set", 3..=ANY, strings::set, "Sets the value of a key.").writes(1, 1, 1).large(AT_2),
    row("incr", 2..=2, strings::incr, "Adds one to a number.").writes(1, 1, 1),
    row("mget", 2..=ANY, strings::mget, "The values of several keys.").reads(1, -1),
    row("mset", 3..=ANY, strings::mset, "Sets the values of several keys.")
        .writes(1, -1, 2)
        .large(PAIRS),
    row("del", 2..=ANY, strings::del, "Removes keys.").writes(1, -1, 1),
    row("exists", 2..=ANY, strings::exists, "Counts the keys that exist.").reads(1, -1),
    row("expire", 3..=ANY, expiry::expire, "Sets the time to live of a key in seconds.")
        .writes(1, 1, 1),
    row("ttl", 2..=2, expiry::ttl, "The time to live of a key in seconds.").reads(1, 1),
    row("ping", 1..=ANY, connection::ping, "Answers PONG.").large(AT_1),
    row("publish", 3..=3, subscriptions::publish, "Sends a message to a channel.").large(AT_2),
    row("decr", 2..=2, strings::decr, "Subtracts one from a number.").writes(1, 1, 1),
    row("incrby", 3..=3, strings::incrby, "Adds to a number.").writes(1, 1, 1),
    row("decrby", 3..=3, strings::decrby, "Subtracts from a number.").writes(1, 1, 1),
    row("append", 3..=3, strings::append, "Appends to a value.").writes(1, 1, 1).large(AT_2),
    row("strlen", 2..=2, strings::strlen, "The length of a value.").reads(1, 1),
    row("setex", 4..=4, strings::setex, "SET with EXPIRE.").writes(1, 1, 1).large(AT_3),
    row("psetex", 4..=4, strings::psetex, "SET with PEXPIRE.").writes(1, 1, 1).large(AT_3),
    row("setnx", 3..=3, strings::setnx, "SET unless the key exists.").writes(1, 1, 1).large(AT_2),
    row("msetnx", 3..=ANY, strings::msetnx, "MSET unless a key exists.")
        .writes(1, -1, 2)
        .large(PAIRS),
    row("getset", 3..=3, strings::getset, "SET that returns the old value.")
        .writes(1, 1, 1)
        .large(AT_2),
    row("getdel", 2..=2, strings::getdel, "GET, then DEL.").writes(1, 1, 1),
    row("getex", 2..=ANY, strings::getex, "GET, then EXPIRE.").writes(1, 1, 1),
    row("unlink", 2..=ANY, strings::del, "Removes keys.").writes(1, -1, 1),
    row("type", 2..=2, strings::kind, "The type of a key's value.").reads(1, 1),
    row("pexpire", 3..=ANY, expiry::pexpire, "EXPIRE in milliseconds.").writes(1, 1, 1),
    row("expireat", 3..=ANY, expiry::expireat, "Sets the deadline of a key.").writes(1, 1, 1),
    row("pexpireat", 3..=ANY, expiry::pexpireat, "EXPIREAT in milliseconds.").writes(1, 1, 1),
    row("expiretime", 2..=2, expiry::expiretime, "The deadline of a key.").reads(1, 1),
    row("pexpiretime", 2..=2, expiry::pexpiretime, "EXPIRETIME in milliseconds.").reads(1, 1),
    row("pttl", 2..=2, expiry::pttl, "TTL in milliseconds.").reads(1, 1),
    row("persist", 2..=2, expiry::persist, "Removes the deadline of a key.").writes(1, 1, 1),
    row("dbsize", 1..=1, strings::dbsize, "Counts the keys."),
    row("flushall", 1..=ANY, strings::flush, "Removes all keys.").writes(0, 0, 0),
    row("flushdb", 1..=ANY, strings::flush, "Removes all keys.").writes(0, 0, 0),
    row("multi", 1..=1, transaction::multi, "Begins a transaction.").not_queued(),
    row("exec", 1..=1, transaction::exec, "Runs the queued commands.").not_queued(),
    row("discard", 1..=1, transaction::discard, "Discards a transaction.").not_queued(),
    row("watch", 2..=ANY, transaction::watch, "Makes EXEC fail if these keys change.").not_queued(),
    row("unwatch", 1..=1, transaction::unwatch, "Forgets the watched keys."),
    row("subscribe", 2..=ANY, subscriptions::subscribe, "Subscribes to channels.").pubsub(),
    row("unsubscribe", 1..=ANY, subscriptions::unsubscribe, "Unsubscribes from channels.").pubsub(),
    row("echo", 2..=2, connection::echo, "Returns its argument.").large(AT_1),
    row("hello", 1..=ANY, connection::hello, "Selects RESP2 or RESP3."),
    row("auth", 2..=ANY, connection::auth, "Authenticates the client."),
    row("select", 2..=2, connection::select, "Selects a database; there is one."),
    row("reset", 1..=1, connection::reset, "Resets the connection.").always(),
    row("quit", 1..=ANY, connection::quit, "Closes the connection.").always(),
    row("time", 1..=1, info::time, "Seconds since 1970, and microseconds."),
    row("info", 1..=ANY, info::info, "About the server."),
    row("config", 2..=ANY, info::config, "The settings of the server.").with(info::CONFIG),
    row("command", 1..=ANY, introspection::command, "About commands.").with(introspection::COMMAND),
    row("client", 2..=ANY, client_command::client, "About connections.")
        .with(client_command::CLIENT),
];
