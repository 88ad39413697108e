//! The command as people and scripts have it: the built program, its words, its output and its ends.

#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop anywhere"
)]

// A read that a signal does not end.
#[path = "../support/read_some.rs"]
mod read_some;
// How tests wait.
#[path = "../support/waits.rs"]
mod waits;
// The built command, and what drives it.
#[path = "../support/command.rs"]
mod command;
// An example as a program.
#[path = "../support/program.rs"]
mod program;

// `serve --udp` on a wildcard, in every network that can be made here.
#[cfg(target_os = "linux")]
mod addresses;
// The load generator against servers that lie, are late or stall.
#[cfg(not(mio_unsupported_force_poll_poll))]
mod bench;
// `serve chat`.
mod chat;
// `connect`: bytes both ways, ends, exit codes.
mod connect;
// The services over UDP and Unix datagrams.
mod datagrams;
// A server that answers before it has heard everything.
mod early_answers;
// What is said of what was mistyped or refused.
mod errors;
// Signals that come twice, limits of the system, a hostile environment.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod hardship;
// How the command starts and ends.
mod lifecycle;
// `serve --loops`.
mod loops;
// Names that have several addresses.
#[cfg(target_os = "linux")]
mod names;
// What scripts expect of a client from nc.
mod nc;
// Each option is heeded. They look into `/proc`.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod options;
// Output and logs that cannot be written.
#[cfg(not(mio_unsupported_force_poll_poll))]
mod output;
// What each service answers.
mod services;
// Signals that were ignored, terminals, directories, limits.
#[cfg(not(mio_unsupported_force_poll_poll))]
mod surroundings;
// What is drawn on a terminal.
#[cfg(not(mio_unsupported_force_poll_poll))]
mod terminal;
// `serve --workers`.
#[cfg(target_os = "linux")]
mod workers;
// A system call of a blocking handler that a signal interrupts.
#[cfg(target_os = "linux")]
mod workers_interrupted;
