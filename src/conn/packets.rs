//! Datagrams in memory: where those that came lie, and the queue of those that leave.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::{Path, PathBuf};

use crate::addr::Addr;
use crate::conn::page_aligned::PageAligned;

mod source;

pub(crate) use source::{Destination, PacketSource};

/// The most datagrams that cross in one system call.
pub(crate) const BATCH: usize = 64;

/// The places for arriving datagrams; one for all datagram sockets of a loop.
#[derive(Debug)]
pub(crate) struct RecvBuffers {
    bytes: PageAligned,
    /// From the beginning of one place to that of the next.
    stride: usize,
    /// The longest datagram that is whole. A place has room for one byte more, so that a longer
    /// one shows, on every system.
    max: usize,
    arrived: Box<[RecvSlot]>,
    /// Where each of them was sent to, of a socket that has several addresses. Apart, so that the
    /// others need not say each time that they do not know.
    destinations: Box<[Option<Destination>]>,
    /// Whether those are of what came last.
    has_destinations: bool,
    /// What came over a Unix socket, of which only the first place is filled.
    unix: UnixRecvSlot,
    /// Whether that was the last to come.
    is_unix: bool,
}

/// A datagram of a Unix socket. The room for its sender's name stays, so that none costs an
/// allocation.
#[derive(Debug)]
pub(crate) struct UnixRecvSlot {
    pub(crate) len: usize,
    path: Addr,
    abstract_name: Addr,
    kind: UnixKind,
}

/// Which of the names holds.
#[derive(Clone, Copy, Debug)]
enum UnixKind {
    Path,
    Abstract,
    Unnamed,
}

impl UnixRecvSlot {
    fn new() -> UnixRecvSlot {
        UnixRecvSlot {
            len: 0,
            path: Addr::Unix(PathBuf::new()),
            abstract_name: Addr::Abstract(Vec::new()),
            kind: UnixKind::Unnamed,
        }
    }

    /// It came from a socket at this path.
    #[allow(dead_code, reason = "only where there are Unix sockets")]
    pub(crate) fn set_path(&mut self, peer: &Path) {
        self.kind = UnixKind::Path;
        if let Addr::Unix(path) = &mut self.path {
            let path = path.as_mut_os_string();
            path.clear();
            path.push(peer);
        }
    }

    /// It came from a socket of this abstract name.
    #[allow(dead_code, reason = "only where there are Unix sockets")]
    pub(crate) fn set_abstract(&mut self, peer: &[u8]) {
        self.kind = UnixKind::Abstract;
        if let Addr::Abstract(name) = &mut self.abstract_name {
            name.clear();
            name.extend_from_slice(peer);
        }
    }

    /// It came from a socket without a name.
    #[allow(dead_code, reason = "only where there are Unix sockets")]
    pub(crate) fn set_unnamed(&mut self) {
        self.kind = UnixKind::Unnamed;
    }

    fn peer(&self) -> &Addr {
        match self.kind {
            UnixKind::Path => &self.path,
            UnixKind::Abstract => &self.abstract_name,
            UnixKind::Unnamed => &Addr::Unnamed,
        }
    }
}

/// One datagram that has come, in the place of the same number.
#[derive(Clone, Debug)]
pub(crate) struct RecvSlot {
    pub(crate) len: usize,
    pub(crate) peer: Addr,
}

/// What is known of a datagram while its handler sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) peer: &'a Addr,
    pub(crate) truncated: bool,
}

/// Places a whole page apart would compete for the same lines of the processor's cache.
const CACHE_LINE: usize = 64;
const PAGE: usize = 4_096;

impl RecvBuffers {
    pub(crate) fn new(max: usize) -> RecvBuffers {
        let mut stride = max.saturating_add(1).next_multiple_of(CACHE_LINE);
        if stride % PAGE == 0 {
            stride += CACHE_LINE;
        }
        // Zeroed memory costs nothing until a datagram lands in it.
        let bytes = PageAligned::zeroed(stride * BATCH);
        let arrived = vec![RecvSlot { len: 0, peer: Addr::Unnamed }; BATCH].into_boxed_slice();
        let (destinations, unix) = (Box::default(), UnixRecvSlot::new());
        let has_destinations = false;
        let is_unix = false;
        RecvBuffers { bytes, stride, max, arrived, destinations, has_destinations, unix, is_unix }
    }

