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
pub(crate) struct Absent(RefCell<HashMap<Rc<[u8]>, Flag>>);

/// That a key was not there. All who watch it since it was there the last time share the flag.
#[derive(Debug)]
pub(crate) struct Absence {
    key: Rc<[u8]>,
    has_come: Flag,
    absent: Rc<Absent>,
}

impl Absent {
    pub(crate) fn watch(self: &Rc<Absent>, key: &[u8]) -> Absence {
        let mut keys = self.0.borrow_mut();
        if let Some((key, has_come)) = keys.get_key_value(key) {
            let (key, has_come) = (Rc::clone(key), Rc::clone(has_come));
            return Absence { key, has_come, absent: Rc::clone(self) };
        }
        let (key, has_come): (Rc<[u8]>, Flag) = (key.into(), Rc::default());
        keys.insert(Rc::clone(&key), Rc::clone(&has_come));
        Absence { key, has_come, absent: Rc::clone(self) }
    }

    /// A key is there from now on.
    pub(crate) fn came(&self, key: &[u8]) {
        let mut keys = self.0.borrow_mut();
        if keys.is_empty() {
            return;
        }
        if let Some(has_come) = keys.remove(key) {
            has_come.set(true);
        }
    }
}

impl Absence {
    pub(crate) fn has_come(&self) -> bool {
        self.has_come.get()
    }
}

impl Drop for Absence {
    /// The last who watches it takes it out; one that has come is out already.
    fn drop(&mut self) {
        if !self.has_come() && Rc::strong_count(&self.has_come) == 2 {
            self.absent.0.borrow_mut().remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_watched_before_a_key_came_know_and_nothing_is_left_behind() {
        let absent = Rc::new(Absent::default());
        let (one, other) = (absent.watch(b"a"), absent.watch(b"a"));
        absent.came(b"b");
        assert!(!one.has_come());
        absent.came(b"a");
        let later = absent.watch(b"a");
        assert_eq!([&one, &other, &later].map(Absence::has_come), [true, true, false]);
        drop(one);
        drop(other);
        assert_eq!(absent.0.borrow().len(), 1, "of those who watch another absence");
        let last = absent.watch(b"a");
        drop(later);
        absent.came(b"a");
        assert!(last.has_come());
        drop(absent.watch(b"a"));
        assert!(absent.0.borrow().is_empty());
    }
}
