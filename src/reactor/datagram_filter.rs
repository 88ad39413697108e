//! Which datagrams are rejected before any handler sees them.

use crate::addr::Addr;
use crate::conn::packets::Destination;
use crate::foreign::{self, ForeignCode};
use crate::id::SocketId;
use crate::io::Io;
use crate::net::is_local;
use crate::reactor::dispatch::Verify;

/// Whether a datagram from `peer` must not be delivered: the socket is closed, has another peer, or
/// the sender seems to be this server.
#[inline]
pub(super) fn is_rejected(
    io: &mut Io,
    id: SocketId,
    peer: &Addr,
    destination: impl Fn() -> Option<Destination>,
) -> bool {
    let Some(datagram) = io.sockets.datagram(id) else { return true };
    // Its handler may have closed the socket meanwhile, or connected it to a peer.
    if datagram.rejects(peer) {
        return true;
    }
    let might_contain = match peer {
        Addr::Ip(addr) => io.local_addrs.might_contain(*addr),
        Addr::Unix(_) | Addr::Abstract(_) => true,
        Addr::Unnamed => false,
    };
    might_contain && !datagram.is_connected && is_from_ourselves(io, id, peer, destination())
}

/// Whether `verify_request` denies this peer.
#[inline]
pub(super) fn is_denied<S>(
    verify: &mut Option<Box<Verify<S>>>,
    shared: &mut S,
    id: SocketId,
    peer: &Addr,
) -> bool {
    let Some(verify) = verify else { return false };
    let verdict = foreign::run(ForeignCode::VerifyRequest, Some(id), || verify(shared, peer));
    !verdict.unwrap_or(false)
}

/// Whether a datagram claims to come from this server.
#[cold]
fn is_from_ourselves(
    io: &mut Io,
    id: SocketId,
    peer: &Addr,
    destination: Option<Destination>,
) -> bool {
    let of = io.options.accept_own_packets.then_some(id);
    match peer {
        Addr::Ip(addr) => io.local_addrs.contains(of, *addr, (id, destination), is_local),
        Addr::Unix(_) | Addr::Abstract(_) => io.local_addrs.contains_name(of, peer),
        Addr::Unnamed => false,
    }
}
