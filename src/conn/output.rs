//! Output: the bytes that wait to be written.
//!
//! A connection without output owns no buffer. One with output borrows a buffer from the
//! [`BufferPool`] of its loop and returns it when it is empty, so a busy server sends without
//! allocating.
//!
//! Bytes that many connections send are not copied. Each connection keeps a reference to them, in
//! the order of everything else it sends.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use super::byte_buffer::has_spare;

/// The output of one connection, in order.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Output(Option<Box<Buffer>>);

#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
struct Buffer {
    bytes: Vec<u8>,
    /// The length of the sent part of `bytes`. Less than all of them, unless chunks follow or the
    /// buffer is in the pool.
    sent: usize,
    /// The output behind `bytes`. Does not begin with an owned chunk while `bytes` are all sent.
    chunks: VecDeque<Chunk>,
    /// The number of unsent bytes in `chunks`.
    chunks_len: usize,
    /// Its spare memory was noted, and is given back later.
    is_noted: bool,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
enum Chunk {
    Owned(Vec<u8>),
    Shared { bytes: Arc<[u8]>, sent: usize },
}

impl Output {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |buffer| buffer.len())
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// All unsent bytes, if they are contiguous; `None` if they are not, or if there are none.
    #[inline]
    pub(super) fn unsent(&self) -> Option<&[u8]> {
        let buffer = self.0.as_ref()?;
        if buffer.chunks.is_empty() { Some(buffer.front()) } else { None }
    }

    /// Fills `slices` with unsent bytes, in order.
    pub(super) fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> Gathered {
        let mut gathered = Gathered { slices: 0, bytes: 0 };
        let Some(buffer) = &self.0 else { return gathered };
        let chunks = std::iter::once(buffer.front()).chain(buffer.chunks.iter().map(Chunk::unsent));
        for (slice, chunk) in slices.iter_mut().zip(chunks.filter(|chunk| !chunk.is_empty())) {
            *slice = IoSlice::new(chunk);
            gathered.slices += 1;
            gathered.bytes += chunk.len();
        }
        gathered
    }

    /// Appends `bytes` and returns the length of the output.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8], pool: &mut BufferPool) -> usize {
        if bytes.is_empty() {
            return self.len();
        }
        let buffer = self.0.get_or_insert_with(|| pool.take());
        if !buffer.chunks.is_empty() {
            buffer.push_chunk(bytes);
            return buffer.len();
        }
        if buffer.sent > 0 {
            buffer.compact();
        }
        buffer.bytes.extend_from_slice(bytes);
        buffer.bytes.len() - buffer.sent
    }

    /// Appends `bytes` without their first `sent`, and without a copy. Returns the length of the
    /// output.
    pub(super) fn push_shared(
        &mut self,
        bytes: &Arc<[u8]>,
        sent: usize,
        pool: &mut BufferPool,
    ) -> usize {
        let len = bytes.len().saturating_sub(sent);
        if len == 0 {
            return self.len();
        }
        let buffer = self.0.get_or_insert_with(|| pool.take());
        buffer.chunks.push_back(Chunk::Shared { bytes: Arc::clone(bytes), sent });
        buffer.chunks_len += len;
        buffer.len()
    }

    /// Puts `bytes` in front of the output.
    #[cold]
    pub(super) fn push_front(&mut self, bytes: &[u8], pool: &mut BufferPool) {
        if bytes.is_empty() {
            return;
        }
        let mut others = std::mem::take(self);
        self.push(bytes, pool);
        let (Some(buffer), Some(other)) = (&mut self.0, &mut others.0) else { return };
        buffer.bytes.extend_from_slice(other.front());
        std::mem::swap(&mut buffer.chunks, &mut other.chunks);
        buffer.chunks_len = other.chunks_len;
        others.clear(pool);
    }

    /// Removes the first `n` unsent bytes, which were sent.
    #[inline]
    pub(super) fn advance(&mut self, n: usize, pool: &mut BufferPool) {
        let Some(buffer) = &mut self.0 else { return };
        if buffer.chunks.is_empty() {
            buffer.sent += n;
            debug_assert!(buffer.sent <= buffer.bytes.len());
        } else {
            buffer.advance_chunks(n);
        }
        if buffer.sent >= buffer.bytes.len() && buffer.chunks.is_empty() {
            self.clear(pool);
        }
    }

    /// Whether much more memory is held than bytes; `true` once, until [`Output::trim`].
    pub(super) fn take_spare(&mut self) -> bool {
        let Some(buffer) = &mut self.0 else { return false };
        let spare = !buffer.is_noted && buffer.has_spare();
        buffer.is_noted |= spare;
        spare
    }

    /// Gives back the memory that is not needed.
    pub(super) fn trim(&mut self) {
        let Some(buffer) = &mut self.0 else { return };
        buffer.is_noted = false;
        if buffer.has_spare() {
            buffer.bytes.drain(..buffer.sent);
            buffer.sent = 0;
            buffer.bytes.shrink_to_fit();
        }
    }

    /// Drops the output.
    #[inline]
    pub(super) fn clear(&mut self, pool: &mut BufferPool) {
        if let Some(buffer) = self.0.take() {
            pool.give_back(buffer);
        }
    }
}

