//! The sockets and timers of one server, and what may be done to them.
//!
//! Every method here takes effect as a note: it changes what a socket wants and gives it a turn.
//! Nothing calls a handler, and nothing but a large `send` moves a byte. An id whose socket is gone
//! is "gone", never an error and never another socket.
//!
//! This room may use `values`, `conn` and `net`. Start reading at [`Io`].

pub(crate) mod connect;
pub(crate) mod connect_attempts;
pub(crate) mod connection;
pub(crate) mod cork;
pub(crate) mod datagram;
pub(crate) mod detach;
pub(crate) mod group;
pub(crate) mod lingering;
pub(crate) mod listener;
pub(crate) mod local_addrs;
pub(crate) mod mailbox;
pub(crate) mod names;
pub(crate) mod poll;
pub(crate) mod progress;
pub(crate) mod resolver;
pub(crate) mod shared_addrs;
pub(crate) mod table;
pub(crate) mod thread_pool;
pub(crate) mod timers;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Poll;

use crate::addr::Addr;
use crate::conn::datagram::{AfterDrain, DatagramPhase};
use crate::conn::output::BufferPool;
use crate::conn::stream::{CloseState, SEND_AT_ONCE, SendStatus, Watermarks};
use crate::exit::Exit;
use crate::id::{SocketId, TimerId};
use crate::io::connect_attempts::ConnectAttempts;
use crate::io::connection::Connection;
use crate::io::cork::CorkBuffer;
use crate::io::lingering::Lingering;
use crate::io::local_addrs::LocalAddrs;
use crate::io::resolver::Resolver;
use crate::io::table::{Entry, SocketTable};
use crate::io::timers::{DeadlineQueue, Timers};
use crate::net::{DetachedSocket, StopToken, name_of, peer_of};
use crate::options::Options;
use crate::stats::Stats;
use crate::trace::{TraceEvent, Tracer};

mod commands;
mod datagrams;
mod offloaded;
mod send_shared;

/// All sockets and timers of one server; handlers reach it as `cx.io`.
#[derive(Debug)]
pub struct Io {
    pub(crate) poll: Poll,
    pub(crate) sockets: SocketTable,
    pub(crate) outbox: CorkBuffer,
    pub(crate) pool: BufferPool,
    pub(crate) timers: Timers,
    /// When a connection has been idle for too long, or a listener tries again.
    pub(crate) deadlines: DeadlineQueue<SocketId>,
    /// Who only waits for the end of its peer.
    pub(crate) lingering: Lingering,
    /// When a peer has left too long unfinished what it has begun.
    pub(crate) unfinished: DeadlineQueue<SocketId>,
    pub(crate) stats: Stats,
    pub(crate) trace: Tracer,
    pub(crate) options: Options,
    pub(crate) marks: Watermarks,
    /// Nanoseconds from `epoch` to the last look at the clock, once a turn.
    pub(crate) now: u64,
    pub(crate) epoch: Instant,
    /// The clock does not go by itself; it shows this.
    #[cfg(feature = "testing")]
    pub(crate) stopped_at: Option<u64>,
    pub(crate) drain: ShutdownState,
    /// What outgoing connections that do not stand yet have before them.
    pub(crate) attempts: ConnectAttempts,
    /// How many pieces of work of a connection are under way in other threads.
    pub(crate) offloaded: BTreeMap<SocketId, usize>,
    /// What looks their names up.
    pub(crate) resolver: Resolver,
    /// The sockets of connections whose handlers block.
    pub(crate) loans: BTreeMap<SocketId, DetachedSocket>,
    /// What ends the reads of their handlers at a shutdown, once one waits with it.
    pub(crate) stop: Option<Arc<StopToken>>,
    /// A handler asked for the end of the run.
    pub(crate) exit: Option<io::Error>,
    /// Where datagram sockets of this server are bound.
    pub(crate) own: LocalAddrs,
    /// How many more clients or datagrams `handle_request` takes; `None` is any number.
    pub(crate) accept_quota: Option<usize>,
    /// [`Options::idle_timeout`] in nanoseconds; `u64::MAX` is for ever.
    pub(crate) idle_after: u64,
    /// [`Options::frame_timeout`] in the same way.
    pub(crate) frame_after: u64,
}

/// How far a graceful shutdown has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ShutdownState {
    Running,
    /// Asked for; it begins with the next turn.
    Requested {
        grace: Duration,
    },
    /// It began at `since`; what is left at `deadline` is cut off.
    Draining {
        since: u64,
        deadline: u64,
    },
    /// Nothing is left; the next turn may serve again.
    Done,
}

