//! What was typed, and what it means.
//!
//! [`Typed`] is the command line as clap reads it; [`Typed::resolve`] turns it once into a [`Task`]
//! in which nothing is left to be checked.

#![expect(clippy::doc_markdown, reason = "the comments here are the text of --help")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::error::{ContextKind, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use socketserver::{Addr, LoadBalancing, Options};

use crate::bench::args::{Bench, Wanted};
use crate::connect;
use crate::console::LastWords;
use crate::serve::workers::WorkersArg;
use crate::units;

pub(crate) mod addresses;

pub(crate) use addresses::{check_ip, check_path};

/// Ready-made network services on one readiness loop.
#[derive(Debug, Parser)]
#[command(
    name = "socketserver",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Typed {
    #[command(subcommand)]
    command: CommandArgs,
}

#[derive(Debug, Subcommand)]
enum CommandArgs {
    Serve(Box<ServeArgs>),
    Connect(Box<connect::ConnectArgs>),
    Bench(Box<Bench>),
    /// What `bench` starts, to be told the rest on standard input
    #[command(hide = true)]
    BenchClient {
        /// Processes to end when the one that started this is gone
        servers: Vec<u32>,
    },
}

/// Serve one of the ready-made services, on any number of addresses.
///
/// Every listener may be repeated, and all of them serve in one process. Once it accepts clients,
/// standard output gets one line for each listener ("listening tcp 127.0.0.1:45123"). A datagram is
/// answered by one datagram; discard answers none, chargen sends one line. Logs go to
/// standard error; RUST_LOG=debug tells of each connection that came, and why it ended (the processes
/// of --workers processes:N tell nothing).
///
/// SIGTERM, SIGHUP or Ctrl-C stops it: accepting stops, requests that have arrived are answered and
/// sent, and the exit code is 0, also when clients were cut off after --grace, which is said on standard
/// error. A second SIGTERM or Ctrl-C exits at once, with 143 or 130, if the loop has seen the first (one
/// that is stuck ends by SIGKILL); the same signal within 100 ms is no second one. What was ignored when it started, as SIGHUP is by nohup, stays ignored. With --workers
/// processes:N, SIGTERM to one of the processes ends that one and its client's connection a second later,
/// unless the server stops too: then all finish what they have; Ctrl-C leaves them to the stop; when the
/// server itself is gone, they end at once (on Linux; elsewhere with their clients).
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
struct ServeArgs {
    /// What to do with the bytes that come in
    #[arg(value_enum, hide_possible_values = false)]
    service: ServiceArg,

    /// Listen on this TCP address, for example 127.0.0.1:7000, [fe80::1%eth0]:7000 or [::1]:0 (port
    /// 0 is any port); with a name, on each of its addresses
    #[arg(long, value_name = "ADDR", value_parser = NonEmptyStringValueParser::new(), help_heading = "Listeners")]
    tcp: Vec<String>,

    /// Answer datagrams on this UDP address; those of 0.0.0.0 or [::] from the address that was asked. A
    /// datagram from a port below 1024 or from port 2049 gets no answer: another service may be its sender, or be
    /// forged as its sender, and two services would answer each other for ever
    #[arg(long, value_name = "ADDR", value_parser = NonEmptyStringValueParser::new(), help_heading = "Listeners")]
    udp: Vec<String>,

    /// Listen on a Unix stream socket at this path; on Linux @NAME is an abstract name
    #[arg(long, value_name = "PATH", help_heading = "Listeners")]
    unix: Vec<OsString>,

    /// Answer datagrams on a Unix datagram socket at this path, or @NAME
    #[arg(long, value_name = "PATH", help_heading = "Listeners")]
    unixgram: Vec<OsString>,

    /// How many connections may be open; more clients wait
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    max_connections: Option<u32>,

    /// Close a connection on which no byte moved for DUR: 2s, 500ms, 1m [default: never]
    #[arg(long, value_name = "DUR", value_parser = units::duration, help_heading = "Limits")]
    idle_timeout: Option<Duration>,

