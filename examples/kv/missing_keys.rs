//! Keys that are watched while they are not there, and whether they were there since.
//!
//! An entry of the store has a number of its last change, which tells a watcher everything. A key
//! that is not there has none, and one that came and went again leaves no trace in the store; so the
//! store says here when a key comes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

type Flag = Rc<Cell<bool>>;

/// Those that somebody watches and that have not come yet.
#[derive(Debug, Default)]
pub(crate) struct MissingKeys(RefCell<HashMap<Rc<[u8]>, Flag>>);

/// That a key was not there. All who watch it since it was there the last time share the flag.
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

    /// A key is there from now on.
    pub(crate) fn created(&self, key: &[u8]) {
        let mut keys = self.0.borrow_mut();
        if keys.is_empty() {
            return;
        }
        if let Some(was_created) = keys.remove(key) {
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
    /// The last who watches it takes it out; one that has come is out already.
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
