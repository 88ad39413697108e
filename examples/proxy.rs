//! A TCP relay with back-pressure in both directions: `cargo run --example proxy -- 127.0.0.1:8000
//! 127.0.0.1:7000` listens on the first address and connects each client to the second.
//!
//! The technique: a [`Relay`] handles both connections of a client. If one peer reads slowly, the
//! relay pauses the other connection, and resumes it when the output has drained. It passes a
//! half-close on after all bytes before it. A thread of the library looks up the upstream's name
//! for each client.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use socketserver::{Connect, Relay, Server};

#[path = "support/program.rs"]
mod program;

fn main() -> ExitCode {
    program::run("usage: proxy LISTEN_ADDR UPSTREAM_ADDR", 2, serve)
}

fn serve(words: &[OsString]) -> io::Result<()> {
    let [listen, upstream] = words else {
        let what = "expected LISTEN_ADDR and UPSTREAM_ADDR";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    };
    // A malformed address is an error at the start and not for each client.
    let upstream = Connect::to(upstream)?;
    let mut server = Server::new()?;
    let listener = server.listen(listen, move |_peer| Relay::to(upstream.clone()))?;
    if let Some(addr) = server.io().local_addr(listener) {
        // `println!` panics if standard output is closed.
        let _ = writeln!(io::stdout(), "listening {addr}");
    }
    server.serve_forever()
}
