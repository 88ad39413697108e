//! See `src/socks.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| socketserver_fuzz::socks::run(data));
