//! Framing: any bytes in any pieces give the same frames and the same error at the same place as a
//! search through the whole.

use std::io;

use crate::bytes::{Bytes, pieces};
use crate::conn::input::{Input, Unconsumed};
use crate::fields::Field;

/// One way to take a frame.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Line,
    Until(u8),
    /// So many bytes of these.
    Delimited([u8; 7], usize),
    Field(Field),
    /// A number of words, then so many words of so many bytes, as in the documentation of `need`.
    Record(usize),
    Exactly(usize),
}

/// Where in the whole a frame lies, without what stands around it, and where the next one begins.
type Found = (usize, usize, usize);

#[derive(Debug, Default, Eq, PartialEq)]
struct Outcome {
    frames: Vec<Found>,
    error: Option<(io::ErrorKind, String)>,
}

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    let seed = choices.byte();
    let max = limit(&mut choices);
    let kinds = [Kind::any(&mut choices), Kind::any(&mut choices)];
    let bytes = choices.0;
    let expected = by_searching(bytes, &kinds, max);
    for seed in [0, 1, seed] {
        let found = piece_by_piece(bytes, seed, &kinds, max);
        assert_eq!(found, expected, "pieces {seed}, {kinds:?}, at most {max}");
    }
}

/// Short ones, so that they are exceeded, and one that never is.
fn limit(choices: &mut Bytes<'_>) -> usize {
    match choices.byte() {
        255 => usize::MAX,
        n => usize::from(n),
    }
}

impl Kind {
    fn any(choices: &mut Bytes<'_>) -> Kind {
        match choices.below(8) {
            0 => Kind::Line,
            1 => Kind::Until(choices.byte()),
            2 | 3 => {
                let len = 1 + choices.below(7);
                let mut separator = [0; 7];
                for place in separator.iter_mut().take(len) {
                    *place = choices.byte();
                }
                Kind::Delimited(separator, len)
            }
            4 | 5 => Kind::Field(Field::any(choices)),
            6 => Kind::Record(choices.below(9)),
            _ => Kind::Exactly(choices.below(40)),
        }
    }

    fn take<'a>(&self, input: &mut Input<'a>, max: usize) -> io::Result<Option<&'a [u8]>> {
        match self {
            Kind::Line => input.take_line(max),
            Kind::Until(byte) => input.take_until(*byte, max),
            Kind::Delimited(separator, len) => input.take_delimited(&separator[..*len], max),
            Kind::Field(field) => {
                Ok(input.take_frame_with(&field.own(), max)?.map(|frame| frame.body))
            }
            Kind::Record(size) => {
                let Some(words) = input.peek().first() else { return Ok(None) };
                let len = 1 + size * usize::from(*words);
                Ok(if input.require(len, max)? { input.take(len) } else { None })
            }
            Kind::Exactly(n) => Ok(input.take(*n)),
        }
    }

    /// The same of all the bytes there will ever be: the frame, and the length with all around it.
    fn search<'a>(&self, rest: &'a [u8], max: usize) -> io::Result<Option<(&'a [u8], usize)>> {
        match self {
            Kind::Line => Ok(delimited(rest, b"\n", max, "line")?
                .map(|(line, len)| (line.strip_suffix(b"\r").unwrap_or(line), len))),
            Kind::Until(byte) => delimited(rest, &[*byte], max, "delimited piece"),
            Kind::Delimited(separator, len) => {
                delimited(rest, &separator[..*len], max, "delimited piece")
            }
            Kind::Field(field) => {
                Ok(field.search(rest, max)?.map(|(head, len)| (&rest[head..len], len)))
            }
            Kind::Record(size) => {
                let Some(words) = rest.first() else { return Ok(None) };
                let len = 1 + size * usize::from(*words);
                if len > max {
                    return Err(too_long("piece", max));
                }
                Ok(rest.get(..len).map(|record| (record, len)))
            }
            Kind::Exactly(n) => Ok(rest.get(..*n).map(|piece| (piece, *n))),
        }
    }

    /// Takes nothing however much there is, so that who asks again and again has no end.
    fn is_empty(&self) -> bool {
        matches!(self, Kind::Exactly(0))
    }
}

fn delimited<'a>(
    rest: &'a [u8],
    separator: &[u8],
    max: usize,
    what: &str,
) -> io::Result<Option<(&'a [u8], usize)>> {
    let found = rest.windows(separator.len()).position(|window| window == separator);
    // What has come without it is too long only if it stays so whatever comes.
    let len = found.unwrap_or((rest.len() + 1).saturating_sub(separator.len()));
    if len > max {
        return Err(too_long(what, max));
    }
    Ok(found.map(|at| (&rest[..at], at + separator.len())))
}

fn too_long(what: &str, max: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} longer than {max} bytes"))
}

impl Outcome {
    fn taken(&self) -> usize {
        self.frames.last().map_or(0, |(.., end)| *end)
    }

    /// What a handler does that takes what it can.
    fn take_frames(&mut self, bytes: &[u8], input: &mut Input<'_>, kinds: &[Kind], max: usize) {
        while self.error.is_none() {
            let kind = &kinds[self.frames.len() % kinds.len()];
            if kind.is_empty() {
                break;
            }
            let (before, at) = (input.peek(), self.taken());
            match kind.take(input, max) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let start = at + (frame.as_ptr().addr() - before.as_ptr().addr());
                    assert_eq!(frame, &bytes[start..start + frame.len()]);
                    self.frames.push((start, frame.len(), at + before.len() - input.len()));
                }
                Err(error) => self.fail(&error),
            }
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.error = Some((error.kind(), error.to_string()));
    }
}

fn by_searching(bytes: &[u8], kinds: &[Kind], max: usize) -> Outcome {
    let (mut outcome, mut at) = (Outcome::default(), 0);
    for kind in kinds.iter().cycle() {
        if kind.is_empty() {
            break;
        }
        match kind.search(&bytes[at..], max) {
            Ok(None) => break,
            Ok(Some((frame, len))) => {
                let start = frame.as_ptr().addr() - bytes.as_ptr().addr();
                outcome.frames.push((start, frame.len(), at + len));
                at += len;
            }
            Err(error) => {
                outcome.fail(&error);
                break;
            }
        }
    }
    outcome
}

/// As the loop does it: a handler sees what it left together with what came in, and is not called
/// while it needs more.
fn piece_by_piece(bytes: &[u8], seed: u8, kinds: &[Kind], max: usize) -> Outcome {
    let (mut held, mut outcome) = (Unconsumed::default(), Outcome::default());
    for piece in pieces(bytes, seed) {
        if held.is_empty() {
            let mut input = Input::new(piece);
            outcome.take_frames(bytes, &mut input, kinds, max);
            held.store(&input, 0);
        } else {
            held.append(piece);
            if held.needs_more() {
                continue;
            }
            let mut input = held.input();
            outcome.take_frames(bytes, &mut input, kinds, max);
            let left = input.remainder();
            held.store_remainder(left, 0);
        }
        if outcome.error.is_some() {
            return outcome;
        }
    }
    assert_eq!(held.len(), bytes.len() - outcome.taken(), "what was not taken is held");
    outcome
}
