//! The address from which a reply leaves a socket that has every address of the machine.

use std::net::SocketAddr;

use super::{Datagram, DatagramPhase};
use crate::addr::Addr;
use crate::conn::packets::{Destination, QueueLimits};
use crate::conn::transport::DatagramTransport;

/// A datagram that is shown: what goes to its sender meanwhile is an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    peer: SocketAddr,
    destination: Destination,
}

impl<T: DatagramTransport> Datagram<T> {
    /// A datagram is shown that came to one of several addresses.
    pub(crate) fn begin_delivery(&mut self, peer: &Addr, destination: Option<Destination>) {
        let known = peer.ip().zip(destination);
        self.shown = known.map(|(peer, destination)| Shown { peer: *peer, destination });
        self.update_plain_send();
    }

    /// None is shown any more.
    pub(crate) fn end_delivery(&mut self) {
        self.shown = None;
        self.update_plain_send();
    }

    /// The phase, or what is shown, has changed.
    pub(super) fn update_plain_send(&mut self) {
        self.can_send_plainly = self.phase != DatagramPhase::Closing && self.shown.is_none();
    }

    #[inline]
    pub(crate) fn can_send_plainly(&self) -> bool {
        self.can_send_plainly
    }

    /// Where the datagram that is shown was sent to, if that is known.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        self.shown.map(|shown| shown.destination.addr)
    }

    /// The same while a datagram is shown: what goes to its sender leaves from where it was sent to.
    pub(crate) fn answer(&mut self, to: Option<&Addr>, bytes: &[u8], limits: QueueLimits) -> bool {
        let shown = self.shown.filter(|shown| to.and_then(Addr::ip) == Some(&shown.peer));
        let source = shown.and_then(|shown| Some((shown.destination.source()?, shown.peer)));
        let taken = match source {
            Some((from, to)) => self.packets.push_from(from, to, bytes, limits),
            None => self.packets.push(to, bytes, limits),
        };
        self.note_queued(taken)
    }

    /// The same from an address of ours, if it has several to choose from.
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

    /// Whether it can be told to send from there; from a group nothing is ever sent.
    fn may_leave_from(&self, addr: SocketAddr) -> bool {
        let ip = addr.ip().to_canonical();
        self.transport.is_wildcard() && !ip.is_unspecified() && !ip.is_multicast()
    }
}
