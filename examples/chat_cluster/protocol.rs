//! The part of RESP that this example needs, without any socket.

use std::io;

use socketserver::Input;

/// Longest message in bytes; those of this example are far shorter.
const MAX_MESSAGE: usize = 64 << 10;
/// Longest line in bytes.
pub(crate) const MAX_LINE: usize = 1_024;

/// Encodes a command.
pub(crate) fn encode(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// Parses the next message: kind, channel, and a text or a number; the answer to `PING` has a kind
/// and a text. `None` if it is not complete.
pub(crate) fn message<'a>(input: &mut Input<'a>) -> io::Result<Option<[&'a [u8]; 3]>> {
    // Parsed in a second view of the input, because an incomplete message must stay in the input.
    let mut ahead = Input::new(input.peek());
    let Some(head) = ahead.take_line(MAX_LINE)? else { return Ok(None) };
    let count = match head {
        b"*3" => 3,
        b"*2" => 2,
        _ => return Err(unexpected(head)),
    };
    let mut parts = [&[][..]; 3];
    for part in parts.iter_mut().take(count) {
        let Some(line) = ahead.take_line(MAX_LINE)? else { return Ok(None) };
        *part = match line.split_first() {
            Some((b':', number)) => number,
            Some((b'$', digits)) => {
                let len = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
                let len: usize = len.ok_or_else(|| unexpected(line))?;
                let end = (input.len() - ahead.len()).saturating_add(len).saturating_add(2);
                if !input.require(end, MAX_MESSAGE)? {
                    return Ok(None);
                }
                let bulk = ahead.take(len).unwrap_or_default();
                ahead.take(2);
                bulk
            }
            _ => return Err(unexpected(line)),
        };
    }
    input.take(input.len() - ahead.len());
    Ok(Some(parts))
}

pub(crate) fn unexpected(line: &[u8]) -> io::Error {
    let what = format!("unexpected answer {:?}", String::from_utf8_lossy(line));
    io::Error::new(io::ErrorKind::InvalidData, what)
}
