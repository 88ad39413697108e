//! One outgoing connection of a simulated run: where it is to go, and how far it has come.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::kernel::{Call, Simulated};
use super::line::{Line, Made};
use super::script::Nature;
use crate::addr::Addr;

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
    pub(crate) unix: bool,
    pub(crate) fate: Fate,
}

/// What an address answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// connect(2) itself says so.
    Refuses(i32),
    /// It stands before anybody asks.
    AtOnce,
    /// It is under way, and will stand.
    Later,
    /// It is under way, and will fail.
    Fails(i32),
    /// It is under way for ever.
    Silent,
    /// A Unix server whose backlog is full so many times.
    Full(u32),
}

/// How the addresses are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Named {
    Address,
    /// By a name.
    Name,
    /// By a name that nobody knows.
    Unknown,
}

/// What it waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// Its time, or perhaps its name.
    Planned,
    /// Its name, since then.
    LookingUp(u64),
    /// Nothing: the next address is due.
    Next,
    /// An answer, since then.
    Trying(u64),
    /// Room in a backlog; when that was asked for first, and last.
    Full(u64, u64),
    /// It stands, or has ended.
    Over,
}

#[derive(Debug)]
pub(crate) struct Trip {
    pub(crate) plan: Plan,
    pub(crate) nature: Nature,
    pub(crate) begun: bool,
    pub(crate) stage: Stage,
    begins_at: u64,
    /// Whether its addresses are known; `None` until that is said.
    pub(crate) found: Option<bool>,
    /// That is on its way.
    pub(crate) answered: bool,
    /// How many addresses were tried.
    pub(crate) tried: usize,
    /// How often a backlog was full.
    full: u32,
    /// The last failure.
    pub(crate) last: Option<io::ErrorKind>,
    /// How many descriptors it has had.
    opened: u32,
    /// So many turns something is overdue.
    pub(crate) late: u32,
}

/// How long a full backlog is waited out before the next try.
const RETRY: u64 = 10_000_000;

/// What is said of a name that nobody knows.
pub(crate) const UNKNOWN: io::ErrorKind = io::ErrorKind::NotFound;

/// The lower bits of a descriptor are the number of its line, those above count what was opened
/// for it: the next one is there before the last one is closed.
const LINES: u32 = 16;

/// The line of a descriptor.
pub(crate) fn line_of(n: u32) -> u32 {
    n & ((1 << LINES) - 1)
}

impl Trip {
    pub(crate) fn new(plan: Plan, nature: Nature) -> Trip {
        Trip {
            plan,
            nature,
            begun: false,
            stage: Stage::Over,
            begins_at: 0,
            found: None,
            answered: false,
            tried: 0,
            full: 0,
            last: None,
            opened: 0,
            late: 0,
        }
    }

    /// Whether no address is left.
    pub(crate) fn is_refused(&self) -> bool {
        self.stage == Stage::Next && self.tried == self.plan.places.len()
    }

    /// Whether it is on its way.
    pub(crate) fn is_live(&self) -> bool {
        self.begun && self.stage != Stage::Over
    }

    /// Somebody begins it.
    pub(crate) fn begin(&mut self, now: u64) {
        let by_address = self.plan.named == Named::Address;
        self.begun = true;
        self.begins_at = now + nanoseconds(self.plan.after);
        self.found = by_address.then_some(true);
        self.stage = match by_address {
            _ if !self.plan.after.is_zero() => Stage::Planned,
            true => Stage::Next,
            false => Stage::LookingUp(now),
        };
        (self.tried, self.last) = (0, None);
    }

    /// Once its time has come, only its name is waited for.
    pub(crate) fn note_time(&mut self, now: u64) {
        if self.stage == Stage::Planned && self.begins_at <= now && self.found.is_none() {
            self.stage = Stage::LookingUp(now);
        }
    }

    /// When something has to happen; a failure is followed by the next address at once.
    pub(crate) fn due(&self, timeout: Duration) -> u64 {
        let timeout = nanoseconds(timeout);
        match self.stage {
            Stage::Planned => self.begins_at,
            Stage::LookingUp(since) | Stage::Trying(since) => since + timeout,
            Stage::Full(first, last) => (last + RETRY).min(first + timeout),
            Stage::Next | Stage::Over => 0,
        }
    }

    pub(crate) fn addr(&self, nth: usize) -> Addr {
        let line = self.plan.line;
        if self.plan.places[nth].unix {
            return Addr::Unix(PathBuf::from(format!("/trip/{line}/{nth}")));
        }
        Addr::Ip(SocketAddr::from((Ipv4Addr::new(10, 1, line as u8, nth as u8), 80)))
    }

    pub(crate) fn from(&self) -> Option<Addr> {
        self.plan.from.then(|| Addr::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
    }

    /// One address cannot be connected to.
    pub(super) fn fail(&mut self, kind: io::ErrorKind, now: u64) {
        self.last = Some(kind);
        let waits = kind == io::ErrorKind::WouldBlock && self.tried == self.plan.places.len();
        self.stage = match self.stage {
            Stage::Full(first, _) if waits => Stage::Full(first, now),
            _ if waits => Stage::Full(now, now),
            _ => Stage::Next,
        };
    }

    /// What connect(2) says about an address.
    fn answer(&mut self, nth: usize, calm: bool) -> Option<i32> {
        match self.plan.places[nth].fate {
            Fate::Refuses(errno) => Some(errno),
            Fate::Full(times) if self.full < times && !calm => {
                self.full += 1;
                Some(libc::EAGAIN)
            }
            _ => None,
        }
    }
}

impl Simulated {
    /// The trip of a line, if it is one.
    pub(crate) fn trip(&mut self, n: u32) -> Option<&mut Trip> {
        self.trips.iter_mut().find(|trip| trip.plan.line == line_of(n))
    }

