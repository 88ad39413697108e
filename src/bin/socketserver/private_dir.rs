//! A directory for sockets that only this user may enter, gone when it is dropped.
//!
//! A socket's path must be short (108 bytes on Linux), and the directory for temporary files may be
//! anything: deep, missing, or another user's. So several places are tried.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::terminal;

pub(crate) struct PrivateDir(TempDir);

/// The longest name in such a directory; there is always room for it.
const LONGEST_NAME: &str = "0123456789";

impl PrivateDir {
    /// A new one, where the environment has temporary files or else where systems have them.
    ///
    /// # Errors
    /// What was wrong with the first place.
    pub(crate) fn new() -> io::Result<PrivateDir> {
        PrivateDir::in_one_of(places())
    }

    fn in_one_of(places: impl IntoIterator<Item = PathBuf>) -> io::Result<PrivateDir> {
        let mut first = None;
        for place in places {
            match PrivateDir::within(&place) {
                Ok(dir) => return Ok(dir),
                Err(error) => {
                    let what = format!(
                        "cannot make a directory in {}: {error}",
                        terminal::shown(place.as_os_str())
                    );
                    first.get_or_insert(io::Error::new(error.kind(), what));
                }
            }
        }
        Err(first.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn within(place: &Path) -> io::Result<PrivateDir> {
        // It goes to other processes, whose working directory may be another.
        let place = std::path::absolute(place)?;
        let mut builder = tempfile::Builder::new();
        close_to_others(builder.prefix("socketserver-"));
        let dir = builder.tempdir_in(place)?;
        check_length(&dir.path().join(LONGEST_NAME))?;
        Ok(PrivateDir(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// TMPDIR, what the user's session has (XDG Base Directory), and what the FHS and POSIX promise.
fn places() -> impl Iterator<Item = PathBuf> {
    let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = ["/tmp", "/var/tmp", "."].map(PathBuf::from);
    [std::env::temp_dir()].into_iter().chain(session).chain(usual)
}

#[cfg(unix)]
fn close_to_others(builder: &mut tempfile::Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt;

    builder.permissions(std::fs::Permissions::from_mode(0o700));
}

#[cfg(not(unix))]
fn close_to_others(_: &mut tempfile::Builder<'_, '_>) {}

#[cfg(unix)]
fn check_length(path: &Path) -> io::Result<()> {
    socket2::SockAddr::unix(path).map(drop)
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere a path may be too long")]
fn check_length(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        fs::write(path.join("left"), "behind").unwrap();
        drop(one);
        assert!(!path.exists());
    }

    #[test]
    #[cfg(unix)]
    fn a_place_that_will_not_do_gives_way_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let missing = dir.path().join("missing");
        let good = tempfile::tempdir().unwrap();
        let bad = [deep.clone(), missing, file];
        for bad in &bad {
            let places = [bad.clone(), good.path().to_path_buf()];
            let made = PrivateDir::in_one_of(places).unwrap();
            assert!(made.path().starts_with(good.path()), "{}", bad.display());
        }
        let error = PrivateDir::in_one_of(bad).map(drop).unwrap_err();
        assert!(error.to_string().contains(&deep.display().to_string()), "{error}");
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
    }
}
