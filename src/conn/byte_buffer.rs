//! A growing buffer whose memory goes back to the system: from some size on it has pages of its own.
//!
//! An allocator keeps what is freed below the top of its heap, so thousands of large buffers that
//! were held at the same time would stay in the process for ever. A mapping of its own
//! (`mmap(2)`, by `memmap2`) is unmapped with its buffer. Mapping pages costs some microseconds, so a
//! loop keeps a few of them for the next buffer ([`keep_pages`], [`drop_kept_pages`]).

use std::ops::Deref;

/// Bytes in one piece; taken away at the front, appended at the end.
#[derive(Debug)]
pub(crate) struct ByteBuffer(Storage);

#[derive(Debug)]
enum Storage {
    Heap(Vec<u8>),
    #[cfg(feature = "sys")]
    Pages(pages::Pages),
}

/// From this size on a buffer has pages of its own; below, they would be mostly empty.
const PAGES_MIN: usize = 32 << 10;

/// A buffer of less capacity is not worth shrinking.
const SPARE_MIN: usize = 16 << 10;

/// Whether a buffer of this capacity is worth shrinking when `used` bytes are needed.
pub(super) fn has_spare(capacity: usize, used: usize) -> bool {
    capacity >= SPARE_MIN && capacity / 4 > used
}

impl ByteBuffer {
    /// A copy of `bytes`, in memory for them alone.
    pub(crate) fn of(bytes: &[u8]) -> ByteBuffer {
        let mut buffer = ByteBuffer(Storage::with_capacity(bytes.len()));
        buffer.extend_from_slice(bytes);
        buffer
    }

    pub(crate) fn capacity(&self) -> usize {
        match &self.0 {
            Storage::Heap(bytes) => bytes.capacity(),
            #[cfg(feature = "sys")]
            Storage::Pages(pages) => pages.capacity(),
        }
    }

    /// Appends `bytes`; capacity grows by doubling.
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        let needed = self.len() + bytes.len();
        if needed > self.capacity() && needed >= PAGES_MIN {
            self.move_to(needed.max(self.capacity().saturating_mul(2)));
        }
        match &mut self.0 {
            Storage::Heap(own) => own.extend_from_slice(bytes),
            #[cfg(feature = "sys")]
            Storage::Pages(pages) => pages.append(bytes),
        }
    }

    /// Makes the capacity at least this many bytes.
    pub(crate) fn reserve_total(&mut self, capacity: usize) {
        if capacity > self.capacity() {
            self.move_to(capacity);
        }
    }

    /// Removes the first `n` bytes.
    pub(crate) fn drain_front(&mut self, n: usize) {
        match &mut self.0 {
            Storage::Heap(bytes) => drop(bytes.drain(..n)),
            #[cfg(feature = "sys")]
            Storage::Pages(pages) => pages.drain_front(n),
        }
    }

    /// Whether it has spare memory when `used` bytes are needed.
    pub(crate) fn has_spare(&self, used: usize) -> bool {
        has_spare(self.capacity(), used)
    }

    /// Gives back what it does not need.
    pub(crate) fn shrink(&mut self) {
        self.move_to(self.len());
    }

    fn move_to(&mut self, capacity: usize) {
        let mut storage = Storage::with_capacity(capacity);
        match &mut storage {
            Storage::Heap(bytes) => bytes.extend_from_slice(self),
            #[cfg(feature = "sys")]
            Storage::Pages(pages) => pages.append(self),
        }
        self.0 = storage;
    }
}

impl Storage {
    fn with_capacity(capacity: usize) -> Storage {
        #[cfg(feature = "sys")]
        if capacity >= PAGES_MIN {
            // The process may have no mapping left (`vm.max_map_count`).
            if let Some(pages) = pages::Pages::with_capacity(capacity) {
                return Storage::Pages(pages);
            }
        }
        Storage::Heap(Vec::with_capacity(capacity))
    }
}

impl Deref for ByteBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Storage::Heap(bytes) => bytes,
            #[cfg(feature = "sys")]
            Storage::Pages(pages) => pages.bytes(),
        }
    }
}

#[cfg(test)]
impl Clone for ByteBuffer {
    fn clone(&self) -> ByteBuffer {
        ByteBuffer::of(self)
    }
}

#[cfg(feature = "sys")]
pub(crate) use pages::{drop_kept_pages, keep_pages};

/// Without mappings nothing is kept.
#[cfg(not(feature = "sys"))]
pub(crate) fn keep_pages() {}

#[cfg(not(feature = "sys"))]
pub(crate) fn drop_kept_pages() {}

#[cfg(feature = "sys")]
mod pages {
    use std::cell::RefCell;

    use memmap2::MmapMut;

    /// A mapping, of which the first bytes are used; pages that were never written to take no memory.
    #[derive(Debug)]
    pub(super) struct Pages {
        /// `None` only while it is dropped.
        map: Option<MmapMut>,
        len: usize,
    }

