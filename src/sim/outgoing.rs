//! One outgoing connection of a simulated run: where it is to go, and how far it has come.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::connection::SimConnection;
use super::script::Nature;
use crate::addr::Addr;

mod attempts;

/// Where an outgoing connection goes, and what it meets there.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Its line.
    pub(crate) line: u32,
    pub(crate) places: Vec<Place>,
    pub(crate) named: Named,
    /// From an address of its own.
    pub(crate) from: bool,
    pub(crate) after: Duration,
}

/// One of the addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) kind: PlaceKind,
    pub(crate) fate: Fate,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PlaceKind {
    V4,
    V6,
    Unix,
}

/// What an address answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// connect(2) itself says so.
    Refuses(i32),
    /// It is established before the loop asks.
    AtOnce,
    /// It is under way, and will stand.
    Later,
    /// It is under way, and will fail.
    Fails(i32),
    /// It is under way for ever.
    Silent,
    /// A Unix server whose backlog is full for this number of attempts.
    Full(u32),
    /// Our end is given this very address.
    Itself,
}

/// How the addresses are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Named {
    Address,
    /// By a name.
    Name,
    /// By a name that does not exist.
    Unknown,
}

/// What it waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// Its time.
    Planned,
    /// Its name.
    LookingUp,
    /// One of its addresses.
    Trying,
    /// It is established, or has ended.
    Over,
}

/// One address that is, or was, connected to.
#[derive(Debug)]
pub(crate) struct Try {
    nth: usize,
    pub(crate) line: SimConnection,
    /// Somebody was told that it failed.
    pub(crate) told: bool,
}

#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) plan: Plan,
    pub(crate) nature: Nature,
    pub(crate) begun: bool,
    pub(crate) stage: Stage,
    pub(super) begins_at: u64,
    /// By when it has to stand.
    give_up: u64,
    /// Whether its addresses are known; `None` until that is said.
    pub(crate) found: Option<bool>,
    /// That is on its way.
    pub(crate) answered: bool,
    /// The addresses that were not tried, and those with a full backlog with the time of the next
    /// try.
    fresh: VecDeque<usize>,
    full: VecDeque<(usize, u64)>,
    /// The sockets that are open for it while it is connecting.
    pub(crate) tries: Vec<Try>,
    /// Before this no other address is begun beside those under way.
    next_at: u64,
    delay: u64,
    /// How often a backlog was full.
    was_full: u32,
    /// How many addresses were connected to since it began.
    pub(crate) tried: usize,
    /// The last failure.
    pub(crate) last: Option<io::ErrorKind>,
    /// The kernel refused to watch the established socket.
    pub(crate) unwatched: Option<io::ErrorKind>,
    /// How many descriptors it has had.
    opened: u32,
    /// So many turns something is overdue.
    pub(crate) late: u32,
}

/// How long a full backlog is waited out before the next try.
const RETRY: u64 = 10_000_000;

/// How long an address has before the next one is begun beside it.
const DELAY: u64 = 250_000_000;

/// The error of a name that does not exist.
pub(crate) const UNKNOWN: io::ErrorKind = io::ErrorKind::NotFound;

/// The lower bits of a descriptor are the number of its line, those above count what was opened
/// for it.
const LINES: u32 = 16;

/// The line of a descriptor.
pub(crate) fn line_of(n: u32) -> u32 {
    n & ((1 << LINES) - 1)
}

impl Outgoing {
    pub(crate) fn new(plan: Plan, nature: Nature) -> Outgoing {
        Outgoing {
            plan,
            nature,
            begun: false,
            stage: Stage::Over,
            begins_at: 0,
            give_up: 0,
            found: None,
            answered: false,
            fresh: VecDeque::new(),
            full: VecDeque::new(),
            tries: Vec::new(),
            next_at: 0,
            delay: DELAY,
            was_full: 0,
            tried: 0,
            last: None,
            unwatched: None,
            opened: 0,
            late: 0,
        }
    }

    /// Whether all addresses have failed.
    pub(crate) fn is_refused(&self) -> bool {
        self.stage == Stage::Trying && self.candidate().is_none() && self.is_alone()
    }

    /// Whether it is on its way.
    pub(crate) fn is_live(&self) -> bool {
        self.begun && self.stage != Stage::Over
    }

    /// Whether nothing is under way.
    pub(crate) fn is_alone(&self) -> bool {
        self.tries.iter().all(|one| one.told)
    }

