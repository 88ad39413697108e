//! One outgoing connection in the making as a state machine: what is to be done next, and when.
//!
//! It knows no socket, no name service and no clock: [`Connector::next`] says what to do at a given
//! time, and what came of it is reported back. The addresses are tried as RFC 8305 ("Happy
//! Eyeballs", section 5) has it: the next one begins when the one before has failed, or has not
//! answered within the Connection Attempt Delay, and those under way go on meanwhile.
//!
//! ```text
//!            its time has come        the name is known
//!   Waiting ──────────────────▶ Resolving ─────────────▶ Trying ──▶ one stands, or all failed
//!      └────────────────────────────────────────────────────▲
//!                        there is no name to look up
//! ```

use std::collections::VecDeque;
use std::io;

use crate::addr::Addr;

/// The Connection Attempt Delay of RFC 8305, section 8, in nanoseconds.
const ATTEMPT_DELAY: u64 = 250_000_000;

/// Sockets of one connection that may be under way at once. Then the one that has been so longest,
/// some seconds, makes way for the next address.
const MAX_IN_PROGRESS: usize = 16;

/// How long a full backlog is waited out before the next try, in nanoseconds.
const BACKLOG_RETRY: u64 = 10_000_000;

/// The state of one connection in the making. Times are nanoseconds on the clock of the loop.
#[derive(Debug)]
pub(crate) struct Connector {
    phase: ConnectPhase,
    /// How long all of it may take from its begin, the look-up of a name included.
    timeout: u64,
    /// When that is over; `u64::MAX` before the begin.
    deadline: u64,
    /// What is still to be tried, the next one first.
    candidates: VecDeque<Candidate>,
    /// The numbers of the attempts under way, in the order of their begin.
    in_progress: VecDeque<u32>,
    /// How many attempts there were.
    attempts: u32,
    /// How long an attempt is given before the next one begins beside it.
    delay: u64,
    /// The next attempt does not begin before this while another one is under way.
    next_at: u64,
    /// The failure that came last.
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

/// What is to be done for a connection in the making.
#[derive(Debug)]
pub(crate) enum Next {
    /// The name is to be looked up; [`Connector::resolved`] takes the result.
    Resolve,
    /// The attempt of this number begins, with connect(2) to this address;
    /// [`Connector::failed`] and [`Connector::full`] take what it says.
    Open(u32, Addr),
    /// The attempt of this number is given up.
    Abandon(u32),
    /// Nothing, before this time; `u64::MAX` is never.
    Wait(u64),
    /// It cannot be made.
    Fail(io::Error),
}

impl Connector {
    /// A connection to these addresses, in this order, that begins at `begins`.
    pub(crate) fn to_addrs(begins: u64, timeout: u64, addrs: Vec<Addr>) -> Connector {
        let mut connector = Connector::new(begins, timeout, false);
        connector.set_candidates(addrs, timeout);
        connector
    }

    /// A connection to a name that is to be looked up.
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

    /// What is to be tried, within `time`: where that is short, each address still has its turn.
    fn set_candidates(&mut self, addrs: Vec<Addr>, time: u64) {
        let count = u64::try_from(addrs.len().max(1)).unwrap_or(u64::MAX);
        self.delay = ATTEMPT_DELAY.min(time / count);
        self.candidates = addrs.into_iter().map(|addr| Candidate { addr, not_before: 0 }).collect();
    }

    /// What is to be done now. It is asked again after each thing that was done or happened, until
    /// it says [`Next::Wait`] or [`Next::Fail`].
    ///
    /// Whether one of those under way stands is looked at before: what stood in time stands,
    /// however late the loop asks.
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

    /// What came of the look-up. The addresses are in the order of the name service, which prefers
    /// the first (RFC 6724); the families alternate behind it.
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

    /// An attempt under way has failed, or connect(2) itself has said so: the next address has its
    /// turn at once.
    pub(crate) fn failed(&mut self, number: u32, error: io::Error) {
        self.remove_attempt(number);
        self.last_error = Some(error);
    }

    /// connect(2) says that the backlog of a Unix server is full (`EAGAIN`), and nothing tells when
    /// there is room: it is tried again a little later, behind the other addresses.
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

    /// Whether its time has not come yet.
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
                "connect timed out: its name was not looked up in time".into()
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

/// The same addresses, IPv6 and IPv4 in turns, beginning with the family of the first one
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
