//! The same client scripts against every mode of ours and against Python's own `socketserver`, which
//! runs the same services; what the clients hear must be the same, byte for byte.
//!
//! Where Python rightly says something else, `table.rs` lists it with the reason, and it must be seen
//! to differ. One more difference concerns no client: a handler's error is a traceback there and one
//! line of the log here.

mod client;
mod own;
mod servers;
mod table;

pub(crate) use own::serve;
pub(crate) use servers::trials;