    /// Somebody begins it.
    pub(crate) fn begin(&mut self, now: u64, timeout: Duration) {
        self.begun = true;
        self.begins_at = now + nanoseconds(self.plan.after);
        (self.tried, self.last, self.found, self.answered) = (0, None, None, false);
        self.stage = Stage::Planned;
        self.note_time(now, timeout);
    }

    /// Its time may have come.
    pub(crate) fn note_time(&mut self, now: u64, timeout: Duration) {
        if self.stage != Stage::Planned || now < self.begins_at {
            return;
        }
        let timeout = nanoseconds(timeout);
        self.give_up = now + timeout;
        self.stage = Stage::LookingUp;
        if self.plan.named == Named::Address {
            self.put((0..self.plan.places.len()).collect(), timeout);
        }
    }

    /// Its name was looked up.
    pub(crate) fn note_found(&mut self, now: u64) {
        let known = self.plan.named == Named::Name;
        let is_late = self.stage != Stage::LookingUp;
        self.found = Some(known);
        if is_late {
            return;
        }
        if known {
            let all: Vec<usize> = (0..self.plan.places.len()).collect();
            let is_v6 = |nth: &usize| self.plan.places[*nth].kind == PlaceKind::V6;
            let first = is_v6(&0);
            let ours: Vec<usize> = all.iter().copied().filter(|nth| is_v6(nth) == first).collect();
            let others: Vec<usize> =
                all.iter().copied().filter(|nth| is_v6(nth) != first).collect();
            let turns = (0..all.len()).flat_map(|n| [ours.get(n), others.get(n)]);
            self.put(turns.flatten().copied().collect(), self.give_up.saturating_sub(now));
        } else {
            (self.stage, self.last) = (Stage::Trying, Some(UNKNOWN));
        }
    }

    /// These addresses are to be tried, within this time.
    fn put(&mut self, places: VecDeque<usize>, time: u64) {
        self.stage = Stage::Trying;
        self.delay = DELAY.min(time / places.len() as u64);
        self.fresh = places;
        self.full.clear();
        self.next_at = 0;
    }

    /// The address that is next, and when.
    fn candidate(&self) -> Option<(usize, u64)> {
        let floor = if self.is_alone() { 0 } else { self.next_at };
        let fresh = self.fresh.front().map(|nth| (*nth, floor));
        fresh.or_else(|| self.full.front().map(|(nth, at)| (*nth, floor.max(*at))))
    }

    /// When something has to happen; success and failure are delivered at once.
    pub(crate) fn due(&self) -> u64 {
        match (self.stage, self.candidate()) {
            (Stage::Planned, _) => self.begins_at,
            (Stage::Over, _) => u64::MAX,
            (Stage::Trying, Some((_, at))) => at.min(self.give_up),
            (Stage::Trying, None) if self.is_alone() => 0,
            _ => self.give_up,
        }
    }

    pub(crate) fn addr(&self, nth: usize) -> Addr {
        let line = self.plan.line;
        match self.plan.places[nth].kind {
            PlaceKind::Unix => Addr::Unix(PathBuf::from(format!("/trip/{line}/{nth}"))),
            PlaceKind::V4 => {
                let ip = Ipv4Addr::new(10, 1, line as u8, nth as u8);
                Addr::Ip(SocketAddr::from((ip, 80)))
            }
            PlaceKind::V6 => {
                let ip = Ipv6Addr::new(0xFD00, 1, 0, 0, 0, 0, line as u16, nth as u16);
                Addr::Ip(SocketAddr::from((ip, 80)))
            }
        }
    }

    pub(crate) fn from(&self) -> Option<Addr> {
        self.plan.from.then(|| Addr::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
    }

    /// The address of our end, where that is the one that was connected to.
    pub(super) fn itself(&self, n: u32) -> Option<Addr> {
        let one = self.tries.iter().find(|one| one.line.descriptor == n)?;
        matches!(self.plan.places[one.nth].fate, Fate::Itself).then(|| self.addr(one.nth))
    }

    /// One address cannot be connected to: the next one has its turn.
    fn fail(&mut self, nth: usize, kind: io::ErrorKind, now: u64) {
        self.last = Some(kind);
        self.next_at = 0;
        if kind == io::ErrorKind::WouldBlock {
            self.full.push_back((nth, now + RETRY));
        }
    }

    /// What connect(2) says about an address.
    fn answer(&mut self, nth: usize, calm: bool) -> Option<i32> {
        match self.plan.places[nth].fate {
            Fate::Refuses(errno) => Some(errno),
            Fate::Full(times) if self.was_full < times && !calm => {
                self.was_full += 1;
                Some(libc::EAGAIN)
            }
            _ => None,
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}
