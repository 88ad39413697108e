//! Tests that need the process for themselves: they count its allocations or its descriptors, change its
//! working directory, or take thousands of descriptors. Each waits until no other runs.

#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop anywhere"
)]

#[allow(dead_code, unused_imports, unused_macros, reason = "not all of it is used here")]
#[path = "../library/support/mod.rs"]
mod support;

// A message costs no allocation.
mod allocations;
// Descriptors that are passed are closed, and a shortage of them is survived.
mod descriptors;
// Paths of Unix sockets, and a working directory that changes.
mod directory;
// The instructions of each operation, beside few others and many; poll(2) itself grows with them.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod growth;
// What a burst took goes back.
#[cfg(all(target_os = "linux", feature = "sys"))]
mod memory;
// How many lines of the log panics cost.
mod log_lines;
// Thousands of clients at once.
mod many;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits until no other test of this program runs, and keeps others out.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
