//! The same echo in every mode of this crate, in one run: one loop, two loops, a thread for each
//! client, a process for each client.
//!
//! ```text
//! modes [--quick|--full]      prints the table
//! modes ROLE                  echoes until the end of standard input
//! ```
//!
//! The figures are read from `/proc`, so on other systems than Linux this program does nothing.

#![expect(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "a benchmark may stop where a library may not, and its figures have three digits"
)]

use std::process::ExitCode;

// By its path, so that its modules are files of this folder, under this one `cfg`.
#[cfg(target_os = "linux")]
#[path = "program.rs"]
mod program;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    program::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("modes: needs Linux, whose /proc has the figures");
    ExitCode::SUCCESS
}
