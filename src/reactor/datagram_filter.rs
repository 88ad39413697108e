//! Which datagrams are rejected before any handler sees them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::addr::Addr;
use crate::conn::packets::Destination;
use crate::id::SocketId;
use crate::io::Io;
use crate::net::is_local;
use crate::reactor::dispatch::{Verify, log_panic};

/// Whether no handler may see what this peer sent, whatever is said about it.
#[inline]
pub(super) fn refuses(
    io: &mut Io,
    id: SocketId,
    peer: &Addr,
    destination: impl Fn() -> Option<Destination>,
) -> bool {
    let Some(datagram) = io.sockets.datagram(id) else { return true };
    // Its handler may have closed it meanwhile, or chosen a peer.
    if datagram.rejects(peer) {
        return true;
    }
    let may_be = match peer {
        Addr::Ip(addr) => io.own.may_be(*addr),
        Addr::Unix(_) | Addr::Abstract(_) => true,
        Addr::Unnamed => false,
    };
    may_be && !datagram.is_connected && is_own(io, id, peer, destination())
}

/// Whether who was asked to verify refuses this peer.
#[inline]
pub(super) fn is_refused<S>(
    verify: &mut Option<Box<Verify<S>>>,
    shared: &mut S,
    id: SocketId,
    peer: &Addr,
) -> bool {
    let Some(verify) = verify else { return false };
    let verdict = catch_unwind(AssertUnwindSafe(|| verify(shared, peer)));
    !verdict.unwrap_or_else(|panic| log_panic(id, &*panic))
}

/// Whether a datagram claims to come from this server itself.
#[cold]
fn is_own(io: &mut Io, id: SocketId, peer: &Addr, destination: Option<Destination>) -> bool {
    let of = io.options.accept_own_packets.then_some(id);
    match peer {
        Addr::Ip(addr) => io.own.is_own(of, *addr, (id, destination), is_local),
        Addr::Unix(_) | Addr::Abstract(_) => io.own.is_own_name(of, peer),
        Addr::Unnamed => false,
    }
}
