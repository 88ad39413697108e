//! The same client scripts against every mode of ours and against Python's own `socketserver`, which
//! runs the same services; what the clients hear must be the same, byte for byte.
//!
//! Where Python rightly says something else, `table.rs` lists it with the reason, and it must be seen
//! to differ. One more difference concerns no client: a handler's error is a traceback there and one
//! line of the log here.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop anywhere"
)]

#[cfg(unix)]
mod client;
#[cfg(unix)]
#[path = "../command/mod.rs"]
mod command;
#[cfg(unix)]
mod own;
#[cfg(unix)]
mod servers;
#[cfg(unix)]
mod table;

#[cfg(not(unix))]
fn main() {
    println!("skipped: it needs Unix sockets and processes");
}

#[cfg(unix)]
fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["own", words @ ..] = &words[..] {
        let error = own::serve(words).expect_err("it serves for ever");
        panic!("{error}");
    }
    servers::run();
}
