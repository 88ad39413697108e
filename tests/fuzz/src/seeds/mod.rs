//! Where the fuzzers begin: a dozen inputs of each target, by name, that reach what random bytes would be slow to find.
//!
//! `fuzz_seeds` writes them as files for `tests/fuzz/run`; the test `corpus` plays them as they are. What a fuzzer
//! finds becomes one more of them, under a name that says what it is.

pub(crate) mod conversations;
pub(crate) mod framing;
pub(crate) mod http;
pub(crate) mod redis;
pub(crate) mod socks;
pub(crate) mod texts;
pub(crate) mod websocket;

/// What an input is, and its bytes.
pub type Seed = (&'static str, Vec<u8>);

/// Seeds of which each is some choices and a text.
fn each<const N: usize>(seeds: [(&'static str, &[u8], &str); N]) -> Vec<Seed> {
    seeds.map(|(name, choices, text)| (name, [choices, text.as_bytes()].concat())).into()
}

/// Seeds that are written down as they are.
fn plain<const N: usize>(seeds: [(&'static str, &[u8]); N]) -> Vec<Seed> {
    seeds.map(|(name, bytes)| (name, bytes.to_vec())).into()
}
