//! One simulated datagram socket, and what is reported of it.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use mio::Token;

use super::connection::{NOTHING, SimEvent};
use super::script::Service;
use crate::addr::Addr;
use crate::id::{SocketId, TimerId};
use crate::io::ACCEPT_RETRY;

/// The other side of a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Party {
    Stranger(u32),
    /// A socket of the server itself.
    Port(u32),
    /// Another address of this machine, with the port of a socket of the server.
    Forged(u32),
    /// A Unix socket without a name.
    Unnamed,
}

/// The addresses of this machine, and a group that it is in. A socket that is bound to one address
/// is bound to the first.
pub(crate) const LOCALS: [Ipv4Addr; 4] = [
    Ipv4Addr::LOCALHOST,
    Ipv4Addr::new(127, 0, 0, 2),
    Ipv4Addr::new(192, 168, 0, 7),
    Ipv4Addr::new(224, 0, 0, 5),
];
pub(super) const FORGED: usize = 2;
pub(crate) const GROUP: usize = 3;

/// So many strangers are there.
pub(crate) const STRANGERS: u32 = 4;

/// Whom `verify_request` refuses.
pub(crate) const REFUSED: Party = Party::Stranger(STRANGERS - 1);

/// A datagram that has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) from: Party,
    /// To which of [`LOCALS`] it was sent.
    pub(crate) local: usize,
    /// Where its bytes begin in the stream of all that comes to its socket.
    pub(crate) at: u64,
    pub(crate) len: usize,
}

/// A datagram that a handler has sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentDatagram {
    /// `None` is the peer of a connected socket.
    pub(crate) to: Option<Party>,
    /// From which of [`LOCALS`] it is to leave; the system chooses otherwise.
    pub(crate) source: Option<usize>,
    /// Its bytes, as a part of one of the streams.
    pub(crate) stream: u32,
    pub(crate) at: u64,
    pub(crate) len: usize,
    /// A connected socket tries again once, since the error may have been that of another.
    pub(crate) tried: bool,
}

#[derive(Debug)]
pub(crate) struct SimDatagramSocket {
    pub(crate) unix: bool,
    /// It is bound to the wildcard.
    pub(crate) anywhere: bool,
    pub(super) token: Option<Token>,
    pub(crate) open: bool,
    pub(super) edge: bool,
    /// To whom it is connected.
    pub(super) peer: Option<Party>,
    /// Which of its addresses it then kept.
    pub(super) peer_local: usize,
    // Towards the server.
    pub(crate) queue: VecDeque<Arrival>,
    /// So many wait there; what comes then is lost.
    pub(crate) capacity: usize,
    pub(super) came: u64,
    /// What the next call will tell (`SO_ERROR`).
    pub(crate) error: Option<i32>,
    /// Receiving fails, whatever is there.
    pub(crate) broken: Option<i32>,
    /// How many the last call brought, from which the next one guesses how many to ask for.
    pub(super) came_last: usize,
    // From the server.
    /// What has left and did not arrive yet, in order.
    pub(super) flight: VecDeque<Party>,
    /// So many may be on their way.
    pub(super) buffer: usize,
    pub(super) gone: [bool; STRANGERS as usize],
    pub(super) asks_for_room: bool,
    /// It is on the list of its one peer, whose queue was full.
    pub(super) awaits_peer: bool,
    // For the checks.
    /// Calls to receive that failed in a row, and when the last one did.
    failed: (u32, u64),
    pub(super) received: usize,
    pub(super) sent: usize,
    pub(crate) page: DatagramExpectation,
}

