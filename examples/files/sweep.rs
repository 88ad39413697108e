//! What nobody has gone on with for long is removed. Everything here blocks.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::partial::{Busy, Claim, goal_of};
use super::say;

/// Removes partial files that were not written to for so long. An upload that is under way keeps
/// its file, however slow it is, and so does whoever has put a file of another kind of name there.
pub(crate) fn sweep(dir: &Path, keep: Duration, busy: &Busy) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(goal) = goal_of(&name) else { continue };
        // While the claim is held no upload begins, or goes on, with this file.
        let Ok(_claim) = Claim::of(goal, busy) else { continue };
        if let Err(error) = remove_old(&entry.path(), keep) {
            say(&format!("{} stays: {error}", name.to_string_lossy()));
        }
    }
    Ok(())
}

fn remove_old(path: &Path, keep: Duration) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    // A clock that was set back makes a file of the future, which is not old.
    let is_old = found.modified()?.elapsed().is_ok_and(|age| age > keep);
    if found.is_file() && is_old { fs::remove_file(path) } else { Ok(()) }
}
