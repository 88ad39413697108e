//! The target of a request, in each of its forms (RFC 9112, 3.2).

use crate::head::is_host;
use crate::response::Status;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RequestTarget<'a> {
    /// Still encoded. It starts with a slash, or is `*` for OPTIONS of the whole server.
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl<'a> RequestTarget<'a> {
    pub(crate) fn parse(method: &str, text: &'a str) -> Result<RequestTarget<'a>, Status> {
        if method == "CONNECT" {
            // This server is no proxy.
            return Err(Status::NOT_IMPLEMENTED);
        }
        let rest = if text.starts_with('/') || text == "*" && method == "OPTIONS" {
            text
        } else {
            without_authority(text)?
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        // Fragments are not sent. Some systems take a backslash for a slash.
        if rest.contains('#') || path.contains('\\') {
            return Err(Status::BAD_REQUEST);
        }
        Ok(RequestTarget { path: if path.is_empty() { "/" } else { path }, query })
    }
}

/// Returns the rest after `http://host`, which may be empty. The target and not `Host` names the
/// host (RFC 9112, 3.2.2); this server answers for every host.
fn without_authority(text: &str) -> Result<&str, Status> {
    let (scheme, rest) = text.split_once("://").ok_or(Status::BAD_REQUEST)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if scheme.eq_ignore_ascii_case("https") {
        // A request for `https` must not be answered in plain text (RFC 9110, 7.4).
        return Err(Status::MISDIRECTED_REQUEST);
    }
    if scheme.eq_ignore_ascii_case("http") && is_host(authority) {
        Ok(rest)
    } else {
        Err(Status::BAD_REQUEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REJECTED: &[(&str, Status)] = &[
        ("*", Status::BAD_REQUEST),
        ("h", Status::BAD_REQUEST),
        ("h:80", Status::BAD_REQUEST),
        ("?/a", Status::BAD_REQUEST),
        ("http:/a", Status::BAD_REQUEST),
        ("http:///clock", Status::BAD_REQUEST),
        ("http://:80/clock", Status::BAD_REQUEST),
        ("http://user@h/", Status::BAD_REQUEST),
        ("http://user:word@h/", Status::BAD_REQUEST),
        ("http://h:x/", Status::BAD_REQUEST),
        ("http://h#/clock", Status::BAD_REQUEST),
        ("ftp://h/", Status::BAD_REQUEST),
        ("http//h/", Status::BAD_REQUEST),
        ("HTTPS://h/", Status::MISDIRECTED_REQUEST),
        ("/a#b", Status::BAD_REQUEST),
        ("/a\\b", Status::BAD_REQUEST),
    ];

    #[test]
    fn the_path_is_found_in_each_form_and_nowhere_else() {
        for (text, path, query) in [
            ("/", "/", None),
            ("/a?b", "/a", Some("b")),
            ("/a?b?c=/d", "/a", Some("b?c=/d")),
            ("/?", "/", Some("")),
            ("//h/a", "//h/a", None),
            ("/a:b@c", "/a:b@c", None),
            ("http://h", "/", None),
            ("http://h/", "/", None),
            ("hTTp://h:80/a?b", "/a", Some("b")),
            ("http://[::1]:80/a", "/a", None),
            ("http://h?q=/clock", "/", Some("q=/clock")),
            ("http://h?q=http://i/clock", "/", Some("q=http://i/clock")),
            ("http://h/a?q=/clock", "/a", Some("q=/clock")),
        ] {
            assert_eq!(
                RequestTarget::parse("GET", text),
                Ok(RequestTarget { path, query }),
                "{text}"
            );
        }
        for (text, status) in REJECTED {
            assert_eq!(RequestTarget::parse("GET", text), Err(*status), "{text}");
        }
        let all = RequestTarget { path: "*", query: None };
        assert_eq!(RequestTarget::parse("OPTIONS", "*"), Ok(all));
        assert_eq!(RequestTarget::parse("CONNECT", "h:80"), Err(Status::NOT_IMPLEMENTED));
    }
}
