//! Several loops: one server for each core.
//!
//! One loop runs on one core.
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
//! The loops share only the count of their connections and the shutdown. Each loop has a `shared` value of
//! its own, so handlers need no lock. Loops send each other news by
//! [`ServerHandle::post`](crate::ServerHandle::post).
//!
//! [`LoadBalancing`](crate::LoadBalancing) chooses the loop of a client: the loop with the fewest connections,
//! which is exact and costs one hand-over, or the kernel's choice (`SO_REUSEPORT`), which costs nothing and
//! spreads by chance. The first suits few or long connections, the second very many short ones.
