//! Scripts by hand, and every short script against a plain model.

use std::net::SocketAddr;

use super::*;

const MS: u64 = 1_000_000;
const TIMEOUT: u64 = 2_000 * MS;

fn addr(n: u16) -> Addr {
    Addr::Ip(SocketAddr::from(([127, 0, 0, 1], n)))
}

fn to(count: u16) -> Connector {
    Connector::to_addrs(0, TIMEOUT, (0..count).map(addr).collect())
}

fn refused() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

/// What it says, in a form that can be compared.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Said {
    LookUp,
    Open(u32, Addr),
    Drop(u32),
    Wait(u64),
    Fail(io::ErrorKind),
}

fn said(connector: &mut Connector, now: u64) -> Said {
    match connector.next(now) {
        Next::Resolve => Said::LookUp,
        Next::Open(number, addr) => Said::Open(number, addr),
        Next::Abandon(number) => Said::Drop(number),
        Next::Wait(at) => Said::Wait(at),
        Next::Fail(error) => Said::Fail(error.kind()),
    }
}

#[test]
fn the_next_address_begins_beside_one_that_does_not_answer() {
    let mut it = to(3);
    assert_eq!(said(&mut it, 0), Said::Open(0, addr(0)));
    assert_eq!(said(&mut it, 0), Said::Wait(ATTEMPT_DELAY));
    assert_eq!(said(&mut it, ATTEMPT_DELAY - 1), Said::Wait(ATTEMPT_DELAY));
    assert_eq!(said(&mut it, ATTEMPT_DELAY), Said::Open(1, addr(1)));
    assert_eq!(said(&mut it, ATTEMPT_DELAY), Said::Wait(2 * ATTEMPT_DELAY));
    // A failure is followed by the next address at once.
    it.failed(0, refused());
    assert_eq!(said(&mut it, ATTEMPT_DELAY + 1), Said::Open(2, addr(2)));
    assert_eq!(said(&mut it, ATTEMPT_DELAY + 1), Said::Wait(TIMEOUT));
    it.failed(2, refused());
    assert_eq!(said(&mut it, TIMEOUT - 1), Said::Wait(TIMEOUT));
    assert_eq!(said(&mut it, TIMEOUT), Said::Fail(io::ErrorKind::TimedOut));
}

#[test]
fn when_all_have_failed_the_last_failure_is_told() {
    let mut it = to(2);
    for n in 0..2 {
        assert_eq!(said(&mut it, 0), Said::Open(n, addr(n as u16)));
        it.failed(n, if n == 1 { io::ErrorKind::NetworkUnreachable.into() } else { refused() });
    }
    assert_eq!(said(&mut it, 0), Said::Fail(io::ErrorKind::NetworkUnreachable));
    assert_eq!(said(&mut to(0), 0), Said::Fail(io::ErrorKind::InvalidInput));
}

#[test]
fn a_name_is_looked_up_when_its_time_has_come_and_counts_against_the_timeout() {
    let mut it = Connector::to_name(5 * MS, TIMEOUT);
    assert_eq!(said(&mut it, 0), Said::Wait(5 * MS));
    it.resolved(0, Err(refused()));
    assert_eq!(said(&mut it, 5 * MS), Said::LookUp, "it was not asked before");
    assert_eq!(said(&mut it, 5 * MS), Said::Wait(5 * MS + TIMEOUT));
    it.resolved(6 * MS, Ok(vec![addr(1)]));
    assert_eq!(said(&mut it, 6 * MS), Said::Open(0, addr(1)));
    assert_eq!(said(&mut it, 6 * MS), Said::Wait(5 * MS + TIMEOUT));
    let mut late = Connector::to_name(0, TIMEOUT);
    assert_eq!(said(&mut late, 0), Said::LookUp);
    assert_eq!(said(&mut late, TIMEOUT), Said::Fail(io::ErrorKind::TimedOut));
}

#[test]
fn a_full_backlog_is_tried_again_behind_the_others() {
    let full = || io::Error::from(io::ErrorKind::WouldBlock);
    let mut it = to(2);
    assert_eq!(said(&mut it, 0), Said::Open(0, addr(0)));
    it.backlog_full(0, 0, addr(0), full());
    assert_eq!(said(&mut it, 0), Said::Open(1, addr(1)));
    it.failed(1, refused());
    assert_eq!(said(&mut it, 0), Said::Wait(BACKLOG_RETRY));
    assert!(!it.is_waiting());
    assert_eq!(said(&mut it, BACKLOG_RETRY), Said::Open(2, addr(0)));
    it.backlog_full(BACKLOG_RETRY, 2, addr(0), full());
    let Next::Fail(error) = it.next(TIMEOUT) else { panic!("its time is over") };
    assert!(error.to_string().contains("backlog"), "{error}");
}

