//! A datagram socket and the packets waiting to leave it, as a state machine over any transport.
//!
//! A datagram is never owed: what cannot leave is dropped and counted, and nobody waits for it. What
//! has come is answered even when the socket is about to close, as far as that has an end.
//!
//! # The rules
//!
//! `conn/datagram.rs` is the same idea without a conversation. A datagram is never owed, so its errors have
//! one rule each instead of a state:
//!
//! | what happens | what is done |
//! |---|---|
//! | more come than a turn may take | the rest wait in the kernel; the socket is queued again |
//! | one is longer than `max_packet_size` | `truncated` and not `handle`; counted |
//! | a UDP socket has no room to send | the queue waits for the write edge, which is asked for only then |
//! | a Unix peer has no room, or is gone | its datagram is dropped, the next one's turn comes at once; what a connected socket sends to its one peer waits for that |
//! | any other error of a send | that datagram is dropped; those before and after it leave |
//! | the queue is full | the newest is dropped, `send_to` says `Congested`, and `drained` runs when it is empty |
//! | an error waits in a connected socket (ICMP) | `error`; the socket goes on |
//! | the sender is this server | refused (`io/local_addrs.rs`): one forged datagram would be answered for ever |
//! | the socket is bound to the wildcard | what goes to the sender of the datagram that is shown leaves from the address that was asked |
//! | nothing can leave from there (a group, a broadcast, an address that is gone) | it leaves from the one that the system chooses |
//! | the handler fails or panics | that datagram is lost; logged once a second, counted |
//!
//! How many cross in one system call is decided in `net/mmsg.rs`, behind
//! `PacketTransport`: `recvmmsg` and `sendmmsg` through `nix` on Linux, the plain call
//! elsewhere. `nix` and not `quinn-udp`, which has no Unix sockets and does not say when a datagram was
//! cut; and not `rustix`, which has no `recvmmsg`. Unix datagrams are received one a call, because
//! `nix` does not give each sender's name its whole room again and Unix names differ in length. One
//! byte more than `max_packet_size` is asked for, so that a cut datagram shows on every system. A batch
//! that is not full was the last, as a short read is.
//!
//! A socket that is bound to the wildcard has every address of the machine, and most clients take an
//! answer only from the one that they asked. So there, and only there, each datagram comes with its
//! destination (`IP_PKTINFO`, `IPV6_RECVPKTINFO`; `net/pktinfo.rs`), which its handler can ask for
//! (`Context::local_addr`, `Request::server_address`), and each answer is told where to leave from.
//! `nix` has one set of control messages for a whole `sendmmsg`, so a batch of answers ends where their
//! source changes. The socket itself remembers what it shows, so it does not matter by which of the
//! methods an answer is sent; for one that comes later there is `Io::send_from`. The interface is named
//! only with addresses of a link: all else goes where the routes say. What that costs, in user-space
//! instructions (client and server in one program, `callgrind`): a lone echoed datagram 3,059 instead of
//! 2,140, one of 50 at once 1,000 instead of 436; a socket with one address pays nothing. Without the
//! feature `sys`, and on other systems, there is none of it: std and socket2 have no control messages
//! that safe code can read. There a server with several addresses binds to each of them.
//!
//! Where datagrams were sent to also tells which addresses are this machine's own, and whether one comes
//! from ourselves is then a comparison and no question to the system: `io/local_addrs.rs` remembers the destinations
//! of those whose sender has the port of an own socket. A forged one from an own address that is not known
//! yet may so be answered once, but the answer, which comes from a destination that is known then, never
//! is; nor is one from the address a socket is bound to. The loops of a group share what they remember.
//!
//! `UDP_SEGMENT` and `UDP_GRO` are not used: they join datagrams to and from *one* peer, and a server's
//! neighbours in a batch are of different peers.
//!
//! On a shutdown a bound socket answers what has come and rests; it stays bound, as listeners do. A
//! connected one is closed. `SO_REUSEADDR` is never set on UDP: a second server would take the port
//! silently.
//!
//! One limit is the kernel's: what a Unix peer has not read counts against *our* send buffer, and of a
//! client that has connected its socket to ours the kernel takes any number. That is why datagram
//! sockets ask for 4 MiB; a connected client that asks ten thousand times and never reads fills it all
//! the same, and then answers to others are dropped, and counted, until it reads or goes. Nobody waits
//! for it. `serve --unix` has no such limit.

use std::io;

use crate::addr::Addr;
use crate::conn::log_throttle::LogThrottle;
use crate::conn::packets::{QueueLimits, RecvBuffers, SendQueue};
use crate::conn::transport::{DatagramTransport, Readiness, RecvOutcome};

