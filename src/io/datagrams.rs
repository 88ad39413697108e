//! What may be done with datagrams.

use std::io;
use std::net::IpAddr;

use super::{Drain, Io};
use crate::addr::Addr;
use crate::datagram::{Datagram, Phase};
use crate::id::SocketId;
use crate::packets::Room;
use crate::stream::Sent;

impl Io {
    /// Sends a datagram, which may be empty, from the datagram socket `id`; on one that is connected,
    /// [`Io::send`] sends to its peer. Never blocks, and never delays anything else: what the system
    /// does not take is dropped, and counted in
    /// [`Ledger::packets_dropped`](crate::Ledger::packets_dropped).
    #[inline]
    pub fn send_to(&mut self, id: SocketId, bytes: &[u8], to: &Addr) -> Sent {
        if *to == Addr::Unnamed {
            return Sent::Gone;
        }
        self.send_packet(id, bytes, Some(to))
    }

    #[inline]
    pub(super) fn send_packet(&mut self, id: SocketId, bytes: &[u8], to: Option<&Addr>) -> Sent {
        let Some(datagram) = self.sockets.datagram(id) else { return Sent::Gone };
        if datagram.phase() == Phase::Closing || to.is_none() && !datagram.is_connected {
            return Sent::Gone;
        }
        let room =
            Room { packets: self.options.packet_queue, bytes: self.options.packet_queue_bytes };
        self.ledger.packets_sent += 1;
        if !datagram.send(to, bytes, room) {
            self.ledger.packets_dropped += 1;
            return Sent::Congested;
        }
        if !datagram.queued {
            self.sockets.enqueue(id);
        }
        Sent::Queued
    }

    /// From now on the datagram socket `id` exchanges datagrams with `peer` alone (`connect(2)`). What
    /// others had sent before and was not shown yet is refused, and counted in
    /// [`Ledger::packets_refused`](crate::Ledger::packets_refused).
    ///
    /// # Errors
    /// What the system says; [`NotConnected`](io::ErrorKind::NotConnected) when it is gone.
    pub fn set_peer(&mut self, id: SocketId, peer: &Addr) -> io::Result<()> {
        let Some(datagram) = self.sockets.datagram(id) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        datagram.transport().set_peer(peer)?;
        // As the system writes it, which is how it will name who sent a datagram.
        let chosen = datagram.transport().peer_addr();
        datagram.choose_peer(chosen.unwrap_or_else(|| peer.clone()));
        self.own.remove(id);
        if let Drain::Until { since, .. } = self.drain {
            // It does not rest, as it would have while it was bound only.
            self.look_last(id, since);
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
        match self.sockets.datagram_ref(id) {
            Some(datagram) => datagram.transport().set_member(group, interface, on),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// How many datagrams wait to leave the datagram socket `id`.
    #[must_use]
    pub fn packets_waiting(&self, id: SocketId) -> usize {
        self.sockets.datagram_ref(id).map_or(0, Datagram::waiting)
    }

    /// Says whether there is such a datagram socket.
    pub(crate) fn change_datagram(
        &mut self,
        id: SocketId,
        change: impl FnOnce(&mut Datagram),
    ) -> bool {
        let Some(datagram) = self.sockets.datagram(id) else { return false };
        change(datagram);
        self.sockets.enqueue(id);
        true
    }
}
