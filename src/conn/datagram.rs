//! A datagram socket and its send queue as a state machine over any transport.
//!
//! Delivery is not guaranteed: a datagram that cannot be sent is dropped and counted, and blocks
//! nothing. Datagrams that have arrived are answered even when the socket is about to close, within
//! limits.
//!
//! # The rules
//!
//! Each error has one rule instead of a state:
//!
//! | event | action |
//! |---|---|
//! | more arrive than a turn may take | the rest wait in the kernel; the socket is queued again |
//! | one is longer than `max_packet_size` | `truncated` and not `handle`; counted |
//! | a send of a UDP socket would block | the queue waits for the write edge, which is registered only then |
//! | a Unix peer is full or closed | its datagram is dropped and the next one is sent at once; a connected socket waits for its one peer |
//! | any other error of a send | that datagram is dropped; those before and after it are sent |
//! | the queue is full | the newest is dropped, `send_to` says `Congested`, and `drained` runs when it is empty |
//! | a connected socket has a pending error (ICMP) | `error`; the socket goes on |
//! | the sender is this server | rejected (`io/local_addrs.rs`): one forged datagram would be answered for ever |
//! | the socket is bound to the wildcard | a reply to the datagram in delivery leaves from its destination address |
//! | that address cannot be a source (a group, a broadcast, an address that was removed) | the system chooses the source |
//! | the handler fails or panics | that datagram is lost; logged once a second, counted |
//!
//! The number of datagrams in one system call is decided in `net/mmsg.rs`, behind
//! [`DatagramTransport`]: `recvmmsg` and `sendmmsg` through `nix` on Linux, the plain call
//! elsewhere. `nix` and not `quinn-udp`, which has no Unix sockets and does not report truncation;
//! and not `rustix`, which has no `recvmmsg`. Unix datagrams are received one a call, because `nix`
//! does not restore the length of each name buffer and Unix names differ in length. The buffer is
//! one byte longer than `max_packet_size`, so that truncation shows. A batch that is not full was the last.
//!
//! A socket that is bound to the wildcard has every address of the machine, and most clients accept
//! a reply only from the address they sent to. So there, and only there, each datagram comes with
//! its destination (`IP_PKTINFO`, `IPV6_RECVPKTINFO`; `net/pktinfo.rs`), which its handler can ask
//! for (`Context::local_addr`, `Request::server_address`), and each reply names its source. `nix`
//! has one set of control messages for a whole `sendmmsg`, so a batch of replies ends where the
//! source changes. The socket itself remembers the datagram in delivery, so every method of sending
//! a reply works; for a later reply there is `Io::send_from`. The interface is named only with
//! link-local addresses: everything else is routed. The cost in user-space instructions (client and
//! server in one program, `callgrind`): a lone echoed datagram 3,059 instead of 2,140, one of 50 at
//! once 1,000 instead of 436; a socket with one address pays nothing. Without the feature `sys`, and on other
//! systems, there is none of it, as std and socket2 have no control messages for safe code. There a server
//! with several addresses binds to each of them.
//!
//! The destinations also show which addresses are this machine's own, so a forged sender is found
//! by a comparison instead of a system call: `io/local_addrs.rs` remembers the destinations of
//! those datagrams whose sender has the port of one of our sockets. A forged datagram from a local
//! address that is not known yet may be answered once. The answer comes from a known destination,
//! so it is not answered; nor is a datagram from the address that a socket is bound to. The loops
//! of a group share these addresses.
//!
//! `UDP_SEGMENT` and `UDP_GRO` are not used: they join datagrams to and from *one* peer, and
//! neighbours in a server's batch have different peers.
//!
//! At a shutdown a bound socket answers what has arrived and stops; it stays bound, as listeners
//! do. A connected one is closed. `SO_REUSEADDR` is never set on UDP: a second server would take
//! the port silently.
//!
//! One limit is the kernel's: bytes that a Unix peer has not read count against *our* send buffer,
//! and the kernel accepts any number for a client that has connected its socket to ours. That is
//! why datagram sockets ask for 4 MiB. A connected client that asks ten thousand times and never
//! reads still fills it. Then replies to others are dropped, counted and logged, until it reads or
//! closes. `serve --unix` has no such limit.

