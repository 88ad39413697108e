//! A block of memory that starts on a page boundary.
//!
//! An allocator puts its header before a large block, which then starts 16 bytes past the page. On
//! some processors the kernel's copy to such an address takes twice as long; `benches/peers` shows
//! it.

use std::ops::{Deref, DerefMut};

#[derive(Debug, Default)]
pub(crate) struct PageAligned {
    memory: Box<[u8]>,
    start: usize,
    end: usize,
}

const PAGE: usize = 4_096;

impl PageAligned {
    /// Allocates `len` zeroed bytes. The system maps no page before it is written to.
    pub(crate) fn zeroed(len: usize) -> PageAligned {
        let memory = vec![0; len.saturating_add(PAGE)].into_boxed_slice();
        // `align_offset` may return `usize::MAX`; then any offset is as good.
        let start = memory.as_ptr().align_offset(PAGE).min(PAGE);
        PageAligned { memory, start, end: start + len }
    }
}

impl Deref for PageAligned {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or_default()
    }
}

impl DerefMut for PageAligned {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_long_as_asked_for_and_begins_with_a_page() {
        for len in [1, 100, 4_096, 262_144] {
            let mut block = PageAligned::zeroed(len);
            assert_eq!(block.len(), len);
            assert_eq!(block.as_ptr().align_offset(PAGE), 0);
            block.fill(7);
            assert!(block.iter().all(|byte| *byte == 7));
        }
    }
}
