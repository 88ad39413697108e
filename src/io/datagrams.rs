//! Commands on datagram sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::{Io, ShutdownState};
use crate::addr::Addr;
use crate::conn::datagram::{Datagram, DatagramPhase};
use crate::conn::packets::QueueLimits;
use crate::conn::stream::SendStatus;
use crate::id::SocketId;
use crate::net::{DatagramSocket, is_local};

impl Io {
    /// Sends a datagram, which may be empty, from the datagram socket `id` to `to`; on a connected
    /// socket, [`Io::send`] sends to its peer. Never blocks, and never delays other sockets: a
    /// datagram that the system does not take is dropped and counted in
    /// [`Stats::packets_dropped`](crate::Stats::packets_dropped).
    ///
    /// A socket that is bound to the wildcard (`0.0.0.0`, `[::]`) has every address of the machine.
    /// While it handles a datagram, what it sends to the sender leaves from the address that the
    /// datagram was sent to. What it sends to other peers, or later, leaves from an address that
    /// the system chooses. [`Io::send_from`] is for replies that are sent later.
    ///
    /// ```
    /// use std::net::UdpSocket;
    /// use std::time::Duration;
    /// use socketserver::{Addr, Context, Server};
    ///
    /// let mut server = Server::new()?;
    /// let socket = server.bind("127.0.0.1:0", |_: &mut Context<'_>, _: &[u8], _: &Addr| Ok(()))?;
    /// let peer = UdpSocket::bind("127.0.0.1:0")?;
    /// server.io_mut().send_to(socket, b"news", &peer.local_addr()?.into());
    /// server.turn(Some(Duration::ZERO))?;
    /// let mut bytes = [0; 16];
    /// let (n, _) = peer.recv_from(&mut bytes)?;
    /// assert_eq!(&bytes[..n], b"news");
    /// # Ok::<(), std::io::Error>(())
    /// ```
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
            return self.send_during_delivery(id, bytes, to);
        }
        let limits = QueueLimits {
            packets: self.options.send_queue_packets,
            bytes: self.options.send_queue_bytes,
        };
        self.stats.packets_sent += 1;
        if !datagram.send(to, bytes, limits) {
            self.stats.packets_dropped += 1;
            return SendStatus::Congested;
        }
        if !datagram.queued {
            self.sockets.enqueue(id);
        }
        SendStatus::Queued
    }

    /// Sends from a socket that is closing, or that handles a datagram which this may be the reply
    /// to.
    #[inline(never)]
    fn send_during_delivery(
        &mut self,
        id: SocketId,
        bytes: &[u8],
        to: Option<&Addr>,
    ) -> SendStatus {
        let limits = QueueLimits {
            packets: self.options.send_queue_packets,
            bytes: self.options.send_queue_bytes,
        };
        let Some(datagram) = self.sockets.datagram_mut(id) else { return SendStatus::Closed };
        if datagram.phase() == DatagramPhase::Closing || to.is_none() && !datagram.is_connected {
            return SendStatus::Closed;
        }
        let taken = datagram.answer(to, bytes, limits);
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

    /// Like [`Io::send_to`], but from the local address `from`: for a reply that is sent after its
    /// datagram was handled. [`Context::local_addr`](crate::Context::local_addr) returns that
    /// address while the datagram is handled; many clients accept replies from there only.
    ///
    /// Only a socket that is bound to the wildcard can choose the address, on Linux and Android and
    /// with the feature `sys`; elsewhere this is `send_to`. The port is that of the socket in any
    /// case. A multicast group, a broadcast address, or an address that the machine no longer has
    /// cannot be a source; then the system chooses.
    pub fn send_from(&mut self, id: SocketId, bytes: &[u8], from: &Addr, to: &Addr) -> SendStatus {
        if self.sockets.datagram(id).is_none_or(|one| one.phase() == DatagramPhase::Closing) {
            return SendStatus::Closed;
        }
        self.send_answer(id, bytes, from.ip().copied(), to)
    }

    /// Like [`Io::send_from`]; the system chooses the address when `from` is `None`. The reply of a
    /// blocking handler leaves also when the socket has been closed since its datagram came.
    pub(crate) fn send_answer(
        &mut self,
        id: SocketId,
        bytes: &[u8],
        from: Option<SocketAddr>,
        to: &Addr,
    ) -> SendStatus {
        let Some(datagram) = self.sockets.datagram_mut(id) else { return SendStatus::Closed };
        let is_closed = datagram.phase() == DatagramPhase::Closing && !datagram.has_replies_due();
        if *to == Addr::Unnamed || is_closed {
            return SendStatus::Closed;
        }
        let limits = QueueLimits {
            packets: self.options.send_queue_packets,
            bytes: self.options.send_queue_bytes,
        };
        let taken = datagram.send_from(from, to, bytes, limits);
        self.note_packet(id, taken)
    }

    /// Connects the datagram socket `id` to `peer` (connect(2)): it exchanges datagrams with that
    /// peer only. Datagrams from other peers that had arrived and were not handled yet are rejected
    /// and counted in [`Stats::packets_refused`](crate::Stats::packets_refused).
    ///
    /// If the socket is bound to the wildcard, the system now binds it to the address from which it
    /// sends to `peer`; datagrams to other addresses of this machine are not received any more.
    ///
    /// Datagrams from `peer` are handled even if it is another socket of this server
    /// ([`Options::accept_own_packets`](crate::Options::accept_own_packets)), so two services that
    /// answer every datagram should not be connected to each other.
    ///
    /// # Errors
    /// The error of connect(2); [`NotConnected`](io::ErrorKind::NotConnected) when the socket is
    /// closed; [`InvalidInput`](io::ErrorKind::InvalidInput) when the peer is the socket itself.
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
        // As the system formats it, which is how received datagrams name their sender.
        let chosen = transport.peer_addr();
        datagram.set_peer(chosen.unwrap_or_else(|| peer.clone()));
        self.local_addrs.remove(id);
        if let ShutdownState::Draining { since, .. } = self.shutdown_state {
            // A connected socket closes after a drain; a bound one would stop.
            self.begin_drain(id, since);
        }
        Ok(())
    }

    /// Joins the multicast `group` with the datagram socket `id`, on the interface with the index
    /// `interface`; 0 lets the system choose one.
    ///
    /// # Errors
    /// The error of setsockopt(2); [`NotConnected`](io::ErrorKind::NotConnected) when the socket is
    /// closed.
    pub fn join_multicast(
        &mut self,
        id: SocketId,
        group: IpAddr,
        interface: u32,
    ) -> io::Result<()> {
        self.set_member(id, group, interface, true)
    }

    /// Leaves a group that [`Io::join_multicast`] has joined.
    ///
    /// # Errors
    /// The error of setsockopt(2); [`NotConnected`](io::ErrorKind::NotConnected) when the socket is
    /// closed.
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

    /// The local address that the datagram in hand was sent to, or else the local address of the
    /// socket.
    pub(crate) fn destination_addr(&self, id: SocketId) -> Option<Addr> {
        let destination = self.sockets.datagram(id).and_then(Datagram::destination);
        destination.map_or_else(|| self.local_addr(id), |addr| Some(Addr::Ip(addr)))
    }

    /// How many datagrams are in the send queue of `id`.
    #[must_use]
    pub fn queued_packets(&self, id: SocketId) -> usize {
        self.sockets.datagram(id).map_or(0, Datagram::queue_len)
    }

    /// Changes a datagram socket and queues it if that gives it something to do. `false` when there
    /// is none.
    pub(crate) fn with_datagram(
        &mut self,
        id: SocketId,
        change: impl FnOnce(&mut Datagram<DatagramSocket>),
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
