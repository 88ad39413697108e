//! A block of memory that begins with a page.
//!
//! An allocator puts its own few bytes before a large block, so that begins 16 bytes behind the
//! page. On some processors the kernel's copy to there takes twice as long; `benches/peers` shows it.

use std::ops::{Deref, DerefMut};

#[derive(Debug, Default)]
pub(crate) struct PageAligned {
    memory: Box<[u8]>,
    start: usize,
    end: usize,
}

const PAGE: usize = 4_096;

impl PageAligned {
    /// Zeroes, for which the system gives no page before something is written there.
    pub(crate) fn zeroed(len: usize) -> PageAligned {
        let memory = vec![0; len.saturating_add(PAGE)].into_boxed_slice();
        // Where it cannot be told, any place will do.
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
