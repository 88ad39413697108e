//! A blocking handler, run inline, in threads or in processes: `cargo run --example modes --
//! 127.0.0.1:7000 threads` (or `inline`, or `processes` with `--features processes`), then `nc
//! 127.0.0.1 7000`. It greets, answers `hello` to each message, and closes at `exit`.
//!
//! The technique: the handler is the same in every mode, because it does not know where it runs. It
//! takes each read for one message, which is right only if the client waits for each answer, since
//! a stream has no boundaries. For a protocol of lines use `Request::take_line(1024)`.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use socketserver::Server;
use socketserver::blocking::{Handler, Request, Workers};

#[path = "support/program.rs"]
mod program;

const USAGE: &str =
    "usage: modes [ADDR [inline|threads|processes]]   (default 127.0.0.1:7000 threads)";

/// Longest time that a client may keep a thread or a process, however slowly it sends.
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
                // `nc` sends a newline after the message.
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
        let what = format!("unknown mode {word:?}; use inline, threads or processes");
        io::Error::new(io::ErrorKind::InvalidInput, what)
    })?;
    let mut server = Server::new()?;
    let listener = server.listen_blocking(addr, &mode, |_peer| BlockingHello)?;
    if let Some(addr) = server.io().local_addr(listener) {
        // `println!` panics if standard output is closed.
        let _ = writeln!(io::stdout(), "listening on {addr}");
    }
    server.serve_forever()
}
