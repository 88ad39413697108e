//! The client: straight-line code on a blocking socket, with a thread that hears the answers.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use super::name::{Announced, check};

const PIECE: usize = 256 << 10;
/// Before the one time it goes on by itself.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn put(path: &str, addr: &str, name: Option<&str>, replace: bool) -> io::Result<()> {
    let name = match name {
        Some(name) => name.to_string(),
        None => Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    check(&name)?;
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
    let mut file = File::open(path).map_err(named)?;
    let mut hasher = blake3::Hasher::new();
    let size = io::copy(&mut file, &mut hasher).map_err(named)?;
    let checksum = hasher.finalize().to_hex().to_string();
    let announced = Announced { name, size, checksum, replace };
    match upload(&mut file, addr, &announced) {
        Err(error) if was_cut(&error) => {
            eprintln!("files: {error}; once more");
            thread::sleep(PAUSE);
            upload(&mut file, addr, &announced)
        }
        ended => ended,
    }
}

fn was_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};

    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn upload(file: &mut File, addr: &str, announced: &Announced) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{addr}: {error}"));
    let mut stream = TcpStream::connect(addr).map_err(named)?;
    let answers = hear(&stream)?;
    stream.write_all(announced.line().as_bytes())?;
    let have = answer(&answers)?;
    let have = have.strip_prefix("have ").and_then(|have| have.parse::<u64>().ok());
    let have = have.filter(|have| *have <= announced.size).ok_or_else(not_understood)?;
    match send(file, have, &mut stream, announced, &answers) {
        // What the server said says more than that it does not listen any more.
        Err(error) if was_cut(&error) => return Err(answer(&answers).err().unwrap_or(error)),
        sent => sent?,
    }
    if answer(&answers)? == "done" { Ok(()) } else { Err(not_understood()) }
}

/// Sends the file from byte `from` on, unless the server objects.
fn send(
    file: &mut File,
    from: u64,
    stream: &mut TcpStream,
    announced: &Announced,
    answers: &Receiver<io::Result<String>>,
) -> io::Result<()> {
    file.seek(SeekFrom::Start(from))?;
    let mut piece = vec![0; PIECE];
    let mut progress = Progress::new(from, announced);
    let mut left = announced.size - from;
    while left > 0 {
        let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        let n = file.read(piece.get_mut(..most).unwrap_or_default())?;
        if n == 0 {
            return Err(io::Error::other("the file became shorter meanwhile"));
        }
        stream.write_all(piece.get(..n).unwrap_or_default())?;
        left -= n as u64;
        progress.show(announced.size - left);
        match answers.try_recv() {
            Err(TryRecvError::Empty) => {}
            Ok(said) => return understood(said?).map(drop),
            Err(TryRecvError::Disconnected) => return Err(ended()),
        }
    }
    Ok(())
}

/// Hears what the server says, line by line, whatever is being sent meanwhile.
fn hear(stream: &TcpStream) -> io::Result<Receiver<io::Result<String>>> {
    let lines = BufReader::new(stream.try_clone()?).lines();
    let (heard, answers) = mpsc::sync_channel(2);
    thread::spawn(move || {
        for line in lines {
            if heard.send(line).is_err() {
                break;
            }
        }
    });
    Ok(answers)
}

fn answer(answers: &Receiver<io::Result<String>>) -> io::Result<String> {
    understood(answers.recv().unwrap_or_else(|_| Err(ended()))?)
}

fn understood(line: String) -> io::Result<String> {
    match line.strip_prefix("error ") {
        Some(why) => Err(io::Error::other(why.to_string())),
        None => Ok(line),
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended the connection")
}

fn not_understood() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server is none for files")
}

/// A line on the terminal that is written again and again; nothing where there is no terminal.
struct Progress<'a> {
    announced: &'a Announced,
    from: u64,
    began: Instant,
    shown: Option<Instant>,
    on_terminal: bool,
}

impl Progress<'_> {
    fn new(from: u64, announced: &Announced) -> Progress<'_> {
        let on_terminal = io::stderr().is_terminal();
        Progress { announced, from, began: Instant::now(), shown: None, on_terminal }
    }

    fn show(&mut self, sent: u64) {
        let lately = self.shown.is_some_and(|at| at.elapsed() < Duration::from_millis(100));
        let Announced { name, size, .. } = self.announced;
        if !self.on_terminal || lately && sent < *size {
            return;
        }
        self.shown = Some(Instant::now());
        let percent = sent * 100 / (*size).max(1);
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let speed = (sent - self.from) / 1_000 / millis;
        let done = "#".repeat(usize::try_from(percent / 4).unwrap_or(25));
        let end = if sent == *size { "\n" } else { "" };
        eprint!("\r{name} [{done:25}] {percent:3} % {speed} MB/s {end}");
    }
}
