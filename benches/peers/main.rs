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
    eprintln!("peers: needs Linux, whose /proc has the figures");
    ExitCode::SUCCESS
}
