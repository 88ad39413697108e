//! What the library costs, as ratios to the same echo written directly on mio.
//!
//! ```text
//! cost [--quick]                                      prints the table
//! cost serve-ours|serve-bare [ADDR]                   echoes until standard input ends
//! cost drive ours|bare messages N CONNECTIONS SIZE [-- WRAPPER..]
//! cost drive ours|bare short N AT_ONCE [-- WRAPPER..]
//! ```
//!
//! `drive` starts a server, under the command `WRAPPER` if there is one, has `N` messages or short
//! connections served, and lets the server end: `count.sh` counts that way.

#[path = "support/bare.rs"]
mod bare;
#[path = "support/client.rs"]
mod client;
#[path = "support/ours.rs"]
mod ours;
#[path = "support/process.rs"]
mod process;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use mio::unix::SourceFd;

use client::{ANY_PORT, Clients};
use process::{Kind, ServerProcess};

const STDIN: i32 = 0;

fn main() -> ExitCode {
    // Cargo adds an argument of its own.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> io::Result<()> {
    let (args, wrapper) = match args.iter().position(|&arg| arg == "--") {
        Some(at) => (&args[..at], &args[at + 1..]),
        None => (args, &[][..]),
    };
    match *args {
        ["serve-ours"] => serve_ours(ANY_PORT),
        ["serve-bare"] => serve_bare(ANY_PORT),
        ["serve-ours", addr] => serve_ours(parse(addr)?),
        ["serve-bare", addr] => serve_bare(parse(addr)?),
        ["drive", kind, "messages", count, connections, size] => {
            let server = ServerProcess::start(parse(kind)?, wrapper)?;
            let connections = parse(connections)?;
            let mut clients = Clients::connect(server.addr(), connections, parse(size)?)?;
            for _ in 0..parse::<usize>(count)? / connections {
                clients.round()?;
            }
            drop(clients);
            server.end()
        }
        ["drive", kind, "short", count, at_once] => {
            let server = ServerProcess::start(parse(kind)?, wrapper)?;
            client::short_connections(server.addr(), parse(count)?, parse(at_once)?, 64)?;
            server.end()
        }
        _ => Err(unusable(&args.join(" "))),
    }
}

fn parse<T: std::str::FromStr>(arg: &str) -> io::Result<T> {
    arg.parse().map_err(|_| unusable(arg))
}

fn unusable(arg: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("what is {arg:?}?"))
}

fn serve_ours(addr: SocketAddr) -> io::Result<()> {
    let (mut server, addr) = ours::listen(addr)?;
    server.watch(SourceFd(&STDIN), mio::Interest::READABLE, |cx, _, _| {
        cx.io.shutdown(std::time::Duration::ZERO);
        Ok(())
    })?;
    announce(addr)?;
    server.serve_forever()
}

fn serve_bare(addr: SocketAddr) -> io::Result<()> {
    let listener = bare::listen(addr)?;
    announce(listener.local_addr()?)?;
    bare::serve(listener, Some(&mut SourceFd(&STDIN)))
}

fn announce(addr: SocketAddr) -> io::Result<()> {
    println!("{addr}");
    io::stdout().flush()
}
