//! The command line of `modes`.

use std::io;
use std::process::ExitCode;

use mode::ServerMode;
use support::program::{self, invalid_argument};
use table::{FULL, QUICK, print_table};

mod mode;
mod servers;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod usage;

pub(crate) fn main() -> ExitCode {
    program::run("modes", run)
}

fn run(args: &[&str], is_bench: bool) -> io::Result<()> {
    program::limit_run_time();
    let plan = match *args {
        [] if is_bench => FULL,
        [] | ["--quick"] => QUICK,
        ["--full"] => FULL,
        [role] => return serve(role),
        _ => return Err(invalid_argument(&args.join(" "))),
    };
    print_table(plan)
}

fn serve(role: &str) -> io::Result<()> {
    match ServerMode::ALL.into_iter().find(|mode| mode.role() == role) {
        Some(mode) => mode.serve(),
        None => Err(invalid_argument(role)),
    }
}
