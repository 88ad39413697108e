//! Gives a complete file its name, in one step and without replacing another file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// Renames `partial` to `goal`. Fails with [`io::ErrorKind::AlreadyExists`] if there is a file with
/// that name.
pub(crate) fn commit_new(partial: &Path, goal: &Path) -> io::Result<()> {
    match fs::hard_link(partial, goal) {
        Ok(()) => fs::remove_file(partial),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Some file systems have no hard links (FAT, exFAT, many in user space), others restrict
        // them.
        Err(_) => rename_new(partial, goal),
    }
}

/// Like link(2) this never replaces a file; see rename(2), `RENAME_NOREPLACE`.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn rename_new(partial: &Path, goal: &Path) -> io::Result<()> {
    use nix::errno::Errno;
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

    match renameat2(AT_FDCWD, partial, AT_FDCWD, goal, RenameFlags::RENAME_NOREPLACE) {
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => rename_over_own(partial, goal),
        renamed => renamed.map_err(io::Error::from),
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn rename_new(partial: &Path, goal: &Path) -> io::Result<()> {
    rename_over_own(partial, goal)
}

/// For systems with neither: creates an empty file with `O_EXCL`, which no other process can own,
/// and replaces it. Between the two steps the file is empty.
fn rename_over_own(partial: &Path, goal: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(goal)?;
    fs::rename(partial, goal).inspect_err(|_| {
        let _ = fs::remove_file(goal);
    })
}

/// A new name survives a crash only after its directory is synced.
pub(crate) fn sync_dir_of(goal: &Path) -> io::Result<()> {
    File::open(goal.parent().unwrap_or(Path::new(".")))?.sync_all()
}
