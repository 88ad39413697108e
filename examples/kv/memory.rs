//! How much memory keys, values and commands on their way take, and its bound.
//!
//! What is large is not freed where it is let go of, but here, in steps: so nobody waits while half a
//! gigabyte is given back.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// Why a command is not done, as the client is told.
pub(crate) type Refused = &'static str;

const FULL: Refused = "OOM command not allowed when used memory > 'maxmemory'.";

#[derive(Debug)]
pub(crate) struct Memory {
    /// Never above the limit.
    used: Cell<usize>,
    limit: usize,
    waiting: RefCell<VecDeque<Waiting>>,
}

/// Each step frees one thing and says how many bytes of the account that was.
struct Waiting(Box<dyn Iterator<Item = usize>>);

impl Memory {
    pub(crate) fn new(limit: usize) -> Memory {
        Memory { used: Cell::new(0), limit, waiting: RefCell::default() }
    }

    /// Room for so many bytes, which count from now on. What only waits to be freed is freed for it,
    /// as far as it is needed.
    #[inline]
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Refused> {
        if bytes > self.room() && !self.make_room(bytes) {
            return Err(FULL);
        }
        self.used.set(self.used.get() + bytes);
        Ok(())
    }

    #[inline]
    pub(crate) fn give_back(&self, bytes: usize) {
        debug_assert!(bytes <= self.used.get());
        self.used.set(self.used.get().saturating_sub(bytes));
    }

    /// What took `before` bytes takes `after`.
    #[inline]
    pub(crate) fn resize(&self, before: usize, after: usize) -> Result<(), Refused> {
        if after > before {
            self.take(after - before)
        } else {
            self.give_back(before - after);
            Ok(())
        }
    }

    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.limit - self.used.get()
    }

    #[cold]
    pub(crate) fn make_room(&self, bytes: usize) -> bool {
        while bytes > self.room() {
            if !self.free(1) {
                return false;
            }
        }
        true
    }

    /// Each step of `things` lets go of one of them and says what it cost.
    pub(crate) fn free_later(&self, things: impl Iterator<Item = usize> + 'static) {
        self.waiting.borrow_mut().push_back(Waiting(Box::new(things)));
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Frees no more than so many things that wait for it; `false` when there was none.
    pub(crate) fn free(&self, most: usize) -> bool {
        // Not borrowed meanwhile: what is freed may have something to be freed later itself.
        let first = self.waiting.borrow_mut().pop_front();
        let Some(mut first) = first else { return false };
        for _ in 0..most {
            match first.0.next() {
                Some(bytes) => self.give_back(bytes),
                None => return true,
            }
        }
        self.waiting.borrow_mut().push_front(first);
        true
    }

    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}

/// What somebody has taken of the memory; it is given back with this.
#[derive(Debug)]
pub(crate) struct Taken {
    memory: Rc<Memory>,
    bytes: usize,
}

impl Taken {
    pub(crate) fn new(memory: &Rc<Memory>) -> Taken {
        Taken { memory: Rc::clone(memory), bytes: 0 }
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Refused> {
        self.memory.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.memory.give_back(bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.memory.give_back(self.bytes);
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}
