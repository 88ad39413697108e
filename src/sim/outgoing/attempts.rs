//! The attempts of outgoing connections, as the simulated kernel sees them.

use std::io;

use super::{Fate, LINES, Outgoing, Place, PlaceKind, Stage, Try, line_of};
use crate::addr::Addr;
use crate::sim::connection::{Made, SimConnection};
use crate::sim::kernel::{Call, Simulated};

impl Simulated {
    /// The trip of a line, if it is one.
    pub(crate) fn trip(&mut self, n: u32) -> Option<&mut Outgoing> {
        self.trips.iter_mut().find(|trip| trip.plan.line == line_of(n))
    }

    /// The socket of this descriptor, while its connection does not stand.
    pub(in crate::sim) fn one_try(&mut self, n: u32) -> Option<&mut Try> {
        let tries = &mut self.trip(n)?.tries;
        tries.iter_mut().find(|one| one.line.descriptor == n)
    }

    /// The same, to look at.
    pub(in crate::sim) fn socket(&self, n: u32) -> Option<&SimConnection> {
        let trip = self.trips.iter().find(|trip| trip.plan.line == line_of(n));
        let tries = trip.into_iter().flat_map(|trip| &trip.tries).map(|one| &one.line);
        let mut all = tries.filter(|line| line.descriptor == n);
        all.next().or_else(|| self.lines[line_of(n) as usize].as_ref())
    }

    /// The close of a socket of a connection that does not stand, if that is what it is.
    pub(in crate::sim) fn close_try(&mut self, n: u32) -> bool {
        let Some(trip) = self.trip(n) else { return false };
        let Some(nth) = trip.tries.iter().position(|one| one.line.descriptor == n) else {
            return false;
        };
        let Try { nth, line, told } = trip.tries.remove(nth);
        let met_itself = matches!(trip.plan.places[nth].fate, Fate::Itself);
        let live = trip.is_live();
        let adopted = self.lines[line_of(n) as usize].as_ref().is_some_and(|line| line.open);
        self.check(told || adopted || !live, || format!("{n}: it was given up for no reason"));
        // Otherwise the port would be taken for a minute.
        self.check(!met_itself || line.server_reset, || format!("{n}: met itself, and no reset"));
        true
    }

    /// How many connections there are, those in the making included.
    pub(crate) fn connections(&self) -> usize {
        let unopened = |trip: &&Outgoing| {
            let line = self.lines[trip.plan.line as usize].as_ref();
            trip.is_live() && line.is_some_and(|line| !line.open)
        };
        self.live().count() + self.trips.iter().filter(unopened).count()
    }

    /// Whose address this is, and which of its addresses.
    fn place(&self, addr: &Addr) -> (usize, usize) {
        let of = |trip: &Outgoing| (0..trip.plan.places.len()).find(|nth| trip.addr(*nth) == *addr);
        let found = self.trips.iter().enumerate().find_map(|(k, trip)| Some((k, of(trip)?)));
        found.expect("only addresses of trips are connected to")
    }

    /// connect(2).
    pub(in crate::sim) fn reach(&mut self, to: &Addr, from: Option<&Addr>) -> io::Result<u32> {
        let (k, nth) = self.place(to);
        let (now, calm, timeout) = (self.now, self.calm, self.options.connect_timeout);
        self.trips[k].note_time(now, timeout);
        self.check_reach(k, nth, from);
        self.progress += 1;
        let full = self.open >= self.limit;
        let fault = self.fault(Call::Connect).or(full.then_some(libc::EMFILE));
        let trip = &mut self.trips[k];
        trip.tried += 1;
        if trip.fresh.pop_front().is_none() {
            trip.full.pop_front();
        }
        trip.next_at = now + trip.delay;
        if let Some(errno) = fault.or_else(|| trip.answer(nth, calm)) {
            let error = io::Error::from_raw_os_error(errno);
            trip.fail(nth, error.kind(), now);
            return Err(error);
        }
        trip.opened += 1;
        let Place { kind, fate } = trip.plan.places[nth];
        let n = trip.plan.line | trip.opened << LINES;
        let is_itself = matches!(fate, Fate::Itself);
        let mut line = SimConnection::under_way(
            n,
            kind == PlaceKind::Unix,
            trip.nature.buffer,
            trip.nature.step,
        );
        if kind == PlaceKind::Unix || is_itself || matches!(fate, Fate::AtOnce) {
            line.establish(now);
        }
        trip.tries.push(Try { nth, line, told: is_itself });
        if is_itself {
            // A handler that looks at both ends is told so at once.
            trip.fail(nth, io::ErrorKind::ConnectionRefused, now);
        }
        self.open += 1;
        Ok(n)
    }

