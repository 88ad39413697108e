//! The client: sequential code on a blocking socket, and a thread that reads the replies.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::name::{PutRequest, bad, check};
use super::print_error;
use super::progress::ProgressLine;
use super::reply_reader::{ReplyReader, not_understood};

const PIECE: usize = 256 << 10;
/// Pauses before a retry, after a disconnect or `busy`.
const RETRY_DELAYS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// How often a blocked write checks for replies.
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) struct PutOptions {
    /// The name on the server, if it differs from the file's.
    pub(crate) name: Option<OsString>,
    pub(crate) replace: bool,
    /// Longest time without a reply and without progress of the output.
    pub(crate) timeout: Duration,
}

pub(crate) fn put(path: &Path, addr: &str, options: PutOptions) -> io::Result<()> {
    let PutOptions { name, replace, timeout } = options;
    let name = name.or_else(|| path.file_name().map(OsString::from));
    let name = name.ok_or_else(|| bad("the path has no file name; set one with --as"))?;
    check(&name)?;
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", shown(path)));
    // A FIFO cannot be read twice, and a device may have no end; opening one may block.
    if !std::fs::metadata(path).map_err(named)?.is_file() {
        return Err(bad(&format!("{}: not a regular file", shown(path))));
    }
    let mut file = File::open(path).map_err(named)?;
    let mut hasher = blake3::Hasher::new();
    let size = io::copy(&mut file, &mut hasher).map_err(named)?;
    let checksum = hasher.finalize().to_hex().to_string();
    let request = PutRequest { name, size, checksum, replace };
    for pause in RETRY_DELAYS {
        match upload(&mut file, addr, &request, timeout) {
            Err(error) if is_temporary(&error) => print_error(&format!("{error}; trying again")),
            ended => return ended,
        }
        thread::sleep(pause);
    }
    upload(&mut file, addr, &request, timeout)
}

/// Returns a path as text, or quoted and escaped if it is not UTF-8.
pub(crate) fn shown(path: &Path) -> String {
    path.to_str().map_or_else(|| format!("{path:?}"), str::to_string)
}

/// Whether a retry may succeed. A retry after a disconnect is safe, because the server recognises
/// content by its checksum.
fn is_temporary(error: &io::Error) -> bool {
    is_disconnect(error) || error.kind() == io::ErrorKind::ResourceBusy
}

fn is_disconnect(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};

    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn upload(file: &mut File, addr: &str, request: &PutRequest, timeout: Duration) -> io::Result<()> {
    let mut stream = connect(addr, timeout)
        .map_err(|error| io::Error::new(error.kind(), format!("{addr}: {error}")))?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT.min(timeout)))?;
    let mut replies = ReplyReader::of(&stream, timeout)?;
    let sent = exchange(file, &mut stream, request, &mut replies);
    // Also ends the thread that reads.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    sent
}

fn connect(addr: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for addr in addr.to_socket_addrs()? {
        match TcpStream::connect_timeout(&addr, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn exchange(
    file: &mut File,
    stream: &mut TcpStream,
    request: &PutRequest,
    replies: &mut ReplyReader,
) -> io::Result<()> {
    write(stream, &request.line(), replies)?;
    let have = replies.next_reply()?;
    let have = have.strip_prefix("have ").and_then(|have| have.parse::<u64>().ok());
    let have = have.filter(|have| *have <= request.size).ok_or_else(not_understood)?;
    match send(file, have, stream, request, replies) {
        // The server's reply is more specific than the failed write.
        Err(error) if is_disconnect(&error) => {
            return Err(replies.next_reply().err().unwrap_or(error));
        }
        sent => sent?,
    }
    if replies.next_reply()? == "done" { Ok(()) } else { Err(not_understood()) }
}

/// Sends the file from byte `from` until the server objects.
fn send(
    file: &mut File,
    from: u64,
    stream: &mut TcpStream,
    request: &PutRequest,
    replies: &mut ReplyReader,
) -> io::Result<()> {
    file.seek(SeekFrom::Start(from))?;
    let mut piece = vec![0; PIECE];
    let mut progress = ProgressLine::new(from, request);
    let mut left = request.size - from;
    while left > 0 {
        let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        let n = file.read(piece.get_mut(..most).unwrap_or_default())?;
        if n == 0 {
            return Err(io::Error::other("the file was truncated while it was read"));
        }
        write(stream, piece.get(..n).unwrap_or_default(), replies)?;
        left -= n as u64;
        progress.show(request.size - left);
        // After the last byte the next reply is the last one, and may be received already.
        if left > 0 && replies.try_reply()?.is_some() {
            return Err(not_understood());
        }
    }
    Ok(())
}

/// Writes all bytes, while some are taken or the server sends `wait`.
fn write(stream: &mut TcpStream, mut bytes: &[u8], replies: &mut ReplyReader) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = bytes.get(n..).unwrap_or_default();
                replies.note_write();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // `SO_SNDTIMEO`: nothing was written in this time.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                if replies.try_reply()?.is_some() {
                    return Err(not_understood());
                }
                replies.check_timeout()?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
