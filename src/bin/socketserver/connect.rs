//! `connect`: the interactive client, from its first try to its exit code.
//!
//! One loop holds the connection. Standard input and output, which may be anything and may block,
//! have a thread each; both are slowed down to the pace of the slowest, so memory is bounded.

use std::io::{self, IsTerminal};
use std::net::UdpSocket;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use socketserver::{Addr, IntoConnect, Options, Server, SocketId, ToAddrs};

use crate::private_dir::PrivateDir;
use crate::{console, system};
use args::ConnectTo;
use datagrams::{Exchange, Lines};
use session::{Rules, Session, SessionEnd, SessionKind, StopCause};
use stream::PeerSession;

mod args;
mod datagrams;
mod session;
mod stall;
mod stdin;
mod stdout;
mod stream;

pub(crate) use args::{ConnectArgs, ConnectConfig};
pub(crate) use stdout::write_all;

/// How long a non-blocking standard input or output is left alone before it is tried again.
const PAUSE: Duration = Duration::from_millis(5);
/// On mio's selector for poll(2), a wake from another thread can be lost: a thread that registers or
/// removes a descriptor acknowledges what has just come. There the loop also looks by itself.
const LONGEST_SLEEP: Option<Duration> =
    if cfg!(mio_unsupported_force_poll_poll) { Some(Duration::from_millis(20)) } else { None };
/// More than a Unix datagram holds where the system has its usual limits.
const MAX_PACKET_SIZE: usize = 1 << 20;

