//! The queue of packets that wait to be sent by one socket.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use super::{PacketSource, source};
use crate::addr::Addr;

/// The destination of a packet (`dest_addr` of sendto(2)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DestAddr {
    /// The peer that the socket is connected to.
    Connected,
    V4(SocketAddrV4),
    V6(SocketAddrV6),
    /// As `V4`, from the source address that precedes the packet in the queue.
    V4From(SocketAddrV4),
    /// As `V6`, from the source address that precedes the packet in the queue.
    V6From(SocketAddrV6),
    /// The path of this length that precedes the packet in the queue; an abstract name begins with
    /// a zero byte.
    Path(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuedPacket {
    start: usize,
    len: usize,
    pub(crate) to: DestAddr,
}

impl QueuedPacket {
    /// The number of bytes that precede the packet in the queue and belong to it.
    fn head(&self) -> usize {
        match self.to {
            DestAddr::Connected | DestAddr::V4(_) | DestAddr::V6(_) => 0,
            DestAddr::V4From(_) => source::V4_LEN,
            DestAddr::V6From(_) => source::V6_LEN,
            DestAddr::Path(len) => len,
        }
    }
}

/// The packets to send, in order. Bounded in number and bytes.
#[derive(Debug)]
pub(crate) struct SendQueue {
    bytes: Vec<u8>,
    list: Vec<QueuedPacket>,
    /// The number of packets at the front of the list that were sent.
    sent: usize,
    /// The capacity that an empty queue keeps without a note.
    keep: usize,
    /// [`CONGESTED`] and [`SPARE`]. One field for both, because the end of each turn asks it.
    notes: u8,
}

/// A packet was dropped for a full queue since the queue was last empty.
const CONGESTED: u8 = 1;
/// The empty queue keeps much memory.
const SPARE: u8 = 2;

/// The limits of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    pub(crate) packets: usize,
    pub(crate) bytes: usize,
}

/// The most memory that an empty queue keeps for the next burst, and what it keeps for ever.
const KEEP: usize = 1 << 20;
const KEEP_FOR_EVER: usize = 4 << 10;

impl Default for SendQueue {
    fn default() -> SendQueue {
        let (bytes, list) = (Vec::new(), Vec::new());
        SendQueue { bytes, list, sent: 0, keep: KEEP_FOR_EVER, notes: 0 }
    }
}

impl SendQueue {
    /// Queues a packet. `false` means that the queue is full.
    #[inline]
    pub(crate) fn push(&mut self, to: Option<&Addr>, bytes: &[u8], limits: QueueLimits) -> bool {
        if !self.make_room(bytes.len(), limits) {
            return false;
        }
        let to = match to {
            Some(Addr::Ip(SocketAddr::V4(addr))) => DestAddr::V4(*addr),
            Some(Addr::Ip(SocketAddr::V6(addr))) => DestAddr::V6(*addr),
            Some(Addr::Unix(path)) => {
                let path = path.as_os_str().as_encoded_bytes();
                self.bytes.extend_from_slice(path);
                DestAddr::Path(path.len())
            }
            Some(Addr::Abstract(name)) => {
                self.bytes.push(0);
                self.bytes.extend_from_slice(name);
                DestAddr::Path(1 + name.len())
            }
            Some(Addr::Unnamed) | None => DestAddr::Connected,
        };
        self.push_bytes(to, bytes);
        true
    }

    /// As [`SendQueue::push`], with a source address. If `to` cannot be reached from `from`, the
    /// system chooses the source.
    pub(crate) fn push_from(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
        limits: QueueLimits,
    ) -> bool {
        let Some(source) = PacketSource::new(from, to) else {
            return self.push(Some(&Addr::Ip(to)), bytes, limits);
        };
        if !self.make_room(bytes.len(), limits) {
            return false;
        }
        let to = match to {
            SocketAddr::V4(to) => DestAddr::V4From(to),
            SocketAddr::V6(to) => DestAddr::V6From(to),
        };
        source.encode(&mut self.bytes);
        self.push_bytes(to, bytes);
        true
    }

    #[inline]
    fn make_room(&mut self, len: usize, limits: QueueLimits) -> bool {
        if self.list.len() >= limits.packets || self.bytes.len() + len > limits.bytes {
            return self.reclaim(len, limits);
        }
        true
    }

    /// Whether a packet of `len` bytes fits, not counting those that were sent. They are removed
    /// only when they outweigh the waiting ones, so that all moves together cost less than what was
    /// ever queued, however long the queue stays full. Until then it takes up to twice its limits.
    #[cold]
    fn reclaim(&mut self, len: usize, limits: QueueLimits) -> bool {
        const ENTRY: usize = size_of::<QueuedPacket>();
        let begin = self.pending().first().map_or(0, |first| first.start - first.head());
        let waiting = self.bytes.len() - begin;
        if self.len() >= limits.packets || waiting + len > limits.bytes {
            return false;
        }
        if self.sent * ENTRY + begin >= self.len() * ENTRY + waiting {
            self.compact();
        }
        true
    }

