//! How a complete file gets its name: in one step, and never over a file of somebody else.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// Gives `partial` the name `goal`. Fails with [`io::ErrorKind::AlreadyExists`] when something has
/// that name.
pub(crate) fn commit_new(partial: &Path, goal: &Path) -> io::Result<()> {
    match fs::hard_link(partial, goal) {
        Ok(()) => fs::remove_file(partial),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Not every file system has links (FAT, exFAT, many in user space), or gives them to everybody.
        Err(_) => rename_new(partial, goal),
    }
}

/// As link(2) does, this never replaces; see rename(2), `RENAME_NOREPLACE`.
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

/// Where the system has neither: takes the name with an empty file, which nobody else can have put
/// there, and replaces that. Between the two steps the name shows an empty file.
fn rename_over_own(partial: &Path, goal: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(goal)?;
    fs::rename(partial, goal).inspect_err(|_| {
        let _ = fs::remove_file(goal);
    })
}

/// A name is safe once its directory is.
pub(crate) fn sync_dir_of(goal: &Path) -> io::Result<()> {
    File::open(goal.parent().unwrap_or(Path::new(".")))?.sync_all()
}
