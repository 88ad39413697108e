//! `connect`: the interactive client, from its first try to its exit code.
//!
//! One loop holds the connection. Standard input and output, which may be anything and may block,
//! have a thread each; both are slowed down to the pace of the slowest, so memory is bounded.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use socketserver::{Addr, Options, Server, ToAddrs};

use crate::{console, system};
use args::Target;
use datagrams::{Exchange, Lines};
use private_dir::PrivateDir;
use session::{End, Kind, Session, Stop};
use stream::Conversation;

mod args;
mod datagrams;
mod private_dir;
mod session;
mod stdin;
mod stdout;
mod stream;

pub(crate) use args::{Config, Connect};

/// How long a Unix server with a full backlog is left alone, and standard input or output that
/// somebody made non-blocking.
const PAUSE: Duration = Duration::from_millis(5);
/// As much as a datagram of any kind can hold where the system has its usual limits.
const MAX_PACKET_SIZE: usize = 1 << 20;

pub(crate) fn run(config: &Config) -> ExitCode {
    console::start_log();
    let target = &config.target;
    let end = match target {
        Target::Tcp(name) => talk(config, name),
        Target::Unix(addr) => talk(config, addr),
        Target::Udp(name) => exchange_ip(config, name),
        Target::Unixgram(addr) => exchange_unix(config, addr),
    };
    match end {
        Ok(End::Clean) => ExitCode::SUCCESS,
        Ok(End::Stopped(Stop::Signal(signal))) => code(128 + signal),
        // What a shell shows of a program that died of SIGPIPE, which is 13 everywhere.
        Ok(End::Stopped(Stop::ReaderGone)) => code(128 + 13),
        Ok(End::Stopped(Stop::Output(error))) => fail("cannot write to standard output", &error),
        Ok(End::Stopped(Stop::Input(error))) => fail("cannot read standard input", &error),
        Ok(End::Broken(error)) => fail(&format!("the connection to {target} broke"), &error),
        Err(error) => {
            console::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn fail(what: &str, error: &io::Error) -> ExitCode {
    console::complain(&io::Error::other(format!("{what}: {error}")));
    ExitCode::FAILURE
}

fn code(code: i32) -> ExitCode {
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// What the library does not say itself.
fn cannot_connect(target: &Target, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot connect to {target}: {error}"))
}

/// Everything that is the same whatever is connected to.
fn prepare(config: &Config, kind: Kind) -> io::Result<Server<Session>> {
    let options = Options {
        connect_timeout: config.timeout,
        max_packet_size: MAX_PACKET_SIZE,
        ..Options::default()
    };
    let mut server = Server::with(Session::new(kind, config.wait), options)?;
    // A terminal that goes ends it, unless `nohup` has taken that away.
    let hangup = io::stdin().is_terminal();
    system::on_first_signal(&mut server, hangup, |cx, signal| {
        cx.shared.stop(Stop::Signal(signal));
    })?;
    let handle = server.handle();
    server.shared().output.start(handle)?;
    stdout::watch(&mut server);
    server.service_actions(Session::tend);
    Ok(server)
}

/// Serves until nothing is left to do.
fn serve(mut server: Server<Session>) -> io::Result<End> {
    while !server.shared().is_over() {
        server.turn(None)?;
    }
    Ok(server.shared().take_end().unwrap_or(End::Clean))
}

// Streams.

/// Tries one address after the other.
fn talk(config: &Config, name: impl ToAddrs) -> io::Result<End> {
    // Before the signals are caught: a name may take its time, and can be given up.
    let addrs = name.to_addrs()?;
    let mut server = prepare(config, Kind::Stream)?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for addr in &addrs {
        match attempt(&mut server, addr, config.timeout)? {
            None => {
                greet(config);
                return serve(server);
            }
            Some(End::Broken(error)) if addrs.len() > 1 => {
                last = io::Error::new(error.kind(), format!("{addr}: {error}"));
            }
            Some(End::Broken(error)) => last = error,
            Some(end) => return Ok(end),
        }
    }
    Err(cannot_connect(&config.target, &last))
}

/// `None` when the connection stands.
fn attempt(
    server: &mut Server<Session>,
    addr: &Addr,
    timeout: Duration,
) -> io::Result<Option<End>> {
    let begun = Instant::now();
    while let Err(error) = server.connect(addr, Conversation::default()) {
        // A Unix server whose backlog is full says so at once.
        if error.kind() != io::ErrorKind::WouldBlock || begun.elapsed() > timeout {
            return Ok(Some(End::Broken(error)));
        }
        server.turn(Some(PAUSE))?;
        if server.shared().is_over() {
            break;
        }
    }
    while !server.shared().has_stood() {
        if server.shared().is_over() {
            return Ok(server.shared().take_end());
        }
        server.turn(None)?;
    }
    Ok(None)
}

/// Only for people: a script reads neither this nor a prompt.
fn greet(config: &Config) {
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        console::note(&format!(
            "connected to {}; Ctrl-D ends the input, Ctrl-C everything",
            config.target
        ));
    }
}

// Datagrams.

fn exchange_ip(config: &Config, name: &str) -> io::Result<End> {
    let addrs = name.to_addrs()?;
    let peer = addrs.first().cloned().unwrap_or(Addr::Unnamed);
    let mut server = prepare(config, Kind::Datagrams(Lines::new(peer.clone())))?;
    let id = server.connect_datagram(peer, Exchange)?;
    let handle = server.handle();
    server.shared().stands(id, handle)?;
    greet(config);
    serve(server)
}

/// With a name of its own, so that it can be answered.
fn exchange_unix(config: &Config, peer: &Addr) -> io::Result<End> {
    let dir = PrivateDir::new()?;
    let mut server = prepare(config, Kind::Datagrams(Lines::new(peer.clone())))?;
    let id = server.bind(dir.path().join("client"), Exchange)?;
    server.io().set_peer(id, peer).map_err(|error| cannot_connect(&config.target, &error))?;
    let handle = server.handle();
    server.shared().stands(id, handle)?;
    greet(config);
    // Consumes the server, and with it the name in the directory, before that is removed.
    serve(server)
}

/// Tries again as long as somebody has made the other end non-blocking, or a signal came.
fn patience<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match work() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
            result => return result,
        }
    }
}
