//! The lines of a chunked body: chunk sizes with extensions, and trailers (RFC 9112, 7.1).

use std::str;

use crate::head::is_token;

/// Parses the size of a chunk; `None` for a malformed line or an overflow. Extensions are ignored,
/// but must be well-formed: two parsers could disagree about the end of a malformed one, and so
/// about the chunk.
pub(crate) fn size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, extensions) = line.split_at(end);
    let size = u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    are_extensions(extensions).then_some(size)
}

/// Whether `rest` is any number of `;name`, `;name=value` or `;name="value"`. Whitespace around `;`
/// and `=` must be accepted, but not at the end.
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(name) = blank(rest).strip_prefix(b";").map(blank) else { return false };
        let Some(after) = after_token(name) else { return false };
        let value = blank(after).strip_prefix(b"=").map(blank);
        match value.map_or(Some(after), |value| after_token(value).or(after_quoted(value))) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

/// Skips whitespace.
fn blank(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| !b" \t".contains(byte)).unwrap_or(bytes.len());
    bytes.get(end..).unwrap_or_default()
}

fn after_token(bytes: &[u8]) -> Option<&[u8]> {
    let is_part = |byte: &u8| is_token(&[*byte]);
    let end = bytes.iter().position(|byte| !is_part(byte)).unwrap_or(bytes.len());
    bytes.get(end..).filter(|_| end > 0)
}

fn after_quoted(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(b"\"")?;
    loop {
        match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', byte, after @ ..] | [byte, after @ ..] if is_text(*byte) => rest = after,
            _ => return None,
        }
    }
}

/// Whether `line` is a field of a trailer, by the grammar of a head's fields.
pub(crate) fn is_field(line: &[u8]) -> bool {
    let mut parts = line.splitn(2, |byte| *byte == b':');
    let (name, value) = (parts.next().unwrap_or_default(), parts.next());
    is_token(name) && value.is_some_and(|value| value.iter().all(|byte| is_text(*byte)))
}

/// Whether a value may contain `byte`: no control character but a tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: &[(&str, u64)] = &[
        ("0", 0),
        ("a", 10),
        ("1F", 31),
        ("0001", 1),
        ("ffffffffffffffff", u64::MAX),
        ("5;a", 5),
        ("5;a=b", 5),
        ("5;a=b;c;d=\"e;\\\"\\r f\"", 5),
        ("5 ;a", 5),
        ("5\t; a\t=  b ; c", 5),
        ("5;a=\"\"", 5),
    ];

    const MALFORMED: &[&str] = &[
        "",
        " ",
        " 5",
        "5 ",
        "5\t",
        "+5",
        "-5",
        "0x5",
        "5_0",
        "g",
        "5;",
        "5; ",
        "5;;a",
        "5;a;",
        "5;a=",
        "5;a= ",
        "5;a ",
        "5;=b",
        "5;a[=b",
        "5;a=\"b",
        "5;a=\"b\\",
        "5;a=\"b\"c",
        "5;a=b c",
        "5 a",
        "5,a",
        "5;a\0",
        "5;a=\"\x01\"",
        "5;a=\"\\\x01\"",
        "10000000000000000",
    ];

    #[test]
    fn sizes_are_hexadecimal_and_extensions_well_formed() {
        for (line, expected) in SIZES {
            assert_eq!(size(line.as_bytes()), Some(*expected), "{line}");
        }
        for line in MALFORMED {
            assert_eq!(size(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn trailers_are_fields() {
        for line in ["a: b", "a:", "a:b:c", "A-1:\tx y", "a: \u{e9}"] {
            assert!(is_field(line.as_bytes()), "{line}");
        }
        for line in ["a", ":b", " a: b", "a : b", "a b: c", "a: \0", "a: b\x7F"] {
            assert!(!is_field(line.as_bytes()), "{line:?}");
        }
    }
}
