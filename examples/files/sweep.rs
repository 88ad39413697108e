//! Removes partial files that were not written to for a long time. Everything here blocks.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::partial::goal_of;
use super::print_error;
use super::put::shown;
use super::unfinished::UnfinishedUploads;

/// Removes the partial files that were not written to for `keep`, and records the others. A running
/// upload keeps its file, however slow it is. Files with other names are left alone.
pub(crate) fn sweep(unfinished: &Arc<UnfinishedUploads>, keep: Duration) -> io::Result<()> {
    for entry in fs::read_dir(unfinished.dir())? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(goal) = goal_of(&name) else { continue };
        // The claim prevents that an upload begins or resumes with this file.
        let Ok(_claim) = unfinished.claim(goal) else { continue };
        match remove_if_old(&entry.path(), keep) {
            Ok(Some((len, written))) => unfinished.note(&name, len, written),
            Ok(None) => unfinished.forget(&name),
            Err(error) => print_error(&format!("cannot remove {}: {error}", shown(name.as_ref()))),
        }
    }
    unfinished.enforce_limits();
    Ok(())
}

/// Returns length and time of the last write; `None` if the file was old and is removed, or is no
/// regular file.
fn remove_if_old(path: &Path, keep: Duration) -> io::Result<Option<(u64, SystemTime)>> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    if !found.is_file() {
        return Ok(None);
    }
    let written = found.modified()?;
    // After the clock was set back a file may be newer than now, and is not old.
    if written.elapsed().is_ok_and(|age| age > keep) {
        return fs::remove_file(path).map(|()| None);
    }
    Ok(Some((found.len(), written)))
}
