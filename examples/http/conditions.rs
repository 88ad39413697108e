//! Conditional requests (RFC 9110, section 13) and range requests (section 14).

use std::str;
use std::time::{Duration, SystemTime};

use crate::head;
use crate::request::Request;
use crate::response::Status;

/// The validators of a representation.
#[derive(Debug, Default)]
pub(crate) struct Validators {
    pub(crate) etag: Option<String>,
    /// In whole seconds; `None` if HTTP cannot express the time.
    pub(crate) modified: Option<SystemTime>,
    /// Whether it may change again without a change of the validators.
    is_fresh: bool,
}

impl Validators {
    /// The validators of a file at the time `now`. A file changed just now may change again within
    /// one tick of the system's clock, so its validators are weak (RFC 9110, 8.8.2.2).
    pub(crate) fn of_file(modified: SystemTime, len: u64, now: SystemTime) -> Validators {
        let is_fresh = !now.duration_since(modified).is_ok_and(|age| age >= SETTLED);
        let (sign, since) = match modified.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => ("", since),
            Err(before) => ("-", before.duration()),
        };
        let (seconds, nanos) = (since.as_secs(), since.subsec_nanos());
        let weak = if is_fresh { "W/" } else { "" };
        // `Last-Modified` must not be in the future (RFC 9110, 8.8.2.1).
        let told = modified.min(now).duration_since(SystemTime::UNIX_EPOCH).ok();
        let told = told.map(|since| SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()));
        Validators {
            etag: Some(format!("{weak}\"{sign}{seconds:x}.{nanos:x}-{len:x}\"")),
            modified: told.filter(|time| head::date(*time).is_some()),
            is_fresh,
        }
    }

    /// Whether `tag` matches; a weak tag does only if `is_weak_enough`.
    fn is(&self, tag: &[u8], is_weak_enough: bool) -> bool {
        let Some(etag) = self.etag.as_deref().map(str::as_bytes) else { return false };
        let is_weak = [tag, etag].iter().any(|tag| tag.starts_with(b"W/"));
        opaque(tag) == opaque(etag) && (is_weak_enough || !is_weak)
    }
}

/// An entity tag without its mark `W/`.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// File systems have timestamps finer than this.
const SETTLED: Duration = Duration::from_secs(1);

/// Evaluates the conditions in their order of precedence. `None` if the request is to be served;
/// else the status to answer.
pub(crate) fn check(request: &Request<'_, '_>, validators: &Validators) -> Option<Status> {
    let head = &request.head;
    let has = |name| head.values(name).next().is_some();
    // A foreign tag may contain commas. Its parts match no tag of this server.
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

/// `None` for a date that is malformed or occurs twice, which is to be ignored.
fn date(request: &Request<'_, '_>, name: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(str::from_utf8(request.head.only(name)?).ok()?).ok()
}

/// The part of a file that is requested.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum RangeRequest {
    Whole,
    /// The first byte and the length.
    Range(u64, u64),
    Unsatisfiable,
}

/// Returns the requested part. A malformed range, several ranges, and a range of another method
/// than GET mean the whole file.
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

/// `If-Range`: whether the client has a part of this very representation.
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

/// Returns the first and the last byte; `None` for a malformed range.
fn bounds(range: &str, len: u64) -> Option<(u64, u64)> {
    let (unit, set) = range.split_once('=')?;
    let mut ranges = set
        .split(',')
        .map(|range| range.trim_matches([' ', '\t']))
        .filter(|range| !range.is_empty());
    let (range, others) = (ranges.next()?, ranges.next());
    if !unit.eq_ignore_ascii_case("bytes") || others.is_some() {
        return None;
    }
    match range.split_once('-')? {
        // An empty file has no suffix and no first byte.
        ("", suffix) if len == 0 && number(suffix)? > 0 => None,
        ("", suffix) => Some((len - number(suffix)?.min(len), len.saturating_sub(1))),
        (first, "") => Some((number(first)?, u64::MAX)),
        (first, last) => Some((number(first)?, number(last)?)).filter(|(a, b)| a <= b),
    }
}

/// Parses digits only. An overflow is `u64::MAX`, which no file reaches.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}
