//! `http`: a head that is accepted can be read in one way only, and what it asks for lies below the
//! root and within the file.

use std::path::Component;
use std::time::{Duration, SystemTime};

use crate::bytes::Bytes;
use crate::conditions::{self, RangeRequest, Validators, part};
use crate::examples::http::files::relative;
use crate::head::no_fields;
use crate::request::{Framing, Request};
use crate::response::Status;

/// When the file was changed, and what the time is.
const CHANGED: Duration = Duration::from_secs(784_111_777);
const NOW: Duration = Duration::from_secs(1_784_111_777);

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    let (cut, len) = (choices.byte(), choices.number::<8>() >> (choices.byte() % 64));
    let head = choices.0;
    let is_accepted = |head: &[u8]| Request::parse(head, &mut no_fields()).is_ok();
    if let Ok(request) = Request::parse(head, &mut no_fields()) {
        let fields = has_one_meaning(head, &request);
        lies_below(&request);
        let epoch = SystemTime::UNIX_EPOCH;
        let version = Validators::of_file(epoch + CHANGED, len, epoch + NOW);
        assert_eq!(conditions::check(&request, &version), depends(&fields, &version));
        lies_within(&request, &fields, len, &version);
        let shorter = &head[..usize::from(cut).min(head.len() - 1)];
        assert!(!is_accepted(shorter), "{:?} is complete", shorter.escape_ascii());
        assert!(!is_accepted(&[head, b"\n"].concat()), "two ends");
    }
    if let Ok(path) = std::str::from_utf8(head) {
        below(path);
    }
}

/// The tag of the file when it is so long.
pub(crate) fn etag(len: u64) -> String {
    let epoch = SystemTime::UNIX_EPOCH;
    Validators::of_file(epoch + CHANGED, len, epoch + NOW).etag.expect("a file has one")
}

/// Names in small letters, and values.
type Fields = Vec<(String, String)>;

fn values<'a>(fields: &'a Fields, name: &str) -> Vec<&'a str> {
    let named = fields.iter().filter(|(known, _)| known == name);
    named.map(|(_, value)| value.as_str()).collect()
}

fn list<'a>(fields: &'a Fields, name: &str) -> Vec<&'a str> {
    let members = values(fields, name).into_iter().flat_map(|value| value.split(','));
    let trimmed = members.map(|one| one.trim_matches(|c: char| c.is_ascii_whitespace()));
    trimmed.filter(|one| !one.is_empty()).collect()
}

/// Reads the head as the least careful of servers would, line by line.
fn has_one_meaning(head: &[u8], request: &Request<'_, '_>) -> Fields {
    let head: String = head.iter().map(|byte| char::from(*byte)).collect();
    let is_http_1_1 = request.head.is_http_1_1;
    let mut lines = head.split('\n');
    let first = lines.next().unwrap_or_default();
    let words: Vec<&str> = first.split(' ').collect();
    assert_eq!(words[..2], [request.head.method, request.head.target], "{first:?}");
    let minor = words[2].strip_prefix("HTTP/1.").and_then(|rest| rest.strip_suffix('\r')).unwrap();
    assert!(words.len() == 3 && minor.len() == 1 && is_http_1_1 == (minor != "0"), "{first:?}");
    let mut lines: Vec<&str> = lines.collect();
    assert_eq!(lines.split_off(lines.len() - 2), ["\r", ""], "what ends a head");
    let mut fields = Fields::new();
    for line in lines {
        let line = line.strip_suffix('\r').expect("a bare LF");
        assert!(!line.contains('\r'), "others see two lines in {line:?}");
        assert!(!line.is_empty(), "others see two heads");
        let (name, value) = line.split_once(':').expect("a line without a name");
        assert!(!name.is_empty() && !name.contains(char::is_whitespace), "{name:?}");
        let value = value.trim_matches([' ', '\t']).to_string();
        fields.push((name.to_ascii_lowercase(), value));
    }
    let codings = list(&fields, "transfer-encoding");
    let has_coding = !values(&fields, "transfer-encoding").is_empty();
    match (request.framing, values(&fields, "content-length").as_slice()) {
        (Framing::Chunked, lengths) => {
            assert!(lengths.is_empty() && is_http_1_1 && codings.len() == 1);
            assert!(codings[0].eq_ignore_ascii_case("chunked"));
        }
        (Framing::Length(length), [said]) => {
            assert_eq!((said.parse(), has_coding), (Ok(length), false));
            assert!(said.bytes().all(|byte| byte.is_ascii_digit()));
        }
        (Framing::Length(length), said) => {
            assert_eq!((length, has_coding, said.len()), (0, false, 0), "one length, or none");
        }
    }
    match values(&fields, "host").as_slice() {
        [] => assert!(!is_http_1_1),
        [host] => assert!(!host.is_empty() && !host.contains(['@', '/', ' ', ',', '?', '#'])),
        hosts => panic!("{hosts:?}"),
    }
    let options = list(&fields, "connection").join(",").to_ascii_lowercase();
    let has = |option: &str| options.split(',').any(|one| one == option);
    assert_eq!(request.keep_alive, !has("close") && (is_http_1_1 || has("keep-alive")));
    fields
}

