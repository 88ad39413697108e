//! `http`: a head that is accepted can be read in one way only, and what it asks for lies below the
//! root and within the file.

use std::path::Component;

use crate::bytes::Bytes;
use crate::examples::http::files::{Part, part, relative};
use crate::request::{Framing, Request};

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    let (cut, len) = (choices.byte(), choices.number::<8>() >> (choices.byte() % 64));
    let head = choices.0;
    if let Ok(request) = Request::parse(head) {
        has_one_meaning(head, &request);
        lies_below(&request);
        lies_within(&request, len);
        let shorter = &head[..usize::from(cut).min(head.len() - 1)];
        assert!(Request::parse(shorter).is_err(), "{:?} is complete", shorter.escape_ascii());
        let longer = [head, b"\n"].concat();
        assert!(Request::parse(&longer).is_err(), "two ends");
    }
    if let Ok(path) = std::str::from_utf8(head) {
        below(path);
    }
}

/// Reads the head as the least careful of servers would, line by line.
fn has_one_meaning(head: &[u8], request: &Request<'_>) {
    let head: String = head.iter().map(|byte| char::from(*byte)).collect();
    let mut lines = head.trim_start_matches(['\r', '\n']).split('\n');
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with(&format!("{} ", request.method)) && !request.method.is_empty());
    assert!(first.trim_end().ends_with(if request.is_modern { "HTTP/1.1" } else { "HTTP/1.0" }));
    let mut lines: Vec<&str> = lines.map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    assert_eq!(lines.split_off(lines.len() - 2), ["", ""], "what ends a head");
    let (mut lengths, mut codings, mut hosts) = (Vec::new(), 0, 0);
    for line in lines {
        assert!(!line.contains('\r'), "others see two lines in {line:?}");
        assert!(!line.is_empty(), "others see two heads");
        let (name, value) = line.split_once(':').expect("a line without a name");
        assert!(!name.is_empty() && !name.contains(char::is_whitespace), "{name:?}");
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.trim()),
            "transfer-encoding" => codings += 1,
            "host" => hosts += 1,
            _ => {}
        }
    }
    match (request.framing, lengths.as_slice()) {
        (Framing::Chunked, lengths) => {
            assert!(lengths.is_empty() && codings == 1 && request.is_modern);
        }
        (Framing::Length(length), [said]) => {
            assert_eq!((said.parse(), codings), (Ok(length), 0));
            assert!(said.bytes().all(|byte| byte.is_ascii_digit()));
        }
        (Framing::Length(length), said) => {
            assert_eq!((length, codings, said.len()), (0, 0, 0), "one length, or none");
        }
    }
    assert!(hosts == 1 || hosts == 0 && !request.is_modern);
}

fn lies_below(request: &Request<'_>) {
    let path = request.path;
    assert!(path == "*" || path.starts_with('/'));
    assert!(!path.contains(['?', ' ', '\r', '\n']));
    below(path);
}

fn below(path: &str) {
    let Some(relative) = relative(path) else { return };
    let mut names = relative.components();
    let is_plain = |name: &str| !name.starts_with('.') && !name.contains(['\0', '/', '\\', ':']);
    assert!(
        names.all(
            |name| matches!(name, Component::Normal(name) if name.to_str().is_some_and(is_plain))
        ),
        "{path:?} leads to {}",
        relative.display()
    );
}

/// Reads the range with numbers that have no end.
fn lies_within(request: &Request<'_>, len: u64) {
    let found = part(request, len, DATE);
    let whole = i128::from(len);
    let expected = if request.if_range.is_some_and(|date| date != DATE) {
        None
    } else {
        request.range.and_then(|range| bounds(range, whole))
    };
    match expected {
        None => assert_eq!(found, Part::Whole, "{:?}", request.range),
        Some((first, last)) if first < whole && first <= last => {
            let Part::Range(from, n) = found else { panic!("{:?} of {len}", request.range) };
            let last = last.min(whole - 1);
            assert_eq!((i128::from(from), i128::from(n)), (first, last - first + 1));
            assert!(n > 0 && from.checked_add(n).is_some_and(|end| end <= len));
        }
        Some(_) => assert_eq!(found, Part::Unsatisfiable, "{:?} of {len}", request.range),
    }
}

fn bounds(range: &str, len: i128) -> Option<(i128, i128)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| is_number).map(i128::from)
    };
    if first.is_empty() {
        // The last so many bytes, of which there may be fewer.
        return number(last).map(|n| ((len - n).max(0), if n == 0 { -1 } else { len - 1 }));
    }
    let first = number(first)?;
    let last = if last.is_empty() { i128::MAX } else { number(last)? };
    (first <= last).then_some((first, last))
}
