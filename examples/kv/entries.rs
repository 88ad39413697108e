//! A hash table that grows and shrinks in steps: linear hashing.
//!
//! A full hash table moves all entries to one of twice the size, which takes a second with some
//! millions of them. Here the keys are in many small tables, the segments. Whenever the entries are
//! too many for the segments, one segment is split in two; whenever they are too few, the last
//! segment is merged into the one that it was split from. So no insertion moves more than the
//! entries of a few segments, however many keys there are (W. Litwin, Linear Hashing, 1980).

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;

use hashbrown::HashTable;

/// Mean number of entries of a segment. A segment waiting for its split has up to twice as many. The
/// smaller they are, the less it matters that hashbrown's growth of equal segments coincides.
const MEAN: usize = 96;
/// The lowest bits of the hash and the highest seven are left to the segment's own table.
const SEGMENT_SHIFT: u32 = 24;

/// Keys are any type that holds bytes. Uses std's hash, whose secret key prevents collisions on
/// purpose.
pub(crate) struct Entries<K, T> {
    /// Never empty.
    segments: Vec<HashTable<(K, T)>>,
    hasher: RandomState,
    len: usize,
}

impl<K, T> Default for Entries<K, T> {
    fn default() -> Entries<K, T> {
        Entries { segments: vec![HashTable::new()], hasher: RandomState::new(), len: 0 }
    }
}

impl<K: Deref<Target = [u8]>, T> Entries<K, T> {
    #[inline]
    pub(crate) fn get(&self, key: &[u8]) -> Option<&T> {
        self.get_key_value(key).map(|(_, value)| value)
    }

    #[inline]
    pub(crate) fn get_key_value(&self, key: &[u8]) -> Option<&(K, T)> {
        let hash = self.hasher.hash_one(key);
        self.segments.get(self.place(hash))?.find(hash, |(other, _)| **other == *key)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: &[u8]) -> Option<&mut T> {
        let hash = self.hasher.hash_one(key);
        let place = self.place(hash);
        let segment = self.segments.get_mut(place)?;
        segment.find_mut(hash, |(other, _)| **other == *key).map(|(_, value)| value)
    }

    /// Inserts a key, which must not be present.
    pub(crate) fn insert(&mut self, key: K, value: T) {
        if self.len >= self.segments.len() * MEAN {
            self.split();
        }
        self.put((key, value));
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<(K, T)> {
        let hash = self.hasher.hash_one(key);
        let place = self.place(hash);
        let found = self.segments.get_mut(place)?;
        let (found, _) = found.find_entry(hash, |(other, _)| **other == *key).ok()?.remove();
        self.len -= 1;
        // Far below the mean, so that a key which comes and goes moves no others.
        if self.len < self.segments.len() / 4 * MEAN {
            self.merge();
        }
        Some(found)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = (K, T)> {
        self.segments.into_iter().flatten()
    }

    /// The index of a key's segment. With 2^n segments it is n bits of the hash. With more, those
    /// that were split already use one bit more.
    #[inline]
    fn place(&self, hash: u64) -> usize {
        let bits = usize::try_from(hash >> SEGMENT_SHIFT).unwrap_or(usize::MAX);
        let half = power_of_two(self.segments.len());
        let place = bits & (2 * half - 1);
        if place < self.segments.len() { place } else { place & (half - 1) }
    }

    fn put(&mut self, entry: (K, T)) {
        let hash = self.hasher.hash_one(&*entry.0);
        let (place, hasher) = (self.place(hash), &self.hasher);
        let Some(segment) = self.segments.get_mut(place) else { return };
        segment.insert_unique(hash, entry, |(key, _)| hasher.hash_one(&**key));
    }

    /// Splits the next segment: about half of its entries move to a new one at the end.
    #[cold]
    fn split(&mut self) {
        let next = self.segments.len() - power_of_two(self.segments.len());
        let Some(segment) = self.segments.get_mut(next) else { return };
        let half = segment.len() / 2;
        let whole = std::mem::replace(segment, HashTable::with_capacity(half));
        self.segments.push(HashTable::with_capacity(half));
        whole.into_iter().for_each(|entry| self.put(entry));
    }

    /// Takes the last split back.
    #[cold]
    fn merge(&mut self) {
        let last = self.segments.pop().unwrap_or_default();
        last.into_iter().for_each(|entry| self.put(entry));
    }
}

impl<K, T> fmt::Debug for Entries<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("len", &self.len).finish_non_exhaustive()
    }
}

/// The largest power of two that is not larger than `n`, which is not 0.
#[inline]
fn power_of_two(n: usize) -> usize {
    1 << n.ilog2()
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
        assert_eq!(entries.len(), 13_333);
        for n in (0..20_000).filter(|n| n % 3 != 0).skip(1) {
            assert_eq!(entries.remove(&key(n)), Some((key(n), n)));
        }
        assert!(entries.segments.len() < 4, "{}", entries.segments.len());
        assert_eq!(entries.into_iter().collect::<Vec<_>>(), [(key(1), 1)]);
    }

    /// Both are bounds of the longest wait of a client, at any number of keys.
    #[test]
    #[cfg_attr(miri, ignore = "too long")]
    fn no_insertion_and_no_removal_moves_many_entries() {
        let mut entries = Entries::default();
        let sizes = |entries: &Entries<Box<[u8]>, ()>| -> Vec<(usize, usize)> {
            entries.segments.iter().map(|segment| (segment.capacity(), segment.len())).collect()
        };
        let moved = |before: &[(usize, usize)], after: &[(usize, usize)]| -> usize {
            let changed = before.iter().zip(after).filter(|(before, after)| before.0 != after.0);
            let rest = after.get(before.len()..).unwrap_or_default();
            changed.map(|(_, after)| after.1).chain(rest.iter().map(|new| new.1)).sum()
        };
        for n in 0..300_000 {
            // A look at each insertion would take too long.
            let before = (n % 97 == 0).then(|| sizes(&entries));
            entries.insert(key(n), ());
            let moved = before.map_or(0, |before| moved(&before, &sizes(&entries)));
            assert!(moved < 8 * MEAN, "{moved} were moved by insertion {n}");
        }
        for turn in 0..30 {
            let before = sizes(&entries);
            for n in 0..10_000 {
                entries.insert(key(300_000 + 10_000 * turn + n), ());
            }
            let moved = moved(&before, &sizes(&entries));
            // About twelve times as many as are inserted, where the growth of equal segments coincides.
            assert!(moved < 200_000, "{moved} of {} were moved in one turn", entries.len());
        }
        for n in 0..600_000 {
            let before = (n % 97 == 0).then(|| sizes(&entries));
            assert!(entries.remove(&key(n)).is_some());
            let moved = before.map_or(0, |before| moved(&sizes(&entries), &before));
            assert!(moved < 8 * MEAN, "{moved} were moved by removal {n}");
        }
    }
}
