//! What the server says, heard by a thread of its own while the client sends.

use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use super::name::MAX_LINE;
use super::unacknowledged::Unacknowledged;

/// Lines that were heard and not looked at yet; with more the thread waits.
const MAX_LINES: usize = 2;

pub(crate) struct ReplyReader {
    lines: Receiver<io::Result<String>>,
    stream: TcpStream,
    timeout: Duration,
    /// When something was last heard, or written, or seen to be taken.
    active_at: Instant,
    unacknowledged: Unacknowledged,
}

impl ReplyReader {
    /// Of a server that is to say something within `timeout`, again and again.
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

    /// Waits for the next answer; how long may be, as long as the server says so, or takes what is on
    /// its way.
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

    /// What was heard meanwhile; `None` when there is nothing but a word of patience.
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

    /// Something was written.
    pub(crate) fn note_write(&mut self) {
        self.active_at = Instant::now();
        self.unacknowledged.reset();
    }

    /// Fails when nothing was heard, and nothing moved, for too long.
    pub(crate) fn check_timeout(&mut self) -> io::Result<()> {
        if self.active_at.elapsed() < self.timeout {
            return Ok(());
        }
        if !self.unacknowledged.has_shrunk(&self.stream) {
            let what = format!("the server has said nothing for {} s", self.timeout.as_secs());
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

/// `None` at the end.
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
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended the connection")
}

pub(crate) fn not_understood() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server is none for files")
}
