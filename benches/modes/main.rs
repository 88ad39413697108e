//! The same echo in every mode of this crate beside each other, in one run: one loop, two loops, a
//! thread for each client, a process for each client.
//!
//! ```text
//! modes [--quick|--full]      prints the table
//! modes ROLE                  echoes until standard input ends
//! ```
//!
//! The figures are read from `/proc`, so there is nothing to see on other systems than Linux.

#![expect(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "a benchmark may stop where a library may not, and its figures have three digits"
)]

use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[path = "../support/client.rs"]
mod client;
#[cfg(target_os = "linux")]
#[path = "../support/machine.rs"]
mod machine;
#[cfg(target_os = "linux")]
mod mode;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
#[path = "../support/rounds.rs"]
mod rounds;
#[cfg(target_os = "linux")]
#[path = "../support/server_process.rs"]
mod server_process;
#[cfg(target_os = "linux")]
mod servers;
#[cfg(target_os = "linux")]
mod table;
#[cfg(target_os = "linux")]
mod usage;
#[cfg(target_os = "linux")]
#[path = "../support/watching.rs"]
mod watching;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    match program::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("modes: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("modes: the figures are read from Linux's /proc, which is not here");
    ExitCode::SUCCESS
}
