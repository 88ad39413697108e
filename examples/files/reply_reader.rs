//! The server's replies, read in a thread of their own while the client sends.

use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use super::name::MAX_LINE;
use super::unacknowledged::Unacknowledged;

/// Lines received ahead; with more the thread blocks.
const MAX_LINES: usize = 2;

pub(crate) struct ReplyReader {
    lines: Receiver<io::Result<String>>,
    stream: TcpStream,
    timeout: Duration,
    /// When a line was received, bytes were written, or the server acknowledged some.
    active_at: Instant,
    unacknowledged: Unacknowledged,
}

impl ReplyReader {
    /// Starts the thread; `timeout` is the longest time without any progress.
    pub(crate) fn of(stream: &TcpStream, timeout: Duration) -> io::Result<ReplyReader> {
        let (stream, mut reader) = (stream.try_clone()?, BufReader::new(stream.try_clone()?));
        let (sender, lines) = mpsc::sync_channel(MAX_LINES);
        thread::Builder::new().name("answers".into()).spawn(move || {
            while let Some(line) = next_line(&mut reader).transpose() {
                let is_last = line.is_err();
                if sender.send(line).is_err() || is_last {
                    break;
                }
            }
        })?;
        let unacknowledged = Unacknowledged::default();
        Ok(ReplyReader { lines, stream, timeout, active_at: Instant::now(), unacknowledged })
    }

    /// Waits for the next reply. The timeout starts again with each `wait`, and while the server
    /// acknowledges bytes.
    pub(crate) fn next_reply(&mut self) -> io::Result<String> {
        loop {
            match self.lines.recv_timeout(self.timeout.saturating_sub(self.active_at.elapsed())) {
                Ok(line) => {
                    if let Some(answer) = self.interpret(line?)? {
                        return Ok(answer);
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.check_timeout()?,
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            }
        }
    }

    /// Returns a reply that was received; `None` if there is none but `wait`.
    pub(crate) fn try_reply(&mut self) -> io::Result<Option<String>> {
        loop {
            match self.lines.try_recv() {
                Ok(line) => {
                    if let Some(answer) = self.interpret(line?)? {
                        return Ok(Some(answer));
                    }
                }
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return Err(ended()),
            }
        }
    }

    /// Restarts the timeout after a write.
    pub(crate) fn note_write(&mut self) {
        self.active_at = Instant::now();
        self.unacknowledged.reset();
    }

    /// Fails if the timeout expired without a reply and without an acknowledgement.
    pub(crate) fn check_timeout(&mut self) -> io::Result<()> {
        if self.active_at.elapsed() < self.timeout {
            return Ok(());
        }
        if !self.unacknowledged.has_shrunk(&self.stream) {
            let what = format!("no reply from the server for {} s", self.timeout.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        self.active_at = Instant::now();
        Ok(())
    }

    fn interpret(&mut self, line: String) -> io::Result<Option<String>> {
        self.active_at = Instant::now();
        match line.split_once(' ') {
            _ if line == "wait" => Ok(None),
            Some(("busy", why)) => Err(io::Error::new(io::ErrorKind::ResourceBusy, why)),
            Some(("error", why)) => Err(io::Error::other(why)),
            _ => Ok(Some(line)),
        }
    }
}

/// `None` at EOF.
fn next_line(reader: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    reader.take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => String::from_utf8(line).map(Some).map_err(|_| not_understood()),
        Some(_) if line.len() + 1 < MAX_LINE => Ok(None),
        Some(_) => Err(not_understood()),
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")
}

pub(crate) fn not_understood() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "unexpected reply; the server does not speak this protocol",
    )
}
