//! The address from which a reply leaves a socket that is bound to the wildcard.

use std::net::SocketAddr;

use super::{Datagram, DatagramPhase};
use crate::addr::Addr;
use crate::conn::packets::{Destination, QueueLimits};
use crate::conn::transport::DatagramTransport;

/// The datagram in delivery: packets to its sender are replies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    peer: SocketAddr,
    destination: Destination,
}

impl<T: DatagramTransport> Datagram<T> {
    /// A datagram is delivered whose destination is known.
    pub(crate) fn begin_delivery(&mut self, peer: &Addr, destination: Option<Destination>) {
        let known = peer.ip().zip(destination);
        self.shown = known.map(|(peer, destination)| Shown { peer: *peer, destination });
        self.update_plain_send();
    }

    /// The delivery is over.
    pub(crate) fn end_delivery(&mut self) {
        self.shown = None;
        self.update_plain_send();
    }

    /// Called when the phase or the datagram in delivery changes.
    pub(super) fn update_plain_send(&mut self) {
        self.can_send_plainly = self.phase != DatagramPhase::Closing && self.shown.is_none();
    }

    #[inline]
    pub(crate) fn can_send_plainly(&self) -> bool {
        self.can_send_plainly
    }

    /// The destination of the datagram in delivery, if it is known.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        self.shown.map(|shown| shown.destination.addr)
    }

    /// As [`Datagram::send`] during a delivery: a packet to the sender leaves from the datagram's
    /// destination.
    pub(crate) fn answer(&mut self, to: Option<&Addr>, bytes: &[u8], limits: QueueLimits) -> bool {
        let shown = self.shown.filter(|shown| to.and_then(Addr::ip) == Some(&shown.peer));
        let source = shown.and_then(|shown| Some((shown.destination.source()?, shown.peer)));
        let taken = match source {
            Some((from, to)) => self.packets.push_from(from, to, bytes, limits),
            None => self.packets.push(to, bytes, limits),
        };
        self.note_queued(taken)
    }

    /// As [`Datagram::send`], from one of the socket's addresses, if it has several.
    pub(crate) fn send_from(
        &mut self,
        from: Option<SocketAddr>,
        to: &Addr,
        bytes: &[u8],
        limits: QueueLimits,
    ) -> bool {
        let taken = match (from, to.ip()) {
            (Some(from), Some(peer)) if self.may_leave_from(from) => {
                self.packets.push_from(from, *peer, bytes, limits)
            }
            _ => self.packets.push(Some(to), bytes, limits),
        };
        self.note_queued(taken)
    }

    /// Whether the system accepts `addr` as a source. A group address is never one.
    fn may_leave_from(&self, addr: SocketAddr) -> bool {
        let ip = addr.ip().to_canonical();
        self.transport.is_wildcard() && !ip.is_unspecified() && !ip.is_multicast()
    }
}
