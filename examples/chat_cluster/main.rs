//! A chat room over several servers, which hear of each other through Redis: start a `redis-server`,
//! `cargo run --example chat_cluster -- 127.0.0.1:7000 127.0.0.1:6379`, the same on port 7001, and
//! `nc 127.0.0.1 7000` and `7001`. The example `kv` does in the place of Redis.
//!
//! The technique: the server is a client as well. [`Reconnect`] keeps its outgoing connections
//! standing, and what its members say does not wait for them. While Redis is away the members of one
//! server still talk, and the last [`cluster::KEPT_LINES`] lines are kept for the other servers,
//! which ask for them afterwards. Everybody is told when the others go and when they are back, and
//! standard error why, once for each reason. A Redis that hangs is one that is away: each connection
//! asks it (`PING`), and ends when nothing has come for `--redis-timeout`.

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

/// Bytes of a line; who types a longer one has to leave.
const MAX_LINE: usize = 1_024;
/// Bytes that a member may be behind; who does not read for longer has to leave.
const MAX_UNSENT: usize = 1 << 20;
/// How long a stop may take.
const GRACE: Duration = Duration::from_secs(10);

/// What all connections share.
struct ClusterState {
    members: BTreeSet<SocketId>,
    cluster: Cluster,
    channel: String,
    /// How long Redis may say nothing.
    redis_timeout: Duration,
    redis_errors: RedisErrors,
    publisher: Option<SocketId>,
    is_subscribed: bool,
    /// What the members were told last about the other servers.
    is_linked: bool,
}

impl ClusterState {
    /// To all members but the one who said it.
    fn send_to_members(&mut self, io: &mut Io, speaker: Option<SocketId>, line: &[u8]) {
        let line = [line, b"\n"].concat();
        for &member in self.members.iter().filter(|&&member| Some(member) != speaker) {
            io.send(member, &line);
        }
    }

    /// The link came or went, or was too slow: has all servers compare what they have heard.
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

const AWAY: &[u8] = b"* the other servers are away; what is said is kept for them";
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

CHANNEL is the name of the room, chat by default.

  --redis-timeout SECONDS   a Redis that says nothing for so long is away (default 10)";

/// What was typed.
struct ClusterArgs {
    plain: Vec<String>,
    redis_timeout: Duration,
}

impl ClusterArgs {
    /// An error names the culprit.
    fn parse(words: impl Iterator<Item = OsString>) -> Result<ClusterArgs, String> {
        let mut words =
            words.map(|word| word.into_string().map_err(|word| format!("{word:?} is no text")));
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
            Err("two addresses are needed, and perhaps a channel".into())
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

/// The one way to standard error, which may be closed or full: then nothing is said.
fn print_error(what: &str) {
    let _ = writeln!(io::stderr(), "chat_cluster: {what}");
}

fn serve(words: &ClusterArgs) -> io::Result<()> {
    let mut plain = words.plain.iter().map(String::as_str);
    let (addr, redis) = (plain.next().unwrap_or_default(), plain.next().unwrap_or_default());
    // The name is looked up anew for each attempt, since Redis may come back elsewhere.
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
        // Whoever does not read it is served all the same.
        let _ = writeln!(io::stdout(), "listening {addr}");
    }
    server.serve_forever()
}

/// People wait: a second is the longest pause.
fn with_backoff<F>(connection: Reconnect<F>) -> Reconnect<F> {
    connection.initial_backoff(Duration::from_millis(50)).max_backoff(Duration::from_secs(1))
}