/// How long a shortage at `accept` is waited out before the next try.
pub(crate) const ACCEPT_RETRY: Duration = Duration::from_millis(100);

impl Io {
    pub(crate) fn new(options: Options) -> io::Result<Io> {
        options.check()?;
        Ok(Io {
            poll: Poll::new()?,
            sockets: SocketTable::new(),
            outbox: CorkBuffer::new(),
            pool: BufferPool::default(),
            timers: Timers::new(),
            deadlines: DeadlineQueue::new(),
            lingering: Lingering::default(),
            unfinished: DeadlineQueue::new(),
            stats: Stats::default(),
            trace: Tracer::default(),
            marks: Watermarks {
                high_water: options.high_water,
                low_water: options.low_water,
                output_limit: options.output_limit,
            },
            idle_after: options.idle_timeout.map_or(u64::MAX, nanoseconds),
            frame_after: options.frame_timeout.map_or(u64::MAX, nanoseconds),
            resolver: Resolver::new(options.lookup_threads),
            options,
            now: 0,
            epoch: Instant::now(),
            #[cfg(feature = "testing")]
            stopped_at: None,
            drain: ShutdownState::Running,
            attempts: ConnectAttempts::default(),
            offloaded: BTreeMap::new(),
            loans: BTreeMap::new(),
            stop: None,
            exit: None,
            own: LocalAddrs::default(),
            accept_quota: None,
        })
    }

    // Sending and receiving.

    /// Sends `bytes` to the peer of `id`, after everything sent before. Never blocks.
    ///
    /// What a handler sends in one turn leaves in one piece at the end of the turn. Of a connection
    /// that is still being made it leaves when that stands.
    #[inline]
    pub fn send(&mut self, id: SocketId, bytes: &[u8]) -> SendStatus {
        if self.outbox.is_serving(id) && bytes.len() < SEND_AT_ONCE {
            if let Some(room) = self.outbox.room_for(bytes.len(), self.marks.high_water) {
                self.stats.bytes_sent += bytes.len() as u64;
                // The copy comes last, so that nothing has to be kept for after it.
                room.copy_from_slice(bytes);
                return SendStatus::Queued;
            }
        }
        self.send_slow(id, bytes)
    }

    /// A send to another connection than the one whose turn it is, one that is not plain, or one
    /// that is too much for the outbox. Apart, so that the usual send needs few registers.
    #[inline(never)]
    fn send_slow(&mut self, id: SocketId, bytes: &[u8]) -> SendStatus {
        let own = self.outbox.is_serving(id);
        if own && bytes.len() < SEND_AT_ONCE && self.outbox.grow(bytes.len()) {
            return self.send(id, bytes);
        }
        self.uncork(id);
        if bytes.len() >= SEND_AT_ONCE && (own || self.can_write_directly(id)) {
            return self.send_large(id, bytes);
        }
        let Some(connection) = self.sockets.connection_mut(id) else {
            return self.send_packet(id, bytes, None);
        };
        let sent = connection.stream.send(bytes, self.marks, &mut self.pool);
        if sent != SendStatus::Closed {
            self.stats.bytes_sent += bytes.len() as u64;
        }
        if !connection.stream.is_queued() {
            self.sockets.enqueue(id);
        }
        sent
    }

    /// Whether nothing that `id` has sent in its own turn of this round still lies in the outbox.
    fn can_write_directly(&self, id: SocketId) -> bool {
        self.outbox.is_empty()
            || self.sockets.connection(id).is_none_or(|one| !one.stream.is_queued())
    }

    #[cold]
    fn send_large(&mut self, id: SocketId, bytes: &[u8]) -> SendStatus {
        let Some(connection) = self.sockets.connection_mut(id) else {
            return self.send_packet(id, bytes, None);
        };
        let (sent, left) = connection.stream.send_large(bytes, self.marks, &mut self.pool);
        self.record_direct_write(id, bytes.len(), sent, left)
    }

    /// Of a large message of `len` bytes so many left at once.
    fn record_direct_write(
        &mut self,
        id: SocketId,
        len: usize,
        sent: SendStatus,
        left: usize,
    ) -> SendStatus {
        if sent != SendStatus::Closed {
            self.stats.bytes_sent += len as u64;
        }
        if left > 0 {
            self.stats.bytes_out += left as u64;
            self.trace.step(|| TraceEvent::Wrote(id, left));
            if let Some(connection) = self.sockets.connection_mut(id) {
                connection.active_at = self.now;
            }
        }
        self.sockets.enqueue(id);
        sent
    }

    // Ending.

