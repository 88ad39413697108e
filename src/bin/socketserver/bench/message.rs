//! The messages of a run: each says which it is, so that every byte of its answer can be checked.

/// Bytes that name a message: its place in the sequence, then its connection. A shorter message
/// has as many of them as fit.
pub(crate) const NAME: usize = 8;

/// How many ways there are to begin the pattern; a prime, so that neighbours differ.
const PHASES: usize = 1_021;

/// Makes messages of one size, and knows what their answers must be.
#[derive(Debug)]
pub(crate) struct Messages {
    size: usize,
    /// What follows the name, cut at a place that depends on it.
    pattern: Vec<u8>,
    /// Where a message is put together, so that none needs memory of its own.
    draft: Vec<u8>,
}

impl Messages {
    pub(crate) fn new(size: usize) -> Messages {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let pattern = (0..size + PHASES).map(|_| {
            // xorshift: any bytes will do, as long as they do not repeat soon.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let [byte, ..] = state.to_le_bytes();
            byte
        });
        Messages { size, pattern: pattern.collect(), draft: Vec::with_capacity(size) }
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The message `seq` of connection `number`.
    pub(crate) fn write(&mut self, number: u32, seq: u32) -> &[u8] {
        let name = name(number, seq);
        let head = name.get(..self.size).unwrap_or(&name);
        self.draft.clear();
        self.draft.extend_from_slice(head);
        let from = phase(number, seq);
        let body = self.pattern.get(from..from + self.size - head.len());
        self.draft.extend_from_slice(body.unwrap_or_default());
        &self.draft
    }

    /// Whether `bytes` are those of the message `seq` of connection `number` from its byte `at` on.
    pub(crate) fn matches(&self, number: u32, seq: u32, at: usize, bytes: &[u8]) -> bool {
        let name = name(number, seq);
        let head = name.get(..self.size).unwrap_or(&name);
        let head = head.get(at..).unwrap_or_default();
        let (first, rest) = bytes.split_at(head.len().min(bytes.len()));
        let from = phase(number, seq) + at.saturating_sub(NAME);
        head.starts_with(first) && self.pattern.get(from..from + rest.len()) == Some(rest)
    }

    /// Which message of connection `number` this datagram says it is.
    pub(crate) fn seq_of(number: u32, packet: &[u8]) -> Option<u32> {
        let (seq, rest) = packet.split_first_chunk()?;
        let (of, _) = rest.split_first_chunk()?;
        (u32::from_le_bytes(*of) == number).then(|| u32::from_le_bytes(*seq))
    }
}

fn name(number: u32, seq: u32) -> [u8; NAME] {
    let name = u64::from(number) << 32 | u64::from(seq);
    name.to_le_bytes()
}

fn phase(number: u32, seq: u32) -> usize {
    let mixed = number.wrapping_mul(31).wrapping_add(seq);
    mixed as usize % PHASES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_of_a_message_matches_and_every_wrong_byte_is_found() {
        for size in [1, 3, 7, 8, 9, 64, 3_000] {
            let mut messages = Messages::new(size);
            let message = messages.write(7, 1_234).to_vec();
            assert_eq!(message.len(), size);
            for at in 0..size {
                for end in [at + 1, (at + 5).min(size), size] {
                    let piece = &message[at..end];
                    assert!(messages.matches(7, 1_234, at, piece), "{size}: {at}..{end}");
                }
                let mut wrong = message.clone();
                wrong[at] ^= 0x40;
                assert!(!messages.matches(7, 1_234, 0, &wrong), "{size}: {at}");
            }
            assert!(!messages.matches(7, 1_235, 0, &message), "{size}: another message");
        }
    }

    #[test]
    fn a_datagram_tells_which_it_is() {
        let mut messages = Messages::new(64);
        assert_eq!(Messages::seq_of(3, messages.write(3, 99)), Some(99));
        assert_eq!(Messages::seq_of(4, messages.write(3, 99)), None);
        assert_eq!(Messages::seq_of(3, b"short"), None);
    }
}
