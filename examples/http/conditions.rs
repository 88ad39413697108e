//! What a request makes its answer depend on (RFC 9110, section 13), and which part of it is asked for
//! (section 14).

use std::str;
use std::time::{Duration, SystemTime};

use crate::head;
use crate::request::Request;
use crate::response::Status;

/// By what one state of a page or file is told from others.
#[derive(Debug, Default)]
pub(crate) struct Validators {
    pub(crate) etag: Option<String>,
    /// In whole seconds, as it can be told; `None` where HTTP has no word for it.
    pub(crate) modified: Option<SystemTime>,
    /// It may have changed since without looking otherwise.
    is_fresh: bool,
}

impl Validators {
    /// That of a file, as of `now`. What was changed just now may change again within a tick of the
    /// system's clock, so it has only weak validators (RFC 9110, 8.8.2.2).
    pub(crate) fn of_file(modified: SystemTime, len: u64, now: SystemTime) -> Validators {
        let is_fresh = !now.duration_since(modified).is_ok_and(|age| age >= SETTLED);
        let (sign, since) = match modified.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => ("", since),
            Err(before) => ("-", before.duration()),
        };
        let (seconds, nanos) = (since.as_secs(), since.subsec_nanos());
        let weak = if is_fresh { "W/" } else { "" };
        // Nobody is told of a change in the future (RFC 9110, 8.8.2.1).
        let told = modified.min(now).duration_since(SystemTime::UNIX_EPOCH).ok();
        let told = told.map(|since| SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()));
        Validators {
            etag: Some(format!("{weak}\"{sign}{seconds:x}.{nanos:x}-{len:x}\"")),
            modified: told.filter(|time| head::date(*time).is_some()),
            is_fresh,
        }
    }

    /// Whether a tag that a request names is that of this version.
    fn is(&self, tag: &[u8], is_weak_enough: bool) -> bool {
        let Some(etag) = self.etag.as_deref().map(str::as_bytes) else { return false };
        let is_weak = [tag, etag].iter().any(|tag| tag.starts_with(b"W/"));
        opaque(tag) == opaque(etag) && (is_weak_enough || !is_weak)
    }
}

/// A tag without the mark that it is a weak one.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// After this time no file system of ours gives a second change the time of the first.
const SETTLED: Duration = Duration::from_secs(1);

/// What a GET or HEAD is answered instead, if its conditions say so; in their order of precedence.
pub(crate) fn check(request: &Request<'_, '_>, validators: &Validators) -> Option<Status> {
    let head = &request.head;
    let has = |name| head.values(name).next().is_some();
    // Tags of others may have commas inside. Their pieces are no tags of ours.
    let names = |name, is_weak_enough| {
        head.list(name).any(|tag| tag == b"*" || validators.is(tag, is_weak_enough))
    };
    let later_than = |date: SystemTime| validators.modified.is_some_and(|modified| modified > date);
    let no_later_than =
        |date: SystemTime| validators.modified.is_some_and(|modified| modified <= date);
    if has("if-match") {
        if !names("if-match", false) {
            return Some(Status::PRECONDITION_FAILED);
        }
    } else if date(request, "if-unmodified-since").is_some_and(later_than) {
        return Some(Status::PRECONDITION_FAILED);
    }
    let is_known = if has("if-none-match") {
        names("if-none-match", true)
    } else {
        date(request, "if-modified-since").is_some_and(no_later_than)
    };
    is_known.then_some(Status::NOT_MODIFIED)
}

/// What is no date, or several, is to be ignored.
fn date(request: &Request<'_, '_>, name: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(str::from_utf8(request.head.only(name)?).ok()?).ok()
}

/// What is asked for of a file.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum RangeRequest {
    Whole,
    /// So many bytes from there.
    Range(u64, u64),
    Unsatisfiable,
}

/// What this request asks for. Only a GET has ranges. One that cannot be understood, or several, are
/// the whole.
pub(crate) fn part(request: &Request<'_, '_>, len: u64, validators: &Validators) -> RangeRequest {
    if request.head.method != "GET" || !is_current(request, validators) {
        return RangeRequest::Whole;
    }
    match request.head.only("range").and_then(|range| bounds(str::from_utf8(range).ok()?, len)) {
        None => RangeRequest::Whole,
        Some((first, last)) if first <= last && first < len => {
            RangeRequest::Range(first, last.min(len - 1) - first + 1)
        }
        Some(_) => RangeRequest::Unsatisfiable,
    }
}

/// `If-Range`: a part is of use only for who has the rest of the same version.
fn is_current(request: &Request<'_, '_>, validators: &Validators) -> bool {
    let mut values = request.head.values("if-range");
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(tag), None) if tag.starts_with(b"\"") || tag.starts_with(b"W/") => {
            validators.is(tag, false)
        }
        (Some(_), None) if !validators.is_fresh => {
            date(request, "if-range").is_some_and(|date| validators.modified == Some(date))
        }
        _ => false,
    }
}

/// The first and the last byte.
fn bounds(range: &str, len: u64) -> Option<(u64, u64)> {
    let (unit, set) = range.split_once('=')?;
    let mut ranges = set.split(',').map(str::trim).filter(|range| !range.is_empty());
    let (range, others) = (ranges.next()?, ranges.next());
    if !unit.eq_ignore_ascii_case("bytes") || others.is_some() {
        return None;
    }
    match range.split_once('-')? {
        // All of nothing is nothing, of which there is no first byte.
        ("", suffix) if len == 0 && number(suffix)? > 0 => None,
        ("", suffix) => Some((len - number(suffix)?.min(len), len.saturating_sub(1))),
        (first, "") => Some((number(first)?, u64::MAX)),
        (first, last) => Some((number(first)?, number(last)?)).filter(|(a, b)| a <= b),
    }
}

/// Digits only; what is too much to count is more than any file has.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}
