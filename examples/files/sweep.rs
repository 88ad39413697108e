//! What nobody has gone on with for long is removed. Everything here blocks.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::partial::goal_of;
use super::print_error;
use super::put::shown;
use super::unfinished::UnfinishedUploads;

/// Removes partial files that were not written to for so long, and takes note of the others. An upload
/// that is under way keeps its file, however slow it is, and so does whoever has put a file of another
/// kind of name there.
pub(crate) fn sweep(unfinished: &Arc<UnfinishedUploads>, keep: Duration) -> io::Result<()> {
    for entry in fs::read_dir(unfinished.dir())? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(goal) = goal_of(&name) else { continue };
        // While the claim is held no upload begins, or goes on, with this file.
        let Ok(_claim) = unfinished.claim(goal) else { continue };
        match remove_if_old(&entry.path(), keep) {
            Ok(Some((len, written))) => unfinished.note(&name, len, written),
            Ok(None) => unfinished.forget(&name),
            Err(error) => print_error(&format!("{} stays: {error}", shown(name.as_ref()))),
        }
    }
    unfinished.enforce_limits();
    Ok(())
}

/// How long the file is and when it was written to, unless it was old, and then it is gone, or is none.
fn remove_if_old(path: &Path, keep: Duration) -> io::Result<Option<(u64, SystemTime)>> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    if !found.is_file() {
        return Ok(None);
    }
    let written = found.modified()?;
    // A clock that was set back makes a file of the future, which is not old.
    if written.elapsed().is_ok_and(|age| age > keep) {
        return fs::remove_file(path).map(|()| None);
    }
    Ok(Some((found.len(), written)))
}
