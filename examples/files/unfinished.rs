//! All partial files of a directory: which are being uploaded, and the limits of their number and
//! size. Everything but the drop of a [`Claim`] may block.
//!
//! If there are too many, if they are too large together or if the disk is full, the oldest that is
//! not being uploaded is removed. So abandoned files never prevent an upload, and no client can
//! leave more than the limits allow.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::partial::goal_of;
use super::print_error;
use super::put::shown;

/// The limits of all partial files together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnfinishedLimits {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

impl Default for UnfinishedLimits {
    /// More files than concurrent uploads.
    fn default() -> UnfinishedLimits {
        UnfinishedLimits { files: 1_000, bytes: 64 << 30 }
    }
}

pub(crate) struct UnfinishedUploads {
    dir: PathBuf,
    limits: UnfinishedLimits,
    table: Mutex<UnfinishedTable>,
}

#[derive(Default)]
struct UnfinishedTable {
    /// Goals being uploaded; a second upload of one would write to the same file.
    busy: BTreeSet<OsString>,
    /// By name of the partial file.
    files: BTreeMap<OsString, UnfinishedUpload>,
    /// Sum of the lengths.
    bytes: u64,
}

struct UnfinishedUpload {
    goal: OsString,
    len: u64,
    /// Time of the last write.
    written: SystemTime,
}

/// The exclusive right to a goal and its partial files, released on drop in any thread.
pub(crate) struct Claim {
    goal: OsString,
    of: Arc<UnfinishedUploads>,
}

impl UnfinishedUploads {
    pub(crate) fn new(dir: PathBuf, limits: UnfinishedLimits) -> Arc<UnfinishedUploads> {
        Arc::new(UnfinishedUploads { dir, limits, table: Mutex::default() })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn limits(&self) -> UnfinishedLimits {
        self.limits
    }

    /// Must not be held during disk access, because the loop locks it too.
    fn table(&self) -> MutexGuard<'_, UnfinishedTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn claim(self: &Arc<UnfinishedUploads>, goal: &OsStr) -> io::Result<Claim> {
        if !self.table().busy.insert(goal.into()) {
            return Err(busy("the file is being uploaded already"));
        }
        Ok(Claim { goal: goal.into(), of: Arc::clone(self) })
    }

    /// Records a partial file, or its new length.
    pub(crate) fn note(&self, file: &OsStr, len: u64, written: SystemTime) {
        let Some(goal) = goal_of(file) else { return };
        let mut table = self.table();
        table.forget(file);
        table.bytes = table.bytes.saturating_add(len);
        table.files.insert(file.into(), UnfinishedUpload { goal: goal.into(), len, written });
    }

    /// Removes a partial file from the table.
    pub(crate) fn forget(&self, file: &OsStr) {
        self.table().forget(file);
    }

    /// Removes other files until this one may have length `len`. `Err` if nothing more can be
    /// removed.
    pub(crate) fn make_space(
        self: &Arc<UnfinishedUploads>,
        file: &OsStr,
        len: u64,
    ) -> io::Result<()> {
        loop {
            let table = self.table();
            let found = table.files.get(file);
            let files = table.files.len() + usize::from(found.is_none());
            let before = found.map_or(0, |found| found.len);
            let bytes = table.bytes.saturating_sub(before).saturating_add(len);
            drop(table);
            if files <= self.limits.files && bytes <= self.limits.bytes {
                return Ok(());
            }
            if !self.remove_oldest() {
                return Err(busy("too many concurrent uploads, or too large ones"));
            }
        }
    }

    /// Removes files until the limits are met, or nothing more can be removed.
    pub(crate) fn enforce_limits(self: &Arc<UnfinishedUploads>) {
        let is_too_much = || {
            let table = self.table();
            table.files.len() > self.limits.files || table.bytes > self.limits.bytes
        };
        while is_too_much() && self.remove_oldest() {}
    }

