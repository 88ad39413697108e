//! See `src/http_bodies.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| socketserver_fuzz::http_bodies::run(data));
