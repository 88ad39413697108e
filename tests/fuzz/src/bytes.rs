//! The bytes of one run: choices are taken from their front, and what is left is cut into pieces.

/// What is left of the bytes of one run; where none are left, every choice is 0.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Less than `n`, which is at most 256.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    pub(crate) fn number<const N: usize>(&mut self) -> u64 {
        (0..N).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// At most `n` of them.
    pub(crate) fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Cuts `bytes` into pieces: one, if `seed` is 0, single bytes, if it is 1, and otherwise pieces
/// whose lengths follow from it.
pub(crate) fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let mut state = u32::from(seed) << 8 | 1;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let n = match seed {
            0 => rest.len(),
            1 => 1,
            _ => {
                // Marsaglia's xorshift.
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                1 + state as usize % (1 << (2 + seed % 6))
            }
        };
        let (piece, behind) = rest.split_at(n.min(rest.len()));
        rest = behind;
        Some(piece)
    })
}
