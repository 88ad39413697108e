//! The checksum of a file, computed in steps, so that a worker thread is busy for one step only.

use std::fs::File;
use std::io::{self, Read};

/// Bytes of one step: a few hundredths of a second of a disk.
const STEP: usize = 8 << 20;
const PIECE: usize = 256 << 10;

/// A file being read from its start.
pub(crate) struct ChecksumReader {
    file: File,
    hasher: Box<blake3::Hasher>,
    len: u64,
}

impl ChecksumReader {
    pub(crate) fn of(file: File) -> ChecksumReader {
        ChecksumReader { file, hasher: Box::default(), len: 0 }
    }

    /// Reads one step; returns `true` at the end of the file.
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

    /// Returns the file at its end, the checksum's state and the length.
    pub(crate) fn end(self) -> (File, Box<blake3::Hasher>, u64) {
        (self.file, self.hasher, self.len)
    }
}
