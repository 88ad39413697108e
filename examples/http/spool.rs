//! A body that is kept until all of it has come: a little in memory, more in a file without a name.
//!
//! It could be sent back while it comes in, and then a client that sends everything before it reads
//! anything, as many do, would wait for us to read while we wait for it, as soon as the buffers of
//! both systems are full: from some MiB on. Besides, half a body would have been answered by 200.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::rc::Rc;

/// Bytes of one body that are kept in memory. Larger ones need a file, and no memory.
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

    /// Takes the next piece. It fails when there is no room for it.
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

    /// From now on it is read, from its beginning; gives how long it is.
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
    /// With the room that it takes, which is free again when both are gone.
    File(File, DiskReservation),
}

/// How much all bodies together may take on the disk, and how much they do.
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

/// What one body takes of it.
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
