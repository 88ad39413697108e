//! RESP, the protocol of Redis: an incremental parser of commands.
//!
//! A command is an array of strings or a line of words. The client states all lengths, so each has
//! a maximum, and no memory is allocated for bytes that are not received yet.

use std::ops::Range;
use std::rc::Rc;

use socketserver::Input;

use crate::inline_command;
use crate::large::{MAX_VALUE, PIECE};
use crate::large_command::LargeCommand;
use crate::memory::Memory;
use crate::number::integer;
use crate::value::ValueRef;

/// Most arguments of a command.
pub(crate) const MAX_ARGS: usize = 64 << 10;
/// Most bytes of a command without its large arguments.
pub(crate) const MAX_COMMAND: usize = 16 << 20;
/// Longest inline command in bytes.
pub(crate) const MAX_LINE: usize = 64 << 10;
/// Longest line with a length, in bytes.
const MAX_LENGTH_LINE: usize = 32;
/// The capacity for ranges of arguments that an idle client keeps.
const KEPT_ARGS: usize = 16;

/// Why the input is no command. The rest of the input cannot be parsed.
#[derive(Debug)]
pub(crate) struct ProtocolError(pub(crate) String);

/// The state of a command that is not complete. It is kept between calls, so that each byte is
/// scanned once and the time is linear, however the input is split.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    args: Vec<Range<usize>>,
    /// How many arguments are missing; `None` before a command.
    missing: Option<usize>,
    /// Offset in the input of the next argument.
    at: usize,
    /// A command with a large argument, or with quotes.
    large_command: Option<Box<LargeCommand>>,
}

/// A command's name and arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Args<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) ranges: &'a [Range<usize>],
    /// Holds the large arguments, if there are any.
    pub(crate) large_command: Option<&'a LargeCommand>,
}

impl<'a> Args<'a> {
    /// Arguments of which none is large.
    fn small(bytes: &'a [u8], ranges: &'a [Range<usize>]) -> Args<'a> {
        Args { bytes, ranges, large_command: None }
    }

    /// The count of arguments, the name included.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Returns an argument, the name for 0; empty if it is large or does not exist.
    pub(crate) fn get(&self, nth: usize) -> &'a [u8] {
        self.ranges.get(nth).and_then(|place| self.bytes.get(place.clone())).unwrap_or_default()
    }

    /// Returns an argument that may be large.
    pub(crate) fn value(&self, nth: usize) -> ValueRef<'a> {
        match self.large_command.and_then(|large_command| large_command.large(nth)) {
            Some(large) => ValueRef::Large(large),
            None => ValueRef::Small(self.get(nth)),
        }
    }

    pub(crate) fn skip(&self, n: usize) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let args = *self;
        (n..self.len()).map(move |nth| args.get(nth))
    }
}

impl Parser {
    /// Returns the next command; `None` if it is not complete. A command without arguments has no
    /// effect.
    pub(crate) fn next<'s, 'a: 's>(
        &'s mut self,
        input: &mut Input<'a>,
        memory: &Rc<Memory>,
    ) -> Result<Option<Args<'s>>, ProtocolError> {
        let missing = match (self.missing, input.peek().first()) {
            (Some(_), _) if self.large_command.is_some() => {
                return self.next_large_command(input, memory);
            }
            (Some(missing), _) => missing,
            (None, None) => return Ok(None),
            (None, Some(b'*')) => {
                let Some((count, len)) = count(input.peek())? else { return Ok(None) };
                self.begin(count, len)
            }
            (None, Some(_)) => return self.words(input),
        };
        for nth in 0..missing {
            self.missing = Some(missing - nth);
            let rest = input.peek().get(self.at..).unwrap_or_default();
            let Some((len, head)) = bulk(rest)? else { return Ok(None) };
            if len > PIECE {
                return self.next_large_command(input, memory);
            }
            let start = self.at + head;
            let end = start + len;
            if !input.require(end + 2, MAX_COMMAND).map_err(|_| malformed("command too long"))? {
                return Ok(None);
            }
            if input.peek().get(end..end + 2) != Some(b"\r\n") {
                return Err(malformed(NO_END));
            }
            self.args.push(start..end);
            self.at = end + 2;
        }
        self.missing = None;
        Ok(input.take(self.at).map(|bytes| Args::small(bytes, &self.args)))
    }

    fn begin(&mut self, count: usize, at: usize) -> usize {
        self.reset();
        self.at = at;
        count
    }

    /// Reads the rest of a command with a large argument.
    #[cold]
    fn next_large_command<'s, 'a: 's>(
        &'s mut self,
        input: &mut Input<'a>,
        memory: &Rc<Memory>,
    ) -> Result<Option<Args<'s>>, ProtocolError> {
        let missing = self.missing.unwrap_or_default();
        let large_command = self.large_command.get_or_insert_with(|| {
            Box::new(LargeCommand::new(input.take(self.at).unwrap_or_default()))
        });
        let missing = large_command.read_more(input, memory, &mut self.args, missing)?;
        self.missing = Some(missing).filter(|missing| *missing > 0);
        let is_whole = self.missing.is_none();
        Ok(is_whole.then_some(Args {
            bytes: &large_command.head,
            ranges: &self.args,
            large_command: Some(large_command),
        }))
    }

    /// Reads an inline command.
    fn words<'s, 'a: 's>(
        &'s mut self,
        input: &mut Input<'a>,
    ) -> Result<Option<Args<'s>>, ProtocolError> {
        let line = input.take_line(MAX_LINE).map_err(|_| malformed("too big inline request"))?;
        let Some(line) = line else { return Ok(None) };
        self.begin(0, 0);
        if !line.iter().any(|byte| matches!(byte, b'"' | b'\'')) {
            inline_command::plain(line, &mut self.args);
            return Ok(Some(Args::small(line, &self.args)));
        }
        let unquoted =
            inline_command::quoted(line, &mut self.args).ok_or_else(|| malformed(UNBALANCED))?;
        let large_command = self.large_command.insert(Box::new(LargeCommand::new(&unquoted)));
        Ok(Some(Args::small(&large_command.head, &self.args)))
    }

    /// Frees the buffers of the last command, unless the next one has begun.
    pub(crate) fn release_buffers(&mut self) {
        if self.missing.is_none()
            && (self.args.capacity() > KEPT_ARGS || self.large_command.is_some())
        {
            self.reset();
        }
    }

    /// Bytes of a command that is not complete, without those in the input and of large arguments,
    /// which have a reservation.
    pub(crate) fn memory(&self) -> usize {
        let head = self.large_command.as_ref().map_or(0, |command| command.head.capacity());
        self.args.capacity() * size_of::<Range<usize>>() + head
    }

    fn reset(&mut self) {
        self.args.clear();
        self.args.shrink_to(KEPT_ARGS);
        self.large_command = None;
    }
}