    /// Closes every listener and every bound datagram socket (Python's `server_close`), once what
    /// has come to that is answered, also by other threads within
    /// [`Options::close_timeout`]; connections go on.
    pub fn server_close(&mut self) {
        let since = self.now;
        for id in self.sockets.ids() {
            match self.sockets.get(id) {
                Some(Entry::Listener(_)) => self.close(id),
                Some(Entry::Datagram(datagram)) if !datagram.is_connected => {
                    self.change_datagram(id, |datagram| {
                        datagram.begin_datagram_drain(since, AfterDrain::Close);
                    })
                }
                _ => false,
            };
        }
    }

    /// Ends the present run of the server (Python's `shutdown`). From now on nobody is accepted;
    /// each handler's `shutdown` runs after it has seen everything that had been read for it; what is left
    /// after `grace` is cut off. The listeners stay bound, so that the server can run again:
    /// [`Io::server_close`] closes them. Asked for twice, the shorter grace holds.
    pub fn shutdown(&mut self, grace: Duration) {
        if self.drain == ShutdownState::Done {
            // Another run begins, if only to end; who rested since the last one is told again.
            self.sockets.resume_all();
        }
        self.drain = match self.drain {
            ShutdownState::Running | ShutdownState::Done => ShutdownState::Requested { grace },
            ShutdownState::Requested { grace: before } => {
                ShutdownState::Requested { grace: before.min(grace) }
            }
            ShutdownState::Draining { since, deadline } => {
                ShutdownState::Draining { since, deadline: deadline.min(self.after(grace)) }
            }
        };
    }

