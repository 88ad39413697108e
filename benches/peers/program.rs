//! The command line of `peers`.

use std::io;
use std::process::ExitCode;

use echo_server::EchoServer;
use support::client::ANY_PORT;
use support::program::{self, invalid_argument};
use support::serve::{serve_bare, serve_ours};
use table::{FULL, QUICK, print_table};

mod echo_server;
mod head;
mod python;
mod servers;
#[path = "../support/mod.rs"]
mod support;
mod table;

pub(crate) fn main() -> ExitCode {
    program::run("peers", run)
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
    match EchoServer::ALL.into_iter().find(|echo_server| echo_server.role() == role) {
        Some(EchoServer::Bare) => serve_bare(ANY_PORT),
        Some(EchoServer::Ours) => serve_ours(ANY_PORT),
        Some(EchoServer::Tokio) => servers::serve_tokio(),
        Some(EchoServer::Smol) => servers::serve_smol(),
        Some(EchoServer::Threads) => servers::serve_threads(),
        Some(EchoServer::PythonAsyncio | EchoServer::PythonThreads) | None => {
            Err(invalid_argument(role))
        }
    }
}
