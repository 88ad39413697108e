//! The datagrams of the simulated kernel: what strangers do, and the system calls for them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use mio::Token;

use super::datagram_socket::{
    Arrival, FORGED, GROUP, LOCALS, Party, REFUSED, STRANGERS, SentDatagram, SimDatagramSocket,
    arrivals_of, local_addr, name,
};
use super::kernel::{Call, Simulated};
use super::random::bytes;
use crate::addr::Addr;
use crate::conn::packets::send_queue::QueuedPacket;
use crate::conn::packets::{BATCH, DestAddr, Destination, PacketSource, RecvBuffers, SendQueue};
use crate::conn::transport::RecvOutcome;
use crate::id::SocketId;
use crate::net::memory::datagram::SimDatagramKernel;

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
            self.post.refused += 1;
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
            // Where it is named, it is only looked for; a peer is parted with, and what came is lost.
            if is_peer && parcel.to.is_none() {
                port.peer = None;
                port.queue.clear();
            }
            port.free();
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
            self.post.dropped += 1;
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
        let most = self.options.packets_per_turn;
        self.progress += 1;
        self.post.received += came as u64;
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

impl SimDatagramKernel for Simulated {
    fn watch_datagrams(&mut self, n: u32, token: Token, room: bool) -> io::Result<()> {
        if let Some(errno) = self.fault(Call::Register) {
            self.port(n).page.broken = true;
            return Err(io::Error::from_raw_os_error(errno));
        }
        let port = self.port(n);
        port.token = Some(token);
        port.asks_for_room = room;
        // It looks anew.
        port.edge = true;
        port.page.id = Some(SocketId::from_token(token));
        Ok(())
    }

    fn receive_datagrams(
        &mut self,
        n: u32,
        inbox: &mut RecvBuffers,
        most: usize,
    ) -> io::Result<RecvOutcome> {
        self.check_receive(n, most);
        if let Some(errno) = self.error_of_receiving(n) {
            self.progress += 1;
            if errno != libc::EINTR {
                let now = self.now;
                let port = self.port(n);
                port.page.to_tell.push_back(errno);
                let spins = port.fails_too_often(now);
                self.check(!spins, || format!("port {n}: receiving fails, and is tried on and on"));
            }
            return Err(io::Error::from_raw_os_error(errno));
        }
        let port = self.port(n);
        port.end_failures();
        let first = *port.queue.front().ok_or(io::ErrorKind::WouldBlock)?;
        if port.unix {
            let (place, arrived) = inbox.unix_slot().expect("there is a first place");
            arrived.len = fill(place, n, first);
            match name(true, first.from) {
                Addr::Unix(path) => arrived.set_path(&path),
                _ => arrived.set_unnamed(),
            }
            port.queue.pop_front();
            port.page.let_in.push_back(first);
            self.note_receipt(n, 1);
            return Ok(RecvOutcome { count: 1, drained: false });
        }
        let asked = most.min(if port.came_last <= 1 { 2 } else { BATCH });
        let came = asked.min(port.queue.len());
        let all: Vec<Arrival> = port.queue.drain(..came).collect();
        port.page.let_in.extend(&all);
        if port.anywhere {
            let (places, arrived) = inbox.slots_with_destination();
            for ((place, (arrived, destination)), one) in places.zip(arrived).zip(all) {
                arrived.len = fill(place, n, one);
                arrived.peer = name(false, one.from);
                let (addr, is_unicast) = (local_addr(n, one.local), one.local != GROUP);
                *destination = Some(Destination { addr, is_unicast });
            }
        } else {
            let (places, arrived) = inbox.slots();
            for ((place, arrived), one) in places.zip(arrived).zip(all) {
                arrived.len = fill(place, n, one);
                arrived.peer = name(false, one.from);
            }
        }
        self.note_receipt(n, came);
        Ok(RecvOutcome { count: came, drained: came < asked })
    }

    fn send_packets(&mut self, n: u32, packets: &SendQueue, most: usize) -> io::Result<usize> {
        let port = self.port(n);
        let (open, unix, waits) = (port.open, port.unix, port.page.parcels.len());
        let given = packets.pending();
        let agrees = open && most > 0 && !given.is_empty() && given.len() == waits;
        self.check(agrees, || format!("port {n}: {} wait to leave, not {waits}", given.len()));
        let mut left = 0;
        for packet in given.iter().take(most.min(BATCH)) {
            let parcels = &self.port(n).page.parcels;
            let Some(parcel) = parcels.get(left).copied() else { break };
            if parcels.front().is_some_and(|first| first.source != parcel.source) {
                break;
            }
            let right = Self::is_as_sent(unix, parcel, packet, packets);
            self.check(right, || format!("port {n}: {parcel:?} was sent, but it is {packet:?}"));
            match self.send_packet(n, parcel) {
                Ok(()) => left += 1,
                Err(errno) if left == 0 => {
                    self.note_refusal(n, errno);
                    return Err(io::Error::from_raw_os_error(errno));
                }
                // The system says how many have left, and keeps the error for itself.
                Err(_) => break,
            }
        }
        let most = self.options.packets_per_turn;
        self.progress += 1;
        self.post.out += left as u64;
        let port = self.port(n);
        port.page.parcels.drain(..left);
        port.sent += left;
        let sent = port.sent;
        self.check(sent <= most, || format!("port {n}: {sent} datagrams left in a turn"));
        Ok(left)
    }

    fn would_block_is_per_peer(&self, n: u32) -> bool {
        self.ports[n as usize].as_ref().is_some_and(|port| port.unix)
    }

    fn is_wildcard(&self, n: u32) -> bool {
        self.ports[n as usize].as_ref().is_some_and(|port| port.anywhere)
    }

    fn set_peer(&mut self, n: u32, peer: &Addr) -> io::Result<()> {
        let port = self.port(n);
        let unix = port.unix;
        let who = (0..STRANGERS).map(Party::Stranger).find(|who| name(unix, *who) == *peer);
        port.peer = Some(who.ok_or(io::ErrorKind::AddrNotAvailable)?);
        Ok(())
    }

    fn own_addr(&self, n: u32) -> Option<Addr> {
        let port = self.ports[n as usize].as_ref()?;
        let name = name(port.unix, Party::Port(n));
        let everywhere = |port| Addr::Ip(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
        Some(if port.anywhere { everywhere(name.port()?) } else { name })
    }

    fn close_datagrams(&mut self, n: u32) {
        let over = self.grace_over;
        let (now, patience) = (self.now, self.options.close_timeout.as_nanos() as u64);
        let port = self.port(n);
        let was_open = std::mem::replace(&mut port.open, false);
        let page = &mut port.page;
        page.is_own = false;
        let lost = page.parcels.len();
        page.parcels.clear();
        let waited = page.closing_since.is_some_and(|since| now >= since + patience);
        let may = lost == 0 || page.broken || waited || over;
        self.post.dropped += lost as u64;
        self.progress += 1;
        self.check(was_open, || format!("port {n}: closed twice"));
        self.check(may, || format!("port {n}: closed, and {lost} datagrams dropped for no reason"));
    }
}

/// Puts a datagram where it belongs, as far as there is room, and says how far that was.
fn fill(place: &mut [u8], n: u32, one: Arrival) -> usize {
    let len = one.len.min(place.len());
    place[..len].copy_from_slice(bytes(arrivals_of(n), one.at, len));
    len
}
