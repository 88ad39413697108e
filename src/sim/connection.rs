//! One simulated connection, and what is reported of it.

use std::collections::VecDeque;
use std::io;

use mio::Token;

use super::expectation::Expectation;
use super::outgoing::line_of;
use crate::id::SocketId;
use crate::net::ReadyEvent;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Made {
    /// It is established, or was.
    #[default]
    Stands,
    /// Nobody has answered yet.
    UnderWay,
    /// The answer was an error.
    Failed,
}

/// One connection: what lies between a peer and the server.
#[derive(Debug, Default)]
pub(crate) struct SimConnection {
    pub(crate) unix: bool,
    /// Its present descriptor.
    pub(super) descriptor: u32,
    /// The server has begun it.
    pub(crate) outgoing: bool,
    pub(crate) made: Made,
    /// The error with which it failed, until it is fetched (`SO_ERROR`).
    pub(super) refusal: Option<i32>,
    /// When it was established.
    stood_at: u64,
    /// Since when its handler knows.
    pub(crate) set_up_at: Option<u64>,
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
    /// What the system knows that the peer has got; it hears of that in steps, and of the last byte.
    pub(crate) acknowledged: u64,
    pub(crate) step: u64,
    /// A write met too little room since the last edge.
    pub(super) refused: bool,
    pub(super) asks_for_room: bool,
    /// Input is not reported.
    pub(super) ignores_input: bool,
    pub(crate) server_ended: bool,
    pub(super) ended_at: u64,
    pub(crate) server_reset: bool,
    pub(super) edge: bool,
    /// When it came about.
    pub(super) edge_at: Option<u64>,
    /// When the first byte arrived that is not read.
    pub(super) unread_since: Option<u64>,
    /// A read failed, or was interrupted.
    pub(crate) read_failed: bool,
    /// Errors that a call told which no later call will tell again.
    pub(crate) broken: bool,
    // For the checks.
    pub(crate) moved_at: u64,
    /// When the system last heard of something that the peer has got.
    acknowledged_at: u64,
    /// Until when the silence was our own doing.
    pub(crate) ours_until: u64,
    /// What was last said to be not acknowledged, and when that was said; and when it was another
    /// amount than before, or bytes had moved meanwhile, so that nothing can be compared: both are
    /// reasons to wait on.
    pub(super) last_look: u64,
    last_look_at: u64,
    looked_at: u64,
    /// When a byte last left.
    pub(super) wrote_at: u64,
    /// When something was last read after the conversation was over.
    pub(crate) in_vain_at: u64,
    pub(super) reads: usize,
    pub(super) writes: usize,
    /// What the handler has done and seen.
    pub(crate) page: Expectation,
}

impl SimConnection {
    pub(super) fn new(n: u32, unix: bool, buffer: u64, step: u64) -> SimConnection {
        SimConnection { unix, descriptor: n, buffer, step, ..SimConnection::default() }
    }

    /// One that the server has begun; it has no descriptor yet.
    pub(super) fn outgoing(n: u32, buffer: u64, step: u64) -> SimConnection {
        SimConnection {
            outgoing: true,
            made: Made::UnderWay,
            ..SimConnection::new(n, false, buffer, step)
        }
    }

    /// A socket for one of its addresses.
    pub(super) fn under_way(descriptor: u32, unix: bool, buffer: u64, step: u64) -> SimConnection {
        SimConnection {
            descriptor,
            unix,
            open: true,
            ..SimConnection::outgoing(line_of(descriptor), buffer, step)
        }
    }

    /// It is established.
    pub(super) fn establish(&mut self, now: u64) {
        self.made = Made::Stands;
        self.stood_at = now;
        self.edge = true;
    }

    /// It cannot be made.
    pub(super) fn refuse(&mut self, errno: i32) {
        self.made = Made::Failed;
        self.refusal = Some(errno);
        self.edge = true;
    }

    /// Whether it is connecting: the loop does not know yet that it is established.
    pub(crate) fn is_begun(&self) -> bool {
        self.outgoing && !self.page.set_up
    }

    /// Whether all there is to say was reported.
    pub(crate) fn is_noticed(&self) -> bool {
        self.token.is_some() && !self.edge
    }

