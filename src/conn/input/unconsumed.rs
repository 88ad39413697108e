//! Input that a handler has not consumed yet.

use super::{Input, ScanState};
use crate::conn::byte_buffer::ByteBuffer;

/// Unconsumed bytes, on the heap only while there are any.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Unconsumed(pub(super) Option<Box<UnconsumedBytes>>);

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct UnconsumedBytes {
    pub(super) bytes: ByteBuffer,
    /// The offset of the first unconsumed byte.
    pub(super) start: usize,
    scan: ScanState,
    /// The time at which the first unconsumed byte arrived, on the clock of the loop.
    since: u64,
    /// Its spare memory was noted, and is given back later.
    is_noted: bool,
}

impl Unconsumed {
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |inner| inner.bytes.len() - inner.start)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the handler requires more bytes than there are.
    pub(crate) fn needs_more(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.bytes.len() - inner.start < inner.scan.needed)
    }

    /// The unconsumed bytes as the handler sees them.
    pub(crate) fn input(&self) -> Input<'_> {
        match &self.0 {
            None => Input::new(&[]),
            Some(inner) => {
                Input { rest: inner.bytes.get(inner.start..).unwrap_or_default(), scan: inner.scan }
            }
        }
    }

    /// Appends `bytes`. The first ones get an allocation of exactly their size: ten thousand
    /// connections with half a line each cost ten thousand half lines.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if let Some(inner) = &mut self.0 {
            // Moving only when more was consumed than is left keeps the cost of all moves below the
            // number of bytes that ever arrived.
            if inner.start > inner.bytes.len() / 2 {
                inner.bytes.drain_front(inner.start);
                inner.start = 0;
            }
            inner.bytes.extend_from_slice(bytes);
        } else if !bytes.is_empty() {
            let inner = UnconsumedBytes {
                bytes: ByteBuffer::of(bytes),
                start: 0,
                scan: ScanState::default(),
                since: 0,
                is_noted: false,
            };
            self.0 = Some(Box::new(inner));
        }
    }

    /// Reserves space for `more` bytes. Capacity grows by doubling, but not above `most`.
    pub(crate) fn reserve(&mut self, more: usize, most: usize) {
        let Some(UnconsumedBytes { bytes, .. }) = self.0.as_deref_mut() else { return };
        let needed = bytes.len().saturating_add(more);
        if needed > bytes.capacity() {
            let room = bytes.capacity().saturating_mul(2).min(most).max(needed);
            bytes.reserve_total(room);
        }
    }

    /// The number of bytes that fit without another allocation.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |inner| inner.bytes.capacity())
    }

    /// Whether much more memory is held than bytes; `true` once, until [`Unconsumed::trim`].
    pub(crate) fn take_spare(&mut self) -> bool {
        let Some(inner) = &mut self.0 else { return false };
        let spare = !inner.is_noted && inner.bytes.has_spare(inner.bytes.len() - inner.start);
        inner.is_noted |= spare;
        spare
    }

    /// Gives back the memory that is not needed.
    pub(crate) fn trim(&mut self) {
        let Some(inner) = &mut self.0 else { return };
        inner.is_noted = false;
        if inner.bytes.has_spare(inner.bytes.len() - inner.start) {
            inner.bytes.drain_front(inner.start);
            inner.start = 0;
            inner.bytes.shrink();
        }
    }

    /// The time at which the first byte arrived; 0 if there is none.
    pub(in crate::conn) fn waiting_since(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.since)
    }

    /// Restarts the wait at `now`: until then the input was blocked on our side.
    pub(crate) fn restart_wait(&mut self, now: u64) {
        if let Some(inner) = &mut self.0 {
            inner.since = now;
        }
    }

    /// Keeps what a handler left of [`Unconsumed::input`]; frees the memory if it left nothing.
    pub(crate) fn store_remainder(&mut self, remainder: Remainder, now: u64) {
        let Some(inner) = &mut self.0 else { return };
        let start = inner.bytes.len().saturating_sub(remainder.len);
        if start > inner.start {
            inner.since = now;
        }
        inner.start = start;
        inner.scan = remainder.scan;
        if remainder.len == 0 {
            self.0 = None;
        }
    }

    /// Copies what a handler left of bytes that are not stored here yet.
    pub(crate) fn store(&mut self, input: &Input<'_>, now: u64) {
        debug_assert!(self.is_empty());
        self.append(input.rest);
        if let Some(inner) = &mut self.0 {
            inner.scan = input.scan;
            inner.since = now;
        }
    }
}

/// The part of an [`Input`] that a handler left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remainder {
    len: usize,
    scan: ScanState,
}

impl Input<'_> {
    pub(crate) fn remainder(&self) -> Remainder {
        Remainder { len: self.len(), scan: self.scan }
    }
}