    /// Repeats `work` while the disk is full and a file can be removed.
    pub(crate) fn retry_when_full<T>(
        self: &Arc<UnfinishedUploads>,
        mut work: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match work() {
                Err(error) if is_full(&error) && self.remove_oldest() => {}
                done => return done,
            }
        }
    }

    /// Removes the oldest file that is not being uploaded; `false` if there is none.
    fn remove_oldest(self: &Arc<UnfinishedUploads>) -> bool {
        let mut table = self.table();
        let free = table.files.iter().filter(|(_, found)| !table.busy.contains(&found.goal));
        let oldest = free.min_by_key(|(_, found)| found.written);
        let Some((file, goal)) = oldest.map(|(file, found)| (file.clone(), found.goal.clone()))
        else {
            return false;
        };
        table.busy.insert(goal.clone());
        drop(table);
        // The claim prevents that an upload begins or resumes with this file.
        let _claim = Claim { goal, of: Arc::clone(self) };
        match fs::remove_file(self.dir.join(&file)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It is forgotten all the same, because the loop would try it for ever.
            Err(error) => print_error(&format!("cannot remove {}: {error}", shown(file.as_ref()))),
        }
        self.forget(&file);
        true
    }
}

impl UnfinishedTable {
    fn forget(&mut self, file: &OsStr) {
        if let Some(found) = self.files.remove(file) {
            self.bytes = self.bytes.saturating_sub(found.len);
        }
    }
}

impl Claim {
    pub(crate) fn unfinished(&self) -> &Arc<UnfinishedUploads> {
        &self.of
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.of.table().busy.remove(&self.goal);
    }
}

/// Whether the disk, or the user's quota, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn busy(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, what)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name(nth: u64) -> OsString {
        format!(".{nth}.{}.part", "0".repeat(64)).into()
    }

    #[test]
    fn the_oldest_that_nobody_uploads_goes_first_and_only_as_much_as_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let unfinished =
            UnfinishedUploads::new(dir.path().into(), UnfinishedLimits { files: 3, bytes: 100 });
        for nth in [2, 0, 1] {
            fs::write(dir.path().join(name(nth)), [7; 30]).unwrap();
            unfinished.note(&name(nth), 30, SystemTime::UNIX_EPOCH + Duration::from_secs(nth));
        }
        let left = |nths: &[u64]| {
            let is_there = |nth: u64| dir.path().join(name(nth)).exists();
            (0..4).all(|nth| is_there(nth) == nths.contains(&nth))
        };
        unfinished.make_space(&name(2), 40).unwrap();
        assert!(left(&[0, 1, 2]), "there is room");
        let claim = unfinished.claim(OsStr::new("0")).unwrap();
        unfinished.make_space(&name(3), 0).unwrap();
        assert!(left(&[0, 2]), "one less, and not the one that is uploaded");
        unfinished.note(&name(3), 0, SystemTime::now());
        drop(claim);
        let _claim = unfinished.claim(OsStr::new("3")).unwrap();
        unfinished.make_space(&name(3), 70).unwrap();
        assert!(left(&[2]));
        let refused = unfinished.make_space(&name(3), 101).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        assert!(left(&[]) && unfinished.table().bytes == 0);
    }

    #[test]
    fn what_was_found_is_made_to_fit_and_what_is_gone_counts_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let unfinished =
            UnfinishedUploads::new(dir.path().into(), UnfinishedLimits { files: 2, bytes: 100 });
        for nth in 0..5 {
            unfinished.note(&name(nth), 30, SystemTime::UNIX_EPOCH + Duration::from_secs(nth));
        }
        unfinished.enforce_limits();
        let table = unfinished.table();
        let names: Vec<&OsString> = table.files.keys().collect();
        assert_eq!((names, table.bytes), (vec![&name(3), &name(4)], 60));
    }

    #[test]
    fn a_full_disk_is_tried_again_while_there_is_something_to_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let unfinished = UnfinishedUploads::new(dir.path().into(), UnfinishedLimits::default());
        for nth in 0..3 {
            unfinished.note(&name(nth), 30, SystemTime::now());
        }
        for (kind, tries) in [
            (io::ErrorKind::StorageFull, 4),
            (io::ErrorKind::QuotaExceeded, 1),
            (io::ErrorKind::PermissionDenied, 1),
        ] {
            let mut tried = 0;
            let done: io::Result<()> = unfinished.retry_when_full(|| {
                tried += 1;
                Err(kind.into())
            });
            assert_eq!((done.unwrap_err().kind(), tried), (kind, tries));
        }
    }
}
