//! `http`: a body, in any pieces, is what a look at the whole finds.

use socketserver::Input;

use crate::bytes::{Bytes, pieces};
use crate::examples::http::body::{Body, Piece};
use crate::request::Framing;
use crate::response::Status;

#[derive(Debug, Default, Eq, PartialEq)]
struct Found {
    data: Vec<u8>,
    end: Option<Result<usize, Status>>,
}

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    let seed = choices.byte();
    let limit = choices.number::<2>();
    let framing = match choices.below(4) {
        0 => Framing::Length(choices.number::<2>()),
        _ => Framing::Chunked,
    };
    let bytes = choices.0;
    let expected = of_the_whole(framing, limit, bytes);
    for seed in [0, 1, seed] {
        let found = piece_by_piece(framing, limit, bytes, seed);
        assert_eq!(found, expected, "pieces {seed}, {framing:?} of at most {limit}");
    }
    assert!(expected.data.len() as u64 <= limit);
}

fn piece_by_piece(framing: Framing, limit: u64, bytes: &[u8], seed: u8) -> Found {
    let mut found = Found::default();
    let mut body = match Body::new(framing, limit) {
        Ok(body) => body,
        Err(status) => return Found { end: Some(Err(status)), ..found },
    };
    let (mut come, mut taken) = (0, 0);
    // A body that is empty has ended before anything comes.
    for piece in [&[][..]].into_iter().chain(pieces(bytes, seed)) {
        come += piece.len();
        let mut input = Input::new(&bytes[taken..come]);
        loop {
            match body.next(&mut input) {
                Ok(Piece::More) => break,
                Ok(Piece::Data(data)) => {
                    assert!(!data.is_empty());
                    found.data.extend_from_slice(data);
                }
                Ok(Piece::End) => {
                    found.end = Some(Ok(come - input.len()));
                    return found;
                }
                Err(status) => {
                    found.end = Some(Err(status));
                    return found;
                }
            }
        }
        taken = come - input.len();
    }
    found
}

fn of_the_whole(framing: Framing, limit: u64, bytes: &[u8]) -> Found {
    let mut found = Found::default();
    match framing {
        Framing::Length(length) if length > limit => {
            found.end = Some(Err(Status::CONTENT_TOO_LARGE));
        }
        Framing::Length(length) => {
            let n = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            found.data = bytes[..n].to_vec();
            found.end = (n as u64 == length).then_some(Ok(n));
        }
        Framing::Chunked => match chunks(limit, bytes, &mut found.data) {
            Ok(None) => {}
            Ok(Some(len)) => found.end = Some(Ok(len)),
            Err(status) => found.end = Some(Err(status)),
        },
    }
    found
}

/// How long a chunked body is with all around its chunks.
fn chunks(limit: u64, bytes: &[u8], data: &mut Vec<u8>) -> Result<Option<usize>, Status> {
    let (mut at, mut allowed) = (0, limit);
    loop {
        let Some(line) = line(&bytes[at..], 256)? else { return Ok(None) };
        at += line.len() + 2;
        let size = size(line).ok_or(Status::BAD_REQUEST)?;
        if size > allowed {
            return Err(Status::CONTENT_TOO_LARGE);
        }
        allowed -= size;
        if size == 0 {
            break;
        }
        let n = usize::try_from(size).unwrap_or(usize::MAX).min(bytes.len() - at);
        data.extend_from_slice(&bytes[at..at + n]);
        at += n;
        if (n as u64) < size || self::line(&bytes[at..], 0)?.is_none() {
            return Ok(None);
        }
        at += 2;
    }
    let mut left = 4 << 10;
    loop {
        let Some(line) = line(&bytes[at..], left)? else { return Ok(None) };
        at += line.len() + 2;
        left -= line.len();
        if line.is_empty() {
            return Ok(Some(at));
        }
        if !is_field(line) {
            return Err(Status::BAD_REQUEST);
        }
    }
}

const TOKEN: &[u8] =
    b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A chunk's size, if the line is written byte for byte as the grammar has it: the states of a machine,
/// one for each place in it.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let mut size = 0_u64;
    for digit in &line[..digits] {
        let digit = char::from(*digit).to_digit(16).expect("a digit");
        size = size.checked_mul(16)?.checked_add(digit.into())?;
    }
    let mut place = if digits == 0 { return None } else { "end" };
    for byte in &line[digits..] {
        let (is_blank, is_part) = (b" \t".contains(byte), TOKEN.contains(byte));
        let is_text = *byte == b'\t' || *byte >= b' ' && *byte != 0x7F;
        place = match (place, byte) {
            ("end" | "name" | "value" | "blank" | "blank behind a name", b';') => "before a name",
            ("name" | "blank behind a name", b'=') => "before a value",
            ("before a name" | "name", _) if is_part => "name",
            ("before a value" | "value", _) if is_part => "value",
            ("before a value", b'"') => "quoted",
            ("quoted", b'"') => "end",
            ("quoted", b'\\') => "escape",
            ("quoted" | "escape", _) if is_text => "quoted",
            ("before a name" | "before a value", _) if is_blank => place,
            ("name" | "blank behind a name", _) if is_blank => "blank behind a name",
            ("end" | "value" | "blank", _) if is_blank => "blank",
            _ => return None,
        };
    }
    ["end", "name", "value"].contains(&place).then_some(size)
}

fn is_field(line: &[u8]) -> bool {
    let name = line.iter().take_while(|byte| TOKEN.contains(byte)).count();
    let is_text = |byte: &u8| *byte == b'\t' || *byte >= b' ' && *byte != 0x7F;
    name > 0 && line.get(name) == Some(&b':') && line[name..].iter().all(is_text)
}

/// A line that ends with `\r\n`, in which there is no part of one.
fn line(rest: &[u8], max: usize) -> Result<Option<&[u8]>, Status> {
    let end = rest.windows(2).position(|two| two == b"\r\n");
    if end.unwrap_or(rest.len().saturating_sub(1)) > max {
        return Err(Status::BAD_REQUEST);
    }
    let Some(line) = end.map(|end| &rest[..end]) else {
        // The only end that it can have now would not be the only one.
        return if rest.contains(&b'\n') { Err(Status::BAD_REQUEST) } else { Ok(None) };
    };
    if line.contains(&b'\r') || line.contains(&b'\n') {
        return Err(Status::BAD_REQUEST);
    }
    Ok(Some(line))
}
