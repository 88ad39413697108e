//! Greets, answers `hello` to whatever is said, and ends at `exit`, in the mode that one word chooses:
//! `cargo run --example modes -- 127.0.0.1:7000 threads` (or `processes`, or `inline`).
//!
//! The technique: a handler that blocks, one for each client, which says nothing of where it runs.
//! Each read is taken for one message, which is right only as long as the client waits for each
//! answer: a stream keeps no boundaries. The example `hello` reads lines.

use std::io::{self, Read};
use std::process::ExitCode;

use socketserver::Server;
use socketserver::blocking::{Handler, Mode, Request};

struct Hello;

impl Handler for Hello {
    fn setup(&mut self, request: &mut Request<'_>) -> io::Result<()> {
        request.send_all(b"welcome")
    }

    fn handle(&mut self, request: &mut Request<'_>) -> io::Result<()> {
        let mut buffer = [0; 1024];
        loop {
            let n = request.read(&mut buffer)?;
            match buffer.get(..n) {
                Some(b"" | b"exit") | None => return Ok(()),
                Some(_) => request.send_all(b"hello")?,
            }
        }
    }
}

fn mode(word: &str) -> Option<Mode> {
    match word {
        "inline" => Some(Mode::inline()),
        "threads" => Some(Mode::threads(64)),
        #[cfg(all(unix, feature = "processes"))]
        "processes" => Some(Mode::processes(socketserver::blocking::MAX_CHILDREN)),
        _ => None,
    }
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let addr = words.next().unwrap_or_else(|| "127.0.0.1:7000".into());
    let word = words.next().unwrap_or_else(|| "threads".into());
    let Some(mode) = mode(&word) else {
        eprintln!("modes: {word} is none of inline, threads, processes");
        return ExitCode::from(2);
    };
    match serve(&addr, &mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("modes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(addr: &str, mode: &Mode) -> io::Result<()> {
    let mut server = Server::new()?;
    let listener = server.listen_blocking(addr, mode, |_peer| Hello)?;
    if let Some(addr) = server.io().local_addr(listener) {
        println!("listening on {addr}");
    }
    server.serve_forever()
}
