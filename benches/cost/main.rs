//! What the library costs, as ratios to the same echo written directly on mio.
//!
//! ```text
//! cost [--quick|--full]                               prints the table
//! cost [--quick] --only PART                          prints the rows with PART in their title
//! cost serve-ours|serve-bare [ADDR]                   echoes until the end of standard input
//! cost serve-ours-udp|serve-mio-udp                   the same with datagrams
//! cost serve-loop-udp                                 the same until an empty datagram
//! cost drive ours|bare messages N CONNECTIONS SIZE [-- WRAPPER..]
//! cost drive ours|bare short N AT_ONCE [-- WRAPPER..]
//! cost drive ours|bare bulk N [-- WRAPPER..]
//! cost drive command messages|short|bulk ... -- COMMAND..
//! cost drive ours|loop|mio datagrams N CLIENTS SIZE [-- WRAPPER..]
//! cost drive ours|loop|mio together N CLIENTS SIZE [-- WRAPPER..]
//! ```
//!
//! `drive` starts a server, under the command `WRAPPER` if there is one, sends it `N` messages, short
//! connections, MiB of one stream or datagrams, and stops it; `count.sh` uses it. With `datagrams` each
//! client sends its next one after an answer; with `together` all clients send one, and wait for all
//! answers.
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
    eprintln!("cost: needs Linux, whose /proc has the figures");
    ExitCode::SUCCESS
}
