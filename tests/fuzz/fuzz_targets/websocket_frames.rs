//! See `src/websocket_frames.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| socketserver_fuzz::websocket_frames::run(data));
