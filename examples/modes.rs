//! Greets, answers `hello` to each message, and ends at `exit`, in the mode that one word chooses:
//! `cargo run --example modes -- 127.0.0.1:7000 threads` (or `processes`, or `inline`).
//!
//! The technique: a handler that blocks, one for each client, which says nothing of where it runs.
//! Each read is taken for one message, which is right only as long as the client waits for each
//! answer: a stream keeps no boundaries. A protocol of lines takes them with `Request::take_line(1024)`.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use socketserver::Server;
use socketserver::blocking::{Handler, Request, Workers};

#[path = "support/program.rs"]
mod program;

const USAGE: &str = "usage: modes [ADDR [inline|threads|processes]]   (127.0.0.1:7000 threads)";

/// So long one client may hold a thread or a process, however slowly it speaks.
const MAX_SESSION: Duration = Duration::from_secs(600);

struct BlockingHello;

impl Handler for BlockingHello {
    fn setup(&mut self, request: &mut Request<'_>) -> io::Result<()> {
        request.send_all(b"welcome")
    }

    fn handle(&mut self, request: &mut Request<'_>) -> io::Result<()> {
        let mut buffer = [0; 1024];
        loop {
            let n = request.read(&mut buffer)?;
            match buffer.get(..n) {
                // With the end of its line, as `nc` sends it, or without.
                Some(message) if message.is_empty() || message.trim_ascii() == b"exit" => {
                    return Ok(());
                }
                Some(_) => request.send_all(b"hello")?,
                None => return Ok(()),
            }
        }
    }
}

fn mode(word: &str) -> Option<Workers> {
    let mode = match word {
        "inline" => Workers::inline(),
        "threads" => Workers::threads(64),
        #[cfg(all(unix, feature = "processes"))]
        "processes" => Workers::processes(socketserver::blocking::MAX_CHILDREN),
        _ => return None,
    };
    Some(mode.deadline(MAX_SESSION))
}

fn main() -> ExitCode {
    program::run(USAGE, 2, serve)
}

fn serve(words: &[OsString]) -> io::Result<()> {
    let addr = words.first().cloned().unwrap_or_else(|| "127.0.0.1:7000".into());
    let word = words.get(1).cloned().unwrap_or_else(|| "threads".into());
    let mode = word.to_str().and_then(mode).ok_or_else(|| {
        let what = format!("{word:?} is none of inline, threads, processes");
        io::Error::new(io::ErrorKind::InvalidInput, what)
    })?;
    let mut server = Server::new()?;
    let listener = server.listen_blocking(addr, &mode, |_peer| BlockingHello)?;
    if let Some(addr) = server.io().local_addr(listener) {
        // Not `println!`, which panics when nobody reads it.
        let _ = writeln!(io::stdout(), "listening on {addr}");
    }
    server.serve_forever()
}
