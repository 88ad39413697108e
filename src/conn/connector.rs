//! One connect attempt after another as a state machine: the next action, and its time.
//!
//! It knows no socket, no name service and no clock: [`Connector::next`] returns the action for a
//! given time, and the caller reports the result. The addresses are tried as RFC 8305 ("Happy
//! Eyeballs", section 5) has it: the next attempt begins when the one before has failed, or has not
//! completed within the Connection Attempt Delay, and the attempts in progress continue beside it.
//!
//! ```text
//!           start time              name resolved
//!   Waiting ──────────▶ Resolving ─────────────▶ Trying ──▶ one established, or all failed
//!      └────────────────────────────────────────────▲
//!                      no name to resolve
//! ```

use std::collections::VecDeque;
use std::io;

use crate::addr::Addr;

/// The Connection Attempt Delay of RFC 8305, section 8, in nanoseconds.
const ATTEMPT_DELAY: u64 = 250_000_000;

/// The most sockets of one connection in progress at once. Beyond that the oldest, some seconds
/// old, is abandoned for the next address.
const MAX_IN_PROGRESS: usize = 16;

/// The pause before another try when the backlog is full, in nanoseconds.
const BACKLOG_RETRY: u64 = 10_000_000;

/// The state of one outgoing connection until it is established. Times are nanoseconds on the clock
/// of the loop.
#[derive(Debug)]
pub(crate) struct Connector {
    phase: ConnectPhase,
    /// The time allowed from the start, name resolution included.
    timeout: u64,
    /// The end of that time; `u64::MAX` before the start.
    deadline: u64,
    /// The addresses still to try, the next one first.
    candidates: VecDeque<Candidate>,
    /// The numbers of the attempts in progress, oldest first.
    in_progress: VecDeque<u32>,
    /// The number of attempts so far.
    attempts: u32,
    /// The delay before the next attempt begins beside one in progress.
    delay: u64,
    /// While an attempt is in progress, the next one does not begin before this time.
    next_at: u64,
    /// The error of the latest failure.
    last_error: Option<io::Error>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ConnectPhase {
    Waiting { until: u64, has_name: bool },
    Resolving,
    Trying,
}

#[derive(Debug)]
struct Candidate {
    addr: Addr,
    not_before: u64,
}

/// The next action for a connection that is not established.
#[derive(Debug)]
pub(crate) enum Next {
    /// Resolve the name; [`Connector::resolved`] takes the result.
    Resolve,
    /// Begin the attempt of this number with connect(2) to this address; [`Connector::failed`] and
    /// [`Connector::backlog_full`] take its error.
    Open(u32, Addr),
    /// Abandon the attempt of this number.
    Abandon(u32),
    /// Do nothing before this time; `u64::MAX` is never.
    Wait(u64),
    /// Report that the connection failed.
    Fail(io::Error),
}

impl Connector {
    /// A connection to `addrs`, in this order, that starts at `begins`.
    pub(crate) fn to_addrs(begins: u64, timeout: u64, addrs: Vec<Addr>) -> Connector {
        let mut connector = Connector::new(begins, timeout, false);
        connector.set_candidates(addrs, timeout);
        connector
    }

    /// A connection to a name that is resolved first.
    pub(crate) fn to_name(begins: u64, timeout: u64) -> Connector {
        Connector::new(begins, timeout, true)
    }

    fn new(begins: u64, timeout: u64, has_name: bool) -> Connector {
        Connector {
            phase: ConnectPhase::Waiting { until: begins, has_name },
            timeout,
            deadline: u64::MAX,
            candidates: VecDeque::new(),
            in_progress: VecDeque::new(),
            attempts: 0,
            delay: ATTEMPT_DELAY,
            next_at: 0,
            last_error: None,
        }
    }

    /// Sets the addresses to try within `time`. When that is short the delay shrinks, so that each
    /// address has its turn.
    fn set_candidates(&mut self, addrs: Vec<Addr>, time: u64) {
        let count = u64::try_from(addrs.len().max(1)).unwrap_or(u64::MAX);
        self.delay = ATTEMPT_DELAY.min(time / count);
        self.candidates = addrs.into_iter().map(|addr| Candidate { addr, not_before: 0 }).collect();
    }