/// The amount of output that was gathered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Gathered {
    pub(super) slices: usize,
    pub(super) bytes: usize,
}

impl Chunk {
    fn unsent(&self) -> &[u8] {
        match self {
            Chunk::Owned(bytes) => bytes,
            Chunk::Shared { bytes, sent } => bytes.get(*sent..).unwrap_or_default(),
        }
    }
}

impl Buffer {
    #[inline]
    fn len(&self) -> usize {
        self.bytes.len() - self.sent + self.chunks_len
    }

    #[inline]
    fn front(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    fn has_spare(&self) -> bool {
        has_spare(self.bytes.capacity(), self.front().len())
    }

    fn push_chunk(&mut self, bytes: &[u8]) {
        self.chunks_len += bytes.len();
        if let Some(Chunk::Owned(last)) = self.chunks.back_mut() {
            last.extend_from_slice(bytes);
        } else {
            self.chunks.push_back(Chunk::Owned(bytes.to_vec()));
        }
    }

    /// Removes the first `n` unsent bytes, which may reach into `chunks`.
    fn advance_chunks(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        let own = n.min(self.bytes.len() - self.sent);
        self.sent += own;
        let mut rest = n - own;
        while self.sent == self.bytes.len() {
            match self.chunks.pop_front() {
                None => break,
                Some(Chunk::Owned(bytes)) => {
                    self.chunks_len -= bytes.len();
                    self.sent = rest.min(bytes.len());
                    rest -= self.sent;
                    self.bytes = bytes;
                }
                Some(Chunk::Shared { bytes, sent }) => {
                    let left = bytes.len() - sent;
                    self.chunks_len -= rest.min(left);
                    if rest < left {
                        self.chunks.push_front(Chunk::Shared { bytes, sent: sent + rest });
                        break;
                    }
                    rest -= left;
                }
            }
        }
    }

    /// Moves only when more was sent than is left, so the cost of all moves stays below the number
    /// of bytes ever sent.
    #[cold]
    fn compact(&mut self) {
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

/// The empty buffers of one loop, warm from their last use.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct BufferPool {
    #[expect(
        clippy::vec_box,
        reason = "the box moves to an `Output`, where one word is all it costs"
    )]
    spare: Vec<Box<Buffer>>,
}

/// The limits of the pool, 4 MiB in all; other buffers go back to the allocator.
const POOL_BUFFERS: usize = 1_024;
const POOL_BUFFER_SIZE: usize = 4 << 10;
const POOL_CHUNKS: usize = 8;
/// How many are kept when a burst is over.
const QUIET_BUFFERS: usize = 64;

impl BufferPool {
    #[expect(clippy::unnecessary_box_returns, reason = "the box is what is kept")]
    #[inline]
    fn take(&mut self) -> Box<Buffer> {
        self.spare.pop().unwrap_or_default()
    }

    #[inline]
    fn give_back(&mut self, mut buffer: Box<Buffer>) {
        let is_small =
            buffer.bytes.capacity() <= POOL_BUFFER_SIZE && buffer.chunks.capacity() <= POOL_CHUNKS;
        if is_small && self.spare.len() < POOL_BUFFERS {
            buffer.bytes.clear();
            buffer.sent = 0;
            buffer.chunks.clear();
            buffer.chunks_len = 0;
            buffer.is_noted = false;
            self.spare.push(buffer);
        }
    }

    /// Whether it keeps more buffers than a quiet loop needs.
    pub(crate) fn has_spare(&self) -> bool {
        self.spare.len() > QUIET_BUFFERS
    }

    /// Gives back the buffers that a quiet loop does not need.
    pub(crate) fn trim(&mut self) {
        self.spare.truncate(QUIET_BUFFERS);
        self.spare.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests;
