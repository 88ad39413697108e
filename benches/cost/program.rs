//! The command line of `cost`, and the servers that it starts itself as.

use std::io;
use std::process::ExitCode;
use std::str::FromStr;

use mio::unix::SourceFd;
use nix::unistd::alarm;

use process::{COMMAND, DatagramServer, StreamServer};
use support::client::{self, ANY_PORT, StreamClients};
use support::datagram_clients::DatagramClients;
use support::datagram_servers;
use support::program::{self, invalid_argument};
use support::serve::{STDIN, announce, serve_bare, serve_ours, serve_until_stdin_eof};
use table::{FULL, QUICK, print_table};

mod datagrams;
mod load;
mod process;
#[path = "../support/mod.rs"]
mod support;
mod table;

/// The plain loop exits after this time.
const MAX_LIFE_SECONDS: u32 = 600;

pub(crate) fn main() -> ExitCode {
    program::run("cost", run)
}

fn run(args: &[&str], is_bench: bool) -> io::Result<()> {
    let (args, wrapper) = match args.iter().position(|&arg| arg == "--") {
        Some(at) => (&args[..at], &args[at + 1..]),
        None => (args, &[][..]),
    };
    match *args {
        [] => print_table(if is_bench { FULL } else { QUICK }, ""),
        ["--quick"] => print_table(QUICK, ""),
        ["--full"] => print_table(FULL, ""),
        ["--only", part] => print_table(FULL, part),
        ["--quick", "--only", part] | ["--only", part, "--quick"] => print_table(QUICK, part),
        ["serve-ours"] => serve_ours(ANY_PORT),
        ["serve-bare"] => serve_bare(ANY_PORT),
        ["serve-ours-udp"] => serve_ours_datagrams(),
        ["serve-loop-udp"] => serve_loop_datagrams(),
        ["serve-mio-udp"] => serve_mio_datagrams(),
        ["serve-ours", addr] => serve_ours(parse(addr)?),
        ["serve-bare", addr] => serve_bare(parse(addr)?),
        ["drive", kind, ref load @ ..] => drive(kind, load, wrapper),
        _ => Err(invalid_argument(&args.join(" "))),
    }
}

/// Runs one server under one load.
fn drive(kind: &str, load: &[&str], wrapper: &[&str]) -> io::Result<()> {
    let role = match load {
        ["datagrams" | "together", ..] => parse::<DatagramServer>(kind)?.role(),
        _ if kind == COMMAND => COMMAND,
        _ => parse::<StreamServer>(kind)?.role(),
    };
    let server = process::start(role, wrapper)?;
    let addr = server.addr();
    match *load {
        ["messages", count, connections, size] => {
            let connections = parse(connections)?;
            let mut clients = StreamClients::connect(addr, connections, parse(size)?)?;
            for _ in 0..parse::<usize>(count)? / connections {
                clients.round()?;
            }
        }
        ["short", count, at_once] => {
            load::short_connections(addr, parse(count)?, parse(at_once)?)?;
        }
        ["bulk", mib] => load::bulk(&client::connect(addr)?, parse::<usize>(mib)? << 20)?,
        [how @ ("datagrams" | "together"), count, clients, size] => {
            let (count, clients) = (parse(count)?, parse(clients)?);
            let at_once = if how == "together" { clients } else { count };
            exchange(DatagramClients::connect(addr, clients, parse(size)?)?, count, at_once)?;
        }
        _ => return Err(invalid_argument(&load.join(" "))),
    }
    server.stop()
}

/// Exchanges `count` datagrams, and waits for the answers after each `at_once` of them.
fn exchange(mut clients: DatagramClients, count: usize, at_once: usize) -> io::Result<()> {
    for _ in 0..count / at_once {
        clients.exchange(at_once)?;
    }
    if clients.lost() > 0 {
        eprintln!("{} datagrams were lost and sent again", clients.lost());
    }
    Ok(())
}

fn parse<T: FromStr>(arg: &str) -> io::Result<T> {
    arg.parse().map_err(|_| invalid_argument(arg))
}

fn serve_ours_datagrams() -> io::Result<()> {
    let (server, addr) = datagram_servers::bind_ours(ANY_PORT)?;
    serve_until_stdin_eof(server, addr)
}

fn serve_mio_datagrams() -> io::Result<()> {
    let socket = datagram_servers::bind_bare(ANY_PORT)?;
    announce(socket.local_addr()?)?;
    datagram_servers::serve_mio(socket, Some(&mut SourceFd(&STDIN)))
}

fn serve_loop_datagrams() -> io::Result<()> {
    // The plain loop does not see the end of standard input, and a second thread would make its
    // system calls slower; so SIGALRM ends it if it is forgotten.
    alarm::set(MAX_LIFE_SECONDS);
    let socket = datagram_servers::bind_bare(ANY_PORT)?;
    announce(socket.local_addr()?)?;
    datagram_servers::serve_loop(&socket)
}
