//! See `src/websocket_heads.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| socketserver_fuzz::websocket_heads::run(data));