    /// The places to fill, and what to note about each.
    #[inline]
    pub(crate) fn places(
        &mut self,
    ) -> (impl Iterator<Item = &mut [u8]>, impl Iterator<Item = &mut RecvSlot>) {
        self.is_unix = false;
        self.has_destinations = false;
        let room = self.max + 1;
        let places = self.bytes.chunks_exact_mut(self.stride);
        (places.map(move |place| place.split_at_mut(room).0), self.arrived.iter_mut())
    }

    /// The same for a socket of which the system says where each datagram was sent to.
    #[allow(dead_code, reason = "only where a system says that")]
    pub(crate) fn places_with_destination(
        &mut self,
    ) -> (
        impl Iterator<Item = &mut [u8]>,
        impl Iterator<Item = (&mut RecvSlot, &mut Option<Destination>)>,
    ) {
        if self.destinations.is_empty() {
            self.destinations = vec![None; BATCH].into_boxed_slice();
        }
        self.is_unix = false;
        self.has_destinations = true;
        let room = self.max + 1;
        let places = self.bytes.chunks_exact_mut(self.stride);
        let arrived = self.arrived.iter_mut().zip(&mut self.destinations);
        (places.map(move |place| place.split_at_mut(room).0), arrived)
    }

    /// Whether it is known where those that came were sent to.
    #[inline]
    pub(crate) fn has_destinations(&self) -> bool {
        self.has_destinations
    }

    /// Where a datagram was sent to.
    pub(crate) fn destination(&self, nth: usize) -> Option<Destination> {
        self.destinations.get(nth).copied().flatten().filter(|_| self.has_destinations)
    }

    /// The first place, for a datagram of a Unix socket.
    #[allow(dead_code, reason = "only where there are Unix sockets")]
    pub(crate) fn unix_place(&mut self) -> Option<(&mut [u8], &mut UnixRecvSlot)> {
        self.is_unix = true;
        self.has_destinations = false;
        Some((self.bytes.get_mut(..=self.max)?, &mut self.unix))
    }

    #[inline]
    pub(crate) fn letter(&self, nth: usize) -> Option<Packet<'_>> {
        let (len, peer) = if self.is_unix {
            (self.unix.len, self.unix.peer())
        } else {
            let RecvSlot { len, peer } = self.arrived.get(nth)?;
            (*len, peer)
        };
        let bytes = self.bytes.get(nth * self.stride..)?.get(..len.min(self.max))?;
        Some(Packet { bytes, peer, truncated: len > self.max })
    }
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum To {
    /// To whom the socket is connected.
    Peer,
    V4(SocketAddrV4),
    V6(SocketAddrV6),
    /// The same, but from the address that lies before the datagram in the queue.
    V4From(SocketAddrV4),
    /// There the address from which it leaves is an IPv6 one.
    V6From(SocketAddrV6),
    /// To the path that lies before the datagram in the queue, of this length; or to the abstract
    /// name, with a zero byte before it.
    Path(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuedPacket {
    start: usize,
    len: usize,
    pub(crate) to: To,
}

impl QueuedPacket {
    /// Bytes that lie before the datagram in the queue and belong to it.
    fn head(&self) -> usize {
        match self.to {
            To::Peer | To::V4(_) | To::V6(_) => 0,
            To::V4From(_) => source::V4_LEN,
            To::V6From(_) => source::V6_LEN,
            To::Path(len) => len,
        }
    }
}

/// Datagrams that wait to leave one socket, in order. Bounded in their number and in bytes.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    bytes: Vec<u8>,
    list: Vec<QueuedPacket>,
    /// How many of the list are gone.
    gone: usize,
}

/// How much a queue may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    pub(crate) packets: usize,
    pub(crate) bytes: usize,
}

