//! A TCP relay with back-pressure both ways: `cargo run --example proxy -- 127.0.0.1:8000
//! 127.0.0.1:7000` takes clients on the first address and connects each to the second.
//!
//! The technique: a [`Relay`] answers for both connections of a client. A side that feeds a slow peer
//! pauses itself, and the peer's `drained` resumes it; a half-close is passed on, so nothing that is
//! still under way is lost. The upstream's name is looked up anew for each client, beside the loop.

use std::io::{self, Write};

use socketserver::{Connect, Relay, Server};

fn main() -> io::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let (listen, upstream) = (args.next(), args.next().and_then(|name| name.into_string().ok()));
    let (Some(listen), Some(upstream)) = (listen, upstream) else {
        let _ = writeln!(io::stderr(), "usage: proxy LISTEN_ADDR UPSTREAM_ADDR");
        std::process::exit(2);
    };
    let mut server = Server::new()?;
    server.listen(listen, move |_peer| Relay::to(Connect::to_name(&upstream)))?;
    server.serve_forever()
}
