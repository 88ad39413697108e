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
const MOST_UNDER_WAY: usize = 16;

/// How long a full backlog is waited out before the next try, in nanoseconds.
const BACKLOG_RETRY: u64 = 10_000_000;

/// The state of one connection in the making. Times are nanoseconds on the clock of the loop.
#[derive(Debug)]
pub(crate) struct Connector {
    stage: ConnectStage,
    /// How long all of it may take from its begin, the look-up of a name included.
    timeout: u64,
    /// When that is over; `u64::MAX` before the begin.
    give_up: u64,
    /// What is still to be tried, the next one first.
    left: VecDeque<Candidate>,
    /// The numbers of the attempts under way, in the order of their begin.
    under_way: VecDeque<u32>,
    /// How many attempts there were.
    begun: u32,
    /// How long an attempt is given before the next one begins beside it.
    delay: u64,
    /// The next attempt does not begin before this while another one is under way.
    next_at: u64,
    /// The failure that came last.
    last: Option<io::Error>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ConnectStage {
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
    LookUp,
    /// The attempt of this number begins, with connect(2) to this address;
    /// [`Connector::failed`] and [`Connector::full`] take what it says.
    Open(u32, Addr),
    /// The attempt of this number is given up.
    Drop(u32),
    /// Nothing, before this time; `u64::MAX` is never.
    Wait(u64),
    /// It cannot be made.
    Fail(io::Error),
}

impl Connector {
    /// A connection to these addresses, in this order, that begins at `begins`.
    pub(crate) fn to_addrs(begins: u64, timeout: u64, addrs: Vec<Addr>) -> Connector {
        let mut connector = Connector::new(begins, timeout, false);
        connector.put(addrs, timeout);
        connector
    }

    /// A connection to a name that is to be looked up.
    pub(crate) fn to_name(begins: u64, timeout: u64) -> Connector {
        Connector::new(begins, timeout, true)
    }

    fn new(begins: u64, timeout: u64, has_name: bool) -> Connector {
        Connector {
            stage: ConnectStage::Waiting { until: begins, has_name },
            timeout,
            give_up: u64::MAX,
            left: VecDeque::new(),
            under_way: VecDeque::new(),
            begun: 0,
            delay: ATTEMPT_DELAY,
            next_at: 0,
            last: None,
        }
    }

    /// What is to be tried, within `time`: where that is short, each address still has its turn.
    fn put(&mut self, addrs: Vec<Addr>, time: u64) {
        let count = u64::try_from(addrs.len().max(1)).unwrap_or(u64::MAX);
        self.delay = ATTEMPT_DELAY.min(time / count);
        self.left = addrs.into_iter().map(|addr| Candidate { addr, not_before: 0 }).collect();
    }

    /// What is to be done now. It is asked again after each thing that was done or happened, until
    /// it says [`Next::Wait`] or [`Next::Fail`].
    ///
    /// Whether one of those under way stands is looked at before: what stood in time stands,
    /// however late the loop asks.
    pub(crate) fn next(&mut self, now: u64) -> Next {
        if let ConnectStage::Waiting { until, has_name } = self.stage {
            if now < until {
                return Next::Wait(until);
            }
            self.give_up = now.saturating_add(self.timeout);
            self.stage = if has_name { ConnectStage::Resolving } else { ConnectStage::Trying };
            if has_name {
                return Next::LookUp;
            }
        }
        if now >= self.give_up {
            return Next::Fail(self.too_late());
        }
        if self.stage == ConnectStage::Resolving {
            return Next::Wait(self.give_up);
        }
        self.next_attempt(now)
    }

    fn next_attempt(&mut self, now: u64) -> Next {
        let alone = self.under_way.is_empty();
        let Some(candidate) = self.left.front() else {
            return if alone { Next::Fail(self.last_failure()) } else { Next::Wait(self.give_up) };
        };
        let due = if alone { 0 } else { self.next_at }.max(candidate.not_before);
        if now < due {
            return Next::Wait(due.min(self.give_up));
        }
        if self.under_way.len() >= MOST_UNDER_WAY {
            if let Some(longest) = self.under_way.pop_front() {
                return Next::Drop(longest);
            }
        }
        let Some(Candidate { addr, .. }) = self.left.pop_front() else {
            return Next::Fail(self.last_failure());
        };
        let number = self.begun;
        self.begun = self.begun.wrapping_add(1);
        self.under_way.push_back(number);
        self.next_at = now.saturating_add(self.delay);
        Next::Open(number, addr)
    }

    /// What came of the look-up. The addresses are in the order of the name service, which prefers
    /// the first (RFC 6724); the families alternate behind it.
    pub(crate) fn resolved(&mut self, now: u64, result: io::Result<Vec<Addr>>) {
        if self.stage != ConnectStage::Resolving {
            return;
        }
        self.stage = ConnectStage::Trying;
        match result {
            Ok(addrs) => self.put(alternate(addrs), self.give_up.saturating_sub(now)),
            Err(error) => self.last = Some(error),
        }
    }

    /// An attempt under way has failed, or connect(2) itself has said so: the next address has its
    /// turn at once.
    pub(crate) fn failed(&mut self, number: u32, error: io::Error) {
        self.forget(number);
        self.last = Some(error);
    }

    /// connect(2) says that the backlog of a Unix server is full (`EAGAIN`), and nothing tells when
    /// there is room: it is tried again a little later, behind the other addresses.
    pub(crate) fn full(&mut self, now: u64, number: u32, addr: Addr, error: io::Error) {
        self.failed(number, error);
        let not_before = now.saturating_add(BACKLOG_RETRY);
        self.left.push_back(Candidate { addr, not_before });
    }

    fn forget(&mut self, number: u32) {
        let before = self.under_way.len();
        self.under_way.retain(|one| *one != number);
        if self.under_way.len() < before {
            self.next_at = 0;
        }
    }

    /// Whether its time has not come yet.
    pub(crate) fn is_planned(&self) -> bool {
        matches!(self.stage, ConnectStage::Waiting { .. })
    }

    fn last_failure(&mut self) -> io::Error {
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "no address to connect to");
        self.last.take().unwrap_or_else(none)
    }

    fn too_late(&self) -> io::Error {
        let full = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        let what = match &self.last {
            _ if self.stage == ConnectStage::Resolving => {
                "connect timed out: its name was not looked up in time".into()
            }
            Some(last) if full(last) && self.under_way.is_empty() => {
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