    impl Pages {
        /// The capacity is a power of two, so that a kept mapping fits the next buffer.
        pub(super) fn with_capacity(capacity: usize) -> Option<Pages> {
            let capacity = capacity.checked_next_power_of_two()?;
            let map = take_kept(capacity).or_else(|| MmapMut::map_anon(capacity).ok())?;
            Some(Pages { map: Some(map), len: 0 })
        }

        fn map(&self) -> &[u8] {
            self.map.as_deref().unwrap_or_default()
        }

        pub(super) fn capacity(&self) -> usize {
            self.map().len()
        }

        pub(super) fn bytes(&self) -> &[u8] {
            self.map().get(..self.len).unwrap_or_default()
        }

        /// The bytes must fit.
        pub(super) fn append(&mut self, bytes: &[u8]) {
            let end = self.len + bytes.len();
            debug_assert!(end <= self.capacity());
            let map = self.map.as_deref_mut().unwrap_or_default();
            if let Some(free) = map.get_mut(self.len..end) {
                free.copy_from_slice(bytes);
                self.len = end;
            }
        }

        pub(super) fn drain_front(&mut self, n: usize) {
            let (n, len) = (n.min(self.len), self.len);
            self.map.as_deref_mut().unwrap_or_default().copy_within(n..len, 0);
            self.len = len - n;
        }
    }

    impl Drop for Pages {
        fn drop(&mut self) {
            if let Some(map) = self.map.take() {
                // At the end of the thread there is nothing to keep it for.
                let _ = KEPT.try_with(|kept| kept.borrow_mut().keep(map));
            }
        }
    }

    /// Mappings for the next buffers of this thread.
    #[derive(Debug, Default)]
    struct Kept {
        maps: Vec<MmapMut>,
        bytes: usize,
        most: usize,
    }

    /// The most bytes that a loop keeps.
    pub(super) const MOST_KEPT: usize = 4 << 20;

    thread_local! {
        static KEPT: RefCell<Kept> = RefCell::default();
    }

    impl Kept {
        fn keep(&mut self, map: MmapMut) {
            if self.bytes + map.len() <= self.most {
                self.bytes += map.len();
                self.maps.push(map);
            }
        }
    }

    fn take_kept(capacity: usize) -> Option<MmapMut> {
        KEPT.with(|kept| {
            let kept = &mut *kept.borrow_mut();
            // At most `MOST_KEPT / PAGES_MIN`, which are 128.
            let nth = kept.maps.iter().rposition(|map| map.len() == capacity)?;
            kept.bytes -= capacity;
            Some(kept.maps.swap_remove(nth))
        })
    }

    /// From now on this thread keeps a few mappings: it is that of a loop.
    pub(crate) fn keep_pages() {
        KEPT.with(|kept| kept.borrow_mut().most = MOST_KEPT);
    }

    #[cfg(test)]
    pub(super) fn kept_bytes() -> usize {
        KEPT.with(|kept| kept.borrow().maps.iter().map(|map| map.len()).sum())
    }

    /// Gives back the mappings that are kept.
    pub(crate) fn drop_kept_pages() {
        KEPT.with(|kept| {
            let kept = &mut *kept.borrow_mut();
            kept.maps = Vec::new();
            kept.bytes = 0;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_and_drained_is_there_however_it_is_stored() {
        let mut buffer = ByteBuffer::of(b"0123");
        let mut model = b"0123".to_vec();
        for round in 0..200_u8 {
            let more = vec![round; 701];
            buffer.extend_from_slice(&more);
            model.extend_from_slice(&more);
            if round % 7 == 6 {
                buffer.drain_front(1_000);
                model.drain(..1_000);
            }
            assert!(buffer[..] == model[..] && buffer.capacity() >= buffer.len());
        }
        assert_eq!(cfg!(feature = "sys"), !matches!(buffer.0, Storage::Heap(_)));
        let rest = buffer.len() - 10;
        buffer.drain_front(rest);
        assert!(buffer.has_spare(buffer.len()));
        buffer.shrink();
        assert!(buffer[..] == model[rest..] && buffer.capacity() <= 64);
        assert!(!buffer.has_spare(buffer.len()));
    }

    #[test]
    #[cfg(feature = "sys")]
    fn a_loop_keeps_few_pages_and_gives_them_back() {
        let large = vec![7; PAGES_MIN];
        let drop_many = || drop((0..1_000).map(|_| ByteBuffer::of(&large)).collect::<Vec<_>>());
        drop_many();
        assert_eq!(pages::kept_bytes(), 0, "this thread is not that of a loop yet");
        keep_pages();
        drop_many();
        assert_eq!(pages::kept_bytes(), pages::MOST_KEPT);
        let again = ByteBuffer::of(&large);
        assert_eq!(pages::kept_bytes(), pages::MOST_KEPT - again.capacity(), "it is used again");
        assert!(again.iter().all(|byte| *byte == 7));
        drop_kept_pages();
        assert_eq!(pages::kept_bytes(), 0);
    }
}