/// Looks for the path from the end: the first slash behind what can only be a host, before the query.
fn lies_below(request: &Request<'_, '_>) {
    let path = request.target.path;
    assert!(path == "*" && request.head.method == "OPTIONS" || path.starts_with('/'));
    assert!(!path.contains(['?', '#', '\\', ' ', '\r', '\n']));
    let before_query = request.head.target.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = before_query.splitn(4, '/').collect();
    let expected = match parts.as_slice() {
        ["", ..] | ["*"] => before_query.to_string(),
        [scheme, "", host, rest @ ..] => {
            assert!(scheme.eq_ignore_ascii_case("http:") && !host.is_empty(), "{before_query}");
            assert!(!host.contains('@'), "{before_query}");
            format!("/{}", rest.concat())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(path, expected);
    below(path);
}

/// The rules of RFC 9110, 13.2.2, one after the other.
fn depends(fields: &Fields, version: &Validators) -> Option<Status> {
    let etag = version.etag.as_deref().unwrap();
    let changed = SystemTime::UNIX_EPOCH + CHANGED;
    let is = |name| !values(fields, name).is_empty();
    let date = |name| match values(fields, name).as_slice() {
        [date] => httpdate::parse_http_date(date).ok(),
        _ => None,
    };
    let matches = list(fields, "if-match").iter().any(|tag| *tag == "*" || *tag == etag);
    let is_changed = date("if-unmodified-since").is_some_and(|date| changed > date);
    if is("if-match") && !matches || !is("if-match") && is_changed {
        return Some(Status::PRECONDITION_FAILED);
    }
    let weak = format!("W/{etag}");
    let known = list(fields, "if-none-match");
    let is_known = known.iter().any(|tag| *tag == "*" || *tag == etag || *tag == weak);
    let is_same = date("if-modified-since").is_some_and(|date| changed <= date);
    let is_there_already = is_known || !is("if-none-match") && is_same;
    is_there_already.then_some(Status::NOT_MODIFIED)
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
fn lies_within(request: &Request<'_, '_>, fields: &Fields, len: u64, version: &Validators) {
    let found = part(request, len, version);
    let whole = i128::from(len);
    let is_current = match values(fields, "if-range").as_slice() {
        [] => true,
        [tag] if tag.starts_with('"') || tag.starts_with("W/") => {
            version.etag.as_deref() == Some(tag)
        }
        [date] => httpdate::parse_http_date(date)
            .is_ok_and(|date| date == SystemTime::UNIX_EPOCH + CHANGED),
        _ => false,
    };
    let expected = match values(fields, "range").as_slice() {
        [range] if is_current && request.head.method == "GET" => bounds(range, whole),
        _ => None,
    };
    match expected {
        None => assert_eq!(found, RangeRequest::Whole, "{fields:?} of {len}"),
        Some((first, last)) if first < whole && first <= last => {
            let RangeRequest::Range(from, n) = found else { panic!("{fields:?} of {len}") };
            let last = last.min(whole - 1);
            assert_eq!((i128::from(from), i128::from(n)), (first, last - first + 1));
            assert!(n > 0 && from.checked_add(n).is_some_and(|end| end <= len));
        }
        Some(_) => assert_eq!(found, RangeRequest::Unsatisfiable, "{fields:?} of {len}"),
    }
}

fn bounds(range: &str, len: i128) -> Option<(i128, i128)> {
    let (unit, set) = range.split_once('=')?;
    let ranges: Vec<&str> = set
        .split(',')
        .map(|one| one.trim_matches([' ', '\t']))
        .filter(|one| !one.is_empty())
        .collect();
    let [range] = ranges[..] else { return None };
    let (first, last) = range.split_once('-').filter(|_| unit.eq_ignore_ascii_case("bytes"))?;
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse::<u64>().map_or(i128::from(u64::MAX), i128::from))
    };
    if first.is_empty() {
        // The last so many bytes, of which there may be fewer; of nothing that is all.
        let n = number(last)?;
        let last = if n == 0 { -1 } else { len - 1 };
        return (len > 0 || n == 0).then_some(((len - n).max(0), last));
    }
    let first = number(first)?;
    let last = if last.is_empty() { i128::MAX } else { number(last)? };
    (first <= last).then_some((first, last))
}
