//! The arguments of `bench`: what was typed, and what it means.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, value_parser};

use super::message::NAME;
use super::scenario::{LoadMode, Scenario, SocketKind};
use crate::args::{BalanceArg, check_ip, check_path, check_serve, usage};
use crate::serve::workers::WorkersArg;
use crate::units;

/// Measure an echo server: how fast, how even, at what cost, and what is the bottleneck.
///
/// Without a target, an echo server of this program is started and driven. With --tcp, --udp,
/// --unix or --unixgram, any server that sends everything back. Every byte that comes back is
/// compared with what was sent. The table goes to standard output; how things are goes to standard
/// error, if that is a terminal.
///
/// The exit code is 0, 1 when errors happened or the target cannot be reached, or 2 for bad
/// arguments. Ctrl-C ends a run, with the table so far.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    /// Drive the server at this TCP address
    #[arg(long, value_name = "ADDR", value_parser = NonEmptyStringValueParser::new(), group = "target", help_heading = "Target")]
    tcp: Option<String>,

    /// Drive the server at this UDP address
    #[arg(long, value_name = "ADDR", value_parser = NonEmptyStringValueParser::new(), group = "target", help_heading = "Target")]
    udp: Option<String>,

    /// Drive the server at the Unix stream socket of this path; on Linux @NAME is an abstract name
    #[arg(long, value_name = "PATH", group = "target", help_heading = "Target")]
    unix: Option<OsString>,

    /// Drive the server at the Unix datagram socket of this path, or @NAME
    #[arg(long, value_name = "PATH", group = "target", help_heading = "Target")]
    unixgram: Option<OsString>,

    /// Tell CPU time and memory of this process as the server's
    #[arg(long, value_name = "PID", value_parser = value_parser!(u32).range(1..), requires = "target", help_heading = "Target")]
    pid: Option<u32>,

    /// How the server of this program is driven
    #[arg(long, value_enum, default_value_t = SocketKind::Tcp, conflicts_with = "target", help_heading = "Target")]
    transport: SocketKind,

    /// Passed to the server of this program: how many loops serve
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_024), conflicts_with = "target", help_heading = "Target")]
    loops: Option<u32>,

    /// Passed to the server of this program: how clients come to the loops
    #[arg(
        long,
        value_enum,
        requires = "loops",
        conflicts_with = "target",
        help_heading = "Target"
    )]
    balance: Option<BalanceArg>,

    /// Passed to the server of this program: blocking handlers, threads:N or processes:N
    #[arg(long, value_name = "MODE:N", value_parser = typed_workers, conflicts_with = "target", help_heading = "Target")]
    workers: Option<String>,

    /// How many connections send [default: 50; with --bulk 1; over unixgram 8]
    #[arg(short, long, value_name = "N", value_parser = value_parser!(u32).range(1..=MOST_CONNECTIONS), help_heading = "Load")]
    connections: Option<u32>,

    /// How many messages each connection has under way
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=65_536), default_value_t = 1, help_heading = "Load")]
    pipeline: u32,

    /// The size of a message [default: 64B; with --bulk 64KiB, datagrams 8KiB]
    #[arg(long, value_name = "SIZE", value_parser = units::size, help_heading = "Load")]
    size: Option<usize>,

    /// Open loop: RATE messages a second in all, each timed from when it was to be sent
    #[arg(long, value_name = "N", value_parser = rate, group = "mode", conflicts_with = "pipeline", help_heading = "Load")]
    rate: Option<f64>,

    /// Each connection makes one exchange, closes, and is followed by the next
    #[arg(long, group = "mode", conflicts_with = "pipeline", help_heading = "Load")]
    churn: bool,

    /// Open N connections, hold them for --duration, and ask each of them once at the end
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=MOST_CONNECTIONS), group = "mode", conflicts_with_all = ["pipeline", "connections"], help_heading = "Load")]
    idle: Option<u32>,

    /// Send as much as the server takes
    #[arg(long, group = "mode", conflicts_with = "pipeline", help_heading = "Load")]
    bulk: bool,

    /// How long the load goes on before it is measured
    #[arg(long, value_name = "DUR", value_parser = units::duration, default_value = "1s", help_heading = "Load")]
    warmup: Duration,

    /// How long it is measured: 5s, 500ms, 1m
    #[arg(long, value_name = "DUR", value_parser = units::duration, default_value = "5s", help_heading = "Load")]
    duration: Duration,

    /// How many processes drive the server [default: as few as can hold the connections]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_024), help_heading = "Load")]
    clients: Option<u32>,

    /// Write all that was measured to this file, for --compare; - is standard output, in the place of
    /// the table
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    json: Option<PathBuf>,

    /// Draw the latencies and the throughput over time into this SVG file, or - as with --json
    #[arg(long, value_name = "FILE.svg", help_heading = "Output")]
    report: Option<PathBuf>,

    /// Count the server's system calls too, with strace, after the measurement
    #[arg(long, help_heading = "Output")]
    syscalls: bool,

    /// Only tell whether the limits of this system suffice, and the cure where they do not
    #[arg(long, help_heading = "Instead of a run")]
    check: bool,

    /// Only compare two files written by --json, the second with the first
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"], exclusive = true, help_heading = "Instead of a run")]
    compare: Option<Vec<PathBuf>>,
}

