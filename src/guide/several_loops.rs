//! Several loops: one server for each core.
//!
//! This page has no code of its own. One loop has one core to run on.
//! [`LoopGroup`](crate::LoopGroup) runs several, each a server of its own in a thread of its own, behind the
//! same addresses:
//!
//! ```rust,no_run
//! use socketserver::{LoopGroup, Echo, Options, Server, LoadBalancing};
//!
//! fn main() -> std::io::Result<()> {
//!     let options = Options { max_connections: 10_000, ..Options::default() }; // over all loops
//!     let group = LoopGroup::new(4).options(options).balance(LoadBalancing::LeastConnections);
//!     let handle = group.handle(); // shuts all of them down, from any thread
//!     let loops = group.serve(
//!         |index| format!("what the handlers of loop {index} share"),
//!         |_index, server: &mut Server<String>| server.listen("127.0.0.1:7000", |_| Echo).map(drop),
//!     )?;
//!     println!("{:?}", loops.iter().map(|one| one.stats.accepted).collect::<Vec<_>>());
//!     drop(handle);
//!     Ok(())
//! }
//! ```
//!
//! The loops share nothing but the count of their connections and the order to stop, so handlers need no
//! lock: what they share is one value for each loop. What must be known in all of them goes from loop to
//! loop by [`ServerHandle::post`](crate::ServerHandle::post).
//!
//! Who serves a client says [`LoadBalancing`](crate::LoadBalancing): the loop with the fewest connections,
//! which is exact and costs one hand-over, or the kernel (`SO_REUSEPORT`), which costs nothing and spreads by
//! chance. The first is right for few connections and for those that stay, the second for very many short
//! ones.
