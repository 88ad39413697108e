//! The checksum of what lies in a file, taken up in steps: no worker is held for longer than one.

use std::fs::File;
use std::io::{self, Read};

/// Bytes of one step: a few hundredths of a second of a disk.
const STEP: usize = 8 << 20;
const PIECE: usize = 256 << 10;

/// A file that is being read from its beginning.
pub(crate) struct ChecksumReader {
    file: File,
    hasher: Box<blake3::Hasher>,
    len: u64,
}

impl ChecksumReader {
    pub(crate) fn of(file: File) -> ChecksumReader {
        ChecksumReader { file, hasher: Box::default(), len: 0 }
    }

    /// One step; `true` when the end of the file was reached.
    pub(crate) fn step(&mut self) -> io::Result<bool> {
        let mut piece = vec![0; PIECE];
        for _ in 0..STEP / PIECE {
            let n = self.file.read(&mut piece)?;
            let Some(read) = piece.get(..n).filter(|read| !read.is_empty()) else {
                return Ok(true);
            };
            self.hasher.update(read);
            self.len += n as u64;
        }
        Ok(false)
    }

    pub(crate) fn is_of(&self, checksum: &str) -> bool {
        self.hasher.finalize().to_hex().as_str() == checksum
    }

    /// The file, behind what was read, and the checksum so far.
    pub(crate) fn end(self) -> (File, Box<blake3::Hasher>, u64) {
        (self.file, self.hasher, self.len)
    }
}