#[derive(Debug)]
pub(crate) struct Datagram<T> {
    transport: T,
    packets: SendQueue,
    /// Cleared only when nothing is left: an edge comes once.
    readable: bool,
    /// Cleared only when the socket refused to send.
    writable: bool,
    paused: bool,
    /// Nothing more may be taken in this run of the server.
    suspended: bool,
    /// The first that waits was refused once, perhaps for the sake of another.
    retries_first: bool,
    /// Errors of receiving in a row.
    recv_failures: u32,
    /// Receiving fails again and again, so nothing is read until the retry time comes.
    pub(crate) recv_backoff: bool,
    /// Its handler was told of the shutdown.
    shutdown_notified: bool,
    /// It exchanges datagrams with one peer alone.
    pub(crate) is_connected: bool,
    /// Something was dropped for want of room since the queue was last empty.
    congested: bool,
    phase: DatagramPhase,
    /// Not every datagram is shown: it is closed, or has chosen one peer. One question for both.
    rejects_some: bool,
    /// The one peer that it has chosen since it was bound: what others had sent before is refused.
    peer: Option<Addr>,
    /// What is shown now, of a socket that has every address of the machine.
    shown: Option<Shown>,
    /// It is not closing and shows nothing of that kind: the question that every send asks.
    can_send_plainly: bool,
    /// How many that were taken are being answered elsewhere, by other threads or processes.
    replies_due: usize,
    /// Whether its id is in the queue.
    pub(crate) queued: bool,
    /// Whether the poll reports room for sending.
    write_interest: bool,
    /// When what waits at its end is dropped; that deadline is in the heap.
    pub(crate) closes_at: Option<u64>,
    warnings: LogThrottle,
}

/// After so many errors in a row something is wrong with receiving itself: at once it would only
/// fail again.
const MAX_RECV_FAILURES: u32 = 64;

/// What became of what was sent.
#[derive(Debug)]
pub(crate) enum FlushOutcome {
    /// So many have left.
    Sent(usize),
    /// The first was dropped, because of this.
    Dropped(io::Error),
    /// The system told of something else than the first, which still waits.
    PendingError(io::Error),
    /// The socket has no room.
    WouldBlock,
}

impl<T: DatagramTransport> Datagram<T> {
    pub(crate) fn new(transport: T, is_connected: bool) -> Datagram<T> {
        Datagram {
            transport,
            packets: SendQueue::default(),
            // What came before it was registered counts as well.
            readable: true,
            writable: true,
            paused: false,
            suspended: false,
            recv_failures: 0,
            recv_backoff: false,
            shutdown_notified: false,
            retries_first: false,
            is_connected,
            congested: false,
            phase: DatagramPhase::Open,
            rejects_some: false,
            peer: None,
            shown: None,
            can_send_plainly: true,
            replies_due: 0,
            queued: false,
            write_interest: false,
            closes_at: None,
            warnings: LogThrottle::default(),
        }
    }

    pub(crate) fn transport(&self) -> &T {
        &self.transport
    }

    pub(crate) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// Whether room shall be reported from now on, if that is something else than before.
    pub(crate) fn take_write_interest_change(&mut self) -> Option<bool> {
        if !self.wants_write_interest() {
            return None;
        }
        self.write_interest = !self.writable;
        Some(self.write_interest)
    }

    // Notes.

    pub(crate) fn set_ready(&mut self, ready: Readiness) {
        self.readable |= ready.readable || ready.error;
        self.writable |= ready.writable || ready.error;
    }

    pub(crate) fn pause(&mut self, on: bool) {
        self.paused = on;
    }

    /// It exchanges datagrams with one peer alone from now on.
    pub(crate) fn set_peer(&mut self, peer: Addr) {
        self.is_connected = true;
        self.rejects_some = true;
        self.peer = Some(peer);
    }

