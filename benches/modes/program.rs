//! What was typed, and how long a run may take.

use std::env;
use std::io;

use nix::unistd::alarm;

use crate::mode::Mode;
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
    match Mode::ALL.into_iter().find(|mode| mode.role() == role) {
        Some(mode) => mode.serve(),
        None => Err(unusable(role)),
    }
}

fn unusable(arg: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("what is {arg:?}?"))
}
