//! A partial file: beside its goal, under a name of its own, until it is complete. Everything here
//! blocks.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::checksum::ChecksumReader;
use super::commit::{commit_new, sync_dir_of};
use super::name::{CHECKSUM_DIGITS, PutRequest, is_checksum};
use super::unfinished::{Claim, UnfinishedUploads, is_full};

/// The received part of one upload.
pub(crate) struct Partial {
    request: PutRequest,
    goal: PathBuf,
    path: PathBuf,
    check: Option<PendingCheck>,
    /// `None` before the first byte.
    file: Option<File>,
    hasher: Box<blake3::Hasher>,
    len: u64,
    claim: Claim,
}

/// A file to be read before more is received.
enum PendingCheck {
    /// The file with the goal's name, which may have the requested content.
    Goal(ChecksumReader),
    /// The partial file of an earlier upload of the same content.
    Rest(ChecksumReader),
}

/// The result of a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CheckProgress {
    /// [`Partial::step`] must be called again.
    Checking,
    /// Content can be appended.
    Ready,
    /// The goal has this content.
    Kept,
}

/// Start and end of a partial file's name, which no goal has. Between them are the goal's name, a
/// dot and the checksum, so that only a client that knows the content can resume it.
const PREFIX: &[u8] = b".";
const SUFFIX: &[u8] = b".part";

/// Returns the goal's name of a partial file; `None` for another file.
pub(crate) fn goal_of(file_name: &OsStr) -> Option<&OsStr> {
    let inner = file_name.as_bytes().strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let (name, checksum) = inner.split_at_checked(inner.len().checked_sub(CHECKSUM_DIGITS + 1)?)?;
    let checksum = std::str::from_utf8(checksum.strip_prefix(b".")?).ok()?;
    is_checksum(checksum).then(|| OsStr::from_bytes(name))
}

fn file_name_of(request: &PutRequest) -> OsString {
    let name = request.name.as_bytes();
    let parts = [PREFIX, name, b".", request.checksum.as_bytes(), SUFFIX];
    OsStr::from_bytes(&parts.concat()).into()
}

