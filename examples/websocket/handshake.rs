//! The opening handshake: an HTTP request and its answer.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::head::{self, Head, HeadError, no_fields};

/// Longest request head in bytes.
pub(crate) const HEAD_LIMIT: usize = 8 << 10;

/// The GUID that RFC 6455 appends to the key.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The fields of status 426 (RFC 6455, 4.4; RFC 9110, 15.5.22). `Upgrade` is hop-by-hop, so
/// `Connection` must name it.
const UPGRADE: &str = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade\r\n";

/// The page for a browser that requests no upgrade.
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
pub(crate) enum HandshakeReply {
    /// The head of status 101; frames follow.
    Upgrade(String),
    /// A complete answer, after which the connection closes.
    Close(String),
}

/// Answers a complete head, with the empty line at its end.
pub(crate) fn answer(head: &[u8]) -> HandshakeReply {
    match Head::parse(head, &mut no_fields()) {
        Ok(head) => upgrade(&head),
        Err(HeadError::TooManyFields) => too_large(),
        Err(HeadError::Version) => last("505 HTTP Version Not Supported", "", "only HTTP/1.1\n"),
        Err(HeadError::Malformed) => malformed(),
    }
}

pub(crate) fn malformed() -> HandshakeReply {
    last("400 Bad Request", "", "malformed HTTP request\n")
}

pub(crate) fn too_large() -> HandshakeReply {
    last("431 Request Header Fields Too Large", "", "")
}

fn upgrade(head: &Head<'_, '_>) -> HandshakeReply {
    if !["GET", "HEAD"].contains(&head.method) {
        return last("405 Method Not Allowed", "Allow: GET, HEAD\r\n", "only GET\n");
    }
    let is_uri = |scheme: &str| {
        head.target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if !head.target.starts_with('/') && !is_uri("http://") {
        return last("400 Bad Request", "", "the target must be a path\n");
    }
    // An upgrade in HTTP/1.0 is ignored (RFC 9110, 7.8), and only GET opens a WebSocket.
    let may_upgrade = head.is_http_1_1 && head.method == "GET";
    if !may_upgrade || !head.lists("upgrade", "websocket") {
        return last("200 OK", "Content-Type: text/html; charset=utf-8\r\n", PAGE);
    }
    if !head.lists("connection", "upgrade") {
        return last("400 Bad Request", "", "Connection must name Upgrade\n");
    }
    // A body would be parsed as frames.
    let has_body = head.has_any("transfer-encoding")
        || head.values("content-length").any(|length| length != b"0");
    if has_body {
        return last("400 Bad Request", "", "there must be no body\n");
    }
    if head.only("sec-websocket-version") != Some(b"13") {
        return last("426 Upgrade Required", UPGRADE, "only version 13\n");
    }
    let key = head.only("sec-websocket-key");
    let is_key = |key: &&[u8]| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    let Some(key) = key.filter(is_key) else {
        return last("400 Bad Request", "", "Sec-WebSocket-Key must be one of 16 bytes\n");
    };
    HandshakeReply::Upgrade(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept(key)
    ))
}

/// An answer without an upgrade.
pub(crate) fn last(status: &str, header: &str, body: &str) -> HandshakeReply {
    let date = head::date(SystemTime::now());
    let date = date.map_or(String::new(), |date| format!("Date: {date}\r\n"));
    HandshakeReply::Close(format!(
        "HTTP/1.1 {status}\r\n{date}{header}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    ))
}

/// The same answer for a HEAD request.
pub(crate) fn without_body(answer: HandshakeReply) -> HandshakeReply {
    match answer {
        HandshakeReply::Close(mut all) => {
            let end = all.find("\r\n\r\n").map_or(all.len(), |end| end + 4);
            all.truncate(end);
            HandshakeReply::Close(all)
        }
        upgrade @ HandshakeReply::Upgrade(_) => upgrade,
    }
}

fn accept(key: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(MAGIC);
    STANDARD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc_is_accepted_as_there() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
