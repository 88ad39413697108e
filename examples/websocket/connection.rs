//! The handler of one connection: handshake, frames, closing handshake.

use std::io;
use std::mem;
use std::str;
use std::time::Duration;

use socketserver::{Context, Handler, Input, SendStatus, TimerId};

use super::frame::{self, CloseCode, Frame, Opcode};
use super::handshake::{self, HEAD_LIMIT, HandshakeReply};
use super::head::has_bare_lf;
use super::message::Message;

/// The limits and timeouts of a connection.
#[derive(Debug)]
pub(crate) struct WebSocketLimits {
    /// Longest message in bytes.
    pub(crate) message: usize,
    /// From accept to the end of the handshake.
    pub(crate) handshake_timeout: Duration,
    /// A client silent for this time gets a ping, and has this time to answer.
    pub(crate) ping_every: Duration,
}

impl Default for WebSocketLimits {
    fn default() -> WebSocketLimits {
        WebSocketLimits {
            message: 1 << 20,
            handshake_timeout: Duration::from_secs(10),
            ping_every: Duration::from_secs(30),
        }
    }
}

/// Time for the peer to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Largest buffer that is kept for the next message, in bytes.
const MAX_SPARE_BUFFER: usize = 4 << 10;

#[derive(Debug, Default)]
pub(crate) struct WebSocketConnection {
    phase: Phase,
    /// Bytes of an incomplete head that were checked for a bare LF.
    scanned: usize,
    frame: Option<Frame>,
    message: Option<Message>,
    control: Vec<u8>,
    /// A buffer for the next message.
    spare_buffer: Vec<u8>,
    timer: Option<TimerId>,
    /// Whether bytes were received, or taken by the peer, since the timer was set.
    is_alive: bool,
    /// Bytes not sent or not acknowledged when the timer was set, without the ping.
    unacknowledged: usize,
}

#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) enum Phase {
    #[default]
    Handshake,
    Frames {
        /// Whether a ping was sent after a silence.
        is_asked: bool,
    },
    /// A close frame was sent, and the peer's is expected.
    Closing,
}

type Cx<'a> = Context<'a, WebSocketLimits>;

/// The result of one step of parsing.
enum Step {
    /// The frame is not complete.
    NeedsInput,
    Done(SendStatus),
}

impl Handler<WebSocketLimits> for WebSocketConnection {
    fn setup(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        self.set_timer(cx, cx.shared.handshake_timeout);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) -> io::Result<()> {
        self.is_alive = true;
        if self.phase == Phase::Handshake {
            self.read_handshake(cx, input);
        }
        while self.phase != Phase::Handshake {
            match self.step(cx, input) {
                // While the output is congested the library reads nothing more; what is read
                // already is processed.
                Ok(Step::Done(SendStatus::Queued | SendStatus::Congested)) => {}
                Ok(Step::NeedsInput | Step::Done(SendStatus::Closed)) => break,
                Err(code) => {
                    self.send_close(cx, &code.0.to_be_bytes());
                    cx.close();
                    break;
                }
            }
        }
        Ok(())
    }

    fn drained(&mut self, _cx: &mut Cx<'_>) -> io::Result<()> {
        self.is_alive = true;
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Cx<'_>, _timer: TimerId) -> io::Result<()> {
        // A slow reader sees the ping behind all other output; until then its system's
        // acknowledgements show that it is alive.
        let left = cx.io.pending_output(cx.id) + cx.io.unacknowledged(cx.id).unwrap_or(0);
        self.is_alive |= left < mem::replace(&mut self.unacknowledged, left);
        match &mut self.phase {
            Phase::Handshake => self.answer(cx, handshake::last("408 Request Timeout", "", "")),
            Phase::Closing => cx.close(),
            // A peer that does not read its output is not read from either.
            Phase::Frames { is_asked: true } if !self.is_alive => drop(cx.io.abort(cx.id)),
            Phase::Frames { is_asked } => {
                *is_asked = !self.is_alive;
                if *is_asked {
                    send(cx, Opcode::Ping, b"");
                }
                self.is_alive = false;
                self.set_timer(cx, cx.shared.ping_every);
            }
        }
        Ok(())
    }

    fn shutdown(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        match self.phase {
            Phase::Handshake => cx.close(),
            Phase::Frames { .. } => self.send_close(cx, &CloseCode::GOING_AWAY.0.to_be_bytes()),
            Phase::Closing => {}
        }
        Ok(())
    }
}

impl WebSocketConnection {
    /// Sets the timer of this connection, and cancels the one before.
    fn set_timer(&mut self, cx: &mut Cx<'_>, after: Duration) {
        if let Some(before) = self.timer.replace(cx.set_timer(after)) {
            cx.io.cancel_timer(before);
        }
    }

    fn read_handshake(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) {
        // Empty lines before a request are allowed (RFC 9112, 2.2).
        while input.peek().starts_with(b"\r\n") {
            input.take(2);
            self.scanned = 0;
        }
        let rest = input.peek();
        let answer = match input.take_delimited(b"\r\n\r\n", HEAD_LIMIT) {
            Ok(Some(head)) => handshake::answer(rest.get(..head.len() + 4).unwrap_or_default()),
            Ok(None) if self.has_valid_line_ends(rest) => return,
            Ok(None) => handshake::malformed(),
            Err(_) => handshake::too_large(),
        };
        let is_for_head = rest.starts_with(b"HEAD ");
        self.answer(cx, if is_for_head { handshake::without_body(answer) } else { answer });
    }

