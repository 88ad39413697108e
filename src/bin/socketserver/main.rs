//! The command `socketserver`: ready-made services on the library's public API alone.

mod args;
mod bench;
mod connect;
mod console;
mod private_dir;
mod serve;
mod stop_signals;
mod system;
mod terminal;
mod units;

use std::process::ExitCode;

use args::{Task, Typed};

fn main() -> ExitCode {
    stop_signals::unblock();
    system::outlive_file_limits();
    let code = match Typed::parse().and_then(Typed::resolve) {
        Ok(Task::Serve(config)) => serve::run(&config),
        Ok(Task::Connect(config)) => connect::run(&config),
        Ok(Task::Bench(wanted)) => bench::run(&wanted),
        Ok(Task::BenchClient(servers)) => bench::client_process::run(&servers),
        Err(message) => console::end_with(&message),
    };
    console::flush();
    code
}