impl Partial {
    /// Resumes an earlier upload of the same content, or begins a new one. Creates no file before
    /// there is a byte to write.
    pub(crate) fn open(
        request: PutRequest,
        unfinished: &Arc<UnfinishedUploads>,
    ) -> io::Result<Partial> {
        let claim = unfinished.claim(&request.name)?;
        let goal = unfinished.dir().join(&request.name);
        let path = unfinished.dir().join(file_name_of(&request));
        let check = match fs::symlink_metadata(&goal) {
            Ok(found) if !found.is_file() => {
                return Err(exists("the name belongs to something other than a regular file"));
            }
            Ok(found) if found.len() == request.size => {
                Some(PendingCheck::Goal(ChecksumReader::of(read_only(&goal)?)))
            }
            Ok(_) if !request.replace => return Err(exists("the file exists already")),
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut partial = Partial {
            request,
            goal,
            path,
            check,
            file: None,
            hasher: Box::default(),
            len: 0,
            claim,
        };
        if partial.check.is_none() {
            partial.open_partial_file()?;
        }
        Ok(partial)
    }

    fn open_partial_file(&mut self) -> io::Result<()> {
        if self.request.size > self.claim.unfinished().limits().bytes {
            let what = "the file is larger than the limit of unfinished uploads";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        let file =
            match OpenOptions::new().read(true).append(true).custom_flags(FLAGS).open(&self.path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            };
        let found = file.metadata()?;
        if !found.is_file() || found.nlink() != 1 {
            return Err(exists("the partial file is not a regular file with one link"));
        }
        let is_too_long = found.len() > self.request.size;
        if is_too_long {
            file.set_len(0)?;
        }
        self.note(if is_too_long { 0 } else { found.len() });
        self.check = Some(PendingCheck::Rest(ChecksumReader::of(file)));
        Ok(())
    }

    /// Reads one step of an existing file.
    pub(crate) fn step(&mut self) -> io::Result<CheckProgress> {
        match self.check.take() {
            None => Ok(CheckProgress::Ready),
            Some(PendingCheck::Goal(mut check)) => {
                if !check.step()? {
                    self.check = Some(PendingCheck::Goal(check));
                } else if check.is_of(&self.request.checksum) {
                    self.finish_kept()?;
                    self.claim.unfinished().forget(self.file_name());
                    return Ok(CheckProgress::Kept);
                } else if !self.request.replace {
                    return Err(exists("the file exists already, with other content"));
                } else {
                    self.open_partial_file()?;
                }
                Ok(self.progress())
            }
            Some(PendingCheck::Rest(mut check)) => {
                if check.step()? {
                    let (file, hasher, len) = check.end();
                    (self.file, self.hasher, self.len) = (Some(file), hasher, len);
                } else {
                    self.check = Some(PendingCheck::Rest(check));
                }
                Ok(self.progress())
            }
        }
    }

    fn progress(&self) -> CheckProgress {
        if self.check.is_some() { CheckProgress::Checking } else { CheckProgress::Ready }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn size(&self) -> u64 {
        self.request.size
    }

    pub(crate) fn missing(&self) -> u64 {
        self.request.size.saturating_sub(self.len)
    }

    fn file(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create_new(true).custom_flags(FLAGS);
            self.claim.unfinished().make_space(self.file_name(), 0)?;
            self.file = Some(self.claim.unfinished().retry_when_full(|| options.open(&self.path))?);
            self.note(0);
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file_name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// Records that the partial file has this length, or will have.
    fn note(&self, len: u64) {
        self.claim.unfinished().note(self.file_name(), len, SystemTime::now());
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes).inspect_err(|error| self.discard_if_full(error))?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.file()?;
        let len = self.len + bytes.len() as u64;
        self.claim.unfinished().make_space(self.file_name(), len)?;
        self.note(len);
        let unfinished = Arc::clone(self.claim.unfinished());
        let file = self.file()?;
        while !bytes.is_empty() {
            match unfinished.retry_when_full(|| file.write(bytes)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes a file that filled the disk, because keeping it would block all other uploads.
    fn discard_if_full(&self, error: &io::Error) {
        if is_full(error) {
            // If removing fails, there is nothing else to try.
            let _ = fs::remove_file(&self.path);
            self.claim.unfinished().forget(self.file_name());
        }
    }

    /// Completes the upload: verifies the checksum, syncs the file, and renames it.
    pub(crate) fn commit(mut self) -> io::Result<()> {
        let kept = self.rename_to_goal().inspect_err(|error| self.discard_if_full(error));
        if fs::symlink_metadata(&self.path).is_err() {
            self.claim.unfinished().forget(self.file_name());
        }
        kept
    }

    fn rename_to_goal(&mut self) -> io::Result<()> {
        self.file()?;
        if self.hasher.finalize().to_hex().as_str() != self.request.checksum {
            fs::remove_file(&self.path)?;
            let what = "the checksum does not match; the upload was discarded";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        self.file()?.sync_all()?;
        if self.request.replace {
            fs::rename(&self.path, &self.goal)?;
        } else if let Err(error) = commit_new(&self.path, &self.goal) {
            // Another process may have created a file with this content.
            let is_it = error.kind() == io::ErrorKind::AlreadyExists && self.goal_has_content()?;
            return if is_it { self.finish_kept() } else { Err(error) };
        }
        sync_dir_of(&self.goal)
    }

    fn goal_has_content(&self) -> io::Result<bool> {
        if !fs::symlink_metadata(&self.goal)?.is_file() {
            return Ok(false);
        }
        let mut check = ChecksumReader::of(read_only(&self.goal)?);
        while !check.step()? {}
        Ok(check.is_of(&self.request.checksum))
    }

    /// Removes the partial file, because the goal has the content.
    fn finish_kept(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync_dir_of(&self.goal),
        }
    }
}

/// A symbolic link would lead elsewhere, and opening a FIFO would block.
const FLAGS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

fn read_only(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(FLAGS).open(path)
}

fn exists(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, what)
}