    /// How much output may wait for one client before no more is read from it: 64KiB, 1MiB
    #[arg(long, value_name = "SIZE", value_parser = units::size, default_value = "64KiB", help_heading = "Limits")]
    high_water: usize,

    /// chat: a longer line closes the connection that sent it
    #[arg(long, value_name = "SIZE", value_parser = units::size, default_value = "64KiB", help_heading = "Limits")]
    max_line: usize,

    /// How long a stop may take before what is left is cut off
    #[arg(long, value_name = "DUR", value_parser = units::duration, default_value = "10s", help_heading = "Limits")]
    grace: Duration,

    /// Look for events for DUR before sleeping, as 50us: one busy connection gets more than
    /// twice as much through, at the cost of a processor that is awake [default: never]
    #[arg(long, value_name = "DUR", value_parser = units::duration, help_heading = "Modes")]
    busy_poll: Option<Duration>,

    /// How many loops serve, each on a thread of its own; --max-connections counts over all of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_024), help_heading = "Modes")]
    loops: Option<u32>,

    /// How clients come to the loops of --loops
    #[arg(long, value_enum, requires = "loops", default_value_t = BalanceArg::LeastConnections, help_heading = "Modes")]
    balance: BalanceArg,

    /// What `bench` reads when the server has ended: the counters of each loop
    #[arg(long, value_name = "FILE", requires = "loops", hide = true)]
    counters: Option<PathBuf>,

    /// Stop at signals also when they were ignored at the start: `bench` stops its servers so
    #[arg(long, hide = true)]
    heed_ignored_signals: bool,

    /// Serve each client, or each datagram, in a thread or a process of its own, N at most at once,
    /// as threads:8 or processes:4; more clients wait, also while the system has no thread or process
    /// left. --idle-timeout is then how long one read or
    /// one write may take. A process that is killed costs its own client alone [default: one loop
    /// for all, which serves far more]
    #[arg(long, value_name = "MODE:N", value_parser = WorkersArg::parse, help_heading = "Modes")]
    workers: Option<WorkersArg>,
}

const EXAMPLES: &str = "\
Examples:
  socketserver serve echo --tcp 127.0.0.1:7000
  socketserver serve chat --tcp 0.0.0.0:7000 --tcp [::1]:7000 --unix /tmp/chat --max-line 1KiB
  socketserver serve echo --udp 127.0.0.1:7000 --unixgram /tmp/echo
  socketserver serve echo --tcp 127.0.0.1:0 --idle-timeout 30s --max-connections 10000
  socketserver serve upper --tcp 127.0.0.1:7000 --workers processes:40
  socketserver serve chat --tcp 0.0.0.0:7000 --loops 4