/// As many as there may be in one run; what the system gives is seen then.
const MOST_CONNECTIONS: i64 = 10_000_000;

const EXAMPLES: &str = "\
Examples:
  socketserver bench                          50 connections over TCP, one message each under way
  socketserver bench -c 1000 --size 16KiB     more of them, larger messages
  socketserver bench --rate 20000             latency at a fixed rate: the percentiles to trust
  socketserver bench --churn                  connections a second
  socketserver bench --idle 100000            memory a connection, over many processes
  socketserver bench --bulk --transport unix  MB/s of one stream
  socketserver bench --loops 2             how several loops share the work
  socketserver bench --tcp 127.0.0.1:7000 --pid 1234
  socketserver bench --json a.json --report a.svg
  socketserver bench --compare a.json b.json
  socketserver bench --idle 100000 --check    what the system would have to allow";

/// What was asked for, checked.
#[derive(Debug)]
pub(crate) enum Wanted {
    Run(Box<LoadPlan>),
    Check(Box<LoadPlan>),
    Compare(PathBuf, PathBuf),
}

#[derive(Debug)]
pub(crate) struct LoadPlan {
    pub(crate) terms: Scenario,
    /// Where the server is; one of ours is started if there is none.
    pub(crate) target: Option<OsString>,
    pub(crate) pid: Option<u32>,
    /// Words for the command line of our server.
    pub(crate) server: Vec<String>,
    /// Whether that is to tell how its clients were balance.
    pub(crate) has_several_loops: bool,
    pub(crate) clients: Option<u32>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) report: Option<PathBuf>,
    pub(crate) syscalls: bool,
}

impl Bench {
    pub(crate) fn resolve(self) -> Result<Wanted, clap::Error> {
        if let Some([a, b]) = self.compare.as_deref() {
            return Ok(Wanted::Compare(a.clone(), b.clone()));
        }
        let check = self.check;
        let plan = Box::new(self.plan()?);
        Ok(if check { Wanted::Check(plan) } else { Wanted::Run(plan) })
    }

    /// What `serve` gets of the words of `bench`.
    fn words_for_the_server(&self) -> Vec<String> {
        let balance = self.balance.map(|balance| match balance {
            BalanceArg::Reuseport => "reuseport".into(),
            BalanceArg::LeastConnections => "least-connections".into(),
        });
        let words = [
            ("--loops", self.loops.map(|n| n.to_string())),
            ("--balance", balance),
            ("--workers", self.workers.clone()),
        ];
        let words = words.into_iter().filter_map(|(name, value)| Some([name.into(), value?]));
        words.flatten().collect()
    }

    fn plan(self) -> Result<LoadPlan, clap::Error> {
        let (transport, target) = self.target()?;
        let mode = self.mode();
        let size = self.size(mode, transport)?;
        if self.json.is_some() && self.json == self.report {
            return Err(usage("--json and --report name the same file"));
        }
        if mode == LoadMode::Idle && self.report.is_some() {
            return Err(usage("--report draws messages, and --idle sends next to none"));
        }
        let connections = self.idle.or(self.connections).unwrap_or(match mode {
            LoadMode::Bulk => 1,
            // As many as may wait in the queue of such a socket on every system.
            _ if transport == SocketKind::Unixgram => 8,
            _ => 50,
        });
        let server = self.words_for_the_server();
        check_server(transport, &server)?;
        let terms = Scenario {
            mode,
            transport,
            connections,
            size,
            warmup_ns: nanoseconds("--warmup <DUR>", self.warmup)?,
            duration_ns: nanoseconds("--duration <DUR>", self.duration)?,
        };
        Ok(LoadPlan {
            terms,
            target,
            pid: self.pid,
            server,
            has_several_loops: self.loops.is_some_and(|n| n > 1),
            clients: self.clients.map(|n| n.min(connections)),
            json: self.json,
            report: self.report,
            syscalls: self.syscalls,
        })
    }

