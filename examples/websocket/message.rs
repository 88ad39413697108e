//! A message being assembled from its fragments.

use std::str;

use super::frame::{CloseCode, Opcode};

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) opcode: Opcode,
    pub(crate) bytes: Vec<u8>,
    /// Length of the prefix that is valid UTF-8; for text only.
    checked: usize,
}

impl Message {
    pub(crate) fn new(opcode: Opcode, bytes: Vec<u8>) -> Message {
        Message { opcode, bytes, checked: 0 }
    }

    /// Validates the bytes appended since the last call. An invalid byte is an error at once, an
    /// incomplete character only if `is_complete`.
    pub(crate) fn check(&mut self, is_complete: bool) -> Result<(), CloseCode> {
        if self.opcode != Opcode::Text {
            return Ok(());
        }
        match str::from_utf8(self.bytes.get(self.checked..).unwrap_or_default()) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(CloseCode::NOT_UTF8),
        }
        let is_cut = is_complete && self.checked < self.bytes.len();
        if is_cut { Err(CloseCode::NOT_UTF8) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_judged_the_same_wherever_it_is_cut() {
        for (text, is_valid) in [
            ("κόσμε €𝄞".as_bytes(), true),
            (b"\xF4\x90\x80\x80", false),
            (b"ab\xED\xA0\x80", false),
            (b"\xC0\xAF", false),
            (b"\xE2\x82", false),
        ] {
            for cut in 0..=text.len() {
                let mut message = Message::new(Opcode::Text, text[..cut].to_vec());
                let first = message.check(false);
                message.bytes.extend_from_slice(&text[cut..]);
                let both = first.and_then(|()| message.check(true));
                assert_eq!(both.is_ok(), is_valid, "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_fault_shows_with_its_byte() {
        let mut message = Message::new(Opcode::Text, b"\xF4".to_vec());
        assert_eq!(message.check(false), Ok(()));
        message.bytes.push(0x90);
        assert_eq!(message.check(false), Err(CloseCode::NOT_UTF8));
    }
}
