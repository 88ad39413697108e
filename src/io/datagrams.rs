//! What may be done with datagrams.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::{Io, ShutdownState};
use crate::addr::Addr;
use crate::conn::datagram::DatagramPhase;
use crate::conn::packets::QueueLimits;
use crate::conn::stream::SendStatus;
use crate::id::SocketId;
use crate::io::datagram::Datagram;
use crate::net::is_local;

impl Io {
    /// Sends a datagram, which may be empty, from the datagram socket `id`; on one that is connected,
    /// [`Io::send`] sends to its peer. Never blocks, and never delays anything else: what the system
    /// does not take is dropped, and counted in
    /// [`Stats::packets_dropped`](crate::Stats::packets_dropped).
    ///
    /// A socket that is bound to the wildcard (`0.0.0.0`, `[::]`) has every address of the machine.
    /// While it shows a datagram, what it sends to the sender of that leaves from the address that
    /// was asked; what it sends to anybody else, or later, from the one that the system chooses.
    /// [`Io::send_from`] is for answers that come later.
    #[inline]
    pub fn send_to(&mut self, id: SocketId, bytes: &[u8], to: &Addr) -> SendStatus {
        if *to == Addr::Unnamed {
            return SendStatus::Closed;
        }
        self.send_packet(id, bytes, Some(to))
    }

    #[inline]
    pub(super) fn send_packet(
        &mut self,
        id: SocketId,
        bytes: &[u8],
        to: Option<&Addr>,
    ) -> SendStatus {
        let Some(datagram) = self.sockets.datagram_mut(id) else { return SendStatus::Closed };
        if !datagram.can_send_plainly() || to.is_none() && !datagram.is_connected {
            return self.send_while_shown(id, bytes, to);
        }
        let room = QueueLimits {
            packets: self.options.send_queue_packets,
            bytes: self.options.send_queue_bytes,
        };
        self.stats.packets_sent += 1;
        if !datagram.send(to, bytes, room) {
            self.stats.packets_dropped += 1;
            return SendStatus::Congested;
        }
        if !datagram.queued {
            self.sockets.enqueue(id);
        }
        SendStatus::Queued
    }

    /// The same by a socket that is closing, or shows a datagram that may be answered by this.
    #[inline(never)]
    fn send_while_shown(&mut self, id: SocketId, bytes: &[u8], to: Option<&Addr>) -> SendStatus {
        let room = QueueLimits {
            packets: self.options.send_queue_packets,
            bytes: self.options.send_queue_bytes,
        };
        let Some(datagram) = self.sockets.datagram_mut(id) else { return SendStatus::Closed };
        if datagram.phase() == DatagramPhase::Closing || to.is_none() && !datagram.is_connected {
            return SendStatus::Closed;
        }
        let taken = datagram.answer(to, bytes, room);
        self.note_packet(id, taken)
    }

    fn note_packet(&mut self, id: SocketId, taken: bool) -> SendStatus {
        self.stats.packets_sent += 1;
        if !taken {
            self.stats.packets_dropped += 1;
            return SendStatus::Congested;
        }
        if self.sockets.datagram(id).is_some_and(|datagram| !datagram.queued) {
            self.sockets.enqueue(id);
        }
        SendStatus::Queued
    }

    /// [`Io::send_to`] from the address `from` of this machine, for an answer that is sent when its
    /// datagram is shown no more: [`Context::local_addr`](crate::Context::local_addr) said then
    /// where that was sent to, and a client may take answers from there only.
    ///
    /// Only a socket that is bound to the wildcard can choose, on Linux and Android and with the
    /// feature `sys`; elsewhere this is `send_to`. The port is that of the socket in any case. From a
    /// multicast group, a broadcast address, or one that this machine has no more, nothing can be
    /// sent; then the system chooses.
    pub fn send_from(&mut self, id: SocketId, bytes: &[u8], from: &Addr, to: &Addr) -> SendStatus {
        self.send_answer(id, bytes, from.ip().copied(), to)
    }

    /// The same; the system chooses the address where none is given.
    pub(crate) fn send_answer(
        &mut self,
        id: SocketId,
        bytes: &[u8],
        from: Option<SocketAddr>,
        to: &Addr,
    ) -> SendStatus {
        let Some(datagram) = self.sockets.datagram_mut(id) else { return SendStatus::Closed };
        if *to == Addr::Unnamed || datagram.phase() == DatagramPhase::Closing {
            return SendStatus::Closed;
        }
        let room = QueueLimits {
            packets: self.options.send_queue_packets,
            bytes: self.options.send_queue_bytes,
        };
        let taken = datagram.send_from(from, to, bytes, room);
        self.note_packet(id, taken)
    }

