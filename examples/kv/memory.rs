//! The memory of keys, values and commands being received, and its limit.
//!
//! Large things are not freed where they are dropped, but here, in steps, so that freeing 512 MiB
//! delays no client.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// The error of a command, as replied to the client.
pub(crate) type CommandError = &'static str;

/// What a command returns. Its replies are in `cx.shared.replies`.
pub(crate) type CommandResult = Result<(), CommandError>;

const FULL: CommandError = "OOM command not allowed when used memory > 'maxmemory'.";

#[derive(Debug)]
pub(crate) struct Memory {
    /// At most `limit`.
    used: Cell<usize>,
    limit: usize,
    deferred: RefCell<VecDeque<DeferredFree>>,
}

/// An iterator each of whose steps frees one thing and returns its bytes.
struct DeferredFree(Box<dyn Iterator<Item = usize>>);

impl Memory {
    pub(crate) fn new(limit: usize) -> Memory {
        Memory { used: Cell::new(0), limit, deferred: RefCell::default() }
    }

    /// Reserves `bytes`, after freeing deferred memory if that is needed; `Err` if the limit is
    /// reached.
    #[inline]
    pub(crate) fn reserve(&self, bytes: usize) -> CommandResult {
        if bytes > self.available() && !self.free_enough(bytes) {
            return Err(FULL);
        }
        self.used.set(self.used.get() + bytes);
        Ok(())
    }

    #[inline]
    pub(crate) fn release(&self, bytes: usize) {
        debug_assert!(bytes <= self.used.get());
        self.used.set(self.used.get().saturating_sub(bytes));
    }

    /// Changes a reservation from `before` bytes to `after`.
    #[inline]
    pub(crate) fn resize(&self, before: usize, after: usize) -> CommandResult {
        if after > before {
            self.reserve(after - before)
        } else {
            self.release(before - after);
            Ok(())
        }
    }

    #[inline]
    pub(crate) fn available(&self) -> usize {
        self.limit - self.used.get()
    }

    #[cold]
    pub(crate) fn free_enough(&self, bytes: usize) -> bool {
        while bytes > self.available() {
            if !self.free(1) {
                return false;
            }
        }
        true
    }

    /// Defers freeing `things`: each step of the iterator drops one and returns its bytes.
    pub(crate) fn free_later(&self, things: impl Iterator<Item = usize> + 'static) {
        self.deferred.borrow_mut().push_back(DeferredFree(Box::new(things)));
    }

    pub(crate) fn has_deferred(&self) -> bool {
        !self.deferred.borrow().is_empty()
    }

    /// Frees at most `most` deferred things; returns `false` if there was none.
    pub(crate) fn free(&self, most: usize) -> bool {
        // Not borrowed during the loop, because dropping a thing may defer another one.
        let first = self.deferred.borrow_mut().pop_front();
        let Some(mut first) = first else { return false };
        for _ in 0..most {
            match first.0.next() {
                Some(bytes) => self.release(bytes),
                None => return true,
            }
        }
        self.deferred.borrow_mut().push_front(first);
        true
    }

    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}

/// Reserved bytes, released on drop.
#[derive(Debug)]
pub(crate) struct Reservation {
    memory: Rc<Memory>,
    bytes: usize,
}

impl Reservation {
    pub(crate) fn new(memory: &Rc<Memory>) -> Reservation {
        Reservation { memory: Rc::clone(memory), bytes: 0 }
    }

    pub(crate) fn reserve(&mut self, bytes: usize) -> CommandResult {
        self.memory.reserve(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    pub(crate) fn release(&mut self, bytes: usize) {
        self.memory.release(bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.release(self.bytes);
    }
}

impl std::fmt::Debug for DeferredFree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeferredFree")
    }
}