    /// How many outgoing connections have no descriptor.
    pub(crate) fn unopened(&self) -> usize {
        let unopened = |trip: &&Trip| {
            let line = self.lines[trip.plan.line as usize].as_ref();
            trip.is_live() && line.is_some_and(|line| !line.open)
        };
        self.trips.iter().filter(unopened).count()
    }

    /// connect(2).
    pub(super) fn reach(&mut self, to: &Addr, from: Option<&Addr>) -> io::Result<u32> {
        let of = |trip: &Trip| (0..trip.plan.places.len()).find(|nth| trip.addr(*nth) == *to);
        let found = self.trips.iter().enumerate().find_map(|(k, trip)| Some((k, of(trip)?)));
        let (k, nth) = found.expect("only addresses of trips are connected to");
        self.check_reach(k, nth, from);
        self.progress += 1;
        let (now, calm, full) = (self.now, self.calm, self.open >= self.limit);
        let fault = self.fault(Call::Connect).or(full.then_some(libc::EMFILE));
        let trip = &mut self.trips[k];
        trip.tried = nth + 1;
        if let Some(errno) = fault.or_else(|| trip.answer(nth, calm)) {
            let error = io::Error::from_raw_os_error(errno);
            trip.fail(error.kind(), now);
            return Err(error);
        }
        trip.stage = Stage::Trying(now);
        trip.opened += 1;
        let Place { unix, fate } = trip.plan.places[nth];
        let n = trip.plan.line | trip.opened << LINES;
        let stands = unix || matches!(fate, Fate::AtOnce);
        let line = self.line(n);
        line.begin_again(n, unix);
        if stands {
            line.establish(now);
        }
        self.open += 1;
        Ok(n)
    }

    /// In order, in time, none twice, and none once it is over.
    fn check_reach(&mut self, k: usize, nth: usize, from: Option<&Addr>) {
        let (now, draining, timeout) = (self.now, self.draining, self.options.connect_timeout);
        let trip = &self.trips[k];
        let n = trip.plan.line;
        let (due, stage) = (trip.due(timeout), trip.stage);
        let line = self.lines[n as usize].as_ref().expect("it was begun");
        let page = &line.page;
        let over = page.set_up || page.reason.is_some() || page.closed || page.aborted;
        let in_time = match stage {
            Stage::Planned => due <= now && trip.found == Some(true) && !draining,
            Stage::LookingUp(_) => trip.found == Some(true) && !draining,
            Stage::Next => true,
            Stage::Trying(_) => due <= now && !line.stood_before(due),
            Stage::Full(..) => due <= now,
            Stage::Over => false,
        };
        let next = trip.tried - usize::from(matches!(stage, Stage::Full(..)));
        let tried = trip.tried;
        let right = nth == next && from == trip.from().as_ref();
        self.check(!over, || format!("{n}: address {nth} is tried, and all is over"));
        self.check(in_time, || format!("{n}: address {nth} is tried too early: {stage:?}"));
        self.check(right, || format!("{n}: address {nth} is tried after {tried}, from {from:?}"));
        if let Stage::Trying(_) = stage {
            self.trips[k].last = Some(io::ErrorKind::TimedOut);
        }
    }

    /// A connection that does not stand was told why it never will, at this address.
    pub(super) fn note_failure(&mut self, n: u32, kind: io::ErrorKind) {
        let now = self.now;
        let set_up = self.line(n).page.set_up;
        if let Some(trip) = self.trip(n).filter(|trip| trip.is_live() && !set_up) {
            trip.fail(kind, now);
        }
    }

    /// The system would not watch it, which ends it.
    pub(super) fn abandon(&mut self, n: u32, kind: io::ErrorKind) {
        if let Some(trip) = self.trip(n) {
            trip.tried = trip.plan.places.len();
            (trip.stage, trip.last) = (Stage::Next, Some(kind));
        }
    }

    /// An answer to a connection that is under way, if there will ever be one.
    pub(crate) fn answer(&mut self, k: usize) {
        let now = self.now;
        let Some(trip) = self.trips.get(k).filter(|trip| trip.is_live() && trip.tried > 0) else {
            return;
        };
        let (n, fate) = (trip.plan.line, trip.plan.places[trip.tried - 1].fate);
        let line = self.line(n);
        if !line.open || line.made != Made::UnderWay {
            return;
        }
        match fate {
            Fate::Fails(errno) => line.refuse(errno),
            Fate::Silent => {}
            _ => line.establish(now),
        }
    }

    /// Whether an outgoing connection that never stood may end so.
    pub(super) fn is_unreached(&mut self, n: u32, kind: Option<io::ErrorKind>) -> bool {
        let (now, draining, timeout) = (self.now, self.draining, self.options.connect_timeout);
        let Some(line) = self.lines[n as usize].as_ref() else { return false };
        let Line { page, .. } = line;
        let stopped = page.closed || page.aborted || draining;
        if page.set_up || stopped && kind == Some(io::ErrorKind::ConnectionAborted) {
            return !page.set_up;
        }
        let Some(trip) = self.trips.iter().find(|trip| trip.plan.line == n) else { return false };
        let due = trip.due(timeout);
        let passed = kind == Some(io::ErrorKind::TimedOut) && due <= now;
        let all_tried = trip.tried == trip.plan.places.len();
        match trip.stage {
            _ if trip.found == Some(false) => kind == Some(UNKNOWN),
            Stage::Next => all_tried && kind == trip.last,
            Stage::LookingUp(_) => passed,
            Stage::Trying(_) => passed && all_tried && !line.stood_before(due),
            Stage::Full(first, _) => passed && first + nanoseconds(timeout) <= now,
            Stage::Planned | Stage::Over => false,
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}