    /// Returns the next action. The caller asks again after each action and each event, until the
    /// answer is [`Next::Wait`] or [`Next::Fail`].
    ///
    /// The caller checks the attempts in progress before it asks, so an attempt that completed in
    /// time counts, however late the loop is.
    pub(crate) fn next(&mut self, now: u64) -> Next {
        if let ConnectPhase::Waiting { until, has_name } = self.phase {
            if now < until {
                return Next::Wait(until);
            }
            self.deadline = now.saturating_add(self.timeout);
            self.phase = if has_name { ConnectPhase::Resolving } else { ConnectPhase::Trying };
            if has_name {
                return Next::Resolve;
            }
        }
        if now >= self.deadline {
            return Next::Fail(self.timed_out());
        }
        if self.phase == ConnectPhase::Resolving {
            return Next::Wait(self.deadline);
        }
        self.next_attempt(now)
    }

    fn next_attempt(&mut self, now: u64) -> Next {
        let alone = self.in_progress.is_empty();
        let Some(candidate) = self.candidates.front() else {
            return if alone { Next::Fail(self.last_failure()) } else { Next::Wait(self.deadline) };
        };
        let due = if alone { 0 } else { self.next_at }.max(candidate.not_before);
        if now < due {
            return Next::Wait(due.min(self.deadline));
        }
        if self.in_progress.len() >= MAX_IN_PROGRESS {
            if let Some(longest) = self.in_progress.pop_front() {
                return Next::Abandon(longest);
            }
        }
        let Some(Candidate { addr, .. }) = self.candidates.pop_front() else {
            return Next::Fail(self.last_failure());
        };
        let number = self.attempts;
        self.attempts = self.attempts.wrapping_add(1);
        self.in_progress.push_back(number);
        self.next_at = now.saturating_add(self.delay);
        Next::Open(number, addr)
    }

    /// Takes the result of the resolution. The name service puts the preferred address first (RFC
    /// 6724); behind it the families alternate.
    pub(crate) fn resolved(&mut self, now: u64, result: io::Result<Vec<Addr>>) {
        if self.phase != ConnectPhase::Resolving {
            return;
        }
        self.phase = ConnectPhase::Trying;
        match result {
            Ok(addrs) => self.set_candidates(alternate(addrs), self.deadline.saturating_sub(now)),
            Err(error) => self.last_error = Some(error),
        }
    }

    /// Records that an attempt failed, in connect(2) or later. The next address is due at once.
    pub(crate) fn failed(&mut self, number: u32, error: io::Error) {
        self.remove_attempt(number);
        self.last_error = Some(error);
    }

    /// Records that the backlog of a Unix server is full (`EAGAIN`). No event reports free space,
    /// so the address is tried again after [`BACKLOG_RETRY`], behind the others.
    pub(crate) fn backlog_full(&mut self, now: u64, number: u32, addr: Addr, error: io::Error) {
        self.failed(number, error);
        let not_before = now.saturating_add(BACKLOG_RETRY);
        self.candidates.push_back(Candidate { addr, not_before });
    }

    fn remove_attempt(&mut self, number: u32) {
        let before = self.in_progress.len();
        self.in_progress.retain(|one| *one != number);
        if self.in_progress.len() < before {
            self.next_at = 0;
        }
    }

    /// Whether the start time is still to come.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.phase, ConnectPhase::Waiting { .. })
    }

    fn last_failure(&mut self) -> io::Error {
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "no address to connect to");
        self.last_error.take().unwrap_or_else(none)
    }

    fn timed_out(&self) -> io::Error {
        let full = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        let what = match &self.last_error {
            _ if self.phase == ConnectPhase::Resolving => {
                "connect timed out: the name was not resolved in time".into()
            }
            Some(last) if full(last) && self.in_progress.is_empty() => {
                "connect timed out: the backlog of the server stayed full".into()
            }
            Some(last) => format!("connect timed out; before that, {last}"),
            None => "connect timed out".to_string(),
        };
        io::Error::new(io::ErrorKind::TimedOut, what)
    }
}

/// Reorders the addresses so that IPv6 and IPv4 alternate, beginning with the family of the first
/// (RFC 8305, section 4). Within a family the order stays.
fn alternate(addrs: Vec<Addr>) -> Vec<Addr> {
    let is_v6 = |addr: &Addr| addr.ip().is_some_and(std::net::SocketAddr::is_ipv6);
    let Some(first) = addrs.first().map(is_v6) else { return addrs };
    let (ours, others): (Vec<Addr>, Vec<Addr>) =
        addrs.into_iter().partition(|addr| is_v6(addr) == first);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    let mut mixed = Vec::with_capacity(ours.len() + others.len());
    loop {
        let before = mixed.len();
        mixed.extend(ours.next());
        mixed.extend(others.next());
        if mixed.len() == before {
            return mixed;
        }
    }
}

#[cfg(test)]
mod tests;