    /// In order, in time, none twice, none once it is over or another one is established.
    pub(in crate::sim) fn check_reach(&mut self, k: usize, nth: usize, from: Option<&Addr>) {
        let now = self.now;
        let trip = &self.trips[k];
        let n = trip.plan.line;
        let line = self.lines[n as usize].as_ref().expect("it was begun");
        let page = &line.page;
        let over = page.set_up || page.reason.is_some() || page.gives_up();
        let stands = trip
            .tries
            .iter()
            .any(|one| !one.told && one.line.made == Made::Stands && !one.line.reset);
        let (stage, candidate) = (trip.stage, trip.candidate());
        let in_time = stage == Stage::Trying && now < trip.give_up;
        let next = candidate.is_some_and(|(next, at)| next == nth && at <= now);
        let right = from == trip.from().as_ref();
        self.check(!over, || format!("{n}: address {nth} is tried, and all is over"));
        self.check(!stands, || format!("{n}: address {nth} is tried, and another one stands"));
        self.check(in_time, || format!("{n}: address {nth} is tried at the wrong time: {stage:?}"));
        self.check(next && right, || {
            format!("{n}: address {nth} is tried at {now} from {from:?}, and not {candidate:?}")
        });
    }

    /// Somebody was told why a connection that does not stand never will, at this address.
    pub(in crate::sim) fn note_failure(&mut self, n: u32, kind: io::ErrorKind) {
        let now = self.now;
        let Some(trip) = self.trip(n) else { return };
        let Some(one) = trip.tries.iter_mut().find(|one| one.line.descriptor == n) else { return };
        one.told = true;
        let nth = one.nth;
        // To be full is said by connect(2) alone.
        let kind = if kind == io::ErrorKind::WouldBlock { io::ErrorKind::Other } else { kind };
        trip.fail(nth, kind, now);
    }

    /// A handler was told that this one is established, so it is the one.
    pub(in crate::sim) fn adopt(&mut self, n: u32) {
        let k = line_of(n) as usize;
        let now = self.now;
        let Some(trip) = self.trips.iter_mut().find(|trip| trip.plan.line as usize == k) else {
            return;
        };
        let Some(nth) = trip.tries.iter().position(|one| one.line.descriptor == n) else { return };
        let Try { mut line, .. } = trip.tries.remove(nth);
        line.page = self.lines[k].take().map(|line| line.page).unwrap_or_default();
        if line.page.closed {
            // There is no `setup`: only what was sent before the close is left to do.
            line.page.set_up = true;
            line.moved_at = now;
            trip.stage = Stage::Over;
        }
        self.lines[k] = Some(line);
    }

    /// An answer to all that are under way, if there will ever be one.
    pub(crate) fn answer(&mut self, k: usize) {
        let now = self.now;
        let Some(trip) = self.trips.get_mut(k).filter(|trip| trip.is_live()) else { return };
        for one in &mut trip.tries {
            if one.line.made == Made::UnderWay {
                match trip.plan.places[one.nth].fate {
                    Fate::Fails(errno) => one.line.refuse(errno),
                    Fate::Silent => {}
                    _ => one.line.establish(now),
                }
            }
        }
    }

    /// Whether an outgoing connection that was never established may end so.
    pub(in crate::sim) fn is_unreached(&mut self, n: u32, kind: Option<io::ErrorKind>) -> bool {
        let (now, draining) = (self.now, self.draining);
        let Some(line) = self.lines[n as usize].as_ref() else { return false };
        let page = &line.page;
        let stopped = page.closed || page.aborted || draining;
        if page.set_up || stopped && kind == Some(io::ErrorKind::ConnectionAborted) {
            return !page.set_up;
        }
        let Some(trip) = self.trips.iter().find(|trip| trip.plan.line == n) else { return false };
        let in_time = trip.tries.iter().any(|one| one.line.stood_before(trip.give_up));
        let passed = kind == Some(io::ErrorKind::TimedOut) && trip.give_up <= now && !in_time;
        match trip.stage {
            _ if trip.unwatched.is_some() => kind == trip.unwatched,
            Stage::LookingUp => passed,
            Stage::Trying => passed || trip.is_refused() && kind == trip.last,
            Stage::Planned | Stage::Over => false,
        }
    }
}
