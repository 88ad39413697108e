//! Where bytes wait that a handler left.

use super::{Input, ScanState};

/// Bytes that a handler left, on the heap only while there are any.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Unconsumed(pub(super) Option<Box<KeptBytes>>);

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct KeptBytes {
    pub(super) bytes: Vec<u8>,
    /// Where the bytes that are not taken begin.
    pub(super) start: usize,
    progress: ScanState,
    /// Since when the first of them wait, on the clock of the loop.
    since: u64,
}

impl Unconsumed {
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |kept| kept.bytes.len() - kept.start)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the handler needs more than there is before it can go on.
    pub(crate) fn needs_more(&self) -> bool {
        self.0.as_ref().is_some_and(|kept| kept.bytes.len() - kept.start < kept.progress.needed)
    }

    /// The bytes held, as a handler shall see them.
    pub(crate) fn input(&self) -> Input<'_> {
        match &self.0 {
            None => Input::new(&[]),
            Some(kept) => Input {
                rest: kept.bytes.get(kept.start..).unwrap_or_default(),
                progress: kept.progress,
            },
        }
    }

    /// Puts what came in behind what is held. The first bytes get a place of exactly their size:
    /// ten thousand connections that each hold half a line cost ten thousand half lines.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if let Some(kept) = &mut self.0 {
            // Moving the rest to the front only when at least as much was taken keeps the cost of
            // all moves below the number of bytes that ever came in.
            if kept.start > kept.bytes.len() / 2 {
                kept.bytes.drain(..kept.start);
                kept.start = 0;
            }
            kept.bytes.extend_from_slice(bytes);
        } else if !bytes.is_empty() {
            let kept = KeptBytes {
                bytes: bytes.to_vec(),
                start: 0,
                progress: ScanState::default(),
                since: 0,
            };
            self.0 = Some(Box::new(kept));
        }
    }

    /// Room for `more` bytes behind what is held. Room grows by doubling, but not above `most`.
    pub(crate) fn make_room(&mut self, more: usize, most: usize) {
        let Some(KeptBytes { bytes, .. }) = self.0.as_deref_mut() else { return };
        let needed = bytes.len().saturating_add(more);
        if needed > bytes.capacity() {
            let room = bytes.capacity().saturating_mul(2).min(most).max(needed);
            bytes.reserve_exact(room - bytes.len());
        }
    }

    /// How many bytes have room without another allocation.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.0.as_ref().map_or(0, |kept| kept.bytes.capacity())
    }

    /// Since when the first of them wait.
    pub(in crate::conn) fn since(&self) -> u64 {
        self.0.as_ref().map_or(0, |kept| kept.since)
    }

    /// They wait since now: before, they would not have been taken in any case.
    pub(crate) fn restart(&mut self, now: u64) {
        if let Some(kept) = &mut self.0 {
            kept.since = now;
        }
    }

    /// Remembers what a handler left of [`Unconsumed::input`]; frees everything when that was nothing.
    pub(crate) fn keep(&mut self, left: Remainder, now: u64) {
        let Some(kept) = &mut self.0 else { return };
        let start = kept.bytes.len().saturating_sub(left.len);
        if start > kept.start {
            kept.since = now;
        }
        kept.start = start;
        kept.progress = left.progress;
        if left.len == 0 {
            self.0 = None;
        }
    }

    /// Takes over what a handler left of bytes that are not held yet.
    pub(crate) fn hold(&mut self, input: &Input<'_>, now: u64) {
        debug_assert!(self.is_empty());
        self.append(input.rest);
        if let Some(kept) = &mut self.0 {
            kept.progress = input.progress;
            kept.since = now;
        }
    }
}

/// What a handler left of an [`Input`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remainder {
    len: usize,
    progress: ScanState,
}

impl Input<'_> {
    pub(crate) fn left(&self) -> Remainder {
        Remainder { len: self.len(), progress: self.progress }
    }
}
