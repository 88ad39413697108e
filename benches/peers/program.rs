//! What was typed, and how long a run may take.

use std::env;
use std::io;

use nix::unistd::alarm;

use crate::client::ANY_PORT;
use crate::peer::Peer;
use crate::serve::{serve_bare, serve_ours};
use crate::servers;
use crate::table::{FULL, QUICK, print_table};

/// In seconds: then the system ends this process, and so all servers, whose input ends.
const LONGEST_RUN: u32 = 600;

pub(crate) fn run() -> io::Result<()> {
    let mut args: Vec<String> = env::args().skip(1).collect();
    // `cargo bench` adds it; `cargo test --benches` does not, and only wants to see it work.
    let is_bench = args.iter().any(|arg| arg == "--bench");
    args.retain(|arg| arg != "--bench");
    alarm::set(LONGEST_RUN);
    let effort = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] if is_bench => FULL,
        [] | ["--quick"] => QUICK,
        ["--full"] => FULL,
        [role] => return serve(role),
        _ => return Err(unusable(&args.join(" "))),
    };
    print_table(effort)
}

fn serve(role: &str) -> io::Result<()> {
    match Peer::ALL.into_iter().find(|peer| peer.role() == role) {
        Some(Peer::Bare) => serve_bare(ANY_PORT),
        Some(Peer::Ours) => serve_ours(ANY_PORT),
        Some(Peer::Tokio) => servers::serve_tokio(),
        Some(Peer::Smol) => servers::serve_smol(),
        Some(Peer::Threads) => servers::serve_threads(),
        Some(Peer::PythonAsyncio | Peer::PythonThreads) | None => Err(unusable(role)),
    }
}

fn unusable(arg: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("what is {arg:?}?"))
}