pub(crate) const NO_END: &str = "expected the end of a bulk";
const UNBALANCED: &str = "unbalanced quotes in request";

pub(crate) fn malformed(what: &str) -> ProtocolError {
    ProtocolError(what.into())
}

/// Parses the count of arguments at the start of `bytes`. Returns it with the length of its line;
/// `None` if that is not complete.
#[inline]
fn count(bytes: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
    if let Some(short) = short(b'*', bytes) {
        return Ok(Some(short));
    }
    let what = "invalid multibulk length";
    let Some((count, len)) = length(bytes, what)? else { return Ok(None) };
    let count = usize::try_from(count).unwrap_or(0);
    if count > MAX_ARGS { Err(malformed(what)) } else { Ok(Some((count, len))) }
}

/// Parses the length of a string at the start of `bytes`. Returns it with the length of its line;
/// `None` if that is not complete.
#[inline]
pub(crate) fn bulk(bytes: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
    match short(b'$', bytes) {
        Some(short) => Ok(Some(short)),
        None => any_bulk(bytes),
    }
}

#[inline(never)]
fn any_bulk(bytes: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
    let what = "invalid bulk length";
    match bytes.first() {
        None => return Ok(None),
        Some(b'$') => {}
        Some(kind) => {
            return Err(ProtocolError(format!("expected '$', got '{}'", kind.escape_ascii())));
        }
    }
    let Some((len, head)) = length(bytes, what)? else { return Ok(None) };
    let len = usize::try_from(len).ok().filter(|len| *len <= MAX_VALUE);
    Ok(Some((len.ok_or_else(|| malformed(what))?, head)))
}

/// [`length`] for the most frequent lines, which have one or two digits.
#[inline]
fn short(kind: u8, bytes: &[u8]) -> Option<(usize, usize)> {
    let digit = |byte: u8| usize::from(byte - b'0');
    match bytes {
        [first, ones @ b'0'..=b'9', b'\r', b'\n', ..] if *first == kind => Some((digit(*ones), 4)),
        [first, tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n', ..] if *first == kind => {
            Some((10 * digit(*tens) + digit(*ones), 5))
        }
        _ => None,
    }
}

/// Parses the number after the first byte of a line. Returns it with the length of the line; `None`
/// if that is not complete.
fn length(bytes: &[u8], what: &str) -> Result<Option<(i64, usize)>, ProtocolError> {
    let line = bytes.get(..MAX_LENGTH_LINE).unwrap_or(bytes);
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        let may_come = line.len() < MAX_LENGTH_LINE;
        return if may_come { Ok(None) } else { Err(malformed(what)) };
    };
    let digits = line.get(1..end).and_then(|line| line.strip_suffix(b"\r"));
    let number = digits.and_then(integer).ok_or_else(|| malformed(what))?;
    Ok(Some((number, end + 1)))
}