#[test]
fn where_time_is_short_each_address_has_its_turn() {
    let mut it = Connector::to_addrs(0, 40 * MS, (0..4).map(addr).collect());
    for n in 0..4 {
        assert_eq!(said(&mut it, u64::from(n) * 10 * MS), Said::Open(n, addr(n as u16)));
    }
}

#[test]
fn so_many_are_under_way_and_the_oldest_makes_way() {
    let mut it = to(MAX_IN_PROGRESS as u16 + 1);
    it.deadline = u64::MAX;
    it.timeout = u64::MAX;
    let mut now = 0;
    for n in 0..MAX_IN_PROGRESS {
        assert_eq!(said(&mut it, now), Said::Open(n as u32, addr(n as u16)));
        now += ATTEMPT_DELAY;
    }
    assert_eq!(said(&mut it, now), Said::Drop(0));
    assert_eq!(
        said(&mut it, now),
        Said::Open(MAX_IN_PROGRESS as u32, addr(MAX_IN_PROGRESS as u16))
    );
    it.failed(0, refused());
    assert_eq!(it.in_progress.len(), MAX_IN_PROGRESS, "it was none of them any more");
}

#[test]
fn the_families_alternate_beginning_with_the_first() {
    let of = |text: &[&str]| -> Vec<Addr> {
        text.iter().map(|text| Addr::Ip(text.parse().unwrap())).collect()
    };
    let all = of(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
    let pick = |order: &[usize]| -> Vec<Addr> { order.iter().map(|n| all[*n].clone()).collect() };
    assert_eq!(alternate(all.clone()), pick(&[0, 3, 1, 4, 2]));
    assert_eq!(alternate(pick(&[3, 4, 0])), pick(&[3, 0, 4]));
    assert_eq!(alternate(pick(&[0, 1])), pick(&[0, 1]));
    assert_eq!(alternate(Vec::new()), Vec::new());
}

// Every order.

/// What happens to a connection in the making.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// The name is resolved to this number of addresses; it is unknown with 0.
    Found(u16),
    /// The oldest, or the newest, of those under way fails.
    OldestFails,
    NewestFails,
    /// The next connect(2) refuses, or finds a backlog full.
    WillRefuse,
    WillBeFull,
    /// Time passes, to just before what is waited for, or to that.
    AlmostDue,
    Due,
}

const ACTS: [Act; 8] = [
    Act::Found(3),
    Act::Found(0),
    Act::OldestFails,
    Act::NewestFails,
    Act::WillRefuse,
    Act::WillBeFull,
    Act::AlmostDue,
    Act::Due,
];

/// The machine, and what a plain reading of the rules knows about it.
struct World {
    it: Connector,
    now: u64,
    began: Option<u64>,
    asked: bool,
    resolved: bool,
    /// Addresses not begun yet, and those with a full backlog with the time of their next try.
    fresh: VecDeque<Addr>,
    full: VecDeque<(Addr, u64)>,
    under_way: Vec<u32>,
    delay: u64,
    /// When the next one may begin beside those under way.
    next_at: u64,
    will: Option<Act>,
    last: Option<io::ErrorKind>,
    waits: u64,
    over: bool,
}

impl World {
    fn new(by_name: bool, begins: u64, timeout: u64) -> World {
        let addrs: Vec<Addr> = (0..3).map(addr).collect();
        let fresh = if by_name { Vec::new() } else { addrs.clone() };
        World {
            it: if by_name {
                Connector::to_name(begins, timeout)
            } else {
                Connector::to_addrs(begins, timeout, addrs)
            },
            now: 0,
            began: None,
            asked: false,
            resolved: !by_name,
            fresh: fresh.into(),
            full: VecDeque::new(),
            under_way: Vec::new(),
            delay: ATTEMPT_DELAY.min(timeout / 3),
            next_at: 0,
            will: None,
            last: None,
            waits: begins,
            over: false,
        }
    }