use std::io;

use crate::addr::Addr;
use crate::conn::packets::{QueueLimits, RecvBuffers, SendQueue};
use crate::conn::transport::{DatagramTransport, Readiness, RecvOutcome};
use crate::log_throttle::LogThrottle;

#[derive(Debug)]
pub(crate) struct Datagram<T> {
    transport: T,
    packets: SendQueue,
    /// Cleared only when the receive buffer is empty, because an edge comes once.
    readable: bool,
    /// Cleared only when a send of the socket would block.
    writable: bool,
    paused: bool,
    /// Nothing more is received in this run of the server.
    suspended: bool,
    /// A send of the first packet returned an error that may concern an earlier one.
    retries_first: bool,
    /// The number of consecutive receive errors.
    recv_failures: u32,
    /// Receiving failed too often, so the socket is not read until the retry time.
    pub(crate) recv_backoff: bool,
    /// The handler was notified of the shutdown.
    shutdown_notified: bool,
    /// The socket exchanges datagrams with one peer only.
    pub(crate) is_connected: bool,
    phase: DatagramPhase,
    /// Some datagrams are rejected: the socket is closing, or has a peer. One flag for both,
    /// because each datagram asks it.
    rejects_some: bool,
    /// The peer that a bound socket was connected to; datagrams of other senders that arrived
    /// before are rejected.
    peer: Option<Addr>,
    /// The datagram in delivery, if the socket is bound to the wildcard.
    shown: Option<Shown>,
    /// Neither closing nor delivering such a datagram. One flag for both, because each send asks
    /// it.
    can_send_plainly: bool,
    /// The number of received datagrams that other threads or processes are still answering.
    replies_due: usize,
    /// Whether the id is in the queue.
    pub(crate) queued: bool,
    /// Whether the socket is registered for write readiness.
    write_interest: bool,
    /// The time at which a closing socket drops its queue; that deadline is armed.
    pub(crate) closes_at: Option<u64>,
    warnings: LogThrottle,
}

/// After this number of consecutive errors receiving itself is broken, and another try at once
/// would fail again.
const MAX_RECV_FAILURES: u32 = 64;

/// The result of a flush.
#[derive(Debug)]
pub(crate) enum FlushOutcome {
    /// The number of packets that were sent.
    Sent(usize),
    /// The first packet was dropped because of this error.
    Dropped(io::Error),
    /// A pending error of the socket; the first packet was not sent and stays queued.
    PendingError(io::Error),
    /// The socket's send buffer is full.
    WouldBlock,
}

