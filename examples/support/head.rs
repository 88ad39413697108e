//! The grammar of HTTP request heads that RFC 9112 requires every server to check, for the examples
//! that speak HTTP.
//!
//! `httparse` parses the fields. The request line is parsed here, because a server must accept
//! later versions of HTTP/1 (RFC 9110, 2.5) and must tell other versions from malformed ones. Line
//! ends are checked here, because `httparse` accepts a bare LF, which lets two parsers of the same
//! bytes see different heads.

use std::net::Ipv6Addr;
use std::str;
use std::time::{Duration, SystemTime};

use httparse::{EMPTY_HEADER, Header, Status};

/// Most field lines of a head.
const FIELDS: usize = 64;

/// Memory for the fields of one head.
pub(crate) type Fields<'a> = [Header<'a>; FIELDS];

pub(crate) fn no_fields<'a>() -> Fields<'a> {
    [EMPTY_HEADER; FIELDS]
}

/// Why a head is rejected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HeadError {
    /// Status 400.
    Malformed,
    /// Status 431.
    TooManyFields,
    /// Status 505: another major version of HTTP.
    Version,
}

#[derive(Debug)]
pub(crate) struct Head<'f, 'a> {
    pub(crate) method: &'a str,
    /// Visible ASCII characters, not parsed.
    pub(crate) target: &'a str,
    /// Whether the version is HTTP/1.1 or a later HTTP/1.
    pub(crate) is_http_1_1: bool,
    fields: &'f [Header<'a>],
}

impl<'f, 'a> Head<'f, 'a> {
    /// Parses a complete head, with the empty line at its end.
    pub(crate) fn parse(bytes: &'a [u8], fields: &'f mut Fields<'a>) -> Result<Self, HeadError> {
        let end = bytes.windows(2).position(|two| two == b"\r\n").ok_or(HeadError::Malformed)?;
        let (line, rest) = bytes.split_at(end);
        let (method, target, is_http_1_1) = request_line(line).ok_or(HeadError::Malformed)??;
        let rest = rest.get(2..).unwrap_or_default();
        let fields = match httparse::parse_headers(rest, fields) {
            // An empty line before the end would let another parser see two heads.
            Ok(Status::Complete((len, fields))) if len == rest.len() => fields,
            Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooManyFields),
            _ => return Err(HeadError::Malformed),
        };
        let head = Head { method, target, is_http_1_1, fields };
        let is_clear = !has_bare_lf(bytes) && head.has_right_host();
        is_clear.then_some(head).ok_or(HeadError::Malformed)
    }

    /// Returns the value of each field line with this name.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value)
    }

    /// Returns the value of a field that may occur once; `None` if it is missing or occurs twice.
    pub(crate) fn only(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Returns the members of a list over all lines with this name, without empty ones (RFC 9110,
    /// 5.6.1.2).
    pub(crate) fn list(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let members = self.values(name).flat_map(|value| value.split(|byte| *byte == b','));
        members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    }

    /// Whether a list has `member`, ignoring case.
    pub(crate) fn lists(&self, name: &str, member: &str) -> bool {
        self.list(name).any(|one| one.eq_ignore_ascii_case(member.as_bytes()))
    }

    /// Whether a field's name starts with `prefix`, ignoring case.
    pub(crate) fn has_any(&self, prefix: &str) -> bool {
        let begins = |name: &str| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        self.fields.iter().any(|field| begins(field.name))
    }

    /// Whether there is one valid `Host`. HTTP/1.0 may be without.
    fn has_right_host(&self) -> bool {
        match (self.values("host").count(), self.only("host")) {
            (0, _) => !self.is_http_1_1,
            (_, host) => host.and_then(|host| str::from_utf8(host).ok()).is_some_and(is_host),
        }
    }
}

/// Method, target and whether the version is above 1.0; `None` for a malformed line.
type RequestLine<'a> = Option<Result<(&'a str, &'a str, bool), HeadError>>;

fn request_line(line: &[u8]) -> RequestLine<'_> {
    let mut words = str::from_utf8(line).ok()?.splitn(3, ' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_target = !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic());
    // A digit, a dot and a digit: `HTTP/01.01` and `HTTP/1` are malformed.
    let [major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] =
        *version.strip_prefix("HTTP/")?.as_bytes()
    else {
        return None;
    };
    if !is_token(method.as_bytes()) || !is_target {
        return None;
    }
    Some(if major == b'1' { Ok((method, target, minor != b'0')) } else { Err(HeadError::Version) })
}

/// Whether `bytes` are a token: a method, the name of a field or of a chunk extension.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    let is_mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || is_mark(*byte))
}

