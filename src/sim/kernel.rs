//! The simulated kernel: descriptors, byte queues, the backlog, faults, and the edge rules of epoll.
//!
//! What it says at each call is what Linux says; where Linux leaves a choice, the script has made
//! it. It also knows everything that must hold for the calls themselves, and notes the first thing
//! that does not in [`Simulated::failure`].

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use mio::Token;

use super::connection::{Made, SimConnection};
use super::datagram_socket::{DatagramCounters, SimDatagramSocket};
use super::events::Ready;
use super::outgoing::{Outgoing, line_of};
use super::random::Random;
use crate::id::SocketId;
use crate::options::Options;
use crate::stats::CloseReason;

mod calls;

use calls::BACKLOG;

/// Which call a fault meets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Call {
    Read,
    Write,
    Accept,
    Connect,
    Register,
    ReceivePackets,
    SendPackets,
}

pub(crate) struct Simulated {
    pub(crate) options: Options,
    pub(crate) lines: Vec<Option<SimConnection>>,
    pub(crate) backlog: VecDeque<u32>,
    pub(crate) listener: Option<Token>,
    pub(super) listener_edge: bool,
    /// What was ready and did not fit into the last poll, in this order.
    pub(super) ready: Vec<Ready>,
    /// The rounds that a turn may have: one more when deadlines are due.
    pub(super) rounds: usize,
    pub(crate) ports: Vec<Option<SimDatagramSocket>>,
    pub(crate) counters: DatagramCounters,
    pub(crate) trips: Vec<Outgoing>,
    pub(crate) limit: usize,
    pub(crate) open: usize,
    /// Errors for the next calls of each kind.
    pub(crate) faults: Vec<(Call, i32)>,
    pub(crate) now: u64,
    /// What handlers draw from.
    pub(crate) random: Random,
    pub(crate) failure: Option<String>,
    accepts: usize,
    /// The last `accept` said that the system is short of something.
    pub(crate) short_of_something: bool,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) accepted: u64,
    pub(crate) connected: u64,
    /// Counts what brings the world forward; a loop that does none of it again and again spins.
    pub(crate) progress: u64,
    pub(crate) draining: bool,
    /// An owner of timers: a connection that is opened for it owes no answer.
    pub(crate) clock: Option<SocketId>,
    /// Which addresses of this machine the server has met where it suspected itself.
    pub(crate) met: BTreeSet<usize>,
    /// The grace of a shutdown is over.
    pub(crate) grace_over: bool,
    /// Whoever is bound is to close.
    pub(crate) server_closed: bool,
    /// Panics and such are drawn only while this is set.
    pub(crate) calm: bool,
}

impl Simulated {
    pub(crate) fn new(options: Options, peers: usize) -> Simulated {
        Simulated {
            options,
            lines: (0..peers).map(|_| None).collect(),
            backlog: VecDeque::new(),
            listener: None,
            listener_edge: false,
            ready: Vec::new(),
            rounds: 1,
            ports: Vec::new(),
            counters: DatagramCounters::default(),
            met: BTreeSet::new(),
            trips: Vec::new(),
            limit: usize::MAX,
            open: 0,
            faults: Vec::new(),
            now: 0,
            random: Random::new(0),
            failure: None,
            accepts: 0,
            short_of_something: false,
            bytes_out: 0,
            bytes_sent: 0,
            accepted: 0,
            connected: 0,
            progress: 0,
            draining: false,
            clock: None,
            grace_over: false,
            server_closed: false,
            calm: false,
        }
    }

    /// Notes what went wrong first.
    pub(crate) fn fail(&mut self, what: impl FnOnce() -> String) {
        if self.failure.is_none() {
            self.failure = Some(what());
        }
    }

