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

#[cfg(target_os = "linux")]
#[path = "../support/bare.rs"]
mod bare;
#[cfg(target_os = "linux")]
#[path = "../support/client.rs"]
mod client;
#[cfg(target_os = "linux")]
mod datagrams;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
#[path = "../support/machine.rs"]
mod machine;
#[cfg(target_os = "linux")]
#[path = "../support/ours.rs"]
mod ours;
#[cfg(target_os = "linux")]
#[path = "../support/packet_clients.rs"]
mod packet_clients;
#[cfg(target_os = "linux")]
#[path = "../support/packet_servers.rs"]
mod packet_servers;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
#[path = "../support/serve.rs"]
mod serve;
#[cfg(target_os = "linux")]
#[path = "../support/server_process.rs"]
mod server_process;
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