Try it with: socketserver connect 127.0.0.1:7000";

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum ServiceArg {
    /// Send everything back (RFC 862)
    Echo,
    /// Throw everything away (RFC 863)
    Discard,
    /// Send characters as fast as they are read (RFC 864)
    Chargen,
    /// Send the date and time as text, then close (RFC 867)
    Daytime,
    /// Send the seconds since 1900 as four bytes, then close (RFC 868)
    Time,
    /// Send everything back with a-z turned into A-Z
    Upper,
    /// Send each line to everybody else; one room over all listeners. What comes before the end of
    /// input without a newline is a line too
    Chat,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum BalanceArg {
    /// Each loop listens, and the kernel chooses one for each client by chance (Linux)
    Reuseport,
    /// One loop accepts, and hands each client to the loop with the fewest connections
    LeastConnections,
}

/// What was asked for, checked.
#[derive(Debug)]
pub(crate) enum Task {
    Serve(Box<ServeConfig>),
    Connect(Box<connect::ConnectConfig>),
    Bench(Wanted),
    /// A client process of a run, and the servers that end with it.
    BenchClient(Vec<u32>),
}

#[derive(Debug)]
pub(crate) struct ServeConfig {
    pub(crate) service: ServiceArg,
    pub(crate) listeners: Vec<ListenerArg>,
    pub(crate) options: Options,
    pub(crate) max_line: usize,
    pub(crate) grace: Duration,
    pub(crate) workers: Option<WorkersArg>,
    /// How many loops.
    pub(crate) loops: usize,
    pub(crate) balance: LoadBalancing,
    pub(crate) counters: Option<PathBuf>,
    pub(crate) heed_ignored_signals: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ListenerArg {
    /// A name is looked up when it is listened on, at each of its addresses.
    Tcp(String),
    Udp(String),
    Unix(Addr),
    Unixgram(Addr),
}

impl Typed {
    pub(crate) fn parse() -> Result<Typed, LastWords> {
        Typed::read(std::env::args_os())
    }

    pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Typed, LastWords> {
        let args: Vec<OsString> = args.into_iter().collect();
        Typed::of_words(&args).map_err(|mut error| {
            // The advice "use '-- -5'" is for positional arguments, and an option is none.
            error.remove(ContextKind::Suggested);
            // Clap says that some argument is no text, but not which.
            let culprit = args.iter().find(|arg| arg.to_str().is_none());
            match (error.kind(), culprit) {
                (ErrorKind::InvalidUtf8, Some(arg)) => {
                    let command = args.get(1).and_then(|arg| arg.to_str());
                    of_command(usage(&format!("{arg:?} is not UTF-8")), command)
                }
                _ => LastWords::of_clap(&error),
            }
        })
    }

    /// What follows an option that takes no path is its value also when it begins with a hyphen, so
    /// that `--duration -5s` is told to be no duration and not to be no option. A path that begins so
    /// is rather an option whose turn it was.
    fn of_words(args: &[OsString]) -> Result<Typed, clap::Error> {
        let is_path = |arg: &clap::Arg| {
            let names = arg.get_value_names().unwrap_or_default();
            names.iter().any(|name| name.starts_with("PATH") || name.starts_with("FILE"))
        };
        let takes_any = |arg: clap::Arg| {
            let is_option = arg.get_long().is_some() && arg.get_action().takes_values();
            let hyphens = is_option && !is_path(&arg) && arg.get_num_args().is_none();
            if hyphens { arg.allow_hyphen_values(true) } else { arg }
        };
        let command = Typed::command().mut_subcommands(|command| command.mut_args(takes_any));
        Typed::from_arg_matches(&command.try_get_matches_from(args)?)
    }

    pub(crate) fn resolve(self) -> Result<Task, LastWords> {
        let (name, task) = match self.command {
            CommandArgs::Serve(serve) => ("serve", serve.resolve().map(Box::new).map(Task::Serve)),
            CommandArgs::Connect(connect) => {
                ("connect", connect.resolve().map(Box::new).map(Task::Connect))
            }
            CommandArgs::Bench(bench) => ("bench", bench.resolve().map(Task::Bench)),
            CommandArgs::BenchClient { servers } => return Ok(Task::BenchClient(servers)),
        };
        task.map_err(|error| of_command(error, Some(name)))
    }
}

impl ServeArgs {
    fn resolve(self) -> Result<ServeConfig, clap::Error> {
        self.refuse_workers_where_they_cannot_be()?;
        self.refuse_chat_by_datagrams()?;
        self.refuse_loops_without_clients()?;
        Ok(ServeConfig {
            service: self.service,
            listeners: self.listeners()?,
            options: self.options(),
            max_line: self.max_line,
            grace: self.grace,
            workers: self.workers,
            loops: self.loops.map_or(1, |n| n as usize),
            balance: match self.balance {
                BalanceArg::Reuseport => LoadBalancing::ReusePort,
                BalanceArg::LeastConnections => LoadBalancing::LeastConnections,
            },
            counters: self.counters,
            heed_ignored_signals: self.heed_ignored_signals,
        })
    }

    fn listeners(&self) -> Result<Vec<ListenerArg>, clap::Error> {
        let mut listeners = Vec::new();
        for addr in &self.tcp {
            check_ip(addr, "--tcp <ADDR>")?;
            listeners.push(ListenerArg::Tcp(addr.clone()));
        }
        for addr in &self.udp {
            check_ip(addr, "--udp <ADDR>")?;
            listeners.push(ListenerArg::Udp(addr.clone()));
        }
        for path in &self.unix {
            listeners.push(ListenerArg::Unix(check_path(path, "--unix <PATH>")?));
        }
        for path in &self.unixgram {
            listeners.push(ListenerArg::Unixgram(check_path(path, "--unixgram <PATH>")?));
        }
        if listeners.is_empty() {
            let what = "nowhere to listen: give at least one --tcp ADDR, --udp ADDR, --unix PATH \
                        or --unixgram PATH";
            return Err(usage(what));
        }
        Ok(listeners)
    }

    fn options(&self) -> Options {
        let defaults = Options::default();
        Options {
            max_connections: self.max_connections.map_or(defaults.max_connections, |n| n as usize),
            idle_timeout: self.idle_timeout,
            busy_poll: self.busy_poll.unwrap_or_default(),
            high_water: self.high_water,
            low_water: self.high_water / 4,
            output_limit: defaults.output_limit.max(self.high_water.saturating_mul(2)),
            // An unfinished line of a chat is unconsumed input.
            input_limit: defaults.input_limit.max(self.max_line.saturating_add(1)),
            ..defaults
        }
    }

    /// A member of a room has a connection; a datagram has none.
    fn refuse_chat_by_datagrams(&self) -> Result<(), clap::Error> {
        let asked = [("--udp", !self.udp.is_empty()), ("--unixgram", !self.unixgram.is_empty())];
        match asked.iter().find(|(_, asked)| *asked && self.service == ServiceArg::Chat) {
            Some((option, _)) => Err(usage(&format!(
                "chat needs connections, so it cannot be served by {option}; use --tcp or --unix"
            ))),
            None => Ok(()),
        }
    }

    fn refuse_workers_where_they_cannot_be(&self) -> Result<(), clap::Error> {
        if self.workers.is_none() {
            return Ok(());
        }
        if self.service == ServiceArg::Chat {
            let what = "chat cannot be served by --workers: its members share one room, and blocking \
                        handlers share nothing; leave --workers out";
            return Err(usage(what));
        }
        if self.loops.is_some_and(|n| n > 1) {
            let what = "--workers and --loops with more than 1 exclude each other: blocking \
                        handlers have one loop, which accepts; choose one of them";
            return Err(usage(what));
        }
        Ok(())
    }

    /// A Unix datagram socket has one queue, which one loop reads.
    fn refuse_loops_without_clients(&self) -> Result<(), clap::Error> {
        let balance = self.tcp.len() + self.udp.len() + self.unix.len();
        if balance == 0 && !self.unixgram.is_empty() && self.loops.is_some_and(|n| n > 1) {
            let what = "--unixgram is served by one loop; with --loops give --tcp, --udp or \
                        --unix too";
            return Err(usage(what));
        }
        Ok(())
    }
}

/// What `serve` refuses of the words that `bench` hands on to it, so that a mistake is told before
/// anything is started.
pub(crate) fn check_serve(words: &[OsString]) -> Result<(), clap::Error> {
    let program = [OsString::from("socketserver"), "serve".into()];
    let args: Vec<OsString> = program.into_iter().chain(words.iter().cloned()).collect();
    match Typed::of_words(&args)?.command {
        CommandArgs::Serve(serve) => serve.resolve().map(drop),
        _ => Ok(()),
    }
}

/// What clap could not see; whose usage goes with it, [`of_command`] says.
pub(crate) fn usage(message: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, message)
}

/// The error with the usage of the subcommand of that name, or of the whole.
fn of_command(error: clap::Error, name: Option<&str>) -> LastWords {
    let mut whole = Typed::command();
    whole.build();
    let command = match name.and_then(|name| whole.find_subcommand_mut(name)) {
        Some(command) => command,
        None => &mut whole,
    };
    LastWords::of_clap(&error.format(command))
}

#[cfg(test)]
mod tests;