    /// Whether an incomplete head has no bare LF, with which it would never be complete.
    fn has_valid_line_ends(&mut self, head: &[u8]) -> bool {
        let new = head.get(self.scanned.saturating_sub(1)..).unwrap_or_default();
        self.scanned = head.len();
        !head.starts_with(b"\n") && !has_bare_lf(new)
    }

    fn answer(&mut self, cx: &mut Cx<'_>, answer: HandshakeReply) {
        match answer {
            HandshakeReply::Upgrade(head) => {
                cx.send(head.as_bytes());
                self.phase = Phase::Frames { is_asked: false };
                self.set_timer(cx, cx.shared.ping_every);
            }
            HandshakeReply::Close(all) => {
                cx.send(all.as_bytes());
                cx.close();
            }
        }
    }

    // Frames.

    /// Processes the received bytes of one frame, and acts when it is complete.
    fn step(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Step, CloseCode> {
        let mut frame = match self.frame.take() {
            Some(frame) => frame,
            None => match Frame::take(input)? {
                Some(frame) => self.begin(frame, cx.shared.message)?,
                None => return Ok(Step::NeedsInput),
            },
        };
        if frame.opcode.is_control() {
            frame.take_payload(input, &mut self.control);
        } else if let Some(message) = &mut self.message {
            frame.take_payload(input, &mut message.bytes);
            message.check(frame.is_last && frame.left == 0)?;
        }
        if frame.left > 0 {
            self.frame = Some(frame);
            return Ok(Step::NeedsInput);
        }
        let sent = if frame.opcode.is_control() {
            self.handle_control(cx, frame.opcode)?
        } else if frame.is_last {
            self.send_back(cx)
        } else {
            SendStatus::Queued
        };
        Ok(Step::Done(sent))
    }

    /// Checks the order of frames and the length of the message.
    fn begin(&mut self, frame: Frame, limit: usize) -> Result<Frame, CloseCode> {
        if frame.opcode.is_control() {
            self.control.clear();
            return Ok(frame);
        }
        if self.message.is_some() != (frame.opcode == Opcode::Continuation) {
            return Err(CloseCode::PROTOCOL);
        }
        let spare_buffer = &mut self.spare_buffer;
        let message =
            self.message.get_or_insert_with(|| Message::new(frame.opcode, mem::take(spare_buffer)));
        let room = limit.saturating_sub(message.bytes.len());
        if frame.left > room as u64 { Err(CloseCode::TOO_BIG) } else { Ok(frame) }
    }

    /// Sends a complete message back, in one frame.
    fn send_back(&mut self, cx: &mut Cx<'_>) -> SendStatus {
        let Some(Message { opcode, mut bytes, .. }) = self.message.take() else {
            return SendStatus::Queued;
        };
        let is_open = self.phase != Phase::Closing;
        let sent = if is_open { send(cx, opcode, &bytes) } else { SendStatus::Queued };
        if bytes.capacity() <= MAX_SPARE_BUFFER {
            bytes.clear();
            self.spare_buffer = bytes;
        }
        sent
    }

    /// Acts on a complete control frame.
    fn handle_control(&mut self, cx: &mut Cx<'_>, opcode: Opcode) -> Result<SendStatus, CloseCode> {
        let payload = self.control.as_slice();
        match (opcode, payload) {
            (Opcode::Ping, _) if self.phase != Phase::Closing => {
                return Ok(send(cx, Opcode::Pong, payload));
            }
            (Opcode::Close, [_]) => return Err(CloseCode::PROTOCOL),
            (Opcode::Close, [a, b, reason @ ..]) => {
                let code = CloseCode(u16::from_be_bytes([*a, *b]));
                if !code.may_be_sent() {
                    return Err(CloseCode::PROTOCOL);
                }
                str::from_utf8(reason).map_err(|_| CloseCode::NOT_UTF8)?;
                self.send_close(cx, &code.0.to_be_bytes());
            }
            (Opcode::Close, []) => self.send_close(cx, b""),
            _ => return Ok(SendStatus::Queued),
        }
        // Both close frames were exchanged; the server closes first (RFC 6455, 7.1.1).
        cx.close();
        Ok(SendStatus::Closed)
    }

    /// Sends a close frame, unless one was sent.
    fn send_close(&mut self, cx: &mut Cx<'_>, code: &[u8]) {
        if self.phase != Phase::Closing {
            send(cx, Opcode::Close, code);
            self.phase = Phase::Closing;
            self.set_timer(cx, CLOSE_TIMEOUT);
        }
    }
}

fn send(cx: &mut Cx<'_>, opcode: Opcode, payload: &[u8]) -> SendStatus {
    let (head, len) = frame::head(opcode, payload.len());
    cx.send(head.get(..len).unwrap_or_default());
    cx.send(payload)
}
