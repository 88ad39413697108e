//! See `src/file_names.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| socketserver_fuzz::file_names::run(data));