/// The most memory an empty queue keeps for the next burst.
const KEEP: usize = 1 << 20;

impl SendQueue {
    /// Takes a datagram, if there is room for it.
    #[inline]
    pub(crate) fn push(&mut self, to: Option<&Addr>, bytes: &[u8], room: QueueLimits) -> bool {
        if !self.has_room(bytes.len(), room) {
            return false;
        }
        let to = match to {
            Some(Addr::Ip(SocketAddr::V4(addr))) => To::V4(*addr),
            Some(Addr::Ip(SocketAddr::V6(addr))) => To::V6(*addr),
            Some(Addr::Unix(path)) => {
                let path = path.as_os_str().as_encoded_bytes();
                self.bytes.extend_from_slice(path);
                To::Path(path.len())
            }
            Some(Addr::Abstract(name)) => {
                self.bytes.push(0);
                self.bytes.extend_from_slice(name);
                To::Path(1 + name.len())
            }
            Some(Addr::Unnamed) | None => To::Peer,
        };
        self.push_bytes(to, bytes);
        true
    }

    /// The same for one that leaves from an address that the system would perhaps not choose. Where
    /// the one cannot be reached from the other, the system chooses.
    pub(crate) fn push_from(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
        room: QueueLimits,
    ) -> bool {
        let Some(source) = PacketSource::new(from, to) else {
            return self.push(Some(&Addr::Ip(to)), bytes, room);
        };
        if !self.has_room(bytes.len(), room) {
            return false;
        }
        let to = match to {
            SocketAddr::V4(to) => To::V4From(to),
            SocketAddr::V6(to) => To::V6From(to),
        };
        source.encode(&mut self.bytes);
        self.push_bytes(to, bytes);
        true
    }

    #[inline]
    fn has_room(&mut self, len: usize, room: QueueLimits) -> bool {
        if self.list.len() >= room.packets || self.bytes.len() + len > room.bytes {
            self.close_up();
            return self.len() < room.packets && self.bytes.len() + len <= room.bytes;
        }
        true
    }

    #[inline]
    fn push_bytes(&mut self, to: To, bytes: &[u8]) {
        // The bytes last, so that nothing has to be kept over that call.
        self.list.push(QueuedPacket { start: self.bytes.len(), len: bytes.len(), to });
        self.bytes.extend_from_slice(bytes);
    }

    /// How many wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.list.len() - self.gone
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that wait, the next one first.
    #[inline]
    pub(crate) fn waiting(&self) -> &[QueuedPacket] {
        self.list.get(self.gone..).unwrap_or_default()
    }

    /// Whether the next one goes to whom the socket is connected.
    pub(crate) fn go_to_peer(&self) -> bool {
        self.waiting().first().is_some_and(|first| first.to == To::Peer)
    }

    #[inline]
    pub(crate) fn payload(&self, packet: &QueuedPacket) -> &[u8] {
        self.bytes.get(packet.start..packet.start + packet.len).unwrap_or_default()
    }

    /// The path or abstract name that a datagram goes to, as the system encodes it; none if it goes
    /// elsewhere.
    #[allow(dead_code, reason = "only where there are Unix sockets")]
    pub(crate) fn path(&self, packet: &QueuedPacket) -> Option<&[u8]> {
        let To::Path(len) = packet.to else { return None };
        self.bytes.get(packet.start.checked_sub(len)?..packet.start)
    }

    /// The address from which a datagram is to leave; none where the system chooses.
    #[allow(dead_code, reason = "only where a system can be told where something leaves from")]
    pub(crate) fn source(&self, packet: &QueuedPacket) -> Option<PacketSource> {
        if !matches!(packet.to, To::V4From(_) | To::V6From(_)) {
            return None;
        }
        PacketSource::decode(
            self.bytes.get(packet.start.checked_sub(packet.head())?..packet.start)?,
        )
    }

