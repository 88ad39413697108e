//! The system calls of simulated datagram sockets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use mio::Token;

use super::fill;
use crate::addr::Addr;
use crate::conn::packets::{BATCH, Destination, RecvBuffers, SendQueue};
use crate::conn::transport::RecvOutcome;
use crate::id::SocketId;
use crate::net::memory::datagram::SimDatagramKernel;
use crate::sim::datagram_socket::{Arrival, GROUP, Party, STRANGERS, local_addr, name};
use crate::sim::kernel::{Call, Simulated};

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
            self.note_error_of_receiving(n, errno);
            return Err(io::Error::from_raw_os_error(errno));
        }
        let port = self.port(n);
        port.end_failures();
        let first = *port.queue.front().ok_or(io::ErrorKind::WouldBlock)?;
        if port.unix {
            self.receive_unix(n, first, inbox);
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
        let most = self.rounds * self.options.packets_per_turn;
        self.progress += 1;
        self.counters.out += left as u64;
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
        self.counters.dropped += lost as u64;
        self.progress += 1;
        self.check(was_open, || format!("port {n}: closed twice"));
        self.check(may, || format!("port {n}: closed, and {lost} datagrams dropped for no reason"));
    }
}

impl Simulated {
    fn note_error_of_receiving(&mut self, n: u32, errno: i32) {
        self.progress += 1;
        if errno != libc::EINTR {
            let now = self.now;
            let port = self.port(n);
            port.page.to_tell.push_back(errno);
            let spins = port.fails_too_often(now);
            self.check(!spins, || format!("port {n}: receiving fails, and is tried on and on"));
        }
    }

    /// Receives the first that waits, with the path of its sender.
    fn receive_unix(&mut self, n: u32, first: Arrival, inbox: &mut RecvBuffers) {
        let (place, arrived) = inbox.unix_slot().expect("there is a first place");
        arrived.len = fill(place, n, first);
        match name(true, first.from) {
            Addr::Unix(path) => arrived.set_path(&path),
            _ => arrived.set_unnamed(),
        }
        let port = self.port(n);
        port.queue.pop_front();
        port.page.let_in.push_back(first);
        self.note_receipt(n, 1);
    }
}
