//! The hash tables of keys, which do not grow at the same time.
//!
//! A full hash table moves all entries to one of twice the size, which takes a second with some
//! millions of them. Here each of 1,024 tables has a small part of the keys. Their expected sizes
//! differ by up to a factor of two, so they are full one after the other, and each insertion moves
//! about as many entries as any other.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

const TABLES: usize = 1 << 10;

/// Uses std's hash, whose secret key prevents collisions on purpose.
pub(crate) struct Entries<T> {
    tables: Vec<HashTable<(Box<[u8]>, T)>>,
    hasher: RandomState,
    len: usize,
}

impl<T> Default for Entries<T> {
    fn default() -> Entries<T> {
        let tables = (0..TABLES).map(|_| HashTable::new()).collect();
        Entries { tables, hasher: RandomState::new(), len: 0 }
    }
}

impl<T> Entries<T> {
    #[inline]
    pub(crate) fn get(&self, key: &[u8]) -> Option<&T> {
        let hash = self.hasher.hash_one(key);
        let found = self.tables.get(place(hash))?.find(hash, |(other, _)| **other == *key);
        found.map(|(_, value)| value)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: &[u8]) -> Option<&mut T> {
        let hash = self.hasher.hash_one(key);
        let table = self.tables.get_mut(place(hash))?;
        table.find_mut(hash, |(other, _)| **other == *key).map(|(_, value)| value)
    }

    /// Inserts a key, which must not be present.
    pub(crate) fn insert(&mut self, key: Box<[u8]>, value: T) {
        let hash = self.hasher.hash_one(&*key);
        let Some(table) = self.tables.get_mut(place(hash)) else { return };
        table.insert_unique(hash, (key, value), |(key, _)| self.hasher.hash_one(&**key));
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<(Box<[u8]>, T)> {
        let hash = self.hasher.hash_one(key);
        let table = self.tables.get_mut(place(hash))?;
        let found = table.find_entry(hash, |(other, _)| **other == *key).ok()?;
        self.len -= 1;
        Some(found.remove().0)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = (Box<[u8]>, T)> {
        self.tables.into_iter().flatten()
    }
}

/// The index of a key's table; the last tables get twice as many keys as the first. The lowest bits
/// of the hash and the highest seven are left to the table itself.
#[inline]
fn place(hash: u64) -> usize {
    let part = |shift: u32| (hash >> shift) as usize % TABLES;
    let (one, other) = (part(32), part(42));
    // The larger of two random indexes is more often a large one; a third of the keys use it.
    if (hash >> 52) % 32 < 11 { one.max(other) } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Box<[u8]> {
        n.to_string().into_bytes().into()
    }

    #[test]
    fn what_was_put_in_is_found_until_it_is_removed() {
        let mut entries = Entries::default();
        for n in 0..20_000 {
            entries.insert(key(n), n);
        }
        for n in (0..20_000).step_by(3) {
            assert_eq!(entries.remove(&key(n)), Some((key(n), n)));
            assert_eq!(entries.remove(&key(n)), None);
        }
        for n in 0..20_000 {
            let expected = Some(n).filter(|n| n % 3 != 0);
            assert_eq!(entries.get(&key(n)).copied(), expected);
            assert_eq!(entries.get_mut(&key(n)).copied(), expected);
        }
        assert_eq!((entries.len(), entries.into_iter().count()), (13_333, 13_333));
    }

    /// A turn of the server handles some ten thousand commands of a client.
    #[test]
    #[cfg_attr(miri, ignore = "too long")]
    fn no_ten_thousand_insertions_move_many_more_entries() {
        let mut entries = Entries::default();
        let mut worst = 0;
        for turn in 0..60 {
            let before: Vec<(usize, usize)> =
                entries.tables.iter().map(|table| (table.capacity(), table.len())).collect();
            for n in 0..10_000 {
                entries.insert(key(10_000 * turn + n), ());
            }
            let now = entries.tables.iter().zip(before);
            let grown = now.filter(|(table, (capacity, _))| table.capacity() > *capacity);
            let moved: usize = grown.map(|(_, (_, len))| len).sum();
            // Small tables grow several times a turn.
            worst = worst.max(if turn < 5 { 0 } else { moved });
        }
        assert!(worst < 40_000, "{worst} of 600,000 were moved in one turn");
    }
}
