//! Handlers that block.

mod contract;
mod datagrams;
mod limits;
#[cfg(all(unix, any(feature = "processes", feature = "sys")))]
mod stops;
#[cfg(all(unix, any(feature = "processes", feature = "sys")))]
mod whole;
