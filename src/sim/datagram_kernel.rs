//! The datagrams of the simulated kernel: what strangers do, and the system calls for them.

use std::net::SocketAddr;

use super::datagram_socket::{
    Arrival, FORGED, GROUP, LOCALS, Party, REFUSED, SentDatagram, SimDatagramSocket, arrivals_of,
    name,
};
use super::kernel::{Call, Simulated};
use super::random::bytes;
use crate::addr::Addr;
use crate::conn::packets::send_queue::QueuedPacket;
use crate::conn::packets::{DestAddr, PacketSource, SendQueue};

mod calls;

/// The longest datagram that UDP sends.
pub(crate) const LONGEST: usize = 65_507;

impl Simulated {
    pub(crate) fn port(&mut self, n: u32) -> &mut SimDatagramSocket {
        self.ports[n as usize].as_mut().expect("only sockets that were bound are named")
    }

    /// The socket of that number, if it is open.
    pub(crate) fn open_port(&mut self, n: u32) -> Option<&mut SimDatagramSocket> {
        self.ports.get_mut(n as usize)?.as_mut().filter(|port| port.open)
    }

    // What strangers and the network do.

    /// Datagrams come, one behind the other; what finds no room is lost.
    pub(crate) fn arrive(&mut self, n: u32, from: Party, count: u32, len: u32) {
        self.arrive_at(n, None, from, count, len);
    }

    /// The same, sent to one of our addresses. A socket that has found a peer has but one.
    pub(crate) fn arrive_at(
        &mut self,
        n: u32,
        local: Option<usize>,
        from: Party,
        count: u32,
        len: u32,
    ) {
        let Some(port) = self.open_port(n) else { return };
        if port.peer.is_some_and(|peer| peer != from) || from == Party::Unnamed && !port.unix {
            return;
        }
        if port.peer.is_some() && local.is_some_and(|local| local != port.peer_local) {
            return;
        }
        for nth in 0..count as usize {
            // A batch of one length would hide which socket took which datagram.
            let len = (len as usize + nth).min(LONGEST);
            if port.queue.len() < port.capacity {
                let local = local.unwrap_or_else(|| port.next_local());
                port.queue.push_back(Arrival { from, local, at: port.came, len });
                port.came += len as u64 + 1;
                port.edge = true;
            }
        }
    }

    /// The network reports an error for a socket; an unconnected one does not get it.
    pub(crate) fn tell(&mut self, n: u32, errno: i32) {
        if let Some(port) = self.open_port(n).filter(|port| port.peer.is_some()) {
            port.error = Some(errno);
            port.edge = true;
        }
    }

    /// The server serves again after a shutdown.
    pub(crate) fn run_again(&mut self) {
        for port in self.ports.iter_mut().flatten() {
            port.page.told_of_shutdown = false;
        }
    }

    // What follows from it.

    /// The datagrams in front that no handler may see, by the present state.
    pub(crate) fn refuse(&mut self, n: u32) {
        while let Some(first) = self.port(n).page.let_in.front().copied() {
            if !self.is_refused(n, first) {
                return;
            }
            self.port(n).page.let_in.pop_front();
            self.counters.refused += 1;
        }
    }

    fn is_refused(&mut self, n: u32, one: Arrival) -> bool {
        let page = &self.port(n).page;
        let (closed, connected) = (page.closed, page.connected);
        // A chosen peer is the first stranger.
        let other = connected && one.from != Party::Stranger(0);
        closed || other || !connected && self.is_own(n, one) || one.from == REFUSED
    }

    /// Whether it comes from a socket of the server, as far as the server can know.
    fn is_own(&mut self, n: u32, one: Arrival) -> bool {
        let (m, from) = match one.from {
            Party::Port(m) => (m, 0),
            Party::Forged(m) => (m, FORGED),
            Party::Stranger(_) | Party::Unnamed => return false,
        };
        let (unix, anywhere) = (self.port(n).unix, self.port(n).anywhere);
        let named = self.ports.get(m as usize).and_then(Option::as_ref);
        let Some(named) = named.filter(|named| named.page.is_own && named.unix == unix) else {
            return false;
        };
        if self.options.accept_own_packets && m != n {
            return false;
        }
        if from == 0 || unix || !named.anywhere {
            return from == 0;
        }
        let local = if anywhere { one.local } else { 0 };
        let known = local == from || self.met.contains(&from);
        self.met.extend(Some(local).filter(|local| *local != GROUP));
        known
    }

