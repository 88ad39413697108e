//! Inline commands: a line of words, as typed in a terminal.

use std::ops::Range;

/// Appends the ranges of the words in a line without quotes.
pub(crate) fn plain(line: &[u8], ranges: &mut Vec<Range<usize>>) {
    let mut start = 0;
    for word in line.split(u8::is_ascii_whitespace) {
        if !word.is_empty() {
            ranges.push(start..start + word.len());
        }
        start += word.len() + 1;
    }
}

/// Returns the words of a line with quotes, concatenated, and appends their ranges. `None` if a
/// quote is not closed or is followed by another character than whitespace. In double quotes a
/// backslash starts an escape sequence; in single quotes only `\'` is one.
pub(crate) fn quoted(line: &[u8], ranges: &mut Vec<Range<usize>>) -> Option<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let start = words.len();
        rest = word(rest, &mut words)?.trim_ascii_start();
        ranges.push(start..words.len());
    }
    Some(words)
}

/// Appends one word to `to`. Returns the rest after it, `None` for a wrong quote.
fn word<'a>(mut rest: &'a [u8], to: &mut Vec<u8>) -> Option<&'a [u8]> {
    while let Some((byte, behind)) = rest.split_first() {
        if byte.is_ascii_whitespace() {
            break;
        }
        rest = match byte {
            b'"' | b'\'' => {
                let behind = quote(*byte, behind, to)?;
                return behind.first().is_none_or(u8::is_ascii_whitespace).then_some(behind);
            }
            _ => {
                to.push(*byte);
                behind
            }
        };
    }
    Some(rest)
}

/// Appends the text up to the closing quote `mark` to `to`. Returns the rest after it, `None` if
/// there is no such quote.
fn quote<'a>(mark: u8, mut rest: &'a [u8], to: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, len) = match rest {
            [] => return None,
            [byte, behind @ ..] if *byte == mark => return Some(behind),
            [b'\\', b'\'', ..] if mark == b'\'' => (b'\'', 2),
            [b'\\', b'x', high, low, ..] if mark == b'"' && hex(*high, *low).is_some() => {
                (hex(*high, *low)?, 4)
            }
            [b'\\', byte, ..] if mark == b'"' => (escaped(*byte), 2),
            [byte, ..] => (*byte, 1),
        };
        to.push(byte);
        rest = rest.get(len..)?;
    }
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

fn escaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        _ => byte,
    }
}
