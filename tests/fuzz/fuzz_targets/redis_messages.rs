//! See `src/redis_messages.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| socketserver_fuzz::redis_messages::run(data));
