//! A large value: reference-counted pieces, never copied as a whole.
//!
//! It is received piece by piece, stored by moving it, sent piece by piece as the client reads, and
//! freed in steps. A reply being sent keeps the value it began with, whatever happens to the key.

use std::rc::Rc;
use std::sync::Arc;

use crate::memory::{CommandError, CommandResult, Memory};
use crate::value::ValueRef;

/// Longest value in bytes.
pub(crate) const MAX_VALUE: usize = 512 << 20;
/// Bytes of a piece. A longer argument is not copied as a whole, and from this length on the
/// library sends without a copy.
pub(crate) const PIECE: usize = 64 << 10;

/// A clone shares the pieces; the last one frees them.
#[derive(Clone, Debug)]
pub(crate) struct Large(Rc<Pieces>);

/// A clone has a reference to each piece. The caller reserves its bytes before.
#[derive(Clone, Debug)]
struct Pieces {
    list: Vec<Arc<[u8]>>,
    /// Sum of the lengths, reserved in `memory`.
    len: usize,
    memory: Rc<Memory>,
}

impl Large {
    pub(crate) fn new(memory: &Rc<Memory>) -> Large {
        Large(Rc::new(Pieces { list: Vec::new(), len: 0, memory: Rc::clone(memory) }))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len
    }

    pub(crate) fn piece(&self, nth: usize) -> Option<&Arc<[u8]>> {
        self.0.list.get(nth)
    }

    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.0.list.iter()
    }

    /// Appends `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> CommandResult {
        let pieces = self.own(bytes.len())?;
        let mut rest = bytes;
        // Small appends fill the last piece, so that there are never many short pieces.
        if let Some(last) = pieces.list.last_mut().filter(|last| last.len() < PIECE) {
            let (more, behind) = rest.split_at(rest.len().min(PIECE - last.len()));
            *last = [last, more].concat().into();
            rest = behind;
        }
        pieces.list.extend(rest.chunks(PIECE).map(Arc::from));
        Ok(())
    }

    pub(crate) fn push_all(&mut self, more: ValueRef<'_>) -> CommandResult {
        match more {
            ValueRef::Small(bytes) => self.push(bytes),
            ValueRef::Large(large) => self.push_pieces(large),
        }
    }

    fn push_pieces(&mut self, other: &Large) -> CommandResult {
        let pieces = self.own(other.len())?;
        pieces.list.extend(other.pieces().cloned());
        Ok(())
    }

    /// Returns the pieces for a change that adds `more` bytes. If the value is shared, this becomes
    /// a value of its own and the other stays as it is.
    fn own(&mut self, more: usize) -> Result<&mut Pieces, CommandError> {
        let is_shared = Rc::strong_count(&self.0) > 1;
        let copied = if is_shared { self.len() } else { 0 };
        self.0.memory.reserve(copied + more)?;
        let pieces = Rc::make_mut(&mut self.0);
        pieces.len += more;
        Ok(pieces)
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        let list = std::mem::take(&mut self.list);
        self.memory.free_later(list.into_iter().map(|piece| piece.len()));
    }
}