    /// From now on the datagram socket `id` exchanges datagrams with `peer` alone (`connect(2)`). What
    /// others had sent before and was not shown yet is refused, and counted in
    /// [`Stats::packets_refused`](crate::Stats::packets_refused).
    ///
    /// If it is bound to the wildcard, the system now gives it one address, the one from which it sends
    /// to `peer`; what `peer` sends to another address of this machine is no more received.
    ///
    /// That peer is taken at its word: what it sends is handled also where it is another socket of this
    /// server ([`Options::accept_own_packets`](crate::Options::accept_own_packets)), so two services that answer
    /// everything should not choose each other.
    ///
    /// # Errors
    /// What the system says; [`NotConnected`](io::ErrorKind::NotConnected) when it is gone;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when the peer is the socket itself.
    pub fn connect_peer(&mut self, id: SocketId, peer: &Addr) -> io::Result<()> {
        let Some(datagram) = self.sockets.datagram_mut(id) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let transport = datagram.transport();
        if transport.local_addr().is_some_and(|own| is_itself(&own, peer)) {
            let what = "a datagram socket cannot be its own peer: it would answer itself";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        transport.set_peer(peer)?;
        // As the system writes it, which is how it will name who sent a datagram.
        let chosen = transport.peer_addr();
        datagram.set_peer(chosen.unwrap_or_else(|| peer.clone()));
        self.local_addrs.remove(id);
        if let ShutdownState::Draining { since, .. } = self.shutdown_state {
            // It does not rest, as it would have while it was bound only.
            self.begin_drain(id, since);
        }
        Ok(())
    }

    /// Has the datagram socket `id` receive what is sent to the multicast `group`, over the
    /// interface of this index; 0 lets the system choose one.
    ///
    /// # Errors
    /// What the system says; [`NotConnected`](io::ErrorKind::NotConnected) when the socket is gone.
    pub fn join_multicast(
        &mut self,
        id: SocketId,
        group: IpAddr,
        interface: u32,
    ) -> io::Result<()> {
        self.set_member(id, group, interface, true)
    }

    /// Takes [`Io::join_multicast`] back.
    ///
    /// # Errors
    /// What the system says; [`NotConnected`](io::ErrorKind::NotConnected) when the socket is gone.
    pub fn leave_multicast(
        &mut self,
        id: SocketId,
        group: IpAddr,
        interface: u32,
    ) -> io::Result<()> {
        self.set_member(id, group, interface, false)
    }

    fn set_member(&self, id: SocketId, group: IpAddr, interface: u32, on: bool) -> io::Result<()> {
        match self.sockets.datagram(id) {
            Some(datagram) => datagram.transport().set_multicast_membership(group, interface, on),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The address of ours to which the datagram was sent that `id` shows now, or else has.
    pub(crate) fn asked_addr(&self, id: SocketId) -> Option<Addr> {
        let shown = self.sockets.datagram(id).and_then(Datagram::destination);
        shown.map_or_else(|| self.local_addr(id), |addr| Some(Addr::Ip(addr)))
    }

    /// How many datagrams wait to leave the datagram socket `id`.
    #[must_use]
    pub fn queued_packets(&self, id: SocketId) -> usize {
        self.sockets.datagram(id).map_or(0, Datagram::queue_len)
    }

    /// Says whether there is such a datagram socket.
    pub(crate) fn with_datagram(
        &mut self,
        id: SocketId,
        change: impl FnOnce(&mut Datagram),
    ) -> bool {
        let Some(datagram) = self.sockets.datagram_mut(id) else { return false };
        change(datagram);
        self.sockets.enqueue(id);
        true
    }
}

/// Whether a socket that is bound to `own` has the address `peer`.
fn is_itself(own: &Addr, peer: &Addr) -> bool {
    let (Addr::Ip(bound), Addr::Ip(ip)) = (own, peer) else { return own == peer };
    let (at, ip) = (bound.ip().to_canonical(), ip.ip().to_canonical());
    Some(bound.port()) == peer.port() && (at == ip || at.is_unspecified() && is_local(ip))
}
