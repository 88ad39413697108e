//! What the server says, heard by a thread of its own while the client sends.

use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use super::name::LONGEST_LINE;
use super::on_its_way::OnItsWay;

/// Lines that were heard and not looked at yet; with more the thread waits.
const MOST_LINES: usize = 2;

pub(crate) struct Answers {
    lines: Receiver<io::Result<String>>,
    stream: TcpStream,
    patience: Duration,
    /// When something was last heard, or written, or seen to be taken.
    moved_at: Instant,
    on_its_way: OnItsWay,
}

impl Answers {
    /// Of a server that is to say something within `patience`, again and again.
    pub(crate) fn of(stream: &TcpStream, patience: Duration) -> io::Result<Answers> {
        let (stream, mut reader) = (stream.try_clone()?, BufReader::new(stream.try_clone()?));
        let (heard, lines) = mpsc::sync_channel(MOST_LINES);
        thread::Builder::new().name("answers".into()).spawn(move || {
            while let Some(line) = next_line(&mut reader).transpose() {
                let is_last = line.is_err();
                if heard.send(line).is_err() || is_last {
                    break;
                }
            }
        })?;
        let on_its_way = OnItsWay::default();
        Ok(Answers { lines, stream, patience, moved_at: Instant::now(), on_its_way })
    }

    /// Waits for the next answer; how long may be, as long as the server says so, or takes what is on
    /// its way.
    pub(crate) fn wait(&mut self) -> io::Result<String> {
        loop {
            match self.lines.recv_timeout(self.patience.saturating_sub(self.moved_at.elapsed())) {
                Ok(line) => {
                    if let Some(answer) = self.heard(line?)? {
                        return Ok(answer);
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.check_patience()?,
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            }
        }
    }

    /// What was heard meanwhile; `None` when there is nothing but a word of patience.
    pub(crate) fn look(&mut self) -> io::Result<Option<String>> {
        loop {
            match self.lines.try_recv() {
                Ok(line) => {
                    if let Some(answer) = self.heard(line?)? {
                        return Ok(Some(answer));
                    }
                }
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return Err(ended()),
            }
        }
    }

    /// Something was written.
    pub(crate) fn wrote(&mut self) {
        self.moved_at = Instant::now();
        self.on_its_way.was_added_to();
    }

    /// Fails when nothing was heard, and nothing moved, for too long.
    pub(crate) fn check_patience(&mut self) -> io::Result<()> {
        if self.moved_at.elapsed() < self.patience {
            return Ok(());
        }
        if !self.on_its_way.has_moved(&self.stream) {
            let what = format!("the server has said nothing for {} s", self.patience.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        self.moved_at = Instant::now();
        Ok(())
    }

    fn heard(&mut self, line: String) -> io::Result<Option<String>> {
        self.moved_at = Instant::now();
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
    reader.take(LONGEST_LINE as u64).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => String::from_utf8(line).map(Some).map_err(|_| not_understood()),
        Some(_) if line.len() + 1 < LONGEST_LINE => Ok(None),
        Some(_) => Err(not_understood()),
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended the connection")
}

pub(crate) fn not_understood() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server is none for files")
}