pub(crate) fn run(config: &ConnectConfig) -> ExitCode {
    console::start_log();
    let target = &config.target;
    let end = match target {
        ConnectTo::Tcp(name) => talk(config, socketserver::Connect::to_name(name)),
        ConnectTo::Unix(addr) => talk(config, addr),
        ConnectTo::Udp(name) => exchange_ip(config, name),
        ConnectTo::Unixgram(addr) => exchange_unix(config, addr),
    };
    match end {
        Ok(SessionEnd::Clean) => ExitCode::SUCCESS,
        Ok(SessionEnd::Stopped(StopCause::Signal(signal))) => code(128 + signal),
        // What a shell shows of a program that died of SIGPIPE, which is 13 everywhere.
        Ok(SessionEnd::Stopped(StopCause::ReaderGone)) => code(128 + 13),
        Ok(SessionEnd::Stopped(StopCause::Output(error))) => {
            fail("cannot write to standard output", &error)
        }
        Ok(SessionEnd::Stopped(StopCause::Input(error))) => {
            fail("cannot read standard input", &error)
        }
        Ok(SessionEnd::Unanswered { sent, heard }) => {
            console::complain(&unanswered(config, sent, heard));
            ExitCode::FAILURE
        }
        Ok(SessionEnd::Broken(error)) => fail(&format!("the connection to {target} broke"), &error),
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

fn unanswered(config: &ConnectConfig, sent: u64, heard: u64) -> io::Error {
    let (target, wait) = (&config.target, humantime::format_duration(config.wait));
    io::Error::other(match heard {
        0 => format!("no answer came from {target} within {wait} (--wait)"),
        _ => format!("{sent} datagrams were sent to {target}, and {heard} came back"),
    })
}

fn code(code: i32) -> ExitCode {
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// What the library says itself only when it can do so at once.
fn cannot_connect(target: &ConnectTo, error: &io::Error) -> io::Error {
    let (what, why) = (format!("cannot connect to {target}"), error.to_string());
    let text = if why.starts_with(&what) { why } else { format!("{what}: {why}") };
    io::Error::new(error.kind(), text)
}

/// Everything that is the same whatever is connected to.
fn prepare(config: &ConnectConfig) -> io::Result<Server<Session>> {
    let mut options = Options { connect_timeout: config.connect_timeout, ..Options::default() };
    if let Some(timeout) = config.stall_timeout {
        // The first probe of a silent server after half of the time: its answer has the other half.
        // Whole seconds, as many as the system takes. `Options::user_timeout` is none for this: it
        // gives up a server with a small window that reads slowly, which `Stall` does not.
        let half = (timeout / 2).clamp(Duration::from_secs(1), Duration::from_secs(32_767));
        (options.keepalive, options.keepalive_timeout) = (Some(half), Some(half));
    }
    if matches!(config.target, ConnectTo::Unixgram(_)) {
        options.max_packet_size = MAX_PACKET_SIZE;
    }
    let mut server = Server::with_shared(Session::new(rules(config)), options)?;
    system::on_first_signal(&mut server, false, |cx, signal| {
        cx.shared.stop(StopCause::Signal(signal));
    })?;
    let handle = server.handle();
    server.shared_mut().output.start(handle)?;
    stdout::watch(&mut server);
    console::drain_errors_in(&mut server);
    server.set_service_actions(Session::tend);
    Ok(server)
}

fn rules(config: &ConnectConfig) -> Rules {
    Rules {
        wait: config.wait,
        stall_timeout: config.stall_timeout,
        is_acknowledged: matches!(config.target, ConnectTo::Tcp(_)),
        half_close: config.half_close,
        reads_input: config.reads_input,
    }
}

/// Serves until nothing is left to do.
fn serve(mut server: Server<Session>) -> io::Result<SessionEnd> {
    while !server.shared_mut().is_over() {
        server.turn(LONGEST_SLEEP)?;
    }
    Ok(server.shared_mut().take_end().unwrap_or(SessionEnd::Clean))
}

// Streams.

/// Nothing of it blocks, so a signal is heard while a name is looked up.
fn talk(config: &ConnectConfig, to: impl IntoConnect) -> io::Result<SessionEnd> {
    let mut server = prepare(config)?;
    let begun = server.connect(to, PeerSession::default());
    begun.map_err(|error| cannot_connect(&config.target, &error))?;
    while !server.shared_mut().has_stood() {
        if server.shared_mut().is_over() {
            return match server.shared_mut().take_end() {
                Some(SessionEnd::Broken(error)) => Err(cannot_connect(&config.target, &error)),
                end => Ok(end.unwrap_or(SessionEnd::Clean)),
            };
        }
        server.turn(LONGEST_SLEEP)?;
    }
    greet(config);
    serve(server)
}

/// Only for people: a script reads neither this nor a prompt.
fn greet(config: &ConnectConfig) {
    if config.reads_input && io::stdin().is_terminal() && io::stderr().is_terminal() {
        console::note(&format!(
            "connected to {}; Ctrl-D ends the input, Ctrl-C everything",
            config.target
        ));
    }
}

// Datagrams.

fn exchange_ip(config: &ConnectConfig, name: &str) -> io::Result<SessionEnd> {
    let mut addrs = name.to_addrs()?;
    skip_vacant(&mut addrs);
    let mut server = prepare(config)?;
    let mut last = None;
    for addr in addrs {
        match server.connect_datagram(&addr, Exchange) {
            Ok(id) => return exchange(config, server, id, addr),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

/// With a name of its own, so that it can be answered.
fn exchange_unix(config: &ConnectConfig, peer: &Addr) -> io::Result<SessionEnd> {
    let dir = PrivateDir::new()?;
    let mut server = prepare(config)?;
    let id = server.bind(dir.path().join("client"), Exchange)?;
    server
        .io_mut()
        .connect_peer(id, peer)
        .map_err(|error| cannot_connect(&config.target, &error))?;
    // Consumes the server, and with it the name in the directory, before that is removed.
    exchange(config, server, id, peer.clone())
}

fn exchange(
    config: &ConnectConfig,
    mut server: Server<Session>,
    id: SocketId,
    peer: Addr,
) -> io::Result<SessionEnd> {
    let handle = server.handle();
    server.shared_mut().kind = SessionKind::Datagrams(Lines::new(peer));
    server.shared_mut().stands(id, handle)?;
    greet(config);
    serve(server)
}

/// `localhost` is both `::1` and `127.0.0.1`, most servers use one of them, and a datagram finds
/// out too late. On this machine it can be asked: an address that can be bound is not in use.
pub(crate) fn skip_vacant(addrs: &mut Vec<Addr>) {
    let vacant = |addr: &Addr| {
        addr.ip().is_some_and(|addr| addr.ip().is_loopback() && UdpSocket::bind(addr).is_ok())
    };
    if addrs.iter().any(|addr| !vacant(addr)) {
        addrs.retain(|addr| !vacant(addr));
    }
}

/// Tries again while the descriptor is non-blocking and would block, and after a signal.
fn patience<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match work() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_where_nobody_is_gives_way_to_one_where_somebody_is() {
        let somebody = UdpSocket::bind("127.0.0.1:0").unwrap();
        let there = Addr::Ip(somebody.local_addr().unwrap());
        let nobody = Addr::Ip(([127, 0, 0, 2], there.port().unwrap()).into());
        let mut addrs = vec![nobody.clone(), there.clone()];
        skip_vacant(&mut addrs);
        assert_eq!(addrs, [there]);
        let mut addrs = vec![nobody.clone()];
        skip_vacant(&mut addrs);
        assert_eq!(addrs, [nobody], "the last is tried in any case");
    }
}
