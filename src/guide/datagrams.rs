//! Datagrams: one handler for a socket, one call for each datagram.
//!
//! This page has no code of its own. A datagram needs no conversation, so a closure will do:
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
//! A handler with more to say is a [`DatagramHandler`](crate::DatagramHandler): `error` is told of what the
//! system reports about earlier ones (ICMP), `truncated` of one that was longer than
//! [`Options::max_packet_size`](crate::Options::max_packet_size), `drained` when the queue of those that wait
//! to leave is empty again.
//!
//! * **Nothing is owed.** What cannot leave is dropped and counted
//!   ([`Stats::packets_dropped`](crate::Stats::packets_dropped)), delays nobody, and costs no other datagram.
//! * **An answer leaves from the address that was asked**, also where the socket is bound to the wildcard
//!   (`0.0.0.0`, `[::]`); for one that comes later there is [`Io::send_from`](crate::Io::send_from).
//! * **Nobody answers himself.** A datagram that seems to come from a socket of this server is not handled,
//!   unless [`Options::accept_own_packets`](crate::Options::accept_own_packets) says so: two services could be made to
//!   answer each other for ever (CERT CA-1996-01).
//! * **One peer.** [`Server::connect_datagram`](crate::Server::connect_datagram) and
//!   [`Io::connect_peer`](crate::Io::connect_peer) exchange datagrams with one address alone.
