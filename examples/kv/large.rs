//! A value that is too long to be copied in one go: pieces that are shared.
//!
//! It comes in piece by piece, is stored by moving it, leaves piece by piece at the pace of its
//! client, and is freed in steps. A reply that is under way keeps what it began with, whatever
//! becomes of the key meanwhile.

use std::rc::Rc;
use std::sync::Arc;

use crate::memory::{CommandError, CommandResult, Memory};
use crate::value::ValueRef;

/// Bytes of one value.
pub(crate) const MAX_VALUE: usize = 512 << 20;
/// Bytes of a piece. No longer argument is copied in one go, and the library sends from this length
/// on without a copy.
pub(crate) const PIECE: usize = 64 << 10;

/// Several may share one value; it is freed after the last of them.
#[derive(Clone, Debug)]
pub(crate) struct Large(Rc<Pieces>);

/// A clone shares the pieces; its bytes count once more, and are taken before.
#[derive(Clone, Debug)]
struct Pieces {
    list: Vec<Arc<[u8]>>,
    /// How many bytes they are together; all of them are taken from the memory.
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

    /// Puts bytes behind the others.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> CommandResult {
        let pieces = self.own(bytes.len())?;
        let mut rest = bytes;
        // Small additions fill the last piece, so that there are never many that are short.
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

    /// Its pieces, to which so many bytes are to be added; those of a value that somebody else shares
    /// stay as they are, and this becomes another one.
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