    fn target(&self) -> Result<(SocketKind, Option<OsString>), clap::Error> {
        for (transport, addr) in [(SocketKind::Tcp, &self.tcp), (SocketKind::Udp, &self.udp)] {
            if let Some(addr) = addr {
                check_ip(addr, &format!("--{} <ADDR>", transport.name()))?;
                return Ok((transport, Some(addr.into())));
            }
        }
        for (transport, path) in
            [(SocketKind::Unix, &self.unix), (SocketKind::Unixgram, &self.unixgram)]
        {
            if let Some(path) = path {
                check_path(path, &format!("--{} <PATH>", transport.name()))?;
                return Ok((transport, Some(path.clone())));
            }
        }
        Ok((self.transport, None))
    }

    fn mode(&self) -> LoadMode {
        match self.rate {
            Some(rate) => LoadMode::Open { rate },
            None if self.churn => LoadMode::Churn,
            None if self.idle.is_some() => LoadMode::Idle,
            None if self.bulk => LoadMode::Bulk,
            None => LoadMode::Closed { pipeline: self.pipeline },
        }
    }

    fn size(&self, mode: LoadMode, transport: SocketKind) -> Result<usize, clap::Error> {
        let is_datagram = transport.is_datagram();
        let size = self.size.unwrap_or(match mode {
            LoadMode::Bulk if is_datagram => 8 << 10,
            LoadMode::Bulk => 64 << 10,
            _ => 64,
        });
        let wrong =
            |why: String| Err(usage(&format!("invalid value '{size}' for '--size <SIZE>': {why}")));
        if is_datagram && size < NAME {
            return wrong(format!("a datagram needs {NAME} bytes to say which it is"));
        }
        if is_datagram && size > MOST_IN_PACKET {
            return wrong(format!("a datagram has at most {MOST_IN_PACKET} bytes"));
        }
        if size > MOST_IN_MESSAGE {
            return wrong("a message has at most 64MiB".into());
        }
        Ok(size)
    }
}

/// The server itself judges the words that it will get, so that none is forgotten here.
fn check_server(transport: SocketKind, words: &[String]) -> Result<(), clap::Error> {
    let is_spread = words.iter().any(|word| word == "--loops");
    if transport == SocketKind::Unixgram && is_spread {
        let what = "--transport unixgram is served by one loop: leave --loops out";
        return Err(usage(what));
    }
    let addr = if transport.is_ip() { "127.0.0.1:0" } else { "./socket" };
    let listener = format!("--{}", transport.name());
    let all = ["echo", &listener, addr].into_iter().chain(words.iter().map(String::as_str));
    check_serve(&all.map(OsString::from).collect::<Vec<_>>())
}

/// What fits into a datagram over UDP.
const MOST_IN_PACKET: usize = 65_507;

const MOST_IN_MESSAGE: usize = 64 << 20;

/// A day is more than any run takes.
fn nanoseconds(option: &str, duration: Duration) -> Result<u64, clap::Error> {
    let shown = humantime::format_duration(duration);
    let wrong = |why: &str| usage(&format!("invalid value '{shown}' for '{option}': {why}"));
    if duration > Duration::from_secs(86_400) {
        return Err(wrong("longer than a day"));
    }
    if duration < Duration::from_millis(10) {
        return Err(wrong("shorter than 10ms"));
    }
    u64::try_from(duration.as_nanos()).map_err(|_| wrong("longer than a day"))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.1..=1e7).contains(&rate) => Ok(rate),
        Ok(_) => Err("it must be from 0.1 to 10000000 messages a second".into()),
        Err(_) => Err("not a number of messages a second".into()),
    }
}

/// Checked here, so that a mistake is told before anything is started; the server reads it again.
fn typed_workers(text: &str) -> Result<String, String> {
    WorkersArg::parse(text).map(|_| text.into())
}
