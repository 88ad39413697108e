//! Static files: finds the file of a path, and sends it piece by piece.
//!
//! Files are opened and read in the loop. Most files are in the page cache, where reading a piece
//! takes some 15 microseconds; handing each piece to a thread would cost about as much again. For
//! files on slow disks use [`Context::offload`].
//!
//! A file is opened once, without waiting and without leaving the folder, and then looked at: the
//! owner of a file may lock it with a lease, or replace it by a FIFO or a symbolic link, at any time.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cap_std::fs::{Dir, OpenOptions};
use socketserver::{Context, SendStatus};

use crate::conditions::Validators;
use crate::media_types;
use crate::response::Status;
use crate::site::Site;
use crate::spool::DiskReservation;

pub(crate) enum Resource {
    File(StaticFile),
    /// A directory with a page, requested without the trailing slash that relative links need.
    Directory,
}

pub(crate) struct StaticFile {
    pub(crate) file: File,
    pub(crate) len: u64,
    pub(crate) media_type: &'static str,
    pub(crate) validators: Validators,
}

/// Returns the resource that `path`, still encoded, names below `root`. Everything that may not be
/// served is 404, which reveals nothing about other files. A shortage of this server is 503.
pub(crate) fn find(root: &Dir, path: &str) -> Result<Resource, Status> {
    let mut name = Path::new(".").join(relative(path).ok_or(Status::NOT_FOUND)?);
    let (mut file, mut metadata) = open(root, &name).map_err(|error| status(&error))?;
    let (is_dir, has_slash) = (metadata.is_dir(), path.ends_with('/'));
    if is_dir {
        name.push("index.html");
        (file, metadata) = open(root, &name).map_err(|error| status(&error))?;
    }
    // A file's name does not end with a slash.
    if !metadata.is_file() || has_slash && !is_dir {
        return Err(Status::NOT_FOUND);
    }
    if !has_slash && is_dir {
        return Ok(Resource::Directory);
    }
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(Resource::File(StaticFile {
        file,
        len: metadata.len(),
        media_type: media_types::of(&name),
        validators: Validators::of_file(modified, metadata.len(), SystemTime::now()),
    }))
}

/// Opens what `name` is at this moment, which need not be a file. Symbolic links are followed as far
/// as they do not lead out of `root`.
fn open(root: &Dir, name: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt;

        // Without it a FIFO would block for ever, and a lease for 45 seconds (lease-break-time in
        // proc(5)). A terminal must not become that of the server.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = root.open_with(name, &options)?.into_std();
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// The status for a file that cannot be opened: 503 if it can be later, because this process lacks
/// descriptors or memory, or because another one has a lease.
pub(crate) fn status(error: &io::Error) -> Status {
    let is_later = error.kind() == io::ErrorKind::WouldBlock || is_shortage(error);
    if is_later { Status::SERVICE_UNAVAILABLE } else { Status::NOT_FOUND }
}

/// Whether this process lacks descriptors or memory, so that the file may exist.
#[cfg(unix)]
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

#[cfg(not(unix))]
fn is_shortage(_: &io::Error) -> bool {
    false
}

/// Decodes a path; `None` if it leads up, is hidden or is malformed.
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

/// Decodes percent escapes; `None` for a malformed one.
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

/// A file being sent.
#[derive(Debug)]
pub(crate) struct Transfer {
    file: File,
    left: u64,
    /// Released when the transfer ends.
    _reservation: Option<DiskReservation>,
}

impl Transfer {
    pub(crate) fn new(mut file: File, first: u64, len: u64) -> io::Result<Transfer> {
        file.seek(SeekFrom::Start(first))?;
        Ok(Transfer { file, left: len, _reservation: None })
    }

    /// Sends a whole spooled body.
    pub(crate) fn of_spooled(file: File, len: u64, reservation: DiskReservation) -> Transfer {
        Transfer { file, left: len, _reservation: Some(reservation) }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Sends pieces until the output is congested, or the file is sent.
    pub(crate) fn send_more(&mut self, cx: &mut Context<'_, Site>) -> io::Result<SendStatus> {
        let mut sent = SendStatus::Queued;
        while self.left > 0 && sent == SendStatus::Queued {
            let most = cx.shared.piece.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            let piece = cx.shared.piece.get_mut(..most).unwrap_or_default();
            let n = self.file.read(piece)?;
            if n == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file was truncated while it was sent",
                ));
            }
            self.left -= n as u64;
            sent = cx.io.send(cx.id, piece.get(..n).unwrap_or_default());
        }
        Ok(sent)
    }
}
