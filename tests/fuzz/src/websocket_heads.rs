//! `websocket`: who is welcomed has asked for it in the one way that there is.

use crate::bytes::Bytes;
use crate::examples::websocket::handshake::{HandshakeReply, answer};

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    let cut = usize::from(choices.byte());
    let head = choices.0;
    match answer(head) {
        HandshakeReply::Upgrade(text) => {
            assert!(text.starts_with("HTTP/1.1 101 ") && is_one_head(&text), "{text:?}");
            has_asked(head);
            let shorter = &head[..cut.min(head.len() - 1)];
            assert!(matches!(answer(shorter), HandshakeReply::Close(_)), "it was complete before");
        }
        HandshakeReply::Close(text) => {
            let (head, body) = text.split_once("\r\n\r\n").expect("an end of the head");
            assert!(head.starts_with("HTTP/1.1 ") && !head.starts_with("HTTP/1.1 101"));
            assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())));
        }
    }
}

/// Nothing of what the client said breaks out of its line.
fn is_one_head(text: &str) -> bool {
    text.find("\r\n\r\n") == Some(text.len() - 4) && text.lines().count() == 5
}

fn has_asked(head: &[u8]) {
    let head: String = head.iter().map(|byte| char::from(*byte)).collect();
    assert_eq!(head.matches('\n').count(), head.matches("\r\n").count(), "a bare LF");
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let version = first.rsplit(' ').next().unwrap_or_default();
    assert!(version.len() == 8 && version.starts_with("HTTP/1.") && version != "HTTP/1.0");
    assert!(first.starts_with("GET ") && first.split(' ').count() == 3, "{first:?}");
    let fields: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let values = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(n, _)| n == name).map(|(_, value)| *value).collect()
    };
    let has = |name: &str, token: &str| {
        let mut tokens = values(name).into_iter().flat_map(|list| list.split(','));
        tokens.any(|one| one.trim().eq_ignore_ascii_case(token))
    };
    assert!(has("upgrade", "websocket") && has("connection", "upgrade"));
    assert_eq!(values("sec-websocket-version"), ["13"]);
    assert_eq!(values("host").len(), 1);
    assert!(!values("host")[0].is_empty() && !values("host")[0].contains(['@', '/', ' ']));
    // Nothing of a body is taken for frames.
    assert!(values("transfer-encoding").is_empty());
    assert!(values("content-length").iter().all(|length| *length == "0"));
    let keys = values("sec-websocket-key");
    // Sixteen bytes are two dozen digits, of which the last two are none.
    assert!(keys.len() == 1 && keys[0].len() == 24 && keys[0].ends_with("=="), "{keys:?}");
}
