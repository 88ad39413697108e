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

// With a path, so that its modules lie beside it and this is the one `cfg` for all of them.
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
