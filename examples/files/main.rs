//! Uploads done right: `cargo run --example files -- serve DIR 127.0.0.1:7000` keeps what `cargo run
//! --example files -- put FILE 127.0.0.1:7000` sends, whole and under its name, or not at all.
//!
//! The technique: work that blocks, with back-pressure. Every touch of the disk is handed to a
//! worker with [`socketserver::Context::offload`], and the connection is paused until it is done, so
//! each upload has at most one piece of work and one piece of data under way: memory is bounded, and
//! a slow disk slows only those who write to it.
//!
//! The protocol: the client says `put NAME SIZE BLAKE3 new|replace` and a newline; the server
//! answers `have N`; the client sends the file from byte N on; the server answers `done`, or at any
//! time `error` and why. The checksum is BLAKE3 because it is safe against forgery, has no rival in
//! speed, and its crate is kept by its authors.

use std::path::Path;

mod name;
mod partial;
mod put;
mod serve;
#[path = "../support/signals.rs"]
mod signals;
mod upload;

const USAGE: &str = "usage: files serve DIR LISTEN_ADDR [--keep SECONDS]
       files put FILE ADDR [--as NAME] [--replace]

serve  keeps uploads in DIR; an unfinished one is kept for a day, or --keep, to be resumed
put    uploads FILE and resumes one that was cut; exits with 0 once it is kept, with 1 when it is
       not, with 2 when it was asked wrongly";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = match words[..] {
        ["serve", dir, addr] => serve::serve(Path::new(dir), addr, "86400"),
        ["serve", dir, addr, "--keep", keep] => serve::serve(Path::new(dir), addr, keep),
        ["put", file, addr] => put::put(file, addr, None, false),
        ["put", file, addr, "--replace"] => put::put(file, addr, None, true),
        ["put", file, addr, "--as", name] => put::put(file, addr, Some(name), false),
        ["put", file, addr, "--as", name, "--replace"] => put::put(file, addr, Some(name), true),
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(2);
        }
    };
    if let Err(error) = ended {
        eprintln!("files: {error}");
        std::process::exit(if error.kind() == std::io::ErrorKind::InvalidInput { 2 } else { 1 });
    }
}