/// What is written down about a datagram socket and its handler.
#[derive(Debug, Default)]
pub(crate) struct DatagramExpectation {
    pub(crate) id: Option<SocketId>,
    /// The server knows its address for its own.
    pub(crate) is_own: bool,
    pub(crate) connected: bool,
    /// Received, and to be shown.
    pub(crate) let_in: VecDeque<Arrival>,
    /// Errors that a call told, of which the handler is to hear.
    pub(crate) to_tell: VecDeque<i32>,
    /// What waits to leave.
    pub(crate) parcels: VecDeque<SentDatagram>,
    /// Bytes of what its handler sent, but for answers that repeat what came.
    pub(crate) said: u64,
    pub(crate) shown: u64,
    /// What its handler gets next: its sender, and its destination.
    pub(crate) shows: Option<(Party, usize)>,
    pub(crate) congested: bool,
    pub(crate) paused: bool,
    pub(crate) told_of_shutdown: bool,
    /// Its handler, or another one, has closed it.
    pub(crate) closed: bool,
    /// The system would not watch it any more.
    pub(crate) broken: bool,
    pub(crate) finished: bool,
    pub(crate) closing_since: Option<u64>,
    /// Since when it had its turn since then.
    pub(crate) hurried_since: Option<u64>,
    pub(crate) overdue: u32,
    pub(crate) timers: Vec<(TimerId, u64)>,
}

/// What the ledger must say about datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DatagramCounters {
    pub(crate) received: u64,
    pub(crate) truncated: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) sent: u64,
    pub(crate) out: u64,
    pub(crate) dropped: u64,
}

impl SimDatagramSocket {
    pub(crate) fn new(service: Service) -> SimDatagramSocket {
        SimDatagramSocket {
            unix: service.unix,
            anywhere: service.anywhere && !service.unix,
            token: None,
            open: true,
            edge: false,
            peer: None,
            peer_local: 0,
            queue: VecDeque::new(),
            capacity: service.capacity,
            came: 0,
            error: None,
            broken: None,
            came_last: 1,
            flight: VecDeque::new(),
            buffer: service.buffer,
            gone: [false; STRANGERS as usize],
            asks_for_room: false,
            awaits_peer: false,
            failed: (0, 0),
            received: 0,
            sent: 0,
            page: DatagramExpectation::default(),
        }
    }

    /// Where the next datagram is sent to by default: a burst goes to several addresses.
    pub(super) fn next_local(&self) -> usize {
        let several = self.anywhere && self.peer.is_none();
        if several { (self.came >> 1) as usize % LOCALS.len() } else { self.peer_local }
    }

    /// From where something leaves that goes to `to`: an answer from where its question went to.
    pub(crate) fn source_for(&self, to: Option<Party>) -> Option<usize> {
        let (peer, local) = self.page.shows?;
        (self.anywhere && to == Some(peer) && local != GROUP).then_some(local)
    }

    /// The budgets of a turn begin anew.
    pub(super) fn begin_turn(&mut self) {
        self.received = 0;
        self.sent = 0;
    }

    /// A call to receive failed; whether it came too early after many others.
    pub(super) fn fails_too_often(&mut self, now: u64) -> bool {
        let (failed, last) = self.failed;
        self.failed = (failed + 1, now);
        failed >= MOST_FAILURES && now < last + ACCEPT_RETRY.as_nanos() as u64
    }

    /// A call to receive did not fail.
    pub(super) fn end_failures(&mut self) {
        self.failed = (0, 0);
    }

    /// Whether a call would say something else than `WouldBlock`.
    pub(crate) fn is_readable(&self) -> bool {
        !self.queue.is_empty() || self.error.is_some() || self.broken.is_some()
    }

    /// Whether the queue of a peer is so full that the kernel accepts nothing for it. Only Unix sockets
    /// have that; the network loses what finds no room.
    pub(super) fn is_deaf(&self, to: Party) -> bool {
        self.unix && self.flight.iter().filter(|who| **who == to).count() > MOST_UNREAD
    }

    /// Whether much of its own room is free.
    fn has_room(&self) -> bool {
        let part = if self.unix { 4 } else { 2 };
        self.flight.len().saturating_mul(part) <= self.buffer
    }

