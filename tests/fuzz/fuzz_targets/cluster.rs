//! See `src/cluster.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| socketserver_fuzz::cluster::run(data));
