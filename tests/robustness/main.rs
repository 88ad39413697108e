//! The built command where things go wrong: failing system calls, stops at any moment, little memory and
//! few descriptors, and a long mix of clients.

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
// What a server says at its end of every connection and every byte.
#[path = "../support/accounts.rs"]
mod accounts;
// The built command, and what drives it.
#[path = "../support/command.rs"]
mod command;

// Each system call fails with each error of its man page.
#[cfg(target_os = "linux")]
mod faults;
// Few descriptors, little memory, tiny buffers.
mod hardship;
// A mix of clients for as long as one likes.
#[cfg(target_os = "linux")]
mod soak;
// SIGTERM at a random moment under load.
mod stops;
