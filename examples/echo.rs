//! The smallest server, an echo: `cargo run --release --example echo -- 127.0.0.1:7000`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

#[path = "support/program.rs"]
mod program;

fn main() -> ExitCode {
    program::run("usage: echo [ADDR]   (default 127.0.0.1:7000)", 1, serve)
}

fn serve(words: &[OsString]) -> io::Result<()> {
    let addr = words.first().cloned().unwrap_or_else(|| "127.0.0.1:7000".into());
    let mut server = socketserver::Server::new()?;
    let listener = server.listen(addr, |_peer| socketserver::Echo)?;
    if let Some(addr) = server.io().local_addr(listener) {
        // `println!` panics if standard output is closed.
        let _ = writeln!(io::stdout(), "listening {addr}");
    }
    server.serve_forever()
}
