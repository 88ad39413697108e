//! What was typed, and the parts of the program that are no table.

use std::env;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use mio::Interest;
use mio::unix::SourceFd;

use crate::bare;
use crate::client::{self, ANY_PORT, Clients};
use crate::load;
use crate::ours;
use crate::process::ServerProcess;
use crate::table::{FULL, QUICK, print_table};

const STDIN: i32 = 0;

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
            load::short_connections(server.addr(), parse(count)?, parse(at_once)?)?;
            server.end()
        }
        ["drive", kind, "bulk", mib] => {
            let server = ServerProcess::start(parse(kind)?, wrapper)?;
            load::bulk(&client::connect(server.addr())?, parse::<usize>(mib)? << 20)?;
            server.end()
        }
        _ => Err(unusable(&args.join(" "))),
    }
}

fn parse<T: FromStr>(arg: &str) -> io::Result<T> {
    arg.parse().map_err(|_| unusable(arg))
}

fn unusable(arg: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("what is {arg:?}?"))
}

fn serve_ours(addr: SocketAddr) -> io::Result<()> {
    let (mut server, addr) = ours::listen(addr)?;
    server.watch(SourceFd(&STDIN), Interest::READABLE, |cx, _, _| {
        cx.io.shutdown(Duration::ZERO);
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
