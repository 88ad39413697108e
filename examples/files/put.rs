//! The client: straight-line code on a blocking socket, with a thread that hears the answers.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::answers::{Answers, not_understood};
use super::name::{Announced, bad, check};
use super::progress::Progress;
use super::say;

const PIECE: usize = 256 << 10;
/// Before each time it goes on by itself, after it was cut or while another upload has the name.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// How often a write that waits looks what the server says.
const SLICE: Duration = Duration::from_millis(500);

pub(crate) struct How {
    /// The name there, if it is to be another one than here.
    pub(crate) name: Option<OsString>,
    pub(crate) replace: bool,
    /// How long the server may say nothing and take nothing.
    pub(crate) patience: Duration,
}

pub(crate) fn put(path: &Path, addr: &str, how: How) -> io::Result<()> {
    let How { name, replace, patience } = how;
    let name = name.or_else(|| path.file_name().map(OsString::from));
    let name = name.ok_or_else(|| bad("the file has no name of its own; give one with --as"))?;
    check(&name)?;
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", shown(path)));
    // A pipe cannot be read twice, and a device may have no end; to open one may wait for ever.
    if !std::fs::metadata(path).map_err(named)?.is_file() {
        return Err(bad(&format!("{}: it is no regular file", shown(path))));
    }
    let mut file = File::open(path).map_err(named)?;
    let mut hasher = blake3::Hasher::new();
    let size = io::copy(&mut file, &mut hasher).map_err(named)?;
    let checksum = hasher.finalize().to_hex().to_string();
    let announced = Announced { name, size, checksum, replace };
    for pause in PAUSES {
        match upload(&mut file, addr, &announced, patience) {
            Err(error) if is_for_now(&error) => say(&format!("{error}; once more")),
            ended => return ended,
        }
        thread::sleep(pause);
    }
    upload(&mut file, addr, &announced, patience)
}

/// As it is, or, where it is no text, in quotes with its odd bytes escaped.
pub(crate) fn shown(path: &Path) -> String {
    path.to_str().map_or_else(|| format!("{path:?}"), str::to_string)
}

/// Whether it may be otherwise soon. What came of the upload is not known when it was cut, and need
/// not be: the server knows the content by its checksum.
fn is_for_now(error: &io::Error) -> bool {
    was_cut(error) || error.kind() == io::ErrorKind::ResourceBusy
}

fn was_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};

    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn upload(
    file: &mut File,
    addr: &str,
    announced: &Announced,
    patience: Duration,
) -> io::Result<()> {
    let mut stream = connect(addr, patience)
        .map_err(|error| io::Error::new(error.kind(), format!("{addr}: {error}")))?;
    stream.set_write_timeout(Some(SLICE.min(patience)))?;
    let mut answers = Answers::of(&stream, patience)?;
    let sent = converse(file, &mut stream, announced, &mut answers);
    // So ends the thread that hears, too.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    sent
}

fn connect(addr: &str, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for addr in addr.to_socket_addrs()? {
        match TcpStream::connect_timeout(&addr, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn converse(
    file: &mut File,
    stream: &mut TcpStream,
    announced: &Announced,
    answers: &mut Answers,
) -> io::Result<()> {
    write(stream, &announced.line(), answers)?;
    let have = answers.wait()?;
    let have = have.strip_prefix("have ").and_then(|have| have.parse::<u64>().ok());
    let have = have.filter(|have| *have <= announced.size).ok_or_else(not_understood)?;
    match send(file, have, stream, announced, answers) {
        // What the server said says more than that it does not listen any more.
        Err(error) if was_cut(&error) => return Err(answers.wait().err().unwrap_or(error)),
        sent => sent?,
    }
    if answers.wait()? == "done" { Ok(()) } else { Err(not_understood()) }
}

/// Sends the file from byte `from` on, unless the server objects.
fn send(
    file: &mut File,
    from: u64,
    stream: &mut TcpStream,
    announced: &Announced,
    answers: &mut Answers,
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
        write(stream, piece.get(..n).unwrap_or_default(), answers)?;
        left -= n as u64;
        progress.show(announced.size - left);
        // Once all is sent the next answer is the last, and may be there already.
        if left > 0 && answers.look()?.is_some() {
            return Err(not_understood());
        }
    }
    Ok(())
}

/// Writes all of it, as long as something is taken or the server says that it takes a while.
fn write(stream: &mut TcpStream, mut bytes: &[u8], answers: &mut Answers) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = bytes.get(n..).unwrap_or_default();
                answers.wrote();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // SO_SNDTIMEO: nothing was written in that time.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                if answers.look()?.is_some() {
                    return Err(not_understood());
                }
                answers.check_patience()?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