impl<T: DatagramTransport> Datagram<T> {
    pub(crate) fn new(transport: T, is_connected: bool) -> Datagram<T> {
        Datagram {
            transport,
            packets: SendQueue::default(),
            // Datagrams may have arrived before the socket was registered.
            readable: true,
            writable: true,
            paused: false,
            suspended: false,
            recv_failures: 0,
            recv_backoff: false,
            shutdown_notified: false,
            retries_first: false,
            is_connected,
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

    /// The new write interest, if it has to change.
    pub(crate) fn take_write_interest_change(&mut self) -> Option<bool> {
        if !self.wants_write_interest() {
            return None;
        }
        self.write_interest = !self.writable;
        Some(self.write_interest)
    }

    pub(crate) fn set_ready(&mut self, ready: Readiness) {
        self.readable |= ready.readable || ready.error;
        self.writable |= ready.writable || ready.error;
    }

    pub(crate) fn pause(&mut self, on: bool) {
        self.paused = on;
    }

    /// Records that the socket is connected to `peer`.
    pub(crate) fn set_peer(&mut self, peer: Addr) {
        self.is_connected = true;
        self.rejects_some = true;
        self.peer = Some(peer);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.packets.is_congested()
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

    /// Whether the turn is over; like the negation of [`Datagram::wants_service`], without the
    /// questions of the slow path.
    #[inline]
    pub(crate) fn is_turn_done(&self) -> bool {
        let usual = matches!(self.phase, DatagramPhase::Open | DatagramPhase::Stopped);
        let done = !self.readable & self.packets.is_settled();
        usual & done & !self.wants_write_interest()
    }

    /// Whether a turn now would change anything.
    pub(crate) fn wants_service(&self) -> bool {
        let ends = match self.phase {
            DatagramPhase::Open | DatagramPhase::Stopped => {
                self.is_congested() && self.packets.is_empty()
            }
            DatagramPhase::Draining { .. } => {
                !(self.is_read_blocked() || self.suspended && self.awaits_answers())
            }
            // However it was closed, the next turn arms the close timeout.
            DatagramPhase::Closing => self.is_flushed() || self.closes_at.is_none(),
        };
        ends || self.wants_read() || self.wants_write() || self.wants_write_interest()
    }

    /// Whether datagrams from `from` are rejected.
    #[inline]
    pub(crate) fn rejects(&self, from: &Addr) -> bool {
        self.rejects_some && self.is_rejected(from)
    }

    #[cold]
    fn is_rejected(&self, from: &Addr) -> bool {
        let other = match (&self.peer, from) {
            (None, _) => false,
            // The kernel may or may not report the flow label and the scope.
            (Some(Addr::Ip(peer)), Addr::Ip(from)) => {
                (peer.ip(), peer.port()) != (from.ip(), from.port())
            }
            (Some(peer), from) => peer != from,
        };
        other || self.phase == DatagramPhase::Closing
    }

    /// The number of packets in the send queue.
    pub(crate) fn queue_len(&self) -> usize {
        self.packets.len()
    }

    /// See [`LogThrottle::allow`].
    pub(crate) fn allow_warning(&mut self, now: u64) -> Option<u64> {
        self.warnings.allow(now)
    }

    /// Receives at most `max` datagrams. `None` means that nothing has arrived.
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

    /// Called at the retry time; returns whether the socket waited for it. The next failure makes
    /// it wait again.
    pub(crate) fn retry(&mut self) -> bool {
        self.recv_failures = self.recv_failures.min(MAX_RECV_FAILURES);
        std::mem::take(&mut self.recv_backoff)
    }

    /// Queues a packet. `false` means that the queue is full and the packet was dropped.
    #[inline]
    pub(crate) fn send(&mut self, to: Option<&Addr>, bytes: &[u8], limits: QueueLimits) -> bool {
        debug_assert!(self.shown.is_none(), "what is sent may be an answer");
        let taken = self.packets.push(to, bytes, limits);
        self.note_queued(taken)
    }

    #[inline]
    fn note_queued(&mut self, taken: bool) -> bool {
        self.packets.note_taken(taken)
    }

    /// Sends at most `max` packets in one call. `None` means that there is nothing to do.
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
            Err(error) => Some(self.after_failed_send(error)),
        }
    }

    fn after_failed_send(&mut self, error: io::Error) -> FlushOutcome {
        match error.kind() {
            io::ErrorKind::Interrupted => FlushOutcome::Sent(0),
            // A connected socket has one peer, so waiting for it blocks no other.
            io::ErrorKind::WouldBlock
                if self.packets.next_is_connected_peer()
                    || !self.transport.would_block_is_per_peer() =>
            {
                self.writable = false;
                FlushOutcome::WouldBlock
            }
            // The kernel returns the pending error of an earlier datagram instead of sending this one.
            kind if kind != io::ErrorKind::WouldBlock
                && self.is_connected
                && !self.retries_first =>
            {
                self.retries_first = true;
                FlushOutcome::PendingError(error)
            }
            _ => {
                self.retries_first = false;
                self.packets.advance(1);
                FlushOutcome::Dropped(error)
            }
        }
    }

    /// See [`SendQueue::take_spare`].
    pub(crate) fn take_spare(&mut self) -> bool {
        self.packets.take_spare()
    }

    /// See [`SendQueue::trim`].
    pub(crate) fn trim(&mut self) {
        self.packets.trim();
    }

    /// Drops the queue and returns its length.
    pub(crate) fn clear_queue(&mut self) -> usize {
        self.packets.clear()
    }

    /// Whether the queue is empty again since a packet was dropped; `true` once.
    #[inline]
    pub(crate) fn take_drained(&mut self) -> bool {
        self.packets.take_drained()
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