    /// Whether it was established before that time, and that was reported.
    pub(crate) fn stood_before(&self, time: u64) -> bool {
        let stands = self.open && self.made == Made::Stands && !self.reset;
        stands && self.stood_at < time && self.is_noticed()
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

    /// How much of what was taken is not acknowledged.
    pub(crate) fn unacknowledged(&self) -> u64 {
        self.taken - self.acknowledged
    }

    /// Says how much that is.
    pub(super) fn look(&mut self, now: u64) -> u64 {
        let left = self.unacknowledged();
        let has_moved = self.moved_at >= self.last_look_at && left > 0;
        if self.last_look != left || has_moved {
            self.looked_at = now;
        }
        (self.last_look, self.last_look_at) = (left, now);
        left
    }

    /// So many bytes arrive from the peer.
    pub(super) fn arrive(&mut self, len: u64, now: u64) {
        if self.came == self.read {
            self.unread_since = Some(now);
        }
        self.came += len;
        self.edge |= !self.ignores_input;
    }

    /// The peer has read `n` bytes.
    pub(super) fn get(&mut self, len: u64, now: u64) {
        self.got += len;
        let is_step = self.got - self.acknowledged >= self.step || self.got == self.taken;
        if is_step && self.acknowledged < self.got {
            self.acknowledged = self.got;
            self.acknowledged_at = now;
        }
    }

    /// When something last moved, as far as the loop can know when it is late: once everything is
    /// acknowledged, nothing says since when it is.
    pub(crate) fn must_have_moved_at(&self) -> u64 {
        let on_its_way = self.unacknowledged() > 0;
        if on_its_way { self.moved_at.max(self.acknowledged_at) } else { self.moved_at }
    }

    /// The same, as far as the loop may know.
    pub(crate) fn may_have_moved_at(&self) -> u64 {
        self.moved_at.max(self.acknowledged_at).max(self.looked_at)
    }

    /// Whether its silence is our own doing: a thread works for it, or it is paused and the peer has
    /// been sent all there is.
    pub(crate) fn is_silent_for_us(&self) -> bool {
        let page = &self.page;
        page.offloaded > 0 || page.paused && page.sent == self.taken
    }

    /// Whether a deadline at `due` came first although the peer had been in time: what had arrived was
    /// not reported, or no read was tried although it was.
    pub(super) fn was_in_time(&self, due: u64, now: u64) -> Option<&'static str> {
        if self.state().is_some() && self.edge_at.is_some_and(|at| at < due) {
            return Some("what had happened in time was not looked at");
        }
        let page = &self.page;
        // If its input is wanted since this turn alone, its next turn reads it.
        let wanted = page.wanted_at != Some(now)
            && !page.paused
            && !page.eof
            && !page.closed
            && page.offloaded == 0;
        let unread = self.came > self.read && self.unread_since.is_some_and(|at| at < due);
        (wanted && unread && self.reads == 0).then_some("what had arrived in time was not read")
    }

    /// Whether only the end of its peer is waited for, and since when.
    pub(crate) fn lingers_since(&self) -> Option<u64> {
        let lingers = self.open && self.server_ended && self.page.reason.is_some();
        lingers.then(|| self.ended_at.max(self.page.finished_at).max(self.wrote_at))
    }

    /// Whether epoll calls it writable: there must be room worth a wake-up.
    pub(crate) fn is_writable(&self) -> bool {
        let nothing_leaves = self.reset || self.server_ended && !self.unix;
        nothing_leaves || self.room() > 0 && self.room() >= (self.taken - self.got) / 2
    }

    /// What epoll would report now, if that is anything.
    pub(super) fn state(&self) -> Option<SimEvent> {
        match self.made {
            Made::Stands => {}
            Made::UnderWay => return None,
            Made::Failed => {
                let (token, error) = (self.token?, self.refusal.is_some());
                let all = SimEvent { readable: true, writable: true, read_closed: true, ..NOTHING };
                return Some(SimEvent { token, error, ..all });
            }
        }
        let input = !self.ignores_input;
        let urgent = self.urgent.is_some() && input;
        // A reset is a hang-up, which is always reported, as an end in both directions is.
        let hung_up = self.reset || self.ended && self.server_ended;
        let ended = self.ended || self.reset;
        let event = SimEvent {
            token: self.token?,
            readable: input && (self.came > self.read || ended || urgent),
            writable: self.is_writable() && (!self.unix || self.asks_for_room),
            read_closed: input && ended || hung_up,
            urgent,
            error: self.error_due,
        };
        (event.readable || event.writable || event.error || event.read_closed).then_some(event)
    }

    /// Where the next read has to stop.
    pub(super) fn stop(&self) -> u64 {
        let urgent = self.urgent.filter(|at| *at > self.read).unwrap_or(u64::MAX);
        let passed = self.passed.front().map_or(u64::MAX, |(_, end)| *end);
        self.came.min(urgent).min(passed)
    }

    /// `SO_ERROR`.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        if self.made == Made::Stands {
            return self.error_due.then(|| self.break_pipe());
        }
        self.refusal.take().map(io::Error::from_raw_os_error)
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

impl ReadyEvent for SimEvent {
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
