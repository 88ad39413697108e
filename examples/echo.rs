//! A whole echo server: `cargo run --release --example echo -- 127.0.0.1:7000`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let addr = std::env::args_os().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let mut server = socketserver::Server::new()?;
    let listener = server.listen(addr, |_peer| socketserver::Echo)?;
    if let Some(addr) = server.io().local_addr(listener) {
        // Not `println!`, which panics when nobody reads it.
        let _ = writeln!(std::io::stdout(), "listening {addr}");
    }
    server.serve_forever()
}
