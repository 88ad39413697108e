//! A body that is spooled until it is complete: in memory while it is small, else in an unnamed
//! file, like Python's `SpooledTemporaryFile`.
//!
//! Sending it back while it is received would deadlock with a client that sends everything before
//! it reads, as many do: once the buffers of both systems are full, after some MiB, each side would
//! wait for the other. And an incomplete body would have been answered with 200.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::rc::Rc;

/// A longer body is moved to a file.
const IN_MEMORY: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct SpooledBody {
    memory: Vec<u8>,
    file: Option<File>,
    reservation: DiskReservation,
}

impl SpooledBody {
    pub(crate) fn new(disk: &DiskQuota) -> SpooledBody {
        SpooledBody {
            memory: Vec::new(),
            file: None,
            reservation: DiskReservation { disk: disk.clone(), bytes: 0 },
        }
    }

    /// Appends `data`. Fails if there is no space for it.
    pub(crate) fn push(&mut self, data: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() + data.len() <= IN_MEMORY {
            self.memory.extend_from_slice(data);
            return Ok(());
        }
        self.reservation.grow((self.memory.len() + data.len()) as u64)?;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.write_all(&self.memory)?;
        self.memory = Vec::new();
        file.write_all(data)
    }

    /// Ends writing. Returns the content, to be read from its start, and its length.
    pub(crate) fn rewind(mut self) -> io::Result<(SpooledContent, u64)> {
        let Some(mut file) = self.file.take() else {
            let len = self.memory.len() as u64;
            return Ok((SpooledContent::Memory(self.memory), len));
        };
        file.rewind()?;
        let len = self.reservation.bytes;
        Ok((SpooledContent::File(file, self.reservation), len))
    }
}

#[derive(Debug)]
pub(crate) enum SpooledContent {
    Memory(Vec<u8>),
    /// With its share of the quota, released when it is dropped.
    File(File, DiskReservation),
}

/// The limit of all bodies on the disk, and their sum.
#[derive(Clone, Debug)]
pub(crate) struct DiskQuota {
    limit: u64,
    used: Rc<Cell<u64>>,
}

impl DiskQuota {
    pub(crate) fn new(limit: u64) -> DiskQuota {
        DiskQuota { limit, used: Rc::default() }
    }
}

/// The bytes of one body on the disk.
#[derive(Debug)]
pub(crate) struct DiskReservation {
    disk: DiskQuota,
    bytes: u64,
}

impl DiskReservation {
    fn grow(&mut self, by: u64) -> io::Result<()> {
        let used = self.disk.used.get().saturating_add(by);
        if used > self.disk.limit {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.disk.used.set(used);
        self.bytes += by;
        Ok(())
    }
}

impl Drop for DiskReservation {
    fn drop(&mut self) {
        self.disk.used.set(self.disk.used.get().saturating_sub(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn all(spooled: SpooledBody) -> Vec<u8> {
        let (mut bytes, len) = match spooled.rewind().unwrap() {
            (SpooledContent::Memory(bytes), len) => (bytes, len),
            (SpooledContent::File(mut file, _), len) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).unwrap();
                (bytes, len)
            }
        };
        assert_eq!(bytes.len() as u64, len);
        std::mem::take(&mut bytes)
    }

    #[test]
    fn what_was_kept_comes_back_in_memory_and_from_a_file() {
        let disk = DiskQuota::new(u64::MAX);
        for len in [0, 1, IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY] {
            for piece in [1 << 10, IN_MEMORY, usize::MAX] {
                let sent: Vec<u8> = (0..len).map(|nth| (nth % 251) as u8).collect();
                let mut spooled = SpooledBody::new(&disk);
                for piece in sent.chunks(piece) {
                    spooled.push(piece).unwrap();
                }
                assert_eq!(spooled.file.is_some(), len > IN_MEMORY);
                assert!(all(spooled) == sent, "{len} bytes by {piece}");
                assert_eq!(disk.used.get(), 0, "what is gone takes nothing");
            }
        }
    }

    #[test]
    fn all_of_them_share_the_disk() {
        let disk = DiskQuota::new(5 * IN_MEMORY as u64);
        let piece = vec![7; 2 * IN_MEMORY];
        let (mut one, mut other) = (SpooledBody::new(&disk), SpooledBody::new(&disk));
        one.push(&piece).unwrap();
        other.push(&piece).unwrap();
        assert_eq!(one.push(&piece).unwrap_err().kind(), io::ErrorKind::StorageFull);
        drop(other);
        one.push(&piece).unwrap();
        assert_eq!(all(one).len(), 4 * IN_MEMORY);
    }
}
