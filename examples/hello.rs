//! Greets, answers line by line, and ends at `exit`: `cargo run --example hello`, then
//! `nc 127.0.0.1 7000`.

use std::io;

use socketserver::{Context, Handler, Input, Server};

struct Hello {
    lines: usize,
}

impl Handler for Hello {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.send(b"welcome\n");
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        while let Some(line) = input.line(1024)? {
            if line == b"exit" {
                cx.close();
                return Ok(());
            }
            self.lines += 1;
            cx.send(format!("hello, line {}\n", self.lines).as_bytes());
        }
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let addr = std::env::args_os().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let mut server = Server::new()?;
    server.listen(addr, |_peer| Hello { lines: 0 })?;
    server.serve_forever()
}
