//! Static files: which file a path names, which part of it is asked for, and sending it.
//!
//! Files are opened and read in the loop, a piece at a time. What is served often lies in memory,
//! where reading a piece takes some 15 microseconds; handing each piece to another thread and back
//! would cost about as much again. Where files lie on slow disks, that is what
//! [`Context::offload`] is for.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use socketserver::{Context, Sent};

use crate::request::Request;
use crate::response::Status;
use crate::site::Site;

pub(crate) struct Found {
    pub(crate) file: File,
    pub(crate) len: u64,
    pub(crate) media_type: &'static str,
    /// In whole seconds, as it can be told.
    pub(crate) modified: SystemTime,
}

/// The file that `path`, still encoded, names below `root`. Whatever is not to be had is not found,
/// so nobody learns what lies elsewhere.
pub(crate) fn find(root: &Path, path: &str) -> Result<Found, Status> {
    let gone = |_| Status::NOT_FOUND;
    let named = root.join(relative(path).ok_or(Status::NOT_FOUND)?);
    // Symbolic links may point to other places below the root, but not out of it.
    let mut real = fs::canonicalize(named).map_err(gone)?;
    if real.is_dir() {
        real = fs::canonicalize(real.join("index.html")).map_err(gone)?;
    }
    let metadata = fs::metadata(&real).map_err(gone)?;
    // To open a pipe would wait for its writer.
    if !real.starts_with(root) || !metadata.is_file() {
        return Err(Status::NOT_FOUND);
    }
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(Found {
        file: File::open(&real).map_err(gone)?,
        len: metadata.len(),
        media_type: media_type(&real),
        modified: SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()),
    })
}

/// The decoded path, if it leads down and to nothing hidden.
pub(crate) fn relative(path: &str) -> Option<PathBuf> {
    let decoded = String::from_utf8(decode(path)?).ok()?;
    let names = decoded.split('/').filter(|name| !name.is_empty() && *name != ".");
    let mut relative = PathBuf::new();
    for name in names {
        if name.starts_with('.') || name.contains(['\0', '\\', ':']) {
            return None;
        }
        relative.push(name);
    }
    Some(relative)
}

/// Replaces `%41` by `A`.
fn decode(path: &str) -> Option<Vec<u8>> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            u8::try_from(digit()? << 4 | digit()?).ok()?
        } else {
            byte
        });
    }
    Some(decoded)
}

fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("txt" | "md" | "rs" | "toml") => "text/plain; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        _ => "application/octet-stream",
    }
}

/// What is asked for of a file.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Part {
    Whole,
    /// So many bytes from there.
    Range(u64, u64),
    Unsatisfiable,
}

/// What this request asks for. A range that cannot be understood, or several, are the whole.
pub(crate) fn part(request: &Request<'_>, len: u64, modified: &str) -> Part {
    let is_current = request.if_range.is_none_or(|date| date == modified);
    match request.range.filter(|_| is_current).and_then(|range| bounds(range, len)) {
        None => Part::Whole,
        Some((first, last)) if first <= last && first < len => {
            Part::Range(first, last.min(len - 1) - first + 1)
        }
        Some(_) => Part::Unsatisfiable,
    }
}

/// The first and the last byte.
fn bounds(range: &str, len: u64) -> Option<(u64, u64)> {
    let number = |digits: &str| {
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_: &u64| is_number)
    };
    match range.strip_prefix("bytes=")?.split_once('-')? {
        ("", suffix) => Some((len - number(suffix)?.min(len), len.saturating_sub(1))),
        (first, "") => Some((number(first)?, u64::MAX)),
        (first, last) => Some((number(first)?, number(last)?)).filter(|(a, b)| a <= b),
    }
}

/// A file on its way to the peer.
#[derive(Debug)]
pub(crate) struct Transfer {
    file: File,
    left: u64,
}

impl Transfer {
    pub(crate) fn new(mut file: File, first: u64, len: u64) -> io::Result<Transfer> {
        file.seek(SeekFrom::Start(first))?;
        Ok(Transfer { file, left: len })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Sends piece after piece until the peer has enough for now, or there is no more.
    pub(crate) fn go_on(&mut self, cx: &mut Context<'_, Site>) -> io::Result<Sent> {
        let mut sent = Sent::Queued;
        while self.left > 0 && sent == Sent::Queued {
            let most = cx.shared.piece.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            let piece = cx.shared.piece.get_mut(..most).unwrap_or_default();
            let n = self.file.read(piece)?;
            if n == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file was cut off"));
            }
            self.left -= n as u64;
            sent = cx.io.send(cx.id, piece.get(..n).unwrap_or_default());
        }
        Ok(sent)
    }
}
