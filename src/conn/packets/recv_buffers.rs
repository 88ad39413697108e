//! The buffers in which received datagrams lie while their handlers see them.

use std::path::{Path, PathBuf};

use super::{BATCH, Destination};
use crate::addr::Addr;
use crate::conn::page_aligned::PageAligned;

/// Slots for received datagrams; all datagram sockets of a loop share one set.
#[derive(Debug)]
pub(crate) struct RecvBuffers {
    bytes: PageAligned,
    /// The distance from one slot to the next, in bytes.
    stride: usize,
    /// The longest datagram that is not truncated. A slot holds one byte more, so that truncation
    /// shows on every system.
    max: usize,
    arrived: Box<[RecvSlot]>,
    /// The destination of each datagram of a socket bound to the wildcard. A separate array, so
    /// that other sockets need not fill it.
    destinations: Box<[Option<Destination>]>,
    /// Whether `destinations` belong to the last receive.
    has_destinations: bool,
    /// The datagram of a Unix socket, which uses the first slot only.
    unix: UnixRecvSlot,
    /// Whether the last receive was from a Unix socket.
    is_unix: bool,
}

/// A datagram of a Unix socket. The memory for its sender's name is reused, so that none costs an
/// allocation.
#[derive(Debug)]
pub(crate) struct UnixRecvSlot {
    pub(crate) len: usize,
    path: Addr,
    abstract_name: Addr,
    kind: UnixKind,
}

/// Which of the names is valid.
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

    /// The sender is bound to this path.
    #[allow(dead_code, reason = "only where there are Unix sockets")]
    pub(crate) fn set_path(&mut self, peer: &Path) {
        self.kind = UnixKind::Path;
        if let Addr::Unix(path) = &mut self.path {
            let path = path.as_mut_os_string();
            path.clear();
            path.push(peer);
        }
    }

    /// The sender is bound to this abstract name.
    #[allow(dead_code, reason = "only where there are Unix sockets")]
    pub(crate) fn set_abstract(&mut self, peer: &[u8]) {
        self.kind = UnixKind::Abstract;
        if let Addr::Abstract(name) = &mut self.abstract_name {
            name.clear();
            name.extend_from_slice(peer);
        }
    }

    /// The sender has no name.
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

/// The length and the sender of the datagram in the slot of the same number.
#[derive(Clone, Debug)]
pub(crate) struct RecvSlot {
    pub(crate) len: usize,
    pub(crate) peer: Addr,
}

/// A received datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) peer: &'a Addr,
    pub(crate) truncated: bool,
}

/// Slots at a distance of whole pages would compete for the same cache lines.
const CACHE_LINE: usize = 64;

const PAGE: usize = 4_096;

impl RecvBuffers {
    pub(crate) fn new(max: usize) -> RecvBuffers {
        let mut stride = max.saturating_add(1).next_multiple_of(CACHE_LINE);
        if stride % PAGE == 0 {
            stride += CACHE_LINE;
        }
        // The system maps a zeroed page when a datagram is written to it.
        let bytes = PageAligned::zeroed(stride * BATCH);
        let arrived = vec![RecvSlot { len: 0, peer: Addr::Unnamed }; BATCH].into_boxed_slice();
        let (destinations, unix) = (Box::default(), UnixRecvSlot::new());
        let has_destinations = false;
        let is_unix = false;
        RecvBuffers { bytes, stride, max, arrived, destinations, has_destinations, unix, is_unix }
    }

    /// The slots to fill, with the place for the length and sender of each.
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

    /// As [`RecvBuffers::slots`], for a socket that reports destinations.
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

    /// Whether the destinations of the last receive are known.
    #[inline]
    pub(crate) fn has_destinations(&self) -> bool {
        self.has_destinations
    }

    /// The destination of the datagram in slot `nth`; `None` if it is not known.
    pub(crate) fn destination(&self, nth: usize) -> Option<Destination> {
        self.destinations.get(nth).copied().flatten().filter(|_| self.has_destinations)
    }

    /// The first slot, for a datagram of a Unix socket.
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