    fn act(&mut self, act: Act, begins: u64, timeout: u64) {
        match act {
            Act::Found(n) if self.asked && !self.resolved => {
                self.resolved = true;
                let addrs: Vec<Addr> = (0..n).map(addr).collect();
                self.fresh = addrs.clone().into();
                let unknown = io::ErrorKind::NotFound;
                self.last = (n == 0).then_some(unknown);
                let left = self.began.unwrap() + timeout - self.now;
                self.delay = ATTEMPT_DELAY.min(left / u64::from(n.max(1)));
                self.it.resolved(self.now, if n == 0 { Err(unknown.into()) } else { Ok(addrs) });
            }
            Act::Found(_) => return,
            Act::OldestFails | Act::NewestFails => {
                let newest = matches!(act, Act::NewestFails);
                let nth = if newest { self.under_way.len().saturating_sub(1) } else { 0 };
                if nth >= self.under_way.len() {
                    return;
                }
                let number = self.under_way.remove(nth);
                self.fails(io::ErrorKind::ConnectionReset);
                self.it.failed(number, io::ErrorKind::ConnectionReset.into());
            }
            Act::WillRefuse | Act::WillBeFull => {
                self.will = Some(act);
                return;
            }
            Act::AlmostDue => self.now = self.now.max(self.waits.saturating_sub(1)),
            Act::Due => self.now = self.now.max(self.waits),
        }
        self.run(begins, timeout);
    }

    fn fails(&mut self, kind: io::ErrorKind) {
        self.last = Some(kind);
        self.next_at = 0;
    }

    /// When the next address may begin, if there is one.
    fn due(&self) -> Option<(u64, bool)> {
        let floor = if self.under_way.is_empty() { 0 } else { self.next_at };
        if !self.fresh.is_empty() {
            return Some((floor, true));
        }
        self.full.front().map(|(_, at)| (floor.max(*at), false))
    }

    /// Does what it says until it waits, and compares that with the rules.
    fn run(&mut self, begins: u64, timeout: u64) {
        for _ in 0..100 {
            if self.began.is_none() && self.now >= begins {
                self.began = Some(self.now);
            }
            let end = self.began.map_or(u64::MAX, |began| began + timeout);
            let expected = self.expected(begins, end);
            let said = said(&mut self.it, self.now);
            assert_eq!(said, expected, "at {}", self.now);
            match said {
                Said::LookUp => self.asked = true,
                Said::Open(number, addr) => self.open(number, addr),
                Said::Drop(_) => panic!("too few for that"),
                Said::Wait(at) => {
                    assert!(at > self.now, "it would spin");
                    self.waits = at;
                    return;
                }
                Said::Fail(_) => {
                    self.over = true;
                    return;
                }
            }
        }
        panic!("it has no end");
    }

    fn expected(&self, begins: u64, end: u64) -> Said {
        let number = self.it.attempts;
        if self.now < begins {
            return Said::Wait(begins);
        }
        if !self.resolved && !self.asked {
            return Said::LookUp;
        }
        if self.now >= end {
            return Said::Fail(io::ErrorKind::TimedOut);
        }
        match self.due() {
            _ if !self.resolved => Said::Wait(end),
            None if self.under_way.is_empty() => Said::Fail(self.last.unwrap()),
            None => Said::Wait(end),
            Some((at, _)) if at > self.now => Said::Wait(at.min(end)),
            Some((_, true)) => Said::Open(number, self.fresh[0].clone()),
            Some((_, false)) => Said::Open(number, self.full[0].0.clone()),
        }
    }

    fn open(&mut self, number: u32, addr: Addr) {
        if self.fresh.pop_front().is_none() {
            self.full.pop_front();
        }
        self.next_at = self.now + self.delay;
        match self.will.take() {
            Some(Act::WillRefuse) => {
                self.fails(io::ErrorKind::ConnectionRefused);
                self.it.failed(number, io::ErrorKind::ConnectionRefused.into());
            }
            Some(_) => {
                self.fails(io::ErrorKind::WouldBlock);
                self.full.push_back((addr.clone(), self.now + BACKLOG_RETRY));
                self.it.backlog_full(self.now, number, addr, io::ErrorKind::WouldBlock.into());
            }
            None => self.under_way.push(number),
        }
        assert!(!self.it.is_waiting());
    }
}

#[test]
fn whatever_happens_in_whatever_order_each_address_has_its_turn_and_time() {
    const LENGTH: u32 = 6;
    let mut scripts = 0_u64;
    for (by_name, begins) in [(false, 0), (true, 0), (false, 5 * MS), (true, 5 * MS)] {
        for timeout in [3_000 * MS, 30 * MS] {
            for script in 0..(ACTS.len() as u64).pow(LENGTH) {
                let mut world = World::new(by_name, begins, timeout);
                let mut rest = script;
                world.run(begins, timeout);
                for _ in 0..LENGTH {
                    if world.over {
                        break;
                    }
                    world.act(ACTS[(rest % ACTS.len() as u64) as usize], begins, timeout);
                    rest /= ACTS.len() as u64;
                }
                scripts += 1;
            }
        }
    }
    assert_eq!(scripts, 8 * 8_u64.pow(LENGTH));
}
