//! What the library costs, as ratios to the same echo written directly on mio.
//!
//! ```text
//! cost [--quick|--full]                               prints the table
//! cost [--quick] --only PART                          prints the rows with PART in their title
//! cost serve-ours|serve-bare [ADDR]                   echoes until standard input ends
//! cost serve-ours-udp|serve-mio-udp                   the same with datagrams
//! cost serve-loop-udp                                 the same until an empty datagram comes
//! cost drive ours|bare messages N CONNECTIONS SIZE [-- WRAPPER..]
//! cost drive ours|bare short N AT_ONCE [-- WRAPPER..]
//! cost drive ours|bare bulk N [-- WRAPPER..]
//! cost drive ours|loop|mio datagrams N CLIENTS SIZE [-- WRAPPER..]
//! cost drive ours|loop|mio together N CLIENTS SIZE [-- WRAPPER..]
//! ```
//!
//! `drive` starts a server, under the command `WRAPPER` if there is one, has `N` messages, short
//! connections or MiB of one stream served, and lets the server end: `count.sh` counts that way. Of
//! `datagrams` each client sends its next when it is answered; `together`, all send one and wait
//! until all are answered.
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
    eprintln!("cost: needs Linux, whose /proc has the figures");
    ExitCode::SUCCESS
}
