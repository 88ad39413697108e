//! What was typed, and the parts of the program that are no table.

use std::env;
use std::io;
use std::str::FromStr;

use mio::unix::SourceFd;
use nix::unistd::alarm;

use crate::client::{self, ANY_PORT, Clients};
use crate::load;
use crate::packet_clients::PacketClients;
use crate::packet_servers;
use crate::process::{self, COMMAND, Kind, PacketKind};
use crate::serve::{STDIN, announce, serve_bare, serve_ours, serve_until_stdin_ends};
use crate::table::{FULL, QUICK, print_table};

/// Of the plain loop, in seconds.
const LONGEST_LIFE: u32 = 600;

pub(crate) fn run() -> io::Result<()> {
    let mut args: Vec<String> = env::args().skip(1).collect();
    // `cargo bench` adds it; `cargo test --benches` does not, and only wants to see it work.
    let is_bench = args.iter().any(|arg| arg == "--bench");
    args.retain(|arg| arg != "--bench");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (args, wrapper) = match args.iter().position(|&arg| arg == "--") {
        Some(at) => (&args[..at], &args[at + 1..]),
        None => (&args[..], &[][..]),
    };
    match *args {
        [] => print_table(if is_bench { FULL } else { QUICK }, ""),
        ["--quick"] => print_table(QUICK, ""),
        ["--full"] => print_table(FULL, ""),
        ["--only", part] => print_table(FULL, part),
        ["--quick", "--only", part] | ["--only", part, "--quick"] => print_table(QUICK, part),
        ["serve-ours"] => serve_ours(ANY_PORT),
        ["serve-bare"] => serve_bare(ANY_PORT),
        ["serve-ours-udp"] => serve_ours_packets(),
        ["serve-loop-udp"] => serve_loop_packets(),
        ["serve-mio-udp"] => serve_mio_packets(),
        ["serve-ours", addr] => serve_ours(parse(addr)?),
        ["serve-bare", addr] => serve_bare(parse(addr)?),
        ["drive", kind, ref load @ ..] => drive(kind, load, wrapper),
        _ => Err(unusable(&args.join(" "))),
    }
}

/// One server under one load.
fn drive(kind: &str, load: &[&str], wrapper: &[&str]) -> io::Result<()> {
    let role = match load {
        ["datagrams" | "together", ..] => parse::<PacketKind>(kind)?.role(),
        _ if kind == COMMAND => COMMAND,
        _ => parse::<Kind>(kind)?.role(),
    };
    let server = process::start(role, wrapper)?;
    let addr = server.addr();
    match *load {
        ["messages", count, connections, size] => {
            let connections = parse(connections)?;
            let mut clients = Clients::connect(addr, connections, parse(size)?)?;
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
            exchange(PacketClients::connect(addr, clients, parse(size)?)?, count, at_once)?;
        }
        _ => return Err(unusable(&load.join(" "))),
    }
    server.end()
}

/// `count` datagrams, and after each `at_once` of them a wait for the last answer.
fn exchange(mut clients: PacketClients, count: usize, at_once: usize) -> io::Result<()> {
    for _ in 0..count / at_once {
        clients.exchange(at_once)?;
    }
    if clients.lost() > 0 {
        eprintln!("{} datagrams were lost and sent again", clients.lost());
    }
    Ok(())
}

fn parse<T: FromStr>(arg: &str) -> io::Result<T> {
    arg.parse().map_err(|_| unusable(arg))
}

fn unusable(arg: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("what is {arg:?}?"))
}

fn serve_ours_packets() -> io::Result<()> {
    let (server, addr) = packet_servers::bind_ours(ANY_PORT)?;
    serve_until_stdin_ends(server, addr)
}

fn serve_mio_packets() -> io::Result<()> {
    let socket = packet_servers::bind_bare(ANY_PORT)?;
    announce(socket.local_addr()?)?;
    packet_servers::serve_mio(socket, Some(&mut SourceFd(&STDIN)))
}

fn serve_loop_packets() -> io::Result<()> {
    // It does not see the end of standard input, and a thread that did would make every system call
    // dearer; so if it is forgotten, the system ends it.
    alarm::set(LONGEST_LIFE);
    let socket = packet_servers::bind_bare(ANY_PORT)?;
    announce(socket.local_addr()?)?;
    packet_servers::serve_loop(&socket)
}