    /// The first `n` are gone.
    #[inline]
    pub(crate) fn advance(&mut self, n: usize) {
        self.gone = (self.gone + n).min(self.list.len());
        if self.is_empty() {
            self.clear();
        }
    }

    /// Forgets everything, and says how many that were.
    pub(crate) fn clear(&mut self) -> usize {
        let waited = self.len();
        self.gone = 0;
        self.list.clear();
        self.bytes.clear();
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
        waited
    }

    /// Moves those that wait to where those that are gone have been.
    fn close_up(&mut self) {
        if self.gone == 0 {
            return;
        }
        let Some(first) = self.list.get(self.gone) else { return };
        let begin = first.start - first.head();
        self.bytes.drain(..begin);
        self.list.drain(..self.gone);
        self.gone = 0;
        for packet in &mut self.list {
            packet.start -= begin;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    mod model;

    const ROOM: QueueLimits = QueueLimits { packets: 4, bytes: 40 };

    fn contents(packets: &SendQueue) -> Vec<Vec<u8>> {
        packets.waiting().iter().map(|packet| packets.payload(packet).to_vec()).collect()
    }

    #[test]
    fn packets_leave_in_order_and_the_empty_one_is_one() {
        let mut packets = SendQueue::default();
        let peer: SocketAddr = "[::1]:9".parse().unwrap();
        assert!(packets.push(Some(&Addr::Ip(peer)), b"one", ROOM));
        assert!(packets.push(None, b"", ROOM));
        assert!(packets.push(Some(&Addr::Unix(PathBuf::from("/a"))), b"two", ROOM));
        assert_eq!(contents(&packets), [b"one".to_vec(), b"".to_vec(), b"two".to_vec()]);
        let [first, second, third] = packets.waiting() else { panic!("three wait") };
        assert!(matches!(first.to, To::V6(addr) if SocketAddr::V6(addr) == peer));
        assert_eq!((second.to, packets.path(second)), (To::Peer, None));
        assert_eq!(packets.path(third), Some(&b"/a"[..]));
        packets.advance(2);
        assert_eq!(contents(&packets), [b"two"]);
        packets.advance(1);
        assert!(packets.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused_until_others_have_left() {
        let mut packets = SendQueue::default();
        let path = Addr::Unix(PathBuf::from("/abc"));
        for nth in 0..4 {
            assert!(packets.push(Some(&path), &[nth; 5], ROOM));
        }
        assert!(!packets.push(None, b"", ROOM), "four are enough");
        packets.advance(3);
        assert!(packets.push(None, &[9; 31], ROOM));
        assert!(!packets.push(None, b"x", ROOM), "the bytes are too many");
        assert_eq!(contents(&packets), [vec![3; 5], vec![9; 31]]);
        assert_eq!(packets.path(&packets.waiting()[0]), Some(&b"/abc"[..]));
        assert_eq!(packets.clear(), 2);
        assert!(!packets.push(None, &[0; 41], ROOM), "it would never fit");
    }

    #[test]
    fn an_empty_queue_keeps_little() {
        let mut packets = SendQueue::default();
        let room = QueueLimits { packets: 1, bytes: 4 * KEEP };
        assert!(packets.push(None, &vec![0; 2 * KEEP], room));
        packets.advance(1);
        assert_eq!(packets.bytes.capacity(), 0);
    }

    #[test]
    fn a_datagram_longer_than_the_limit_shows() {
        let mut inbox = RecvBuffers::new(8);
        for (len, truncated) in [(0, false), (8, false), (9, true)] {
            let (mut places, mut arrived) = inbox.places();
            let place = places.next().unwrap();
            assert_eq!(place.len(), 9);
            place.fill(7);
            arrived.next().unwrap().len = len;
            drop((places, arrived));
            let letter = inbox.letter(0).unwrap();
            assert_eq!((letter.bytes.len(), letter.truncated), (len.min(8), truncated));
        }
        assert!(inbox.letter(BATCH).is_none());
    }
}
