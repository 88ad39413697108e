//! All commands; the usual ones come first, since they are found by looking at one after the other.

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
    row("get", 2..=2, strings::get, "What a key holds.").reads(1, 1),
    row("set", 3..=ANY, strings::set, "Has a key hold a value.").writes(1, 1, 1).large(AT_2),
    row("incr", 2..=2, strings::incr, "Adds one to a number.").writes(1, 1, 1),
    row("mget", 2..=ANY, strings::mget, "What several keys hold.").reads(1, -1),
    row("mset", 3..=ANY, strings::mset, "Has several keys hold values.")
        .writes(1, -1, 2)
        .large(PAIRS),
    row("del", 2..=ANY, strings::del, "Removes keys.").writes(1, -1, 1),
    row("exists", 2..=ANY, strings::exists, "How many of these keys there are.").reads(1, -1),
    row("expire", 3..=ANY, expiry::expire, "Removes a key after seconds.").writes(1, 1, 1),
    row("ttl", 2..=2, expiry::ttl, "Seconds that a key has left.").reads(1, 1),
    row("ping", 1..=ANY, connection::ping, "Whether the server is there.").large(AT_1),
    row("publish", 3..=3, subscriptions::publish, "Says something on a channel.").large(AT_2),
    row("decr", 2..=2, strings::decr, "Takes one from a number.").writes(1, 1, 1),
    row("incrby", 3..=3, strings::incrby, "Adds to a number.").writes(1, 1, 1),
    row("decrby", 3..=3, strings::decrby, "Takes from a number.").writes(1, 1, 1),
    row("append", 3..=3, strings::append, "Puts more behind a value.").writes(1, 1, 1).large(AT_2),
    row("strlen", 2..=2, strings::strlen, "How long a value is.").reads(1, 1),
    row("setex", 4..=4, strings::setex, "SET for seconds.").writes(1, 1, 1).large(AT_3),
    row("psetex", 4..=4, strings::psetex, "SET for milliseconds.").writes(1, 1, 1).large(AT_3),
    row("setnx", 3..=3, strings::setnx, "SET of a new key.").writes(1, 1, 1).large(AT_2),
    row("msetnx", 3..=ANY, strings::msetnx, "MSET of new keys.").writes(1, -1, 2).large(PAIRS),
    row("getset", 3..=3, strings::getset, "SET that gives the old value.")
        .writes(1, 1, 1)
        .large(AT_2),
    row("getdel", 2..=2, strings::getdel, "GET, then DEL.").writes(1, 1, 1),
    row("getex", 2..=ANY, strings::getex, "GET, then EXPIRE.").writes(1, 1, 1),
    row("unlink", 2..=ANY, strings::del, "Removes keys.").writes(1, -1, 1),
    row("type", 2..=2, strings::kind, "Which type a key has.").reads(1, 1),
    row("pexpire", 3..=ANY, expiry::pexpire, "EXPIRE in milliseconds.").writes(1, 1, 1),
    row("expireat", 3..=ANY, expiry::expireat, "Removes a key at a time.").writes(1, 1, 1),
    row("pexpireat", 3..=ANY, expiry::pexpireat, "EXPIREAT in milliseconds.").writes(1, 1, 1),
    row("expiretime", 2..=2, expiry::expiretime, "When a key is removed.").reads(1, 1),
    row("pexpiretime", 2..=2, expiry::pexpiretime, "EXPIRETIME in milliseconds.").reads(1, 1),
    row("pttl", 2..=2, expiry::pttl, "TTL in milliseconds.").reads(1, 1),
    row("persist", 2..=2, expiry::persist, "Has a key stay.").writes(1, 1, 1),
    row("dbsize", 1..=1, strings::dbsize, "How many keys there are."),
    row("flushall", 1..=ANY, strings::flush, "Removes all keys.").writes(0, 0, 0),
    row("flushdb", 1..=ANY, strings::flush, "Removes all keys.").writes(0, 0, 0),
    row("multi", 1..=1, transaction::multi, "Begins a transaction.").not_queued(),
    row("exec", 1..=1, transaction::exec, "Does what was queued.").not_queued(),
    row("discard", 1..=1, transaction::discard, "Gives a transaction up.").not_queued(),
    row("watch", 2..=ANY, transaction::watch, "EXEC fails if these keys change.").not_queued(),
    row("unwatch", 1..=1, transaction::unwatch, "Forgets the watched keys."),
    row("subscribe", 2..=ANY, subscriptions::subscribe, "Listens to channels.").pubsub(),
    row("unsubscribe", 1..=ANY, subscriptions::unsubscribe, "Leaves channels.").pubsub(),
    row("echo", 2..=2, connection::echo, "Says the same.").large(AT_1),
    row("hello", 1..=ANY, connection::hello, "Chooses RESP2 or RESP3."),
    row("auth", 2..=ANY, connection::auth, "Says who one is."),
    row("select", 2..=2, connection::select, "Chooses a database; there is one."),
    row("reset", 1..=1, connection::reset, "Begins anew.").always(),
    row("quit", 1..=ANY, connection::quit, "Ends the connection.").always(),
    row("time", 1..=1, info::time, "Seconds since 1970, and microseconds."),
    row("info", 1..=ANY, info::info, "About the server."),
    row("config", 2..=ANY, info::config, "How the server is set up.").with(info::CONFIG),
    row("command", 1..=ANY, introspection::command, "About commands.").with(introspection::COMMAND),
    row("client", 2..=ANY, client_command::client, "About connections.")
        .with(client_command::CLIENT),
];
