//! A TCP relay with back-pressure both ways: `cargo run --example proxy -- 127.0.0.1:8000
//! 127.0.0.1:7000` takes clients on the first address and connects each to the second.
//!
//! The technique: a side that feeds a slow peer pauses itself, and the peer's `drained` resumes it.
//! A half-close is passed on, so nothing that is still under way is lost; when both directions of a
//! connection have ended it closes by itself.

use std::io;

use socketserver::{Context, Handler, Input, Sent, Server, SocketId};

/// One side of a relay; `other` is the connection it feeds.
struct Side {
    upstream: Option<String>,
    other: Option<SocketId>,
}

impl Side {
    fn client(upstream: &str) -> Side {
        Side { upstream: Some(upstream.into()), other: None }
    }
}

impl Handler for Side {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.io.set_full_duplex(cx.id, true);
        if let Some(upstream) = self.upstream.take() {
            let feeds = Side { upstream: None, other: Some(cx.id) };
            self.other = Some(cx.connect(upstream, feeds)?);
        }
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        let Some(other) = self.other else { return Ok(()) };
        match cx.io.send(other, input.take_all()) {
            Sent::Queued => {}
            Sent::Congested => cx.pause(),
            Sent::Gone => cx.close(),
        }
        Ok(())
    }

    fn eof(&mut self, cx: &mut Context<'_>, _rest: &[u8]) -> io::Result<()> {
        match self.other {
            Some(other) if cx.io.is_open(other) => cx.io.shutdown_write(other),
            _ => cx.close(),
        }
        Ok(())
    }

    fn drained(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(other) = self.other {
            cx.io.resume(other);
        }
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_>, outcome: io::Result<()>) {
        let Some(other) = self.other else { return };
        match outcome {
            Ok(()) => cx.io.close(other),
            Err(_) => cx.io.abort(other),
        }
    }
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (args.next(), args.next()) else {
        eprintln!("usage: proxy LISTEN_ADDR UPSTREAM_ADDR");
        std::process::exit(2);
    };
    let mut server = Server::new()?;
    server.listen(listen, move |_peer| Side::client(&upstream))?;
    server.serve_forever()
}