    pub(crate) fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(what);
        }
    }

    /// The line of this number, or the socket of this descriptor for a connection in the making.
    pub(crate) fn line(&mut self, n: u32) -> &mut SimConnection {
        let nth = line_of(n) as usize;
        let is_tried = nth != n as usize && self.one_try(n).is_some();
        if is_tried {
            return &mut self.one_try(n).expect("it was there").line;
        }
        self.lines[nth].as_mut().expect("only lines that came are named")
    }

    /// All sockets of streams, those of connections in the making included.
    pub(super) fn sockets_mut(&mut self) -> impl Iterator<Item = &mut SimConnection> {
        let tries = self.trips.iter_mut().flat_map(|trip| &mut trip.tries);
        self.lines.iter_mut().flatten().chain(tries.map(|one| &mut one.line))
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = (u32, &SimConnection)> {
        self.lines.iter().enumerate().filter_map(|(n, line)| {
            let line = line.as_ref().filter(|line| line.open)?;
            Some((n as u32, line))
        })
    }

    // What the peers do.

    pub(crate) fn connect(&mut self, n: u32, (unix, buffer, step): (bool, u64, u64)) {
        let full = self.backlog.len() >= BACKLOG;
        if let Some(place @ None) = self.lines.get_mut(n as usize).filter(|_| !full) {
            *place = Some(SimConnection::new(n, unix, buffer, step));
            self.backlog.push_back(n);
            self.listener_edge = true;
        }
    }

    /// The lines of a peer that has connected and is not forgotten: several of them, while it is not
    /// decided which one will be taken.
    fn peer(&mut self, n: u32) -> impl Iterator<Item = &mut SimConnection> {
        let waits = self.backlog.contains(&n);
        let stands =
            move |line: &&mut SimConnection| line.open && line.made == Made::Stands || waits;
        let tries = self.trips.iter_mut().filter(move |trip| trip.plan.line == n);
        let tries = tries.flat_map(|trip| &mut trip.tries).map(|one| &mut one.line);
        self.lines
            .get_mut(n as usize)
            .and_then(Option::as_mut)
            .into_iter()
            .chain(tries)
            .filter(stands)
    }

    pub(crate) fn send(&mut self, n: u32, len: u64) {
        let now = self.now;
        for line in self.peer(n).filter(|line| line.talks()) {
            line.arrive(len, now);
        }
    }

    pub(crate) fn send_urgent(&mut self, n: u32) {
        for line in self.peer(n).filter(|line| line.talks() && !line.unix) {
            line.urgent = Some(line.came);
            line.edge |= !line.ignores_input;
        }
    }

    pub(crate) fn pass(&mut self, n: u32, len: u64) {
        let now = self.now;
        for line in self.peer(n).filter(|line| line.talks() && line.unix) {
            line.passed.push_back((line.came, line.came + len));
            line.arrive(len, now);
        }
    }

    pub(crate) fn end(&mut self, n: u32) {
        for line in self.peer(n).filter(|line| line.talks()) {
            line.ended = true;
            line.edge = true;
        }
    }

    pub(crate) fn reset(&mut self, n: u32) {
        for line in self.peer(n).filter(|line| !line.reset) {
            line.reset = true;
            line.error_due = true;
            line.edge = true;
        }
    }

    pub(crate) fn receive(&mut self, n: u32, len: u64) {
        let now = self.now;
        let Some(line) = self.lines.get_mut(n as usize).and_then(Option::as_mut) else { return };
        let len = len.min(line.taken - line.got);
        line.get(len, now);
        // A Unix socket wakes its writer at every read of the peer, TCP only a writer that would have blocked.
        let wakes = if line.unix { line.asks_for_room } else { line.refused };
        if len > 0 && wakes && line.is_writable() {
            line.refused = false;
            line.edge = true;
        }
    }

    /// The budgets of a turn begin anew.
    pub(crate) fn begin_turn(&mut self, is_deadline_due: bool) {
        self.rounds = 1 + usize::from(is_deadline_due);
        self.accepts = 0;
        for line in self.lines.iter_mut().flatten() {
            line.reads = 0;
            line.writes = 0;
        }
        for port in self.ports.iter_mut().flatten() {
            port.begin_turn();
        }
    }

    pub(super) fn fault(&mut self, call: Call) -> Option<i32> {
        let nth = self.faults.iter().position(|(of, _)| *of == call)?;
        Some(self.faults.swap_remove(nth).1)
    }

    /// What closing with input unread means for what is on its way to the peer.
    fn check_close(&mut self, n: u32) {
        let lingered = self.lingered_enough(n);
        let draining = self.draining;
        let line = self.line(n);
        let lost = line.page.sent - line.taken;
        let told = line.server_reset || line.reset || line.broken;
        // A peer that is cut off is owed no answer.
        let owed = matches!(
            line.page.reason,
            Some(
                CloseReason::Closed
                    | CloseReason::HandlerError
                    | CloseReason::Panicked
                    | CloseReason::InputLimit
            )
        );
        let destroys = owed && line.came > line.read && line.taken > line.got;
        let lingers = owed && line.lingers_since().is_some() && !line.end_read && !draining;
        self.check(lost == 0 || told, || format!("{n}: {lost} bytes were lost, and nobody told"));
        self.check(!destroys || told || lingered || draining, || {
            format!("{n}: closed with input unread, which destroys the answer on its way")
        });
        self.check(!lingers || told || lingered, || format!("{n}: lingered for too short a time"));
    }

    /// Whether one that lingers may go although its peer has not ended.
    fn lingered_enough(&self, n: u32) -> bool {
        let passed = |since: u64, time: Duration| self.now >= since + time.as_nanos() as u64;
        let since = |line: &SimConnection| line.lingers_since();
        let Some(line) = self.lines[line_of(n) as usize].as_ref() else { return false };
        let Some(began) = since(line) else { return false };
        let is_silent = passed(began.max(line.in_vain_at), self.options.linger_timeout);
        let ends =
            passed(began, self.options.linger_time) || is_silent && line.unacknowledged() == 0;
        // The oldest goes when they are too many, or others need the room.
        let others: Vec<u64> = self.live().filter_map(|(_, line)| since(line)).collect();
        let count = others.len();
        let is_oldest = others.iter().all(|other| began <= *other);
        let too_many = count > self.options.max_lingering
            || self.connections() >= self.options.max_connections
            || self.short_of_something;
        ends || is_oldest && too_many
    }
}

/// A handler may send straight to the system four times in a turn, and a write that a signal has
/// interrupted is tried again.
const MAX_DIRECT_WRITES: usize = 5;

/// The stream of bytes from a peer, and the one to it.
pub(crate) fn input_of(n: u32) -> u32 {
    2 * line_of(n)
}

pub(crate) fn output_of(n: u32) -> u32 {
    2 * line_of(n) + 1
}
