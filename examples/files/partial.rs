//! A file that is not complete: beside its goal, under a name that shows it. Everything here blocks.

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

/// What has come of one file so far.
pub(crate) struct Partial {
    request: PutRequest,
    goal: PathBuf,
    path: PathBuf,
    check: Option<PendingCheck>,
    /// `None` until the first byte comes.
    file: Option<File>,
    hasher: Box<blake3::Hasher>,
    len: u64,
    claim: Claim,
}

/// What is read before more is taken.
enum PendingCheck {
    /// The file that has the name already: perhaps it is the one that is announced.
    Goal(ChecksumReader),
    /// What an earlier upload of the same content has left.
    Rest(ChecksumReader),
}

/// How far an upload has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CheckProgress {
    /// [`Partial::step`] has to be called once more.
    Checking,
    /// More of the content can be appended.
    Ready,
    /// This content has its name already.
    Kept,
}

/// What a partial file's name begins and ends with; no goal's does. Between them are the name of the
/// goal, a dot and the whole checksum: who does not know the content cannot go on with it.
const PREFIX: &[u8] = b".";
const SUFFIX: &[u8] = b".part";

/// The goal's name, if this is what [`Partial`] calls its files.
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
    /// Goes on where an earlier upload of the same content was cut, or begins. Nothing is created
    /// before there is a byte to be kept.
    pub(crate) fn open(
        request: PutRequest,
        unfinished: &Arc<UnfinishedUploads>,
    ) -> io::Result<Partial> {
        let claim = unfinished.claim(&request.name)?;
        let goal = unfinished.dir().join(&request.name);
        let path = unfinished.dir().join(file_name_of(&request));
        let check = match fs::symlink_metadata(&goal) {
            Ok(found) if !found.is_file() => return Err(exists("it exists and is no plain file")),
            Ok(found) if found.len() == request.size => {
                Some(PendingCheck::Goal(ChecksumReader::of(read_only(&goal)?)))
            }
            Ok(_) if !request.replace => return Err(exists("it exists already")),
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
            let what = "it is larger than all that may be unfinished here";
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
            return Err(exists("its partial file is no plain file of its own"));
        }
        let is_too_long = found.len() > self.request.size;
        if is_too_long {
            file.set_len(0)?;
        }
        self.note(if is_too_long { 0 } else { found.len() });
        self.check = Some(PendingCheck::Rest(ChecksumReader::of(file)));
        Ok(())
    }

    /// One step of what has to be read before more is taken.
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
                    return Err(exists("it exists already, with another content"));
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

    /// The partial file is there, and so long, or about to be.
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

    /// What fills the disk is not kept to be resumed: until then nobody else could upload anything.
    fn discard_if_full(&self, error: &io::Error) {
        if is_full(error) {
            // Whatever the reason is that it stays, there is nothing more to be done about it.
            let _ = fs::remove_file(&self.path);
            self.claim.unfinished().forget(self.file_name());
        }
    }

    /// All has come: checks it, sees it safe on the disk, and gives it its name in one step.
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
            let what = "the checksum does not match; nothing of it was kept";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        self.file()?.sync_all()?;
        if self.request.replace {
            fs::rename(&self.path, &self.goal)?;
        } else if let Err(error) = commit_new(&self.path, &self.goal) {
            // Perhaps it is this very content that somebody has put there meanwhile.
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

    /// Nothing is left to do but to remove what was left of this upload.
    fn finish_kept(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync_dir_of(&self.goal),
        }
    }
}

/// A link would lead elsewhere, and a FIFO would wait for its other end.
const FLAGS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

fn read_only(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(FLAGS).open(path)
}

fn exists(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, what)
}
