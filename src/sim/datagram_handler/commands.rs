//! The commands that a datagram handler of the simulation gives, and what each must return.

use std::time::Duration;

use crate::addr::Addr;
use crate::conn::stream::SendStatus;
use crate::io::Io;
use crate::sim::datagram_kernel::LONGEST;
use crate::sim::datagram_socket::{
    GROUP, LOCALS, Party, STRANGERS, SentDatagram, local_addr, name, words_of,
};
use crate::sim::kernel::Simulated;
use crate::sim::random::bytes;
use crate::sim::stream_handler::World;

/// Sends a few words to some address.
pub(super) fn send_some(io: &mut Io, world: &World, n: u32) {
    let (to, count, len) = {
        let mut sim = world.borrow_mut();
        let (ports, largest) = (sim.ports.len(), sim.options.max_packet_size);
        let random = &mut sim.random;
        let to = match random.below(8) {
            0 => Some(Party::Port(random.below(ports) as u32)),
            1 => Some(Party::Unnamed),
            2..=4 => None,
            _ => Some(Party::Stranger(random.below(STRANGERS as usize) as u32)),
        };
        let large = largest > 10_000 && random.chance(20);
        let len = if large { LONGEST + random.below(3) - 1 } else { random.below(60) };
        (to, random.between(1, 12), len)
    };
    for _ in 0..count {
        send(io, world, n, to, len);
    }
}

/// Sends the next words to an address; none is the peer of a connected socket.
pub(super) fn send(io: &mut Io, world: &World, n: u32, to: Option<Party>, len: usize) {
    let (id, addr, at, source, from) = {
        let mut sim = world.borrow_mut();
        let port = sim.port(n);
        let Some(id) = port.page.id else { return };
        let at = port.page.said;
        port.page.said += len as u64 + 1;
        let (addr, anywhere) = (to.map(|to| name(port.unix, to)), port.anywhere);
        let source = port.source_for(to);
        // Also a socket with one address may be told from where to send.
        let chooses = to.is_some() && sim.random.chance(15);
        let from = chooses.then(|| sim.random.below(LOCALS.len()));
        let chosen = from.filter(|from| *from != GROUP && anywhere);
        (id, addr, at, if chooses { chosen } else { source }, from)
    };
    let stream = words_of(n);
    let what = bytes(stream, at, len);
    let sent = match (&addr, from) {
        (Some(addr), Some(from)) => io.send_from(id, what, &Addr::Ip(local_addr(n, from)), addr),
        (Some(addr), None) => io.send_to(id, what, addr),
        (None, _) => io.send(id, what),
    };
    note_sent(world, n, SentDatagram { to, source, stream, at, len, tried: false }, sent);
}

/// What was said about a datagram that was sent must be so.
pub(super) fn note_sent(world: &World, n: u32, parcel: SentDatagram, sent: SendStatus) {
    let mut sim = world.borrow_mut();
    let (most, most_bytes) = (sim.options.send_queue_packets, sim.options.send_queue_bytes);
    let ends = sim.draining || sim.server_closed;
    let port = sim.port(n);
    let unix = port.unix;
    let page = &mut port.page;
    let nowhere = parcel.to == Some(Party::Unnamed) || parcel.to.is_none() && !page.connected;
    let gone = page.closed || page.finished || nowhere;
    let waits = page.parcels.len();
    let payload: usize = page.parcels.iter().map(|parcel| parcel.len).sum::<usize>() + parcel.len;
    // The paths of Unix sockets lie beside, and from where what waits is to leave.
    let paths =
        if unix { waits * name(true, Party::Stranger(0)).to_string().len() } else { 4 * waits };
    let right = match sent {
        SendStatus::Closed => gone || ends,
        SendStatus::Congested => !gone && (waits >= most || payload + paths > most_bytes),
        SendStatus::Queued => !gone && waits < most && payload <= most_bytes,
    };
    match sent {
        SendStatus::Closed => {}
        SendStatus::Congested => {
            page.congested |= waits > 0;
            sim.counters.sent += 1;
            sim.counters.dropped += 1;
        }
        SendStatus::Queued => {
            page.parcels.push_back(parcel);
            sim.counters.sent += 1;
        }
    }
    sim.check(right, || format!("port {n}: {parcel:?} behind {waits} others was {sent:?}"));
}

/// Has a socket exchange datagrams with one peer alone, once.
pub(crate) fn connect(io: &mut Io, world: &World, n: u32, peer: Party) {
    let (id, addr, open) = {
        let mut sim = world.borrow_mut();
        let port = sim.port(n);
        let Some(id) = port.page.id.filter(|_| !port.page.connected) else { return };
        (id, name(port.unix, peer), port.open)
    };
    let done = io.connect_peer(id, &addr);
    let mut sim = world.borrow_mut();
    let page = &mut sim.port(n).page;
    page.connected |= open;
    page.is_own &= !open;
    sim.check(done.is_ok() == open, || format!("port {n}: open {open}, but connect: {done:?}"));
}

pub(super) fn close(io: &mut Io, world: &World, n: u32, aborts: bool) {
    let mut sim = world.borrow_mut();
    let Simulated { ports, counters, .. } = &mut *sim;
    let Some(port) = &mut ports[n as usize] else { return };
    let Some(id) = port.page.id else { return };
    port.page.closed = true;
    if aborts && port.open {
        counters.dropped += port.page.parcels.len() as u64;
        port.page.parcels.clear();
    }
    drop(sim);
    if aborts {
        io.abort(id)
    } else {
        io.close(id)
    };
}

pub(super) fn set_timer(io: &mut Io, world: &World, n: u32, ms: u64) {
    let mut sim = world.borrow_mut();
    let now = sim.now;
    let page = &mut sim.port(n).page;
    let Some(id) = page.id else { return };
    let timer = io.set_timer(id, Duration::from_millis(ms));
    page.timers.push((timer, now + ms * 1_000_000));
}
