//! Datagrams: one handler for a socket, one call for each datagram.
//!
//! There are no connections, so one closure serves all peers:
//!
//! ```rust,no_run
//! use socketserver::{Addr, Context, Server};
//!
//! fn main() -> std::io::Result<()> {
//!     let mut server = Server::new()?;
//!     server.bind("127.0.0.1:7000", |cx: &mut Context<'_>, packet: &[u8], _peer: &Addr| {
//!         cx.reply(&packet.to_ascii_uppercase());
//!         Ok(())
//!     })?;
//!     server.serve_forever()
//! }
//! ```
//!
//! A [`DatagramHandler`](crate::DatagramHandler) has more callbacks: `error` for what the kernel reports about
//! earlier datagrams (ICMP), `truncated` for a datagram longer than
//! [`Options::max_packet_size`](crate::Options::max_packet_size), `drained` when the send queue is empty
//! again.
//!
//! * **Drops are allowed.** A datagram that cannot be sent is dropped and counted
//!   ([`Stats::packets_dropped`](crate::Stats::packets_dropped)); it delays and costs no other.
//! * **An answer leaves from the address that was asked**, also where the socket is bound to the wildcard
//!   (`0.0.0.0`, `[::]`); a later answer uses [`Io::send_from`](crate::Io::send_from).
//! * **No loops.** A datagram that seems to come from a socket of this server is not handled,
//!   unless [`Options::accept_own_packets`](crate::Options::accept_own_packets) says so: two services could be made to
//!   answer each other for ever (CERT CA-1996-01).
//! * **One peer.** [`Server::connect_datagram`](crate::Server::connect_datagram) and
//!   [`Io::connect_peer`](crate::Io::connect_peer) exchange datagrams with one address alone.
