//! `websocket`: a whole conversation, in any pieces, is answered as a look at all of it says.

use socketserver::Options;
use socketserver::testing::TestServer;

use crate::bytes::{Bytes, pieces};
use crate::examples::websocket::connection::{WebSocketConnection, WebSocketLimits};
use crate::examples::websocket::frame::{CloseCode, Opcode, head};
use crate::websocket_frames::naive_frame;

const HELLO: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    let seed = choices.byte();
    let limit = usize::from(choices.byte());
    let bytes = choices.0;
    let expected = answers(bytes, limit);
    assert_eq!(converse(bytes, limit, seed), expected, "pieces {seed}, at most {limit}");
}

fn converse(bytes: &[u8], limit: usize, seed: u8) -> Vec<u8> {
    let limits = WebSocketLimits { message: limit, ..WebSocketLimits::default() };
    let options = Options { read_buffer: 4 << 10, events_per_turn: 8, ..Options::default() };
    let mut server = TestServer::with_shared(limits, options).expect("a server");
    let peer = server.connect(WebSocketConnection::default()).expect("a connection");
    peer.send(HELLO);
    server.run();
    let welcome = peer.received();
    assert!(welcome.starts_with(b"HTTP/1.1 101 ") && welcome.ends_with(b"\r\n\r\n"));
    for piece in pieces(bytes, seed) {
        peer.send(piece);
        server.run();
    }
    let answers = peer.received();
    peer.end();
    server.run();
    assert!(peer.received().is_empty() && peer.finished().is_some());
    assert_eq!(server.io().connection_count(), 0);
    answers
}

fn answers(bytes: &[u8], limit: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut message: Option<(Opcode, Vec<u8>)> = None;
    let mut rest = bytes;
    let fault = loop {
        let frame = match naive_frame(rest) {
            Ok(None) => return out,
            Ok(Some(frame)) => frame,
            Err(code) => break code,
        };
        rest = frame.behind;
        let is_complete = frame.payload.len() as u64 == frame.len;
        if frame.opcode >= 8 {
            if !is_complete {
                return out;
            }
            match frame.opcode {
                8 => {
                    match goodbye(&frame.payload) {
                        Ok(code) => send(&mut out, Opcode::Close, code),
                        Err(code) => send(&mut out, Opcode::Close, &code.0.to_be_bytes()),
                    }
                    return out;
                }
                9 => send(&mut out, Opcode::Pong, &frame.payload),
                _ => {}
            }
            continue;
        }
        if message.is_some() != (frame.opcode == 0) {
            break CloseCode::PROTOCOL;
        }
        let opcode = if frame.opcode == 1 { Opcode::Text } else { Opcode::Binary };
        let (opcode, so_far) = message.get_or_insert((opcode, Vec::new()));
        if so_far.len() as u64 + frame.len > limit as u64 {
            break CloseCode::TOO_BIG;
        }
        so_far.extend_from_slice(&frame.payload);
        let is_over = frame.is_last && is_complete;
        let wrong = std::str::from_utf8(so_far).err();
        let is_wrong = wrong.is_some_and(|error| is_over || error.error_len().is_some());
        if *opcode == Opcode::Text && is_wrong {
            break CloseCode::NOT_UTF8;
        }
        if !is_complete {
            return out;
        }
        if is_over {
            send(&mut out, *opcode, so_far);
            message = None;
        }
    };
    send(&mut out, Opcode::Close, &fault.0.to_be_bytes());
    out
}

/// What a goodbye is answered with.
fn goodbye(payload: &[u8]) -> Result<&[u8], CloseCode> {
    match payload {
        [] => Ok(&[]),
        [_] => Err(CloseCode::PROTOCOL),
        [a, b, reason @ ..] => match u16::from_be_bytes([*a, *b]) {
            0..=999 | 1004..=1006 | 1015..=2999 | 5000.. => Err(CloseCode::PROTOCOL),
            _ if std::str::from_utf8(reason).is_err() => Err(CloseCode::NOT_UTF8),
            _ => Ok(&payload[..2]),
        },
    }
}

fn send(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let (head, n) = head(opcode, payload.len());
    out.extend_from_slice(&head[..n]);
    out.extend_from_slice(payload);
}
