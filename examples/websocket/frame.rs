//! Frame heads and the masking of payloads (RFC 6455, section 5).

use socketserver::Input;

/// A status code of a close frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CloseCode(pub(crate) u16);

impl CloseCode {
    pub(crate) const GOING_AWAY: CloseCode = CloseCode(1001);
    pub(crate) const PROTOCOL: CloseCode = CloseCode(1002);
    pub(crate) const NOT_UTF8: CloseCode = CloseCode(1007);
    pub(crate) const TOO_BIG: CloseCode = CloseCode(1009);

    /// Whether a close frame may contain it; some codes are for APIs only.
    pub(crate) fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn of(bits: u8) -> Option<Opcode> {
        use Opcode::{Binary, Close, Continuation, Ping, Pong, Text};
        [Continuation, Text, Binary, Close, Ping, Pong].into_iter().find(|one| *one as u8 == bits)
    }

    pub(crate) fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// Longest payload of a control frame in bytes.
pub(crate) const MAX_CONTROL_PAYLOAD: usize = 125;

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) is_last: bool,
    pub(crate) opcode: Opcode,
    /// Bytes of the payload not received yet.
    pub(crate) left: u64,
    mask: [u8; 4],
}

impl Frame {
    /// Parses the head of a frame; `None` if it is not complete.
    pub(crate) fn take(input: &mut Input<'_>) -> Result<Option<Frame>, CloseCode> {
        let &[first, second, ..] = input.peek() else { return Ok(None) };
        // No extension is negotiated, so reserved bits must be zero; clients must mask.
        let opcode = Opcode::of(first & 0x0F).filter(|_| first & 0x70 == 0 && second & 0x80 != 0);
        let opcode = opcode.ok_or(CloseCode::PROTOCOL)?;
        let is_last = first & 0x80 != 0;
        let short = usize::from(second & 0x7F);
        if opcode.is_control() && (!is_last || short > MAX_CONTROL_PAYLOAD) {
            return Err(CloseCode::PROTOCOL);
        }
        let width = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(head) = input.take(2 + width + 4) else { return Ok(None) };
        let (length, mask) = head.get(2..).unwrap_or_default().split_at(width);
        let mut left = length.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        if width == 0 {
            left = short as u64;
        }
        // Lengths must have their shortest form, and the highest bit of an 8-byte length must be
        // zero.
        let is_shortest = match width {
            2 => left > MAX_CONTROL_PAYLOAD as u64,
            8 => left > u64::from(u16::MAX) && left >> 63 == 0,
            _ => true,
        };
        let mask = mask.try_into().unwrap_or_default();
        is_shortest
            .then_some(Some(Frame { is_last, opcode, left, mask }))
            .ok_or(CloseCode::PROTOCOL)
    }

    /// Appends the received bytes of the payload, unmasked, to `out`.
    pub(crate) fn take_payload(&mut self, input: &mut Input<'_>, out: &mut Vec<u8>) {
        let n = input.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let payload = input.take(n).unwrap_or_default();
        let start = out.len();
        out.extend_from_slice(payload);
        unmask(out.get_mut(start..).unwrap_or_default(), self.mask);
        self.left -= n as u64;
        // The next byte of the payload continues with this byte of the mask.
        self.mask.rotate_left(n % 4);
    }
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    // The width of a vector register, so that the inner loop is vectorised.
    const PIECE: usize = 32;
    let mut wide = [0; PIECE];
    for (byte, mask) in wide.iter_mut().zip(mask.iter().cycle()) {
        *byte = *mask;
    }
    for piece in bytes.chunks_mut(PIECE) {
        for (byte, mask) in piece.iter_mut().zip(wide) {
            *byte ^= mask;
        }
    }
}

/// Encodes the head of an unmasked frame. Returns a buffer and the length used.
pub(crate) fn head(opcode: Opcode, len: usize) -> ([u8; 10], usize) {
    let (short, width) = match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short), _) if len <= MAX_CONTROL_PAYLOAD => (short, 0),
        (_, Ok(_)) => (126, 2),
        _ => (127, 8),
    };
    let long = (len as u64).to_be_bytes();
    let digits = long.iter().skip(long.len() - width);
    let mut head = [0; 10];
    for (to, from) in head.iter_mut().zip([0x80 | opcode as u8, short].iter().chain(digits)) {
        *to = *from;
    }
    (head, 2 + width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_goes_on_wherever_the_payload_is_cut() {
        let plain: Vec<u8> = (0..100).collect();
        let mask = [1, 20, 30, 200];
        let masked: Vec<u8> = plain.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b).collect();
        for cut in 0..=masked.len() {
            let mut frame = Frame { is_last: true, opcode: Opcode::Text, left: 100, mask };
            let (mut out, (first, second)) = (Vec::new(), masked.split_at(cut));
            frame.take_payload(&mut Input::new(first), &mut out);
            frame.take_payload(&mut Input::new(second), &mut out);
            assert_eq!((out, frame.left), (plain.clone(), 0), "cut at {cut}");
        }
    }

    #[test]
    fn lengths_have_their_shortest_form() {
        for (len, expected) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let (head, n) = head(Opcode::Text, len);
            assert_eq!(&head[..n], expected);
        }
    }
}