/// Whether `text` is `host` or `host:port`, without a user or a path. The RFC allows a comma; it is
/// rejected here, because lists of hosts are joined by commas.
pub(crate) fn is_host(text: &str) -> bool {
    let (host, port) = match text.rfind(':').filter(|colon| !text.ends_with(']') && *colon > 0) {
        Some(colon) => (text.get(..colon), text.get(colon + 1..)),
        None => (Some(text), Some("")),
    };
    let (host, port) = (host.unwrap_or_default(), port.unwrap_or_default());
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    is_port && (port.is_empty() || port.parse::<u16>().is_ok()) && is_host_name(host)
}

fn is_host_name(host: &str) -> bool {
    if let Some(inside) = host.strip_prefix('[') {
        return inside.strip_suffix(']').is_some_and(|text| text.parse::<Ipv6Addr>().is_ok());
    }
    let mut escapes = host.split('%');
    let is_plain = |text: &str| {
        let is_mark = |byte: u8| b"-._~!$&'()*+;=".contains(&byte);
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
    };
    let is_escape = |text: &str| {
        text.get(..2).is_some_and(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()))
            && is_plain(text)
    };
    !host.is_empty() && escapes.next().is_some_and(is_plain) && escapes.all(is_escape)
}

/// Whether there is an LF without a CR before it. A leading LF is not counted, because the byte
/// before it is unknown.
pub(crate) fn has_bare_lf(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| matches!(two, [before, b'\n'] if *before != b'\r'))
}

/// Formats a date. `None` for times before 1970 and after 9999, which a server must not send (RFC
/// 9110, 6.6.1).
pub(crate) fn date(time: SystemTime) -> Option<String> {
    const END: Duration = Duration::from_secs(253_402_300_800);
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since < END).then(|| httpdate::fmt_http_date(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(head: &str) -> Option<HeadError> {
        Head::parse(head.as_bytes(), &mut no_fields()).err()
    }

    #[test]
    fn hosts_are_names_and_addresses_and_nothing_else() {
        for host in
            ["a", "a:80", "a:", "127.0.0.1:8080", "[::1]", "[::1]:80", "a-b.example", "%41b", "a_b"]
        {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "", ":80", "a:b", "a:65536", "user@a", "a/b", "a b", "a,b", "a?b", "[::1", "::1",
            "[a]", "[::1]x", "[::1]:x", "a:1:2", "a%4", "a%zz", "é", "a\\b", "[]",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn versions_are_those_of_http_1_or_told_apart() {
        let version = |version: &str| fault(&format!("GET / {version}\r\nHost: a\r\n\r\n"));
        for known in ["HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/1.9"] {
            assert_eq!(version(known), None, "{known}");
        }
        for other in ["HTTP/2.0", "HTTP/0.9", "HTTP/9.9"] {
            assert_eq!(version(other), Some(HeadError::Version), "{other}");
        }
        for none in [
            "HTTP/1",
            "HTTP/1.",
            "HTTP/11",
            "HTTP/01.1",
            "HTTP/1.10",
            "http/1.1",
            "HTTP/ 1.1",
            "HTTP/1.1 ",
            " HTTP/1.1",
            "HTP/1.1",
            "HTTP/1,1",
            "",
        ] {
            assert_eq!(version(none), Some(HeadError::Malformed), "{none}");
        }
    }

    #[test]
    fn a_bare_lf_is_found_wherever_it_is_in_a_head() {
        for head in ["GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nZ:\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"] {
            assert_eq!(fault(head), None);
            let malformed = Some(HeadError::Malformed);
            for at in (1..head.len()).filter(|at| head.as_bytes()[at - 1] != b'\r') {
                let (before, after) = head.split_at(at);
                assert_eq!(fault(&[before, "\n", after].concat()), malformed, "{head:?} at {at}");
            }
            for (at, _) in head.match_indices('\r') {
                let (before, after) = head.split_at(at);
                assert_eq!(fault(&[before, &after[1..]].concat()), malformed, "{head:?} at {at}");
            }
        }
    }

    #[test]
    fn members_of_lists_may_be_empty_and_over_several_lines() {
        let text = b"GET / HTTP/1.1\r\nHost: a\r\nC: ,a, ,B ,\r\nD: x\r\nc: c\r\nC:\r\n\r\n";
        let mut fields = no_fields();
        let head = Head::parse(text, &mut fields).unwrap();
        assert_eq!(head.list("c").collect::<Vec<_>>(), [&b"a"[..], b"B", b"c"]);
        assert!(head.lists("c", "b") && !head.lists("c", "x"));
        assert_eq!((head.only("d"), head.only("c"), head.only("e")), (Some(&b"x"[..]), None, None));
    }

    #[test]
    fn times_that_http_cannot_say_are_not_said() {
        let at = |seconds| date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0).as_deref(), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
        assert_eq!(at(253_402_300_799).as_deref(), Some("Fri, 31 Dec 9999 23:59:59 GMT"));
        assert_eq!(at(253_402_300_800), None);
        assert_eq!(at(999_999_999_999), None);
        assert_eq!(date(SystemTime::UNIX_EPOCH - Duration::from_nanos(1)), None);
    }
}
