//! Watched keys that do not exist, and whether they were created since.
//!
//! A key in the store has the number of its last change, which is all that `WATCH` needs. A key
//! that does not exist has none, and one that was created and removed leaves no trace in the store.
//! So the store reports here each key it creates.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::entries::Entries;

type Flag = Rc<Cell<bool>>;

/// The watched keys that were not created since.
#[derive(Debug, Default)]
pub(crate) struct MissingKeys(RefCell<Entries<Rc<[u8]>, Flag>>);

/// One watch of a missing key. All watches since the key last existed share a flag.
#[derive(Debug)]
pub(crate) struct MissingKey {
    key: Rc<[u8]>,
    was_created: Flag,
    missing_keys: Rc<MissingKeys>,
}

impl MissingKeys {
    pub(crate) fn watch(self: &Rc<MissingKeys>, key: &[u8]) -> MissingKey {
        let mut keys = self.0.borrow_mut();
        if let Some((key, was_created)) = keys.get_key_value(key) {
            let (key, was_created) = (Rc::clone(key), Rc::clone(was_created));
            return MissingKey { key, was_created, missing_keys: Rc::clone(self) };
        }
        let (key, was_created): (Rc<[u8]>, Flag) = (key.into(), Rc::default());
        keys.insert(Rc::clone(&key), Rc::clone(&was_created));
        MissingKey { key, was_created, missing_keys: Rc::clone(self) }
    }

    /// Sets the flag of `key` for its watchers.
    pub(crate) fn created(&self, key: &[u8]) {
        let mut keys = self.0.borrow_mut();
        if keys.is_empty() {
            return;
        }
        if let Some((_, was_created)) = keys.remove(key) {
            was_created.set(true);
        }
    }
}

impl MissingKey {
    pub(crate) fn was_created(&self) -> bool {
        self.was_created.get()
    }
}

impl Drop for MissingKey {
    /// The last watcher removes the key; a key that was created is already removed.
    fn drop(&mut self) {
        if !self.was_created() && Rc::strong_count(&self.was_created) == 2 {
            self.missing_keys.0.borrow_mut().remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_watched_before_a_key_came_know_and_nothing_is_left_behind() {
        let missing_keys = Rc::new(MissingKeys::default());
        let (one, other) = (missing_keys.watch(b"a"), missing_keys.watch(b"a"));
        missing_keys.created(b"b");
        assert!(!one.was_created());
        missing_keys.created(b"a");
        let later = missing_keys.watch(b"a");
        assert_eq!([&one, &other, &later].map(MissingKey::was_created), [true, true, false]);
        drop(one);
        drop(other);
        assert_eq!(missing_keys.0.borrow().len(), 1, "of those who watch another absence");
        let last = missing_keys.watch(b"a");
        drop(later);
        missing_keys.created(b"a");
        assert!(last.was_created());
        drop(missing_keys.watch(b"a"));
        assert!(missing_keys.0.borrow().is_empty());
    }
}
