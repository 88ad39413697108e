//! Where datagrams that have come lie while their handlers see them.

use std::path::{Path, PathBuf};

use super::{BATCH, Destination};
use crate::addr::Addr;
use crate::conn::page_aligned::PageAligned;

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
    pub(crate) fn slots(
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
    pub(crate) fn slots_with_destination(
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
    pub(crate) fn unix_slot(&mut self) -> Option<(&mut [u8], &mut UnixRecvSlot)> {
        self.is_unix = true;
        self.has_destinations = false;
        Some((self.bytes.get_mut(..=self.max)?, &mut self.unix))
    }

    #[inline]
    pub(crate) fn packet(&self, nth: usize) -> Option<Packet<'_>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_longer_than_the_limit_shows() {
        let mut buffers = RecvBuffers::new(8);
        for (len, truncated) in [(0, false), (8, false), (9, true)] {
            let (mut places, mut arrived) = buffers.slots();
            let place = places.next().unwrap();
            assert_eq!(place.len(), 9);
            place.fill(7);
            arrived.next().unwrap().len = len;
            drop((places, arrived));
            let packet = buffers.packet(0).unwrap();
            assert_eq!((packet.bytes.len(), packet.truncated), (len.min(8), truncated));
        }
        assert!(buffers.packet(BATCH).is_none());
    }
}