    /// What one datagram meets that is to leave.
    fn send_packet(&mut self, n: u32, parcel: SentDatagram) -> Result<(), i32> {
        if let Some(errno) = self.fault(Call::SendPackets) {
            return Err(errno);
        }
        let port = self.port(n);
        let Some(to) = parcel.to.or(port.peer) else { return Err(libc::ENOTCONN) };
        if !port.unix && parcel.len > LONGEST {
            return Err(libc::EMSGSIZE);
        }
        if let Some(errno) = port.error.take() {
            return Err(errno);
        }
        if port.flight.len() >= port.buffer {
            return Err(libc::EAGAIN);
        }
        let is_gone = matches!(to, Party::Stranger(k) if port.gone[k as usize]);
        let is_peer = port.peer == Some(to);
        // Errors about what was sent from another address are reported to no socket.
        let hears = parcel.source.is_none_or(|source| source == port.peer_local);
        if port.unix && is_gone {
            port.refuse(is_peer && parcel.to.is_none());
            return Err(libc::ECONNREFUSED);
        }
        if port.is_deaf(to) {
            // What was to hold it is freed again, which is reported as if it had left.
            port.awaits_peer |= is_peer;
            port.free();
            return Err(libc::EAGAIN);
        }
        if is_gone && is_peer && hears {
            // The answer of the network comes at once, and meets the next call.
            port.error = Some(libc::ECONNREFUSED);
            port.edge = true;
        } else {
            port.flight.push_back(to);
        }
        Ok(())
    }

    /// The first that waits met an error; what that costs.
    fn note_refusal(&mut self, n: u32, errno: i32) {
        self.progress += 1;
        let port = self.port(n);
        let Some(first) = port.page.parcels.front_mut() else { return };
        let waits = match errno {
            libc::EINTR => true,
            // Nobody waits for one of many peers.
            libc::EAGAIN => !port.unix || first.to.is_none(),
            _ if port.page.connected && !first.tried => {
                first.tried = true;
                port.page.to_tell.push_back(errno);
                true
            }
            _ => false,
        };
        if !waits {
            port.page.parcels.pop_front();
            self.counters.dropped += 1;
        }
    }

    /// Whether what is about to leave is what was sent.
    fn is_as_sent(
        unix: bool,
        parcel: SentDatagram,
        packet: &QueuedPacket,
        packets: &SendQueue,
    ) -> bool {
        let to = match (parcel.to.map(|to| name(unix, to)), packet.to) {
            (None, DestAddr::Connected) => true,
            (
                Some(Addr::Ip(SocketAddr::V4(ours))),
                DestAddr::V4(theirs) | DestAddr::V4From(theirs),
            ) => ours == theirs,
            (Some(Addr::Unix(ours)), DestAddr::Path(_)) => {
                packets.path(packet) == Some(ours.as_os_str().as_encoded_bytes())
            }
            _ => false,
        };
        let source = parcel.source.map(|nth| PacketSource::V4(LOCALS[nth]));
        to && packets.source(packet) == source
            && packets.payload(packet) == bytes(parcel.stream, parcel.at, parcel.len)
    }

    /// What receiving says before it looks into the queue.
    fn error_of_receiving(&mut self, n: u32) -> Option<i32> {
        if let Some(errno) = self.fault(Call::ReceivePackets) {
            return Some(errno);
        }
        let port = self.port(n);
        port.broken.or_else(|| port.error.take())
    }

    fn check_receive(&mut self, n: u32, most: usize) {
        // A socket that is to close looks once more.
        let rests = self.draining && !self.server_closed;
        let port = self.port(n);
        let page = &port.page;
        let told = page.told_of_shutdown && rests && !page.connected;
        let may = port.open && !page.paused && !page.closed && !told && most > 0;
        self.check(may, || format!("port {n}: receives what it does not want"));
    }

    fn note_receipt(&mut self, n: u32, came: usize) {
        let most = self.rounds * self.options.packets_per_turn;
        self.progress += 1;
        self.counters.received += came as u64;
        let port = self.port(n);
        port.received += came;
        port.came_last = came;
        let received = port.received;
        self.check(received <= most, || format!("port {n}: {received} datagrams in a turn"));
        self.refuse(n);
        // Another may come in the very moment.
        if !self.calm && self.random.chance(5) {
            self.arrive(n, Party::Stranger(0), 1, 3);
        }
    }
}

/// Puts a datagram where it belongs, as far as there is room, and says how far that was.
fn fill(place: &mut [u8], n: u32, one: Arrival) -> usize {
    let len = one.len.min(place.len());
    place[..len].copy_from_slice(bytes(arrivals_of(n), one.at, len));
    len
}
