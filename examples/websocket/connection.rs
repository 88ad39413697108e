//! One connection: the handshake, then frames, then goodbye.

use std::io;
use std::mem;
use std::str;
use std::time::Duration;

use socketserver::{Context, Handler, Input, SendStatus, TimerId};

use super::frame::{self, CloseCode, Frame, Opcode};
use super::handshake::{self, HEAD_LIMIT, HandshakeReply};
use super::head::has_bare_lf;
use super::message::Message;

/// Everything a peer may make us hold or wait for.
#[derive(Debug)]
pub(crate) struct WebSocketLimits {
    /// Bytes of a message.
    pub(crate) message: usize,
    /// From the first moment to the end of the handshake.
    pub(crate) handshake_timeout: Duration,
    /// Who is silent for so long is asked whether it is there, and has as long to answer.
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

/// How long a peer may take to answer our goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A larger buffer is not kept for the next message.
const MAX_SPARE_BUFFER: usize = 4 << 10;

#[derive(Debug, Default)]
pub(crate) struct WebSocketConnection {
    phase: Phase,
    /// Bytes of a head in which no line ends as none may.
    scanned: usize,
    frame: Option<Frame>,
    message: Option<Message>,
    control: Vec<u8>,
    /// What the next message is put together in.
    spare_buffer: Vec<u8>,
    timer: Option<TimerId>,
    /// Something has come in, or was taken, since the timer was set.
    is_alive: bool,
    /// What was on its way to the peer then, without a ping: not sent, or not acknowledged.
    unacknowledged: usize,
}

#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) enum Phase {
    #[default]
    Handshake,
    Frames {
        /// It was silent, and asked whether it is there.
        is_asked: bool,
    },
    /// We have said goodbye and wait for the peer's.
    Closing,
}

type Cx<'a> = Context<'a, WebSocketLimits>;

/// What one look at the input came to.
enum Step {
    /// It needs more input.
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
                // While the peer does not keep up, nothing more is read; what was read goes on.
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
        // Who reads slowly and steadily finds our ping behind all the rest; it shows that it is there
        // by what its system acknowledges.
        let left = cx.io.pending_output(cx.id) + cx.io.unacknowledged(cx.id).unwrap_or(0);
        self.is_alive |= left < mem::replace(&mut self.unacknowledged, left);
        match &mut self.phase {
            Phase::Handshake => self.answer(cx, handshake::last("408 Request Timeout", "", "")),
            Phase::Closing => cx.close(),
            // Who does not take what it is sent is not read, and is as good as gone too.
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
    /// Sets the one timer of this connection, in place of the one before.
    fn set_timer(&mut self, cx: &mut Cx<'_>, after: Duration) {
        if let Some(before) = self.timer.replace(cx.set_timer(after)) {
            cx.io.cancel_timer(before);
        }
    }

    fn read_handshake(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) {
        // Empty lines before a request are allowed for.
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

    /// Whether each line of half a head ends as it must, without which its end would never be seen.
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

    /// Takes what has come of one frame, and acts when that is complete.
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

    /// Whether a frame may come here, and be as long as it says.
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

    /// Does what a control frame asks for.
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
        // Both have said goodbye; it is for the server to close.
        cx.close();
        Ok(SendStatus::Closed)
    }

    /// Says goodbye, once.
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
