//! `websocket`: frames in any pieces, and text judged at the byte where it goes wrong.

use socketserver::Input;

use crate::bytes::{Bytes, pieces};
use crate::examples::websocket::frame::{CloseCode, Frame, Opcode, head};
use crate::examples::websocket::message::Message;

#[derive(Debug, Default, Eq, PartialEq)]
struct Found {
    /// The last of its message, what it is, and its payload, complete or not.
    frames: Vec<(bool, u8, Vec<u8>)>,
    /// Bytes of the last one that are still missing.
    left: u64,
    fault: Option<CloseCode>,
}

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    let seed = choices.byte();
    let bytes = choices.0;
    let expected = of_the_whole(bytes);
    for seed in [0, 1, seed] {
        assert_eq!(piece_by_piece(bytes, seed), expected, "pieces {seed}");
    }
    text(bytes, seed);
    our_own(bytes, seed);
}

fn piece_by_piece(bytes: &[u8], seed: u8) -> Found {
    let (mut found, mut frame, mut come, mut taken) = (Found::default(), None, 0, 0);
    for piece in pieces(bytes, seed) {
        come += piece.len();
        let mut input = Input::new(&bytes[taken..come]);
        loop {
            if frame.is_none() {
                match Frame::take(&mut input) {
                    Ok(Some(taken)) => {
                        found.frames.push((taken.is_last, taken.opcode as u8, Vec::new()));
                        frame = Some(taken);
                    }
                    Ok(None) => break,
                    Err(code) => {
                        found.fault = Some(code);
                        return found;
                    }
                }
            }
            let Some((current, (.., payload))) = frame.as_mut().zip(found.frames.last_mut()) else {
                break;
            };
            current.take_payload(&mut input, payload);
            found.left = current.left;
            if found.left > 0 {
                break;
            }
            frame = None;
        }
        taken = come - input.len();
    }
    found
}

fn of_the_whole(bytes: &[u8]) -> Found {
    let (mut found, mut rest) = (Found::default(), bytes);
    loop {
        match naive_frame(rest) {
            Ok(None) => return found,
            Ok(Some(frame)) => {
                found.left = frame.len - frame.payload.len() as u64;
                found.frames.push((frame.is_last, frame.opcode, frame.payload));
                rest = frame.behind;
            }
            Err(code) => return Found { fault: Some(code), ..found },
        }
    }
}

/// A frame whose head is complete.
pub(crate) struct Naive<'a> {
    pub(crate) is_last: bool,
    pub(crate) opcode: u8,
    /// How long the payload is to be, and what there is of it.
    pub(crate) len: u64,
    pub(crate) payload: Vec<u8>,
    pub(crate) behind: &'a [u8],
}

pub(crate) fn naive_frame(rest: &[u8]) -> Result<Option<Naive<'_>>, CloseCode> {
    let [first, second, behind @ ..] = rest else { return Ok(None) };
    let (opcode, short) = (first & 0x0F, u64::from(second & 0x7F));
    let is_last = first & 0x80 != 0;
    let is_known = matches!(opcode, 0..=2 | 8..=10);
    let is_control_wrong = opcode >= 8 && (!is_last || short > 125);
    if first & 0x70 != 0 || second & 0x80 == 0 || !is_known || is_control_wrong {
        return Err(CloseCode::PROTOCOL);
    }
    let width = [2, 8].get(usize::try_from(short).unwrap_or(0).wrapping_sub(126)).copied();
    let width = width.unwrap_or(0);
    if behind.len() < width + 4 {
        return Ok(None);
    }
    let (digits, behind) = behind.split_at(width);
    let (mask, behind) = behind.split_at(4);
    let mut len = short;
    if width > 0 {
        len = digits.iter().fold(0, |len, digit| len << 8 | u64::from(*digit));
        let least = if width == 2 { 126 } else { 65_536 };
        if len < least || len > i64::MAX as u64 {
            return Err(CloseCode::PROTOCOL);
        }
    }
    let n = usize::try_from(len).unwrap_or(usize::MAX).min(behind.len());
    let (payload, behind) = behind.split_at(n);
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Ok(Some(Naive { is_last, opcode, len, payload, behind }))
}

/// Text is refused with the first byte after which no character can come of it.
fn text(bytes: &[u8], seed: u8) {
    let wrong = std::str::from_utf8(bytes).err();
    let mut message = Message::new(Opcode::Text, Vec::new());
    let mut binary = Message::new(Opcode::Binary, Vec::new());
    for piece in pieces(bytes, seed) {
        message.bytes.extend_from_slice(piece);
        binary.bytes.extend_from_slice(piece);
        assert!(binary.check(true).is_ok());
        let so_far = std::str::from_utf8(&message.bytes).err();
        let is_hopeless = so_far.is_some_and(|error| error.error_len().is_some());
        let found = message.check(false);
        assert_eq!(found.is_err(), is_hopeless, "{:?}", message.bytes);
        if found.is_err() {
            return;
        }
    }
    assert_eq!(message.check(true).is_err(), wrong.is_some());
}

/// What we send has the form that clients must take, but for the mask.
fn our_own(bytes: &[u8], seed: u8) {
    let len = Bytes(bytes).number::<8>() >> (seed % 64);
    let len = usize::try_from(len).unwrap_or(usize::MAX) & (usize::MAX >> 1);
    let (head, n) = head(Opcode::Binary, len);
    let mut masked = head[..n].to_vec();
    masked[1] |= 0x80;
    masked.extend_from_slice(&[0; 4]);
    let frame = Frame::take(&mut Input::new(&masked)).expect("our own head is refused");
    let frame = frame.expect("our own head is not complete");
    assert_eq!((frame.left, frame.opcode, frame.is_last), (len as u64, Opcode::Binary, true));
}
