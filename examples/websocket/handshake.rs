//! The opening handshake: an HTTP request, and what it is answered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use httparse::{Header, Request, Status};
use sha1::{Digest, Sha1};

/// Bytes of the request.
pub(crate) const HEAD_LIMIT: usize = 8 << 10;
const HEADERS: usize = 64;

/// What the protocol has every server append to the key.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a browser shows that comes without an upgrade.
const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8">
<title>Echo</title>
<form><input id="text" value="hello" autofocus> <button>Send</button></form>
<pre id="log"></pre>
<script>
  const log = (line) => { document.getElementById("log").textContent += line + "\n"; };
  const socket = new WebSocket("ws://" + location.host);
  socket.onopen = () => { log("open"); socket.send("hello"); };
  socket.onmessage = (event) => log("received: " + event.data);
  socket.onclose = (event) => log("closed: " + event.code);
  document.forms[0].onsubmit = (event) => {
    event.preventDefault();
    socket.send(document.getElementById("text").value);
  };
</script>
"#;

#[derive(Debug)]
pub(crate) enum Answer {
    /// From now on there are frames.
    Welcome(String),
    /// This is the last.
    Last(String),
}

/// Answers a request that is complete, with the empty line at its end.
pub(crate) fn answer(head: &[u8]) -> Answer {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(len)) if len == head.len() => {}
        _ => return last("400 Bad Request", "", "this is not HTTP\n"),
    }
    if request.method != Some("GET") || request.version != Some(1) {
        return last("405 Method Not Allowed", "Allow: GET\r\n", "only GET of HTTP/1.1\n");
    }
    let headers = &*request.headers;
    if !has_token(headers, "Upgrade", "websocket") {
        return last("200 OK", "Content-Type: text/html; charset=utf-8\r\n", PAGE);
    }
    if !has_token(headers, "Connection", "Upgrade") {
        return last("400 Bad Request", "", "Connection must name Upgrade\n");
    }
    if only(headers, "Sec-WebSocket-Version") != Some(b"13") {
        let version = "Sec-WebSocket-Version: 13\r\n";
        return last("426 Upgrade Required", version, "only version 13\n");
    }
    let key = only(headers, "Sec-WebSocket-Key");
    let is_key = |key: &&[u8]| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    let Some(key) = key.filter(is_key) else {
        return last("400 Bad Request", "", "Sec-WebSocket-Key must be one of 16 bytes\n");
    };
    if only(headers, "Host").is_none() {
        return last("400 Bad Request", "", "Host must be there, once\n");
    }
    Answer::Welcome(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept(key)
    ))
}

/// An answer without an upgrade.
pub(crate) fn last(status: &str, header: &str, body: &str) -> Answer {
    Answer::Last(format!(
        "HTTP/1.1 {status}\r\n{header}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    ))
}

fn accept(key: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(MAGIC);
    STANDARD.encode(hash.finalize())
}

fn values<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
}

/// The value of a header that must be there once.
fn only<'a>(headers: &'a [Header<'a>], name: &'a str) -> Option<&'a [u8]> {
    let mut values = values(headers, name);
    values.next().filter(|_| values.next().is_none())
}

/// Whether the lists under a name hold a token, in whatever case.
fn has_token(headers: &[Header<'_>], name: &str, token: &str) -> bool {
    let mut tokens = values(headers, name).flat_map(|list| list.split(|byte| *byte == b','));
    tokens.any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc_is_accepted_as_there() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