    /// Whether epoll calls it writable: its one peer must have some room too.
    pub(crate) fn is_writable(&self) -> bool {
        self.has_room() && !self.peer.is_some_and(|peer| self.is_deaf(peer))
    }

    /// Whom it sends to is gone. One that is named is only looked for; a peer is parted with, and what
    /// came is lost.
    pub(super) fn refuse(&mut self, is_peer: bool) {
        if is_peer {
            self.peer = None;
            self.queue.clear();
        }
        self.free();
    }

    /// Something of what it sent was freed.
    pub(super) fn free(&mut self) {
        self.edge |= self.asks_for_room && self.has_room();
    }

    /// How many of the sent datagrams have arrived, if `from` read them.
    pub(crate) fn deliver(&mut self, from: Party, most: usize) {
        let unix = self.unix;
        let mut left = most;
        self.flight.retain(|who| {
            let arrives = left > 0 && (!unix || *who == from);
            left -= usize::from(arrives);
            !arrives
        });
        if left < most {
            self.awaits_peer &= self.peer != Some(from);
            self.free();
        }
    }

    /// A stranger goes, and with it what it did not read; or it is there again.
    pub(crate) fn leave(&mut self, stranger: u32, gone: bool) {
        let who = Party::Stranger(stranger);
        self.gone[stranger as usize] = gone;
        if gone && self.unix {
            // Whoever is on its list is woken, whatever it asked for.
            self.edge |= self.awaits_peer && self.peer == Some(who);
            self.deliver(who, usize::MAX);
        }
    }

    /// Everything has arrived.
    pub(crate) fn deliver_all(&mut self) {
        if !self.flight.is_empty() {
            self.flight.clear();
            self.free();
        }
    }

    /// What epoll would report now, if that is anything.
    fn state(&self) -> Option<SimEvent> {
        let event = SimEvent {
            token: self.token?,
            readable: !self.queue.is_empty(),
            writable: self.asks_for_room && self.is_writable(),
            error: self.error.is_some(),
            ..NOTHING
        };
        (event.readable || event.writable || event.error).then_some(event)
    }

    /// Whether an edge was not reported.
    pub(super) fn is_due(&self) -> bool {
        self.open && self.edge && self.state().is_some()
    }

    pub(super) fn take_event(&mut self) -> Option<SimEvent> {
        let edge = std::mem::take(&mut self.edge);
        self.state().filter(|_| edge)
    }
}

/// How often a receive that fails is tried at once.
const MOST_FAILURES: u32 = 65;

/// A Unix socket's queue is full with one more (`net.unix.max_dgram_qlen`).
pub(super) const MOST_UNREAD: usize = 10;

/// How a socket of that kind names a peer.
pub(crate) fn name(unix: bool, who: Party) -> Addr {
    match who {
        Party::Unnamed => Addr::Unnamed,
        Party::Stranger(n) if unix => Addr::Unix(PathBuf::from(format!("/stranger/{n}"))),
        Party::Port(n) if unix => Addr::Unix(PathBuf::from(format!("/port/{n}"))),
        Party::Forged(n) if unix => Addr::Unix(PathBuf::from(format!("/forged/{n}"))),
        Party::Forged(n) => Addr::Ip(local_addr(n, FORGED)),
        Party::Stranger(n) => {
            Addr::Ip(SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), n as u16 + 1)))
        }
        Party::Port(n) => Addr::Ip(local_addr(n, 0)),
    }
}

/// One of the addresses of a UDP socket.
pub(crate) fn local_addr(n: u32, local: usize) -> SocketAddr {
    SocketAddr::from((LOCALS[local], n as u16 + 9_000))
}

/// All that comes to a socket, one datagram behind the other, and what it says besides answers.
pub(crate) fn arrivals_of(n: u32) -> u32 {
    1_000 + 2 * n
}

pub(crate) fn words_of(n: u32) -> u32 {
    1_001 + 2 * n
}
