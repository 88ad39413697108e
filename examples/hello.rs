//! A line protocol: greets, answers each line, closes at `exit`: `cargo run --example hello`, then
//! `nc 127.0.0.1 7000`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use socketserver::{Context, Handler, Input, Server};

#[path = "support/program.rs"]
mod program;

struct Hello {
    lines: usize,
}

impl Handler for Hello {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.send(b"welcome\n");
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        while let Some(line) = input.take_line(1024)? {
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

fn main() -> ExitCode {
    program::run("usage: hello [ADDR]   (default 127.0.0.1:7000)", 1, serve)
}

fn serve(words: &[OsString]) -> io::Result<()> {
    let addr = words.first().cloned().unwrap_or_else(|| "127.0.0.1:7000".into());
    let mut server = Server::new()?;
    let listener = server.listen(addr, |_peer| Hello { lines: 0 })?;
    if let Some(addr) = server.io().local_addr(listener) {
        // `println!` panics if standard output is closed.
        let _ = writeln!(io::stdout(), "listening {addr}");
    }
    server.serve_forever()
}
