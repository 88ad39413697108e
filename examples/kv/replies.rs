//! An encoder of replies in RESP2 or RESP3.

use std::io::Write;

use crate::large::Large;
use crate::value::ValueRef;

/// The protocol that a client selected with `HELLO`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

impl Protocol {
    pub(crate) fn number(self) -> i64 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// The replies of a turn, concatenated.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    pub(crate) bytes: Vec<u8>,
    /// Large values, each with its offset in `bytes`.
    pub(crate) larges: Vec<(usize, Large)>,
    pub(crate) protocol: Protocol,
}

/// A position in the replies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyMark {
    bytes: usize,
    larges: usize,
}

impl Replies {
    /// Replies for another client than the one being served.
    pub(crate) fn of(protocol: Protocol) -> Replies {
        Replies { protocol, ..Replies::default() }
    }

    pub(crate) fn simple(&mut self, line: &str) {
        self.line(b'+', line.as_bytes());
    }

    /// An error. Line breaks in `what`, which may come from the client, become spaces.
    pub(crate) fn error(&mut self, what: &str) {
        self.line(b'-', what.replace(['\r', '\n'], " ").as_bytes());
    }

    pub(crate) fn integer(&mut self, number: i64) {
        self.number(b':', number);
    }

    /// An integer that is a count.
    pub(crate) fn count(&mut self, n: usize) {
        self.len(b':', n);
    }

    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.len(b'$', bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Text to be shown as it is.
    pub(crate) fn verbatim(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.len(b'=', "txt:".len() + text.len());
                self.bytes.extend_from_slice(b"txt:");
                self.bytes.extend_from_slice(text.as_bytes());
                self.bytes.extend_from_slice(b"\r\n");
            }
        }
    }

    pub(crate) fn value(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Small(bytes) => self.bulk(bytes),
            ValueRef::Large(large) => {
                self.len(b'$', large.len());
                self.larges.push((self.bytes.len(), large.clone()));
                self.bytes.extend_from_slice(b"\r\n");
            }
        }
    }

    pub(crate) fn value_or_null(&mut self, value: Option<ValueRef<'_>>) {
        match value {
            Some(value) => self.value(value),
            None => self.null(),
        }
    }

    pub(crate) fn null(&mut self) {
        self.bytes.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// Null in place of an array.
    pub(crate) fn null_array(&mut self) {
        self.bytes.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The head of an array: `len` replies follow.
    pub(crate) fn array(&mut self, len: usize) {
        self.len(b'*', len);
    }

    /// The head of an unordered set; an array in RESP2.
    pub(crate) fn set(&mut self, len: usize) {
        self.either(b'*', b'~', len);
    }

    /// The head of a message that the client did not request; an array in RESP2.
    pub(crate) fn push(&mut self, len: usize) {
        self.either(b'*', b'>', len);
    }

    /// The head of a map: `pairs` pairs of replies follow.
    pub(crate) fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.len(b'*', 2 * pairs),
            Protocol::Resp3 => self.len(b'%', pairs),
        }
    }

    fn either(&mut self, second: u8, third: u8, len: usize) {
        self.len(if self.protocol == Protocol::Resp2 { second } else { third }, len);
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
            // Most lengths have one digit.
            Ok(digit @ 0..=9) => self.bytes.extend_from_slice(&[kind, b'0' + digit, b'\r', b'\n']),
            // `io::Write` for `Vec` never fails.
            _ => drop(write!(self.bytes, "{}{number}\r\n", char::from(kind))),
        }
    }

    pub(crate) fn mark(&self) -> ReplyMark {
        ReplyMark { bytes: self.bytes.len(), larges: self.larges.len() }
    }

    /// Discards the replies after `mark`.
    pub(crate) fn truncate_to(&mut self, mark: ReplyMark) {
        self.bytes.truncate(mark.bytes);
        self.larges.truncate(mark.larges);
    }

    /// Appends `others`.
    pub(crate) fn append(&mut self, others: &Replies) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&others.bytes);
        self.larges.extend(others.larges.iter().map(|(at, large)| (before + at, large.clone())));
    }
}
