//! A file that is not complete: beside its goal, under a name that shows it. Everything here blocks.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::name::Announced;

/// The names that are being uploaded; two at once would write into each other.
pub(crate) type Busy = Arc<Mutex<BTreeSet<String>>>;

/// One name of [`Busy`], until it is dropped, in whatever thread that happens.
struct Claim {
    name: String,
    busy: Busy,
}

impl Claim {
    fn of(name: &str, busy: &Busy) -> io::Result<Claim> {
        if !busy.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into()) {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "it is being uploaded already",
            ));
        }
        Ok(Claim { name: name.into(), busy: Arc::clone(busy) })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

/// What has come of one file so far.
pub(crate) struct Partial {
    announced: Announced,
    goal: PathBuf,
    path: PathBuf,
    file: File,
    hasher: Box<blake3::Hasher>,
    len: u64,
    _claim: Claim,
}

/// What a partial file's name begins and ends with; no goal's does.
const PREFIX: &str = ".";
const SUFFIX: &str = ".part";

impl Partial {
    /// Goes on where an earlier upload of the same content was cut, or begins.
    pub(crate) fn open(dir: &Path, announced: Announced, busy: &Busy) -> io::Result<Partial> {
        let claim = Claim::of(&announced.name, busy)?;
        let goal = dir.join(&announced.name);
        match fs::symlink_metadata(&goal) {
            Ok(found) if !found.is_file() => return Err(exists("it exists and is no plain file")),
            Ok(_) if !announced.replace => return Err(exists("it exists already")),
            _ => {}
        }
        // Of another content with the same name nothing can be used.
        let content = announced.checksum.get(..16).unwrap_or_default();
        let path = dir.join(format!("{PREFIX}{}.{content}{SUFFIX}", announced.name));
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(&path)?;
        if !file.metadata()?.is_file() {
            return Err(exists("its partial file is no plain file"));
        }
        if file.metadata()?.len() > announced.size {
            file.set_len(0)?;
        }
        let mut hasher = Box::new(blake3::Hasher::new());
        let mut piece = vec![0; 256 << 10];
        let mut len = 0;
        loop {
            let n = file.read(&mut piece)?;
            let Some(read) = piece.get(..n).filter(|read| !read.is_empty()) else { break };
            hasher.update(read);
            len += n as u64;
        }
        Ok(Partial { announced, goal, path, file, hasher, len, _claim: claim })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn missing(&self) -> u64 {
        self.announced.size.saturating_sub(self.len)
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// All has come: checks it, sees it safe on the disk, and gives it its name in one step.
    pub(crate) fn keep(self) -> io::Result<()> {
        if self.hasher.finalize().to_hex().as_str() != self.announced.checksum {
            fs::remove_file(&self.path)?;
            let what = "the checksum does not match; nothing of it was kept";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        self.file.sync_all()?;
        if self.announced.replace {
            fs::rename(&self.path, &self.goal)?;
        } else {
            // Other than a rename, a link never replaces what somebody else has put there.
            fs::hard_link(&self.path, &self.goal)?;
            fs::remove_file(&self.path)?;
        }
        let dir = self.goal.parent().unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    }
}

/// Removes partial files that nobody has written to for so long.
pub(crate) fn sweep(dir: &Path, keep: Duration) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_partial = name.starts_with(PREFIX) && name.ends_with(SUFFIX);
        let metadata = if is_partial { entry.metadata() } else { continue };
        let age = metadata.and_then(|m| m.modified()).map(|time| time.elapsed());
        if age.is_ok_and(|age| age.is_ok_and(|age| age > keep)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn exists(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, what)
}
