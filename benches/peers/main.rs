//! The same echo by this crate, by other ways to write it in Rust and by Python, in one run.
//!
//! ```text
//! peers [--quick|--full]      prints the table
//! peers ROLE                  echoes until standard input ends
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
#[path = "../support/bare.rs"]
mod bare;
#[cfg(target_os = "linux")]
#[path = "../support/client.rs"]
mod client;
#[cfg(target_os = "linux")]
mod head;
#[cfg(target_os = "linux")]
#[path = "../support/machine.rs"]
mod machine;
#[cfg(target_os = "linux")]
#[path = "../support/ours.rs"]
mod ours;
#[cfg(target_os = "linux")]
mod peer;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
mod python;
#[cfg(target_os = "linux")]
#[path = "../support/rounds.rs"]
mod rounds;
#[cfg(target_os = "linux")]
#[path = "../support/serve.rs"]
mod serve;
#[cfg(target_os = "linux")]
#[path = "../support/server_process.rs"]
mod server_process;
#[cfg(target_os = "linux")]
mod servers;
#[cfg(target_os = "linux")]
mod table;
#[cfg(target_os = "linux")]
#[path = "../support/watching.rs"]
mod watching;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    match program::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("peers: the figures are read from Linux's /proc, which is not here");
    ExitCode::SUCCESS
}
