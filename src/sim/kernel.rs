//! The simulated kernel: descriptors, byte queues, the backlog, faults, and the edge rules of epoll.
//!
//! What it says at each call is what Linux says; where Linux leaves a choice, the script has made
//! it. It also knows everything that must hold for the calls themselves, and notes the first thing
//! that does not in [`Simulated::failure`].

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mio::Token;

use super::connection::{Made, SimConnection};
use super::datagram_socket::{DatagramCounters, SimDatagramSocket};
use super::outgoing::{Outgoing, line_of};
use super::random::{Random, bytes, is_part};
use crate::addr::Addr;
use crate::id::SocketId;
use crate::net::memory::kernel::SimKernel;
use crate::options::Options;
use crate::stats::CloseReason;

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
    pub(crate) ports: Vec<Option<SimDatagramSocket>>,
    pub(crate) post: DatagramCounters,
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
            ports: Vec::new(),
            post: DatagramCounters::default(),
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
        for line in self.peer(n).filter(|line| line.talks()) {
            line.came += len;
            line.edge = true;
        }
    }

    pub(crate) fn send_urgent(&mut self, n: u32) {
        for line in self.peer(n).filter(|line| line.talks() && !line.unix) {
            line.urgent = Some(line.came);
            line.edge = true;
        }
    }

    pub(crate) fn pass(&mut self, n: u32, len: u64) {
        for line in self.peer(n).filter(|line| line.talks() && line.unix) {
            line.passed.push_back((line.came, line.came + len));
            line.came += len;
            line.edge = true;
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
    pub(crate) fn begin_turn(&mut self) {
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

const BACKLOG: usize = 4;

/// Errors of `accept` that are no client's, so that waiting is right.
const SHORTAGES: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];

/// Those with which the client stays in the backlog; with all others it is lost.
const STAYS: [i32; 2] = [libc::EINTR, libc::EPERM];

impl SimKernel for Simulated {
    fn accept(&mut self) -> io::Result<(u32, Addr)> {
        self.accepts += 1;
        let most = self.options.accepts_per_turn;
        self.check(self.accepts <= most, || format!("more than {most} accepts in a turn"));
        if let Some(errno) = self.fault(Call::Accept) {
            self.short_of_something = SHORTAGES.contains(&errno);
            if !self.short_of_something && !STAYS.contains(&errno) {
                self.backlog.pop_front();
            }
            return Err(io::Error::from_raw_os_error(errno));
        }
        self.short_of_something = false;
        if self.backlog.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.open >= self.limit {
            self.short_of_something = true;
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let n = self.backlog.pop_front().unwrap_or_default();
        let now = self.now;
        let line = self.line(n);
        line.open = true;
        line.moved_at = now;
        self.open += 1;
        self.progress += 1;
        let (open, most) = (self.connections(), self.options.max_connections);
        self.check(open <= most, || format!("{open} connections are more than {most}"));
        let draining = self.draining;
        self.check(!draining, || format!("{n} was accepted during a shutdown"));
        Ok((n, Addr::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, n as u16)))))
    }

    fn connect(&mut self, to: &Addr, from: Option<&Addr>) -> io::Result<u32> {
        self.reach(to, from)
    }

    fn register_listener(&mut self, token: Token) -> io::Result<()> {
        self.listener = Some(token);
        self.listener_edge = !self.backlog.is_empty();
        Ok(())
    }

    fn register(&mut self, n: u32, token: Token, room: bool) -> io::Result<()> {
        if let Some(errno) = self.fault(Call::Register) {
            // Nothing was promised to it yet.
            self.line(n).broken = true;
            let error = io::Error::from_raw_os_error(errno);
            self.note_failure(n, error.kind());
            return Err(error);
        }
        self.accepted += u64::from(!self.line(n).outgoing);
        let known = self.one_try(n).is_some_and(|one| one.told);
        self.check(!known, || format!("{n}: it met itself, and is watched"));
        let line = self.line(n);
        line.token = Some(token);
        line.asks_for_room = room;
        line.edge = true;
        self.line(line_of(n)).page.id = Some(SocketId::from_token(token));
        Ok(())
    }

    fn reports_writable(&self, n: u32) -> bool {
        !self.socket(n).is_some_and(|line| line.unix)
    }

    fn update_write_interest(&mut self, n: u32, room: bool) -> io::Result<()> {
        if let Some(errno) = self.fault(Call::Register) {
            self.line(n).broken = true;
            let error = io::Error::from_raw_os_error(errno);
            if let Some(trip) = self.trip(n).filter(|trip| trip.is_live()) {
                trip.unwatched = Some(error.kind());
            }
            return Err(error);
        }
        let line = self.line(n);
        line.asks_for_room = room;
        // `EPOLL_CTL_MOD` looks anew.
        line.edge = true;
        Ok(())
    }

    fn read(&mut self, n: u32, buffer: &mut [u8]) -> io::Result<usize> {
        let now = self.now;
        let most = self.options.reads_per_turn;
        let line = self.line(n);
        line.reads += 1;
        let open = line.open && line.made == Made::Stands;
        let (reads, empty) = (line.reads, buffer.is_empty());
        self.check(open && !empty, || format!("{n}: read after its close, or of nothing"));
        self.check(reads <= most, || format!("{n}: more than {most} reads in a turn"));
        if let Some(errno) = self.fault(Call::Read) {
            if errno == libc::EINTR {
                // It is tried again in the next turn, and whatever is late has that excuse.
                self.line(n).page.overdue = 0;
                return Err(io::ErrorKind::Interrupted.into());
            }
            let line = self.line(n);
            line.reset = true;
            return Err(line.broke(errno));
        }
        let line = self.line(n);
        // A read at the mark passes it, whether there is more behind it or not.
        if line.urgent.is_some_and(|at| at <= line.read) {
            line.urgent = None;
        }
        let len = buffer.len().min((line.stop() - line.read) as usize);
        if len == 0 {
            // TCP says the end that it knows before an error that came later.
            let end_is_known = line.ended && !line.unix;
            return if line.reset && line.error_due && !end_is_known {
                Err(line.broke(libc::ECONNRESET))
            } else if line.ended || line.reset {
                line.end_read = true;
                self.progress += 1;
                Ok(0)
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            };
        }
        buffer[..len].copy_from_slice(bytes(input_of(n), line.read, len));
        line.read += len as u64;
        if line.lingers_since().is_some() {
            line.in_vain_at = now;
        }
        self.progress += 1;
        let line = self.line(n);
        line.moved_at = now;
        line.last_look = u64::MAX;
        line.cut = line.passed.front().is_some_and(|(start, _)| line.read > *start);
        if line.cut {
            line.passed.pop_front();
        }
        Ok(len)
    }

    fn has_ctrunc(&self, n: u32) -> bool {
        self.lines[line_of(n) as usize].as_ref().is_some_and(|line| line.cut)
    }

    fn write(&mut self, n: u32, given: &[u8]) -> io::Result<usize> {
        let now = self.now;
        let most = self.options.writes_per_turn + MAX_DIRECT_WRITES;
        let line = self.line(n);
        line.writes += 1;
        let open = line.open && line.made == Made::Stands;
        let (writes, takes) = (line.writes, open && !line.server_ended && !given.is_empty());
        self.check(takes, || format!("{n}: wrote after its end, or nothing"));
        self.check(writes <= most, || format!("{n}: more than {most} writes in a turn"));
        if let Some(errno) = self.fault(Call::Write) {
            if errno == libc::EINTR {
                // It is tried again in the next turn, and whatever is late has that excuse.
                self.line(n).page.overdue = 0;
                return Err(io::ErrorKind::Interrupted.into());
            }
            let line = self.line(n);
            line.reset = true;
            return Err(line.broke(errno));
        }
        let line = self.line(n);
        if line.reset {
            if line.error_due && !line.unix {
                return Err(line.break_pipe());
            }
            // A Unix socket keeps its error for the next read.
            line.broken = true;
            return Err(io::Error::from_raw_os_error(libc::EPIPE));
        }
        let len = given.len().min(line.room() as usize);
        line.refused |= len < given.len();
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let at = line.taken;
        line.taken += len as u64;
        self.progress += 1;
        let line = self.line(n);
        line.moved_at = now;
        line.wrote_at = now;
        // The look before it says nothing any more.
        line.last_look = u64::MAX;
        let told = line.page.sent;
        self.bytes_out += len as u64;
        let right = is_part(output_of(n), at, &given[..len]);
        self.check(right, || format!("{n}: wrong bytes of output from byte {at} on"));
        self.check(at + len as u64 <= told, || format!("{n}: more output than was sent"));
        Ok(len)
    }

    fn shutdown_write(&mut self, n: u32) -> io::Result<()> {
        let now = self.now;
        let line = self.line(n);
        line.server_ended = true;
        line.ended_at = now;
        // The end of our own direction, or its acknowledgement, wakes us too.
        line.edge = true;
        let unsent = line.page.sent - line.taken;
        self.check(unsent == 0, || format!("{n}: said its end before {unsent} bytes of output"));
        if self.line(n).reset { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }

    fn error(&mut self, n: u32) -> Option<io::Error> {
        let error = self.line(n).take_error();
        if let Some(error) = &error {
            self.note_failure(n, error.kind());
        }
        error
    }

    fn is_connected(&mut self, n: u32) -> bool {
        let line = self.line(n);
        let stands = line.made == Made::Stands && (line.unix || !line.reset);
        if stands {
            self.adopt(n);
        }
        stands
    }

    fn local_addr(&self, n: u32) -> Option<Addr> {
        let trip = self.trips.iter().find(|trip| trip.plan.line == line_of(n))?;
        trip.itself(n)
    }

    fn unacknowledged(&mut self, n: u32) -> u32 {
        let now = self.now;
        self.line(n).look(now) as u32
    }

    fn reset_on_close(&mut self, n: u32) {
        self.line(n).server_reset = true;
    }

    fn close(&mut self, n: u32) {
        self.progress += 1;
        if self.close_try(n) {
            self.open -= 1;
            return;
        }
        if !self.line(n).outgoing || self.line(n).page.set_up {
            self.check_close(n);
        }
        let line = self.line(n);
        let was_open = std::mem::replace(&mut line.open, false);
        self.open -= 1;
        self.check(was_open, || format!("{n}: closed twice"));
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
