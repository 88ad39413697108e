//! Ids of sockets and timers, and the slab that checks them.
//!
//! An id has the index of a slot and the generation of its value. After the value was removed, a late
//! event, a stale timer or a copied id finds nothing, even if the slot has a new value.

use std::fmt;

use mio::Token;
use slab::Slab;

/// Identifies one socket of one server. After the socket was closed, a call with its id has no effect
/// and never reaches another socket; the caller may keep the id for ever.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SocketId(pub(crate) Key);

/// Identifies one timer of one server, from [`Io::set_timer`](crate::Io::set_timer).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TimerId(pub(crate) Key);

/// An index and a generation, each in one half of a `usize`, the size of mio's [`Token`].
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key(usize);

const HALF: u32 = usize::BITS / 2;
const LOW: usize = usize::MAX >> HALF;

impl Key {
    fn new(index: usize, generation: usize) -> Key {
        debug_assert!(index < LOW && generation <= LOW);
        Key(generation << HALF | index)
    }

    pub(crate) fn index(self) -> usize {
        self.0 & LOW
    }

    fn generation(self) -> usize {
        self.0 >> HALF
    }
}

impl SocketId {
    /// An id that no socket has, because its index is never assigned.
    pub(crate) const NOBODY: SocketId = SocketId(Key(usize::MAX));
    /// The token of the waker of the loop.
    pub(crate) const WAKER: Token = Token(usize::MAX);

    pub(crate) fn token(self) -> Token {
        Token(self.0.0)
    }

    pub(crate) const fn from_token(token: Token) -> SocketId {
        SocketId(Key(token.0))
    }

    pub(crate) fn index(self) -> usize {
        self.0.index()
    }
}

impl TimerId {
    /// The id that [`Io::set_timer`](crate::Io::set_timer) returns when it sets no timer. It never
    /// fires, and [`Io::cancel_timer`](crate::Io::cancel_timer) returns `false` for it.
    pub const NONE: TimerId = TimerId(Key(usize::MAX));
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index(), self.generation())
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socket {:?}", self.0)
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Debug for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timer {:?}", self.0)
    }
}

impl fmt::Display for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A slab that finds a value only by the [`Key`] of its own insertion.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slab: Slab<Slot<T>>,
    /// Counts insertions, so two values of one index have different keys until the counter wraps, after
    /// 2^32 insertions on a 64-bit machine.
    generation: usize,
}

#[derive(Debug)]
struct Slot<T> {
    /// The generation half of the [`Key`], which fits a `u32` on every machine.
    generation: u32,
    value: T,
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Slots<T> {
        Slots { slab: Slab::new(), generation: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Inserts the value that `make` returns for its key; `None` when no index is left.
    #[inline]
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Option<Key> {
        let entry = self.slab.vacant_entry();
        if entry.key() >= LOW {
            return None;
        }
        let key = Key::new(entry.key(), self.generation);
        self.generation = (self.generation + 1) & LOW;
        let generation = u32::try_from(key.generation()).unwrap_or(u32::MAX);
        entry.insert(Slot { generation, value: make(key) });
        Some(key)
    }

    /// Applies `pick` to the value; `None` for a stale key, or if `pick` returns `None`.
    #[inline]
    pub(crate) fn pick<'a, U>(
        &'a self,
        key: Key,
        pick: impl FnOnce(&'a T) -> Option<&'a U>,
    ) -> Option<&'a U> {
        let slot = self.slab.get(key.index())?;
        let picked = pick(&slot.value)?;
        (slot.generation as usize == key.generation()).then_some(picked)
    }

    /// Like [`Slots::pick`], for a mutable reference.
    #[inline]
    pub(crate) fn pick_mut<'a, U>(
        &'a mut self,
        key: Key,
        pick: impl FnOnce(&'a mut T) -> Option<&'a mut U>,
    ) -> Option<&'a mut U> {
        let slot = self.slab.get_mut(key.index())?;
        let picked = pick(&mut slot.value)?;
        (slot.generation as usize == key.generation()).then_some(picked)
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.slab.get(key.index()) {
            Some(slot) if slot.generation as usize == key.generation() => Some(&slot.value),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slab.get_mut(key.index()) {
            Some(slot) if slot.generation as usize == key.generation() => Some(&mut slot.value),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        self.slab.try_remove(key.index()).map(|slot| slot.value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slab
            .iter()
            .map(|(index, slot)| (Key::new(index, slot.generation as usize), &slot.value))
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Key, &T) -> bool) {
        self.slab
            .retain(|index, slot| keep(Key::new(index, slot.generation as usize), &slot.value));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    mod model;

    #[test]
    #[cfg_attr(miri, ignore = "too long")]
    fn a_removed_key_never_finds_anything_again() {
        let mut slots = Slots::new();
        let mut live: HashMap<Key, u64> = HashMap::new();
        let mut dead: Vec<Key> = Vec::new();
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        for step in 0..20_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step | 1);
            if random >> 63 == 0 || live.is_empty() {
                let key = slots.insert_with(|_| step).unwrap();
                assert!(live.insert(key, step).is_none(), "{key:?} was given out twice");
            } else {
                let nth = usize::try_from(random >> 8).unwrap() % live.len();
                let key = *live.keys().nth(nth).unwrap();
                assert_eq!(slots.remove(key), live.remove(&key));
                dead.push(key);
            }
            assert_eq!(slots.len(), live.len());
        }
        for (key, value) in &live {
            assert_eq!(slots.get(*key), Some(value));
        }
        for key in dead {
            assert_eq!(slots.get_mut(key), None);
            assert_eq!(slots.remove(key), None);
        }
    }

    #[test]
    fn a_reused_slot_has_a_new_name() {
        let mut slots = Slots::new();
        let first = slots.insert_with(|_| 'a').unwrap();
        slots.remove(first);
        let second = slots.insert_with(|_| 'b').unwrap();
        assert_eq!(first.index(), second.index());
        assert_ne!(first, second);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.get(second), Some(&'b'));
    }

    #[test]
    fn generations_wrap_without_touching_the_index() {
        let mut slots = Slots { slab: Slab::new(), generation: LOW };
        let last = slots.insert_with(|_| 0).unwrap();
        let wrapped = slots.insert_with(|_| 1).unwrap();
        assert_eq!((last.index(), wrapped.index()), (0, 1));
        assert_eq!(slots.get(wrapped), Some(&1));
    }

    #[test]
    fn no_socket_is_ever_named_like_the_waker() {
        assert_eq!(SocketId::from_token(SocketId::WAKER).index(), LOW);
    }
}
