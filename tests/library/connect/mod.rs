//! Outgoing connections.

mod attempts;
mod closed_early;
mod contract;
// A name that was looked up wakes the loop from another thread, which poll(2) may lose.
#[cfg(not(mio_unsupported_force_poll_poll))]
mod names;
mod shutdown;
