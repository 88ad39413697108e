//! RESP2, the language of Redis: commands that come in, replies that go out.
//!
//! A command is an array of strings, or a line of words. The client says all lengths itself, so each
//! has a maximum, and nothing is reserved on the word of a length.

use std::io::Write;
use std::ops::Range;

use socketserver::Input;

/// Arguments of one command.
pub(crate) const MAX_ARGS: usize = 64 << 10;
/// Bytes of one argument.
pub(crate) const MAX_BULK: usize = 8 << 20;
/// Bytes of one command with all of its arguments.
pub(crate) const MAX_COMMAND: usize = 16 << 20;
/// Bytes of a command that is a line of words.
pub(crate) const MAX_LINE: usize = 64 << 10;
/// Bytes of a line that says a length.
const MAX_LENGTH_LINE: usize = 32;
/// A client with more arguments than that in its last command gives their places back.
const KEPT_ARGS: usize = 16;

/// Why the bytes of a client are no command; nothing after them can be understood.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) String);

/// What is known about a command that has not come completely. It is kept between two calls, so that
/// no byte is looked at twice: that is what makes it linear, however the bytes are cut.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    args: Vec<Range<usize>>,
    /// How many arguments are still to come, once that is known.
    missing: Option<usize>,
    /// Where they begin.
    at: usize,
}

/// The name of a command and its arguments, where they lie in the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Args<'p, 'a> {
    bytes: &'a [u8],
    places: &'p [Range<usize>],
}

impl<'a> Args<'_, 'a> {
    /// With the name.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The name is number 0; what is not there is empty.
    pub(crate) fn get(&self, nth: usize) -> &'a [u8] {
        self.places.get(nth).and_then(|place| self.bytes.get(place.clone())).unwrap_or_default()
    }

    pub(crate) fn skip(&self, n: usize) -> impl Iterator<Item = &'a [u8]> {
        (n..self.len()).map(|nth| self.get(nth))
    }
}

impl Parser {
    /// The next command, if it is complete; one without a name means nothing.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut Input<'a>,
    ) -> Result<Option<Args<'_, 'a>>, Fault> {
        let missing = match (self.missing, input.rest().first()) {
            (Some(missing), _) => missing,
            (None, None) => return Ok(None),
            (None, Some(b'*')) => {
                let what = "invalid multibulk length";
                let Some((count, len)) = length(input.rest(), what)? else { return Ok(None) };
                let count = usize::try_from(count).unwrap_or(0);
                self.begin(Some(count).filter(|n| *n <= MAX_ARGS).ok_or_else(|| fault(what))?, len)
            }
            (None, Some(_)) => return self.words(input),
        };
        for nth in 0..missing {
            self.missing = Some(missing - nth);
            let rest = input.rest().get(self.at..).unwrap_or_default();
            let Some(&kind) = rest.first() else { return Ok(None) };
            if kind != b'$' {
                return Err(Fault(format!("expected '$', got '{}'", kind.escape_ascii())));
            }
            let what = "invalid bulk length";
            let Some((len, head)) = length(rest, what)? else { return Ok(None) };
            let len = usize::try_from(len).ok().filter(|len| *len <= MAX_BULK);
            let start = self.at + head;
            let end = start + len.ok_or_else(|| fault(what))?;
            if !input.need(end + 2, MAX_COMMAND).map_err(|_| fault("too long a command"))? {
                return Ok(None);
            }
            if input.rest().get(end..end + 2) != Some(b"\r\n") {
                return Err(fault("expected the end of a bulk"));
            }
            self.args.push(start..end);
            self.at = end + 2;
        }
        self.missing = None;
        Ok(input.take(self.at).map(|bytes| Args { bytes, places: &self.args }))
    }

    fn begin(&mut self, count: usize, at: usize) -> usize {
        self.args.clear();
        self.args.shrink_to(KEPT_ARGS);
        self.at = at;
        count
    }

    /// What a person types.
    fn words<'a>(&mut self, input: &mut Input<'a>) -> Result<Option<Args<'_, 'a>>, Fault> {
        let line = input.line(MAX_LINE).map_err(|_| fault("too big inline request"))?;
        let Some(bytes) = line else { return Ok(None) };
        self.begin(0, 0);
        let mut start = 0;
        for word in bytes.split(u8::is_ascii_whitespace) {
            if !word.is_empty() {
                self.args.push(start..start + word.len());
            }
            start += word.len() + 1;
        }
        Ok(Some(Args { bytes, places: &self.args }))
    }
}

fn fault(what: &str) -> Fault {
    Fault(what.into())
}

/// The number behind the first byte of a line, and how long the line is.
fn length(bytes: &[u8], what: &str) -> Result<Option<(i64, usize)>, Fault> {
    let line = bytes.get(..MAX_LENGTH_LINE).unwrap_or(bytes);
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        let may_come = line.len() < MAX_LENGTH_LINE;
        return if may_come { Ok(None) } else { Err(fault(what)) };
    };
    let digits = line.get(1..end).and_then(|line| line.strip_suffix(b"\r"));
    let number = digits.and_then(integer).ok_or_else(|| fault(what))?;
    Ok(Some((number, end + 1)))
}

/// A number as Redis writes it, and no other way: no plus, no zeros in front.
pub(crate) fn integer(digits: &[u8]) -> Option<i64> {
    let (sign, digits) = match digits.strip_prefix(b"-") {
        Some(digits) => (-1, digits),
        None => (1, digits),
    };
    if let ([b'0', _, ..] | [], _) | ([b'0'], -1) = (digits, sign) {
        return None;
    }
    digits.iter().try_fold(0_i64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(sign * digit)
    })
}

/// The replies of a turn, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    pub(crate) bytes: Vec<u8>,
}

impl Replies {
    pub(crate) fn simple(&mut self, line: &str) {
        self.line(b'+', line.as_bytes());
    }

    /// Of `what` the client may have said a part, so only what can stand in a line is left of it.
    pub(crate) fn error(&mut self, what: &str) {
        self.line(b'-', what.replace(['\r', '\n'], " ").as_bytes());
    }

    pub(crate) fn integer(&mut self, number: i64) {
        self.number(b':', number);
    }

    /// For what is counted.
    pub(crate) fn count(&mut self, n: usize) {
        self.len(b':', n);
    }

    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.len(b'$', bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    pub(crate) fn null(&mut self) {
        self.bytes.extend_from_slice(b"$-1\r\n");
    }

    /// So many replies that follow are one.
    pub(crate) fn array(&mut self, len: usize) {
        self.len(b'*', len);
    }

    fn line(&mut self, kind: u8, line: &[u8]) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(line);
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn len(&mut self, kind: u8, len: usize) {
        self.number(kind, i64::try_from(len).unwrap_or(i64::MAX));
    }

    fn number(&mut self, kind: u8, number: i64) {
        match u8::try_from(number) {
            // Most are lengths of a digit.
            Ok(digit @ 0..=9) => self.bytes.extend_from_slice(&[kind, b'0' + digit, b'\r', b'\n']),
            // Writing to memory does not fail.
            _ => drop(write!(self.bytes, "{}{number}\r\n", char::from(kind))),
        }
    }
}
