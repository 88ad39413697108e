//! A file that a run writes when it has ended, opened before it begins: a user that waited for a run learns
//! at its beginning that the file cannot be had.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(crate) struct OutputFile {
    /// `-` is standard output.
    path: PathBuf,
    /// `None` once it was written.
    file: Option<File>,
    /// It is of no use to anybody when nothing was written to it.
    is_new: bool,
}

impl OutputFile {
    /// What is in it stays until the run has ended.
    pub(crate) fn open(path: &Path) -> io::Result<OutputFile> {
        if is_stdout(path) {
            return Ok(OutputFile { path: path.to_path_buf(), file: None, is_new: false });
        }
        let (is_new, opened) = match File::create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (false, OpenOptions::new().write(true).open(path))
            }
            created => (true, created),
        };
        let file = opened.map_err(|error| super::about(path, &error))?;
        Ok(OutputFile { path: path.to_path_buf(), file: Some(file), is_new })
    }

    pub(crate) fn write(mut self, bytes: &[u8]) -> io::Result<()> {
        if is_stdout(&self.path) {
            let written = crate::connect::write_all(&mut io::stdout().lock(), bytes);
            return written.map_err(|error| super::about(Path::new("standard output"), &error));
        }
        let Some(mut file) = self.file.take() else { return Ok(()) };
        replace(&mut file, bytes).map_err(|error| super::about(&self.path, &error))
    }
}

/// As with most programs; a file of that name is `./-`.
pub(crate) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn replace(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    // A pipe or a device has no length.
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    file.write_all(bytes)
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if self.is_new && self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_stays_until_there_is_more_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        drop(OutputFile::open(&path).unwrap());
        assert!(!path.exists(), "a run that failed leaves nothing behind");
        OutputFile::open(&path).unwrap().write(b"a long record").unwrap();
        drop(OutputFile::open(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"a long record");
        OutputFile::open(&path).unwrap().write(b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_device_is_written_to_and_stays() {
        let full = OutputFile::open(Path::new("/dev/full")).unwrap();
        let error = full.write(b"x").unwrap_err();
        assert!(error.to_string().starts_with("/dev/full: "), "{error}");
        OutputFile::open(Path::new("/dev/null")).unwrap().write(b"x").unwrap();
        assert!(Path::new("/dev/null").exists());
    }
}
