//! What the benchmarks share: clients, servers in processes of their own, the one processor for
//! both, and figures in columns. Start reading at `program`.

#![allow(dead_code, reason = "each benchmark uses a part of it")]
#![expect(clippy::indexing_slicing, reason = "a benchmark may panic where a library may not")]

pub(crate) mod bare;
pub(crate) mod client;
pub(crate) mod datagram_clients;
pub(crate) mod datagram_servers;
pub(crate) mod machine;
pub(crate) mod ours;
#[cfg(unix)]
pub(crate) mod program;
pub(crate) mod progress;
pub(crate) mod rounds;
#[cfg(unix)]
pub(crate) mod serve;
pub(crate) mod server_process;
