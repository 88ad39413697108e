//! A small generator (`splitmix64`), and the bytes that every stream of a simulated run consists of.

use std::sync::LazyLock;

#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 when there is none.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (((self.next() >> 32) * n as u64) >> 32) as usize
    }

    /// A number from `low` to `high`.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True `percent` times of a hundred.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// A stream is a window of these random bytes, so what belongs to one place of one stream fits to
/// no other place and to no other stream.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = Random::new(1);
    let once: Vec<u8> = (0..PERIOD).map(|_| random.next() as u8).collect();
    [once.clone(), once].concat()
});

const PERIOD: usize = 1 << 16;

/// Whether these are the bytes from `at` on of one stream.
pub(crate) fn is_part(stream: u32, mut at: u64, given: &[u8]) -> bool {
    given.chunks(PERIOD).all(|chunk| {
        let begin = at;
        at += chunk.len() as u64;
        bytes(stream, begin, chunk.len()) == chunk
    })
}

/// The `n` bytes from `at` on of one stream; not more than a period.
pub(crate) fn bytes(stream: u32, at: u64, n: usize) -> &'static [u8] {
    let start = (stream as usize * 7_919 + at as usize) % PERIOD;
    &BYTES[start..start + n]
}
