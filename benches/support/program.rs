//! The frame of a benchmark's `main`: its arguments, its exit code and its time limit.

use std::env;
use std::io;
use std::process::ExitCode;

use nix::unistd::alarm;

/// A run may take this long.
const MAX_RUN_SECONDS: u32 = 600;

/// Calls `program` with the arguments, and with `true` if `cargo bench` started this process.
/// An error is one line on standard error, after `name`, and the exit code 1.
pub(crate) fn run(name: &str, program: fn(&[&str], bool) -> io::Result<()>) -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    // `cargo bench` adds `--bench`; `cargo test --benches` does not, and needs a short run only.
    let is_bench = args.iter().any(|arg| arg == "--bench");
    let args: Vec<&str> = args.iter().map(String::as_str).filter(|arg| *arg != "--bench").collect();
    match program(&args, is_bench) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Has SIGALRM end this process after [`MAX_RUN_SECONDS`]. Its servers then see the end of their
/// standard input, and stop.
pub(crate) fn limit_run_time() {
    alarm::set(MAX_RUN_SECONDS);
}

pub(crate) fn invalid_argument(arg: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("invalid argument {arg:?}"))
}
