//! One simulated connection, and what is reported of it.

use std::collections::VecDeque;
use std::io;

use mio::Token;

use super::book::Page;
use crate::id::SocketId;
use crate::socket::Reported;

/// One connection: what lies between a peer and the server.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) unix: bool,
    pub(super) token: Option<Token>,
    pub(crate) open: bool,
    // Towards the server.
    pub(crate) came: u64,
    pub(crate) read: u64,
    /// A read stops in front of this byte: urgent data lies there.
    pub(crate) urgent: Option<u64>,
    /// A read that touches the bytes between these two stops behind them: descriptors were passed
    /// with them, and go with the first of them that is read.
    pub(crate) passed: VecDeque<(u64, u64)>,
    pub(super) cut: bool,
    pub(crate) ended: bool,
    pub(crate) end_read: bool,
    pub(crate) reset: bool,
    pub(super) error_due: bool,
    // Towards the peer.
    pub(crate) taken: u64,
    pub(crate) got: u64,
    pub(crate) buffer: u64,
    /// A write met too little room since the last edge.
    pub(super) refused: bool,
    pub(super) asks_for_room: bool,
    pub(crate) server_ended: bool,
    pub(super) ended_at: u64,
    pub(crate) server_reset: bool,
    pub(super) edge: bool,
    /// Errors that a call told which no later call will tell again.
    pub(crate) broken: bool,
    // For the checks.
    pub(crate) moved_at: u64,
    pub(super) reads: usize,
    pub(super) writes: usize,
    /// Read after the conversation was over, in units of [`LINGER_UNIT`], each read rounded up.
    pub(super) in_vain: usize,
    /// What the handler has done and seen.
    pub(crate) page: Page,
}

impl Line {
    pub(super) fn new(unix: bool, buffer: u64) -> Line {
        Line {
            unix,
            token: None,
            open: false,
            came: 0,
            read: 0,
            urgent: None,
            passed: VecDeque::new(),
            cut: false,
            ended: false,
            end_read: false,
            reset: false,
            error_due: false,
            taken: 0,
            got: 0,
            buffer,
            refused: false,
            asks_for_room: false,
            server_ended: false,
            ended_at: 0,
            server_reset: false,
            edge: false,
            broken: false,
            moved_at: 0,
            reads: 0,
            writes: 0,
            in_vain: 0,
            page: Page::default(),
        }
    }

    /// Whether the peer may still say something.
    pub(super) fn talks(&self) -> bool {
        !self.ended && !self.reset
    }

    /// Whether a read would not say `WouldBlock`.
    pub(crate) fn is_readable(&self) -> bool {
        self.came > self.read || (self.ended || self.reset) && !self.end_read
    }

    pub(super) fn room(&self) -> u64 {
        self.buffer.saturating_sub(self.taken - self.got)
    }

    /// Whether epoll calls it writable: there must be room worth a wake-up.
    pub(crate) fn is_writable(&self) -> bool {
        let nothing_leaves = self.reset || self.server_ended && !self.unix;
        nothing_leaves || self.room() > 0 && self.room() >= (self.taken - self.got) / 2
    }

    /// What epoll would report now, if that is anything.
    pub(super) fn state(&self) -> Option<SimEvent> {
        let urgent = self.urgent.is_some();
        let event = SimEvent {
            token: self.token?,
            readable: self.came > self.read || self.ended || self.reset || urgent,
            writable: self.is_writable() && (!self.unix || self.asks_for_room),
            read_closed: self.ended || self.reset,
            urgent,
            error: self.error_due,
        };
        (event.readable || event.writable || event.error).then_some(event)
    }

    /// Where the next read has to stop.
    pub(super) fn stop(&self) -> u64 {
        let urgent = self.urgent.filter(|at| *at > self.read).unwrap_or(u64::MAX);
        let passed = self.passed.front().map_or(u64::MAX, |(_, end)| *end);
        self.came.min(urgent).min(passed)
    }

    /// The error of a reset, which is another one behind the peer's end.
    pub(super) fn break_pipe(&mut self) -> io::Error {
        let is_pipe = self.ended && !self.unix;
        self.broke(if is_pipe { libc::EPIPE } else { libc::ECONNRESET })
    }

    pub(super) fn broke(&mut self, errno: i32) -> io::Error {
        self.error_due = false;
        self.broken = true;
        io::Error::from_raw_os_error(errno)
    }
}

/// An event as the simulated kernel reports it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimEvent {
    pub(crate) token: Token,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) read_closed: bool,
    pub(crate) urgent: bool,
    pub(crate) error: bool,
}

impl Reported for SimEvent {
    fn token(&self) -> Token {
        self.token
    }

    fn is_readable(&self) -> bool {
        self.readable
    }

    fn is_writable(&self) -> bool {
        self.writable
    }

    fn is_read_closed(&self) -> bool {
        self.read_closed
    }

    fn is_priority(&self) -> bool {
        self.urgent
    }

    fn is_error(&self) -> bool {
        self.error
    }
}

pub(super) const NOTHING: SimEvent = SimEvent {
    token: SocketId::WAKER,
    readable: false,
    writable: false,
    read_closed: false,
    urgent: false,
    error: false,
};
