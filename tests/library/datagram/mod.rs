//! Datagram sockets.

mod commands;
mod exchange;
mod faults;
mod lifecycle;
#[cfg(all(target_os = "linux", feature = "sys", not(mio_unsupported_force_poll_poll)))]
mod local_addresses;
