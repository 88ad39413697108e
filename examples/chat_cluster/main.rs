//! A chat room over several servers, connected by Redis: start a `redis-server`, `cargo run
//! --example chat_cluster -- 127.0.0.1:7000 127.0.0.1:6379`, the same with port 7001, then `nc
//! 127.0.0.1 7000` and `nc 127.0.0.1 7001`. The example `kv` can replace Redis.
//!
//! The technique: a server with outgoing connections, which [`Reconnect`] opens again after each
//! end. Members never wait for Redis. While it is away, the members of one server still chat, and
//! the last [`cluster::KEPT_LINES`] lines are kept for the other servers, which request them later.
//! Members are notified when the other servers are away and when they are back; standard error gets
//! each reason once. A Redis that hangs counts as away: each connection sends `PING`, and closes if
//! nothing is received for `--redis-timeout`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use socketserver::{Connect, Context, Handler, Input, Io, Options, Reconnect, Server, SocketId};

use cluster::Cluster;
use redis::{Publisher, Subscriber};
use redis_errors::RedisErrors;

mod cluster;
#[path = "../support/program.rs"]
mod program;
mod protocol;
mod redis;
mod redis_errors;
#[path = "../support/signals.rs"]
mod signals;

/// Longest line in bytes; a longer one ends the connection.
const MAX_LINE: usize = 1_024;
/// Most unsent bytes of a member; more end the connection.
const MAX_UNSENT: usize = 1 << 20;
/// Time that a shutdown gives to pending output.
const GRACE: Duration = Duration::from_secs(10);

/// The state shared by all connections.
struct ClusterState {
    members: BTreeSet<SocketId>,
    cluster: Cluster,
    channel: String,
    /// Longest silence of Redis.
    redis_timeout: Duration,
    redis_errors: RedisErrors,
    publisher: Option<SocketId>,
    is_subscribed: bool,
    /// Whether the members were last notified that the other servers are there.
    is_linked: bool,
}

impl ClusterState {
    /// Sends a line to all members but `speaker`.
    fn send_to_members(&mut self, io: &mut Io, speaker: Option<SocketId>, line: &[u8]) {
        let line = [line, b"\n"].concat();
        for &member in self.members.iter().filter(|&&member| Some(member) != speaker) {
            io.send(member, &line);
        }
    }

    /// Has all servers compare numbers; called when the link changed or was congested.
    fn compare(&mut self, io: &mut Io) {
        let is_linked = self.is_subscribed && self.publisher.is_some();
        let who = self.cluster.who();
        self.publish(io, &who);
        if is_linked != self.is_linked && !io.is_shutting_down() {
            self.is_linked = is_linked;
            if is_linked {
                self.redis_errors.clear();
            }
            let news = if is_linked { BACK } else { AWAY };
            self.send_to_members(io, None, news);
        }
    }
}

const AWAY: &[u8] = b"* the other servers are away; lines are kept for them";
const BACK: &[u8] = b"* the other servers are back";

struct ClusterMember;

impl Handler<ClusterState> for ClusterMember {
    fn setup(&mut self, cx: &mut Context<'_, ClusterState>) -> io::Result<()> {
        cx.shared.members.insert(cx.id);
        if !cx.shared.is_linked {
            cx.send(&[AWAY, b"\n"].concat());
        }
        Ok(())
    }

    fn handle(
        &mut self,
        cx: &mut Context<'_, ClusterState>,
        input: &mut Input<'_>,
    ) -> io::Result<()> {
        while let Some(line) = input.take_line(MAX_LINE)? {
            cx.shared.send_to_members(cx.io, Some(cx.id), line);
            let message = cx.shared.cluster.say(line);
            cx.shared.publish(cx.io, &message);
        }
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, ClusterState>, _outcome: io::Result<()>) {
        cx.shared.members.remove(&cx.id);
        if cx.io.is_shutting_down() {
            cx.shared.close_after_last_member(cx.io);
        }
    }
}

const USAGE: &str = "usage: chat_cluster [options] LISTEN_ADDR REDIS_ADDR [CHANNEL]

CHANNEL is the name of the room (default chat).

  --redis-timeout SECONDS   longest silence of Redis before it counts as away (default 10)";

/// The arguments of the command line.
struct ClusterArgs {
    plain: Vec<String>,
    redis_timeout: Duration,
}

impl ClusterArgs {
    /// Parses the arguments. An error names the wrong one.
    fn parse(words: impl Iterator<Item = OsString>) -> Result<ClusterArgs, String> {
        let mut words =
            words.map(|word| word.into_string().map_err(|word| format!("{word:?} is not UTF-8")));
        let mut parsed = ClusterArgs { plain: Vec::new(), redis_timeout: Duration::from_secs(10) };
        while let Some(word) = words.next().transpose()? {
            match word.as_str() {
                "--redis-timeout" => {
                    let value = words.next().transpose()?.and_then(|value| value.parse().ok());
                    let seconds = value.filter(|seconds| *seconds > 0);
                    let seconds =
                        seconds.ok_or("--redis-timeout takes whole seconds, 1 or more")?;
                    parsed.redis_timeout = Duration::from_secs(seconds);
                }
                _ if word.starts_with('-') => return Err(format!("unknown option {word}")),
                _ => parsed.plain.push(word),
            }
        }
        if (2..=3).contains(&parsed.plain.len()) {
            Ok(parsed)
        } else {
            Err("expected LISTEN_ADDR, REDIS_ADDR and at most a channel".into())
        }
    }
}

fn main() -> ExitCode {
    program::run(USAGE, usize::MAX, |words| {
        let parsed = ClusterArgs::parse(words.iter().cloned());
        let wrong = |culprit| io::Error::new(io::ErrorKind::InvalidInput, culprit);
        serve(&parsed.map_err(wrong)?)
    })
}

/// Writes to standard error. A closed or full one is no reason to stop.
fn print_error(what: &str) {
    let _ = writeln!(io::stderr(), "chat_cluster: {what}");
}

fn serve(words: &ClusterArgs) -> io::Result<()> {
    let mut plain = words.plain.iter().map(String::as_str);
    let (addr, redis) = (plain.next().unwrap_or_default(), plain.next().unwrap_or_default());
    // The name is looked up for each attempt, because Redis may move.
    let redis_addr = Connect::to(redis)?;
    let shared = ClusterState {
        members: BTreeSet::new(),
        cluster: Cluster::new(),
        channel: plain.next().unwrap_or("chat").into(),
        redis_timeout: words.redis_timeout,
        redis_errors: RedisErrors::new(redis),
        publisher: None,
        is_subscribed: false,
        is_linked: false,
    };
    let options = Options { output_limit: MAX_UNSENT, ..Options::default() };
    let mut server = Server::with_shared(shared, options)?;
    let listener = server.listen(addr, |_peer| ClusterMember)?;
    signals::stop_on_signals(&mut server, GRACE)?;
    with_backoff(Reconnect::new(redis_addr.clone(), |_| Some(Subscriber::default()))?)
        .start(&mut server)?;
    with_backoff(Reconnect::new(redis_addr, |_| Some(Publisher::default()))?).start(&mut server)?;
    if let Some(addr) = server.io().local_addr(listener) {
        // A closed standard output is no reason to stop.
        let _ = writeln!(io::stdout(), "listening {addr}");
    }
    server.serve_forever()
}

/// Pauses of a second at most, because people wait.
fn with_backoff<F>(connection: Reconnect<F>) -> Reconnect<F> {
    connection.initial_backoff(Duration::from_millis(50)).max_backoff(Duration::from_secs(1))
}
