//! A directory that only this user may enter, gone when it is dropped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(super) struct PrivateDir(PathBuf);

/// Names that dead programs may have left behind.
const TRIES: u32 = 100;

impl PrivateDir {
    /// A new one among the temporary files.
    pub(super) fn new() -> io::Result<PrivateDir> {
        let parent = std::env::temp_dir();
        let mut last = None;
        for n in 0..TRIES {
            let path = parent.join(format!("socketserver-{}-{n}", std::process::id()));
            match make(&path) {
                Ok(()) => return Ok(PrivateDir(path)),
                Err(error) => {
                    let taken = error.kind() == io::ErrorKind::AlreadyExists;
                    let what = format!("cannot make the directory {}: {error}", path.display());
                    last = Some(io::Error::new(error.kind(), what));
                    if !taken {
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::AlreadyExists.into()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        // Not what is in it: that is for its owner to remove.
        let _ = fs::remove_dir(&self.0);
    }
}

#[cfg(unix)]
fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn it_is_private_of_its_own_and_goes() {
        use std::os::unix::fs::PermissionsExt;

        let (one, two) = (PrivateDir::new().unwrap(), PrivateDir::new().unwrap());
        assert_ne!(one.path(), two.path());
        let mode = fs::metadata(one.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let path = one.path().to_path_buf();
        drop(one);
        assert!(!path.exists());
    }
}