    #[inline]
    fn push_bytes(&mut self, to: DestAddr, bytes: &[u8]) {
        // The bytes last: then no value has to survive the call in a register.
        self.list.push(QueuedPacket { start: self.bytes.len(), len: bytes.len(), to });
        self.bytes.extend_from_slice(bytes);
    }

    /// The number of packets that wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.list.len() - self.sent
    }

    #[inline]
    pub(in crate::conn) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The packets that wait, in order.
    #[inline]
    pub(crate) fn pending(&self) -> &[QueuedPacket] {
        self.list.get(self.sent..).unwrap_or_default()
    }

    /// Whether the next packet goes to the connected peer.
    pub(in crate::conn) fn next_is_connected_peer(&self) -> bool {
        self.pending().first().is_some_and(|first| first.to == DestAddr::Connected)
    }

    #[inline]
    pub(crate) fn payload(&self, packet: &QueuedPacket) -> &[u8] {
        self.bytes.get(packet.start..packet.start + packet.len).unwrap_or_default()
    }

    /// The path or abstract name of the destination, as the system encodes it; `None` for other
    /// destinations.
    #[allow(dead_code, reason = "only where there are Unix sockets")]
    pub(crate) fn path(&self, packet: &QueuedPacket) -> Option<&[u8]> {
        let DestAddr::Path(len) = packet.to else { return None };
        self.bytes.get(packet.start.checked_sub(len)?..packet.start)
    }

    /// The source address of a packet; `None` if the system chooses.
    #[allow(dead_code, reason = "only where a system can be told where something leaves from")]
    pub(crate) fn source(&self, packet: &QueuedPacket) -> Option<PacketSource> {
        if !matches!(packet.to, DestAddr::V4From(_) | DestAddr::V6From(_)) {
            return None;
        }
        PacketSource::decode(
            self.bytes.get(packet.start.checked_sub(packet.head())?..packet.start)?,
        )
    }

    /// Removes the first `n` packets, which were sent.
    #[inline]
    pub(in crate::conn) fn advance(&mut self, n: usize) {
        self.sent = (self.sent + n).min(self.list.len());
        if self.is_empty() {
            self.clear();
        }
    }

    /// Removes all packets and returns their number.
    pub(in crate::conn) fn clear(&mut self) -> usize {
        let waited = self.len();
        self.sent = 0;
        self.list.clear();
        self.bytes.clear();
        if self.held() > self.keep {
            self.note_spare();
        }
        waited
    }

    /// The memory that an empty queue holds.
    #[inline]
    fn held(&self) -> usize {
        self.bytes.capacity() + self.list.capacity() * size_of::<QueuedPacket>()
    }

    #[cold]
    fn note_spare(&mut self) {
        if self.held() > KEEP {
            self.bytes = Vec::new();
            self.list = Vec::new();
        } else {
            self.keep = KEEP;
            self.notes |= SPARE;
        }
    }

    /// Whether an empty queue keeps much memory; `true` once, until [`SendQueue::trim`].
    pub(in crate::conn) fn take_spare(&mut self) -> bool {
        let is_spare = self.notes & SPARE != 0;
        self.notes &= !SPARE;
        is_spare
    }

    /// Gives back the memory that is not needed.
    pub(in crate::conn) fn trim(&mut self) {
        self.keep = KEEP_FOR_EVER;
        self.compact();
        self.bytes.shrink_to_fit();
        self.list.shrink_to_fit();
    }

    /// Whether the queue is empty and nothing is noted.
    #[inline]
    pub(in crate::conn) fn is_settled(&self) -> bool {
        self.is_empty() & (self.notes == 0)
    }

    #[inline]
    pub(in crate::conn) fn is_congested(&self) -> bool {
        self.notes & CONGESTED != 0
    }

    /// Notes whether a packet was taken. One that does not fit into an empty queue never will.
    #[inline]
    pub(in crate::conn) fn note_taken(&mut self, taken: bool) -> bool {
        self.notes |= u8::from(!taken && !self.is_empty()) * CONGESTED;
        taken
    }

    /// Whether the queue is empty again since a packet was dropped; `true` once.
    #[inline]
    pub(in crate::conn) fn take_drained(&mut self) -> bool {
        let drained = self.is_congested() && self.is_empty();
        if drained {
            self.notes &= !CONGESTED;
        }
        drained
    }

    /// Moves the waiting packets over those that were sent.
    fn compact(&mut self) {
        if self.sent == 0 {
            return;
        }
        let Some(first) = self.list.get(self.sent) else { return };
        let begin = first.start - first.head();
        self.bytes.drain(..begin);
        self.list.drain(..self.sent);
        self.sent = 0;
        for packet in &mut self.list {
            packet.start -= begin;
        }
    }
}

#[cfg(test)]
mod tests;
