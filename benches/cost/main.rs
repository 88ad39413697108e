//! What the library costs, as ratios to the same echo written directly on mio.
//!
//! ```text
//! cost [--quick|--full]                               prints the table
//! cost --only PART                                    prints the rows with PART in their title
//! cost serve-ours|serve-bare [ADDR]                   echoes until standard input ends
//! cost drive ours|bare messages N CONNECTIONS SIZE [-- WRAPPER..]
//! cost drive ours|bare short N AT_ONCE [-- WRAPPER..]
//! cost drive ours|bare bulk N [-- WRAPPER..]
//! ```
//!
//! `drive` starts a server, under the command `WRAPPER` if there is one, has `N` messages, short
//! connections or MiB of one stream served, and lets the server end: `count.sh` counts that way.
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
mod load;
#[cfg(target_os = "linux")]
#[path = "../support/machine.rs"]
mod machine;
#[cfg(target_os = "linux")]
#[path = "../support/ours.rs"]
mod ours;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
mod table;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    match program::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cost: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("cost: the figures are read from Linux's /proc, which is not here");
    ExitCode::SUCCESS
}
