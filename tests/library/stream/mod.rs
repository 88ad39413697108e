//! Streams, TCP and Unix.

mod backpressure;
mod broadcast;
mod closing;
mod echo;
mod fairness;
mod framing;
#[cfg(unix)]
mod last_input;
// Offloaded work wakes the loop from another thread, which poll(2) may lose.
#[cfg(not(mio_unsupported_force_poll_poll))]
mod last_requests;
mod lifecycle;
mod resets;
#[cfg(target_os = "linux")]
mod short_reads;
mod stalls;
#[cfg(not(mio_unsupported_force_poll_poll))]
mod timeouts;
