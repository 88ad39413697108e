//! A command with an argument that is too long to stay in the input as a whole.
//!
//! Large arguments are collected in pieces while they are received, all others in one buffer. When
//! no memory is left, the rest of the command is discarded, and the client gets an error at its
//! end.

use std::ops::Range;
use std::rc::Rc;

use socketserver::Input;

use crate::large::{Large, PIECE};
use crate::memory::{CommandError, Memory};
use crate::parser::{MAX_COMMAND, NO_END, ProtocolError, bulk, malformed};

#[derive(Debug)]
pub(crate) struct LargeCommand {
    /// All arguments that are not large, concatenated; the ranges of the arguments refer to it.
    pub(crate) head: Vec<u8>,
    /// Index and value of each large argument, sorted by index.
    larges: Vec<(usize, Large)>,
    /// The large argument being received.
    growing: Option<GrowingArgument>,
    /// The error to reply in place of running the command.
    pub(crate) refused: Option<CommandError>,
}

#[derive(Debug)]
struct GrowingArgument {
    /// `None` if the command is refused.
    large: Option<Large>,
    /// Bytes not received yet.
    missing: usize,
}

impl LargeCommand {
    pub(crate) fn new(head: &[u8]) -> LargeCommand {
        LargeCommand::of(head.to_vec(), Vec::new())
    }

    /// A command that is complete.
    pub(crate) fn of(head: Vec<u8>, larges: Vec<(usize, Large)>) -> LargeCommand {
        LargeCommand { head, larges, growing: None, refused: None }
    }

    pub(crate) fn large(&self, nth: usize) -> Option<&Large> {
        let found = self.larges.binary_search_by_key(&nth, |(place, _)| *place).ok()?;
        self.larges.get(found).map(|(_, large)| large)
    }

    pub(crate) fn larges(&self) -> &[(usize, Large)] {
        &self.larges
    }

    /// Reads up to `missing` arguments. Returns how many are still missing.
    pub(crate) fn read_more(
        &mut self,
        input: &mut Input<'_>,
        memory: &Rc<Memory>,
        args: &mut Vec<Range<usize>>,
        missing: usize,
    ) -> Result<usize, ProtocolError> {
        for nth in 0..missing {
            let is_there = match &self.growing {
                Some(_) => self.grow(input, args.len())?,
                None => self.take(input, memory, args.len())?,
            };
            match is_there {
                Some(place) => args.push(place),
                None => return Ok(missing - nth),
            }
        }
        Ok(0)
    }

    /// Reads the next argument; `None` if it is not complete.
    fn take(
        &mut self,
        input: &mut Input<'_>,
        memory: &Rc<Memory>,
        nth: usize,
    ) -> Result<Option<Range<usize>>, ProtocolError> {
        let Some((len, head)) = bulk(input.peek())? else { return Ok(None) };
        if len > PIECE {
            input.take(head);
            let large = self.refused.is_none().then(|| Large::new(memory));
            self.growing = Some(GrowingArgument { large, missing: len });
            return self.grow(input, nth);
        }
        let max = MAX_COMMAND.saturating_sub(self.head.len());
        if !input.require(head + len + 2, max).map_err(|_| malformed("command too long"))? {
            return Ok(None);
        }
        let bulk = input.take(head + len + 2).and_then(|bulk| bulk.get(head..)).unwrap_or_default();
        let bytes = bulk.strip_suffix(b"\r\n").ok_or_else(|| malformed(NO_END))?;
        let start = self.head.len();
        self.head.extend_from_slice(bytes);
        Ok(Some(start..self.head.len()))
    }

    /// Reads the rest of a large argument; `None` if it is not complete. Its range is empty.
    fn grow(
        &mut self,
        input: &mut Input<'_>,
        nth: usize,
    ) -> Result<Option<Range<usize>>, ProtocolError> {
        let Some(growing) = &mut self.growing else { return Ok(None) };
        while growing.missing > 0 {
            let n = growing.missing.min(PIECE);
            let is_there = input.require(n, PIECE).map_err(|_| malformed(NO_END))?;
            let Some(piece) = input.take(n).filter(|_| is_there) else { return Ok(None) };
            growing.missing -= n;
            if let Some(Err(refused)) = growing.large.as_mut().map(|large| large.push(piece)) {
                self.refused = Some(refused);
                growing.large = None;
                self.larges.clear();
            }
        }
        if !input.require(2, 2).map_err(|_| malformed(NO_END))? {
            return Ok(None);
        }
        if input.take(2) != Some(b"\r\n") {
            return Err(malformed(NO_END));
        }
        let grown = self.growing.take().and_then(|growing| growing.large);
        self.larges.extend(grown.map(|large| (nth, large)));
        Ok(Some(0..0))
    }
}
