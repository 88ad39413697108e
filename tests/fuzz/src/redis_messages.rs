//! `chat_cluster`: what Redis says, with any beginning of it.

use socketserver::Input;

use crate::bytes::Bytes;
use crate::examples::chat_cluster::protocol::{encode, message};

type Understood = Option<Result<([Vec<u8>; 3], usize), ()>>;

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    let cut = usize::from(choices.byte());
    let bytes = choices.0;
    let found = understood(bytes);
    assert_eq!(found, of_the_whole(bytes));
    let early = understood(&bytes[..cut.min(bytes.len())]);
    assert!(early.is_none() || early == found, "{early:?} at {cut}, then {found:?}");
    let (first, rest) = bytes.split_at(cut.min(bytes.len()));
    let (second, third) = rest.split_at(rest.len() / 2);
    let ours = encode(&[first, second, third]);
    let parts = [first, second, third].map(Vec::from);
    assert_eq!(understood(&ours), Some(Ok((parts, ours.len()))));
}

fn understood(bytes: &[u8]) -> Understood {
    let mut input = Input::new(bytes);
    match message(&mut input) {
        Err(_) => Some(Err(())),
        Ok(None) => {
            assert_eq!(input.peek(), bytes, "taken too early");
            None
        }
        Ok(Some(parts)) => Some(Ok((parts.map(Vec::from), bytes.len() - input.len()))),
    }
}

fn of_the_whole(bytes: &[u8]) -> Understood {
    let Ok((head, mut at)) = line(bytes, 0)? else { return Some(Err(())) };
    let count = match head {
        b"*3" => 3,
        b"*2" => 2,
        _ => return Some(Err(())),
    };
    let mut parts = [const { Vec::new() }; 3];
    for part in parts.iter_mut().take(count) {
        let Ok((line, next)) = line(bytes, at)? else { return Some(Err(())) };
        at = next;
        match line.split_first() {
            Some((b':', number)) => *part = number.to_vec(),
            Some((b'$', digits)) => {
                let digits = std::str::from_utf8(digits).unwrap_or_default();
                let Ok(len) = digits.parse::<usize>() else { return Some(Err(())) };
                let end = at.saturating_add(len).saturating_add(2);
                if end > 64 << 10 {
                    return Some(Err(()));
                }
                *part = bytes.get(at..end)?[..len].to_vec();
                at = end;
            }
            _ => return Some(Err(())),
        }
    }
    Some(Ok((parts, at)))
}

/// The line that begins there, and where the next does.
fn line(bytes: &[u8], at: usize) -> Option<Result<(&[u8], usize), ()>> {
    let rest = &bytes[at..];
    let end = rest.iter().position(|byte| *byte == b'\n');
    if end.unwrap_or(rest.len()) > 1_024 {
        return Some(Err(()));
    }
    let line = &rest[..end?];
    Some(Ok((line.strip_suffix(b"\r").unwrap_or(line), at + line.len() + 1)))
}
