//! A TCP relay with back-pressure both ways: `cargo run --example proxy -- 127.0.0.1:8000
//! 127.0.0.1:7000` takes clients on the first address and connects each to the second.
//!
//! The technique: a [`Relay`] answers for both connections of a client. A side that feeds a slow peer
//! pauses itself, and the peer's `drained` resumes it; a half-close is passed on, so nothing that is
//! still under way is lost. The upstream's name is looked up anew for each client, beside the loop.

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
        let what = "two addresses are needed, LISTEN_ADDR and UPSTREAM_ADDR";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    };
    // What is no address is refused here and not once for each client.
    let upstream = Connect::to(upstream)?;
    let mut server = Server::new()?;
    let listener = server.listen(listen, move |_peer| Relay::to(upstream.clone()))?;
    if let Some(addr) = server.io().local_addr(listener) {
        // Not `println!`, which panics when nobody reads it.
        let _ = writeln!(io::stdout(), "listening {addr}");
    }
    server.serve_forever()
}