    /// Whether a shutdown was asked for and has not ended yet.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        matches!(self.drain, ShutdownState::Requested { .. } | ShutdownState::Draining { .. })
    }

    // Timers.

    /// Calls `timeout` of the handler of `owner` once, when `after` has passed since the beginning
    /// of this turn ([`Io::now`]). Timers are cancelled when their
    /// owner closes. While the owner is still connecting, they fire after `setup` at the earliest. Every
    /// call makes a new timer; to restart one, cancel it first. A timer of a watched source calls its
    /// `ready` with nothing ready.
    ///
    /// [`TimerId::NONE`], and no timer, when nobody could be called: the owner is gone or closed, or
    /// it is a listener, which has no handler; [`Server::alarm`](crate::Server::alarm) is an owner
    /// for timers that belong to no connection.
    pub fn set_timer(&mut self, owner: SocketId, after: Duration) -> TimerId {
        if !self.is_live(owner) || matches!(self.sockets.get(owner), Some(Entry::Listener(_))) {
            return TimerId::NONE;
        }
        let sockets = &self.sockets;
        let timer = self.timers.insert(self.after(after), owner, |id| sockets.get(id).is_some());
        // Without a name left it can neither fire nor be cancelled.
        timer.unwrap_or(TimerId::NONE)
    }

    /// Whether the timer was still to come; now it is not.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        self.timers.cancel(timer)
    }

    /// The time at which this turn began.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.now)
    }

    // Questions.

    /// Whether the socket exists and, if it is a connection, neither side of the program has
    /// closed it.
    #[must_use]
    pub fn is_open(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Connection(connection)) => connection.stream.ending() == CloseState::Open,
            Some(Entry::Listener(listener)) => !listener.closing,
            Some(Entry::Datagram(datagram)) => {
                matches!(datagram.phase(), DatagramPhase::Open | DatagramPhase::Stopped)
            }
            Some(Entry::Source(source)) => !source.closing,
            None => false,
        }
    }

    /// Whether output waits above high water, or has not fallen to low water since it did; of a
    /// datagram socket, whether something found no room in its queue since that was last empty.
    #[must_use]
    pub fn is_congested(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Connection(connection)) => connection.stream.is_congested(),
            Some(Entry::Datagram(datagram)) => datagram.is_congested(),
            _ => false,
        }
    }

    /// Whether [`Io::pause`] holds.
    #[must_use]
    pub fn is_paused(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Connection(connection)) => connection.stream.is_paused(),
            Some(Entry::Datagram(datagram)) => datagram.is_paused(),
            Some(Entry::Listener(listener)) => listener.paused,
            Some(Entry::Source(source)) => source.is_paused(),
            None => false,
        }
    }

    /// How many bytes wait to be sent. Of what other connections were sent in this round, only
    /// that is counted which does not leave with its end.
    #[must_use]
    pub fn unsent(&self, id: SocketId) -> usize {
        let waiting = self.sockets.connection(id).map_or(0, |c| c.stream.unsent());
        waiting + if self.outbox.is_serving(id) { self.outbox.collected() } else { 0 }
    }

    /// The address of the peer (`getpeername`, Python's `client_address`); `None` when there is
    /// none any more. Who needs it in `finish` keeps the one it was made with.
    #[must_use]
    pub fn peer_addr(&self, id: SocketId) -> Option<Addr> {
        match self.sockets.get(id)? {
            Entry::Connection(connection) => {
                let peer = connection.stream.transport().peer_addr();
                peer.or_else(|| self.lent(id).and_then(peer_of))
            }
            Entry::Datagram(datagram) => datagram.transport().peer_addr(),
            Entry::Listener(_) | Entry::Source(_) => None,
        }
    }

    /// The address of this end (`getsockname`, Python's `server_address`): of a listener on port 0,
    /// the port it got. A connection in the making has one while it is certain: while just one
    /// socket is under way for it.
    #[must_use]
    pub fn local_addr(&self, id: SocketId) -> Option<Addr> {
        match self.sockets.get(id)? {
            Entry::Connection(connection) if connection.stream.is_connecting() => {
                self.attempts.get(id)?.local_addr()
            }
            Entry::Connection(connection) => {
                let own = connection.stream.transport().local_addr();
                own.or_else(|| self.lent(id).and_then(name_of))
            }
            Entry::Listener(listener) => listener.socket.local_addr(),
            Entry::Datagram(datagram) => datagram.transport().local_addr(),
            Entry::Source(_) => None,
        }
    }

    /// Sets `TCP_NODELAY` of one connection, against [`Options::nodelay`]; of one in the making, once
    /// it stands. A Unix stream never waits, so there is nothing to set.
    ///
    /// # Errors
    /// What the system says; [`NotConnected`](io::ErrorKind::NotConnected) when it is gone, no
    /// connection, or away with a handler that blocks.
    pub fn set_nodelay(&mut self, id: SocketId, on: bool) -> io::Result<()> {
        if let Some(attempt) = self.attempts.get_mut(id) {
            attempt.nodelay = Some(on);
            return Ok(());
        }
        match self.sockets.connection(id) {
            Some(connection) => connection.stream.transport().set_nodelay(on),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// How many connections are open, those included that only linger.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.sockets.connection_count()
    }

    /// The counters of this server.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Compares the counters with what is really there; for tests and soak runs, since it looks at
    /// every connection.
    ///
    /// # Errors
    /// What does not balance.
    pub fn verify_stats(&self) -> Result<(), String> {
        let unsent: usize = self.sockets.connections().map(|(_, c)| c.stream.unsent()).sum();
        let live = self.sockets.connections().filter(|(_, c)| !c.is_finished()).count();
        let stats = &self.stats;
        if stats.accepted + stats.connected != stats.all_ended() + live as u64 {
            return Err(format!("{live} conversations are live, but {stats:?}"));
        }
        if stats.bytes_sent != stats.bytes_out + stats.bytes_dropped + unsent as u64 {
            return Err(format!("{unsent} bytes are unsent, but {stats:?}"));
        }
        let waiting: usize = self.sockets.datagrams().map(|(_, datagram)| datagram.waiting()).sum();
        if stats.packets_sent != stats.packets_out + stats.packets_dropped + waiting as u64 {
            return Err(format!("{waiting} datagrams wait, but {stats:?}"));
        }
        Ok(())
    }

    /// A time from now on the loop's clock; too far off is the end of time.
    pub(crate) fn after(&self, duration: Duration) -> u64 {
        self.now.saturating_add(nanoseconds(duration))
    }

    /// What `id` has sent in its turn becomes ordinary output, because something unusual is about
    /// to happen to it.
    pub(crate) fn uncork(&mut self, id: SocketId) {
        if !self.outbox.is_serving(id) {
            return;
        }
        if self.outbox.collected() == 0 {
            self.outbox.end();
            return;
        }
        let collected = self.outbox.give_up();
        if let Some(connection) = self.sockets.connection_mut(id) {
            connection.stream.send_first(collected, self.marks, &mut self.pool);
        }
    }

    /// Remembers that a handler asked for the end of the run, if that is what its error says. The
    /// last one is told.
    pub(crate) fn note_exit(&mut self, error: &io::Error) -> bool {
        let exits = Exit::is(error);
        if exits {
            self.exit = Some(Exit.into());
        }
        exits
    }

    /// Says whether there is such a connection.
    pub(crate) fn change(&mut self, id: SocketId, change: impl FnOnce(&mut Connection)) -> bool {
        self.uncork(id);
        let Some(connection) = self.sockets.connection_mut(id) else { return false };
        change(connection);
        if !connection.stream.is_queued() {
            self.sockets.enqueue(id);
        }
        true
    }
}

/// More than five hundred years are for ever.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