    // Questions.

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.congested
    }

    #[inline]
    pub(crate) fn wants_read(&self) -> bool {
        self.readable
            && !self.paused
            && !self.suspended
            && !self.recv_backoff
            && matches!(self.phase, DatagramPhase::Open | DatagramPhase::Draining { .. })
    }

    #[inline]
    fn wants_write(&self) -> bool {
        self.writable && !self.packets.is_empty()
    }

    /// Whether nothing is left to do at the end of a usual turn; as [`Datagram::wants_service`], but
    /// without the questions that only unusual states raise.
    #[inline]
    pub(crate) fn is_turn_done(&self) -> bool {
        let usual = matches!(self.phase, DatagramPhase::Open | DatagramPhase::Stopped);
        let done = !self.readable & !self.congested & self.packets.is_empty();
        usual & done & !self.wants_write_interest()
    }

    /// Whether a turn now would change anything.
    pub(crate) fn wants_service(&self) -> bool {
        let ends = match self.phase {
            DatagramPhase::Open | DatagramPhase::Stopped => {
                self.congested && self.packets.is_empty()
            }
            DatagramPhase::Draining { .. } => {
                !(self.is_read_blocked() || self.suspended && self.awaits_answers())
            }
            // Whoever closes it, its turn gives it the time at which it ends.
            DatagramPhase::Closing => self.is_flushed() || self.closes_at.is_none(),
        };
        ends || self.wants_read() || self.wants_write() || self.wants_write_interest()
    }

    /// Whether the handler is shown nothing of this peer.
    #[inline]
    pub(crate) fn rejects(&self, from: &Addr) -> bool {
        self.rejects_some && self.is_rejected(from)
    }

    #[cold]
    fn is_rejected(&self, from: &Addr) -> bool {
        let other = match (&self.peer, from) {
            (None, _) => false,
            // What the kernel knows of an address besides, flow and scope, may be told or not.
            (Some(Addr::Ip(peer)), Addr::Ip(from)) => {
                (peer.ip(), peer.port()) != (from.ip(), from.port())
            }
            (Some(peer), from) => peer != from,
        };
        other || self.phase == DatagramPhase::Closing
    }

    /// How many datagrams wait to leave.
    pub(crate) fn queue_len(&self) -> usize {
        self.packets.len()
    }

    /// Whether an error may be logged now, and how many were not since the last one.
    pub(crate) fn allow_warning(&mut self, now: u64) -> Option<u64> {
        self.warnings.allow(now)
    }

    // Moving.

    /// Lets in what has come, but not more than `max`; `None` when that is nothing.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        headers: &mut T::MmsgHeaders,
        buffers: &mut RecvBuffers,
        max: usize,
    ) -> Option<io::Result<usize>> {
        match self.transport.receive(headers, buffers, max) {
            Ok(RecvOutcome { count, drained }) => {
                self.recv_failures = 0;
                self.readable = !drained;
                Some(Ok(count))
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    self.recv_failures = 0;
                    self.readable = false;
                    None
                }
                io::ErrorKind::Interrupted => None,
                _ => {
                    self.recv_failures += 1;
                    self.recv_backoff = self.recv_failures > MAX_RECV_FAILURES;
                    Some(Err(error))
                }
            },
        }
    }

    /// The retry time has come; says whether it was waited for. One more failure, and it waits again.
    pub(crate) fn retry(&mut self) -> bool {
        self.recv_failures = self.recv_failures.min(MAX_RECV_FAILURES);
        std::mem::take(&mut self.recv_backoff)
    }

    /// Takes a datagram to send, if there is room for it; what is dropped is dropped here.
    #[inline]
    pub(crate) fn send(&mut self, to: Option<&Addr>, bytes: &[u8], limits: QueueLimits) -> bool {
        debug_assert!(self.shown.is_none(), "what is sent may be an answer");
        let taken = self.packets.push(to, bytes, limits);
        self.note_queued(taken)
    }

    #[inline]
    fn note_queued(&mut self, taken: bool) -> bool {
        // What finds no room in an empty queue never will.
        self.congested |= !taken && !self.packets.is_empty();
        taken
    }

    /// Sends what waits, as many as the system takes at once but not more than `max`; `None` when
    /// there is nothing to do.
    #[inline]
    pub(crate) fn flush(
        &mut self,
        headers: &mut T::MmsgHeaders,
        max: usize,
    ) -> Option<FlushOutcome> {
        if !self.wants_write() {
            return None;
        }
        match self.transport.send(headers, &self.packets, max) {
            Ok(n) => {
                self.retries_first = false;
                self.packets.advance(n);
                Some(FlushOutcome::Sent(n))
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => Some(FlushOutcome::Sent(0)),
                io::ErrorKind::WouldBlock
                    if self.packets.next_is_connected_peer()
                        || !self.transport.would_block_is_per_peer() =>
                {
                    // The one peer of a connected socket is worth waiting for.
                    self.writable = false;
                    Some(FlushOutcome::WouldBlock)
                }
                // What became of a datagram before is told in place of sending the next.
                kind if kind != io::ErrorKind::WouldBlock
                    && self.is_connected
                    && !self.retries_first =>
                {
                    self.retries_first = true;
                    Some(FlushOutcome::PendingError(error))
                }
                _ => {
                    self.retries_first = false;
                    self.packets.advance(1);
                    Some(FlushOutcome::Dropped(error))
                }
            },
        }
    }

    /// Drops what waits, and says how many that were.
    pub(crate) fn clear_queue(&mut self) -> usize {
        self.packets.clear()
    }

    /// Whether the queue is empty again since something found no room in it; says so once.
    #[inline]
    pub(crate) fn take_drained(&mut self) -> bool {
        let drained = self.congested && self.packets.is_empty();
        self.congested &= !drained;
        drained
    }

    #[inline]
    fn wants_write_interest(&self) -> bool {
        self.write_interest == self.writable
    }
}

mod close;
mod reply;

pub(crate) use close::{AfterDrain, DatagramPhase};
use reply::Shown;

#[cfg(test)]
mod tests;
