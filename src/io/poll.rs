//! The part of [`Io`] that deals with the system: waits, opens and closes.
//!
//! Everything here is for the loop; what handlers may do stands in [`crate::io`].

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Registry, Token};

use crate::addr::{Addr, first_that_works};
use crate::conn::datagram::AfterDrain;
use crate::conn::stream::CloseState;
use crate::id::SocketId;
use crate::io::connection::Connection;
use crate::io::datagram::Datagram;
use crate::io::listener::Listener;
use crate::io::table::Entry;
use crate::io::{Io, ShutdownState, nanoseconds};
use crate::net::{DatagramSocket, ListenerSocket, StreamSocket};
use crate::trace::TraceEvent;

impl Io {
    pub(crate) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Waits for events, not beyond the next deadline and not at all while a socket has something
    /// to do.
    #[inline]
    pub(crate) fn wait(&mut self, events: &mut Events, most: Option<Duration>) -> io::Result<()> {
        let timeout = self.timeout(most);
        let polled = if self.options.spin.is_zero() || timeout == Some(Duration::ZERO) {
            self.poll.poll(events, timeout)
        } else {
            self.busy_poll(events, timeout)
        };
        self.update_clock();
        match polled {
            Ok(()) => {}
            // A signal. Those of the wait before are gone: mio clears them before it waits.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if self.trace.is_on() {
            self.trace.step(|| TraceEvent::Polled(events.iter().count()));
        }
        Ok(())
    }

    /// Looks for events again and again for as long as [`Options::spin`] says, and only then sleeps:
    /// who is awake when a message comes need not be woken, which costs more than many a look.
    #[inline(never)]
    fn busy_poll(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let spin = timeout.map_or(self.options.spin, |timeout| timeout.min(self.options.spin));
        let began = Instant::now();
        loop {
            self.poll.poll(events, Some(Duration::ZERO))?;
            let waited = began.elapsed();
            if !events.is_empty() {
                return Ok(());
            }
            if waited >= spin {
                let left = timeout.map(|timeout| timeout.saturating_sub(waited));
                return self.poll.poll(events, left);
            }
        }
    }

    /// Reads the clock: once a turn, and when a call from outside the loop begins.
    #[inline]
    pub(crate) fn update_clock(&mut self) {
        #[cfg(feature = "testing")]
        if let Some(at) = self.stopped_at {
            self.now = at;
            return;
        }
        self.now = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
    }

    #[inline]
    pub(crate) fn timeout(&self, most: Option<Duration>) -> Option<Duration> {
        // After a shutdown the edge for the clients in a backlog has been consumed, so poll at once.
        let begins = matches!(self.drain, ShutdownState::Requested { .. } | ShutdownState::Done);
        if begins || !self.sockets.is_idle() {
            return Some(Duration::ZERO);
        }
        let next = self.next_deadline();
        if next == u64::MAX {
            return most;
        }
        let left = Duration::from_nanos(next.saturating_sub(self.now));
        Some(most.map_or(left, |most| most.min(left)))
    }

    /// When time alone gives the loop something to do; `u64::MAX` is never.
    #[inline]
    pub(crate) fn next_deadline(&self) -> u64 {
        let timers = self.timers.next().unwrap_or(u64::MAX);
        let deadlines = self.deadlines.next().unwrap_or(u64::MAX);
        let drained = if let ShutdownState::Draining { deadline, .. } = self.drain {
            deadline
        } else {
            u64::MAX
        };
        let unfinished = self.unfinished.next().unwrap_or(u64::MAX);
        timers.min(deadlines).min(drained).min(unfinished)
    }

    // Opening and closing.

    pub(crate) fn open_listener(&mut self, addrs: &[Addr]) -> io::Result<SocketId> {
        if let Some(door) = self.next_addr() {
            return self.open_door(door, addrs);
        }
        first_that_works("listen on", addrs, |addr| {
            let socket = ListenerSocket::listen(addr, &self.options)?;
            self.adopt_listener(Listener::new(socket))
        })
    }

    /// Binds a datagram socket.
    pub(crate) fn open_bound(&mut self, addrs: &[Addr]) -> io::Result<SocketId> {
        if let Some(door) = self.next_addr() {
            return self.open_packet_door(door, addrs);
        }
        first_that_works("bind to", addrs, |addr| {
            let socket = DatagramSocket::bind(addr, &self.options)?;
            self.adopt_bound(socket)
        })
    }

    pub(crate) fn adopt_bound(&mut self, socket: DatagramSocket) -> io::Result<SocketId> {
        let own = socket.local_addr();
        let id = self.adopt_datagram(Datagram::new(socket, false))?;
        if let Some(own) = own {
            self.own.insert(id, own);
        }
        Ok(id)
    }

    /// Connects a datagram socket, which is done at once.
    pub(crate) fn open_connected(&mut self, addrs: &[Addr]) -> io::Result<SocketId> {
        first_that_works("connect to", addrs, |addr| {
            let socket = DatagramSocket::connect(addr, &self.options)?;
            self.adopt_datagram(Datagram::new(socket, true))
        })
    }

    fn adopt_datagram(&mut self, datagram: Datagram) -> io::Result<SocketId> {
        let id = self.sockets.insert_datagram(datagram).ok_or_else(no_id_left)?;
        let registry = self.poll.registry();
        let registered = match self.sockets.datagram_mut(id) {
            Some(datagram) => datagram.register(registry, id.token()),
            None => Ok(()),
        };
        if let Err(error) = registered {
            self.sockets.remove(id);
            return Err(error);
        }
        if let ShutdownState::Draining { since, .. } = self.drain {
            self.begin_datagram_drain(id, since);
        }
        Ok(id)
    }

    /// What has come to a datagram socket by now is answered; then it rests, or closes if it is a
    /// connected one.
    pub(crate) fn begin_datagram_drain(&mut self, id: SocketId, since: u64) {
        self.change_datagram(id, |datagram| {
            let then = if datagram.is_connected { AfterDrain::Close } else { AfterDrain::Rest };
            datagram.begin_datagram_drain(since, then);
        });
    }

    pub(crate) fn adopt_listener(&mut self, listener: Listener) -> io::Result<SocketId> {
        let id = self.sockets.insert_listener(listener).ok_or_else(no_id_left)?;
        let registry = self.poll.registry();
        let registered = match self.sockets.listener(id) {
            Some(listener) => listener.socket.register(registry, id.token()),
            None => Ok(()),
        };
        if let Err(error) = registered {
            self.sockets.remove(id);
            return Err(error);
        }
        Ok(id)
    }

    pub(crate) fn open_source(
        &mut self,
        register: impl FnOnce(&Registry, Token) -> io::Result<()>,
    ) -> io::Result<SocketId> {
        let id = self.sockets.insert_source().ok_or_else(no_id_left)?;
        if let Err(error) = register(self.poll.registry(), id.token()) {
            self.sockets.remove(id);
            return Err(error);
        }
        Ok(id)
    }

    /// A connection in the making, which has no socket yet. It is not counted yet.
    pub(crate) fn adopt_unopened(&mut self) -> io::Result<SocketId> {
        let connection = Connection::new(StreamSocket::Unopened, true, self.now);
        self.sockets.insert_connection(connection).ok_or_else(no_id_left)
    }

    /// Registers a connection that stands. It is not counted yet.
    #[inline]
    pub(crate) fn adopt(&mut self, socket: StreamSocket) -> io::Result<SocketId> {
        let mut connection = Connection::new(socket, false, self.now);
        let at = self.due(&connection);
        connection.deadlines = u8::from(at.is_some());
        let id = self.sockets.insert_connection(connection).ok_or_else(no_id_left)?;
        let registry = self.poll.registry();
        let Some(connection) = self.sockets.connection_mut(id) else { return Ok(id) };
        if let Err(error) = connection.register(registry, id.token()) {
            self.sockets.remove(id);
            return Err(error);
        }
        if let Some(at) = at {
            self.deadlines.push(at, id);
        }
        Ok(id)
    }

    /// Gives a connection another socket, and all its time again.
    pub(crate) fn replace(&mut self, id: SocketId, socket: StreamSocket) -> io::Result<()> {
        let registry = self.poll.registry();
        let Some(connection) = self.sockets.connection_mut(id) else { return Ok(()) };
        connection.active_at = self.now;
        // Its close takes it from the poll, but not on every system.
        let _ = connection.stream.retry(socket).deregister(registry);
        connection.register(registry, id.token())
    }

    /// A shutdown begins: everybody looks once more into its socket, and then its handler is told.
    pub(crate) fn ask_all_to_close(&mut self) {
        let since = self.now;
        for id in self.sockets.ids() {
            self.ask_to_close(id);
            self.begin_datagram_drain(id, since);
        }
        self.hurry_lingering();
    }

    /// The same for one connection.
    pub(crate) fn ask_to_close(&mut self, id: SocketId) {
        let Some(connection) = self.sockets.connection_mut(id) else { return };
        if connection.stream.is_connecting() && self.attempts.is_planned(id) {
            connection.stream.close();
        }
        connection.stream.note_shutdown();
        self.sockets.enqueue(id);
    }

    /// Whether a shutdown still waits for the end of what comes in. A peer that never stops sending
    /// may not hold up its handler's `shutdown` for longer.
    pub(crate) fn may_still_read(&self) -> bool {
        let ShutdownState::Draining { since, .. } = self.drain else { return false };
        self.may_still_look(since)
    }

    /// Whether what comes in is still looked at, `since` when it is to come to its end.
    pub(crate) fn may_still_look(&self, since: u64) -> bool {
        let longest = match self.drain {
            ShutdownState::Draining { since, deadline } => READ_ON.min((deadline - since) / 2),
            _ => READ_ON,
        };
        self.now < since.saturating_add(longest)
    }

    /// Whether a shutdown has nothing more to wait for. A connection in the making that owes nobody
    /// anything, such as one that looks whether a server is well, holds nothing up.
    pub(crate) fn is_drained(&self) -> bool {
        let owes_nothing = |id: &SocketId| {
            let connection = self.sockets.connection(*id);
            connection.is_some_and(|one| one.stream.is_beside() && one.stream.unsent() == 0)
        };
        self.connections() == self.attempts.ids().filter(owes_nothing).count()
            && self.sockets.datagrams().all(|(_, one)| one.is_drained())
    }

    /// Whether what this socket's callbacks begin owes nobody an answer: nobody has asked for it.
    pub(crate) fn is_beside(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Source(_)) => true,
            Some(Entry::Connection(connection)) => connection.stream.is_beside(),
            _ => false,
        }
    }

    /// Whether a connection may go without waiting for the peer's end: only when the server shuts
    /// down, everything that came was looked at, and the peer has been silent since, or nobody has
    /// asked for it.
    pub(crate) fn may_skip_linger(&self, id: SocketId) -> bool {
        let ShutdownState::Draining { since, .. } = self.drain else { return false };
        self.sockets.connection(id).is_some_and(|connection| {
            let silent = connection.quiet_since() < since || connection.stream.is_beside();
            !connection.stream.is_readable() && silent
        })
    }

    /// Puts the present deadline of a connection into the heap, if it has one.
    #[inline]
    pub(crate) fn arm(&mut self, id: SocketId) {
        let Some(at) = self.deadline(id) else { return };
        let Some(connection) = self.sockets.connection_mut(id) else { return };
        connection.deadlines = connection.deadlines.saturating_add(1);
        self.deadlines.push(at, id);
    }

    /// Sets a deadline for input that is held, unless one is under way.
    #[inline]
    pub(crate) fn arm_frame_deadline(&mut self, id: SocketId) {
        if self.frame_after == u64::MAX {
            return;
        }
        let Some(connection) = self.sockets.connection_mut(id) else { return };
        if connection.stream.arm_frame_deadline() {
            self.unfinished.push(self.now.saturating_add(self.frame_after), id);
        }
    }

    /// When the present patience with a connection ends.
    pub(crate) fn deadline(&self, id: SocketId) -> Option<u64> {
        let connection = self.sockets.connection(id)?;
        self.due(connection)
    }

    fn due(&self, connection: &Connection) -> Option<u64> {
        let patience = match connection.stream.ending() {
            // What it has to wait for is known to those who make it.
            _ if connection.stream.is_connecting() => u64::MAX,
            // Whoever has the socket has timeouts of its own.
            CloseState::Open if matches!(connection.stream.transport(), StreamSocket::Lent) => {
                u64::MAX
            }
            CloseState::Open => self.idle_after,
            CloseState::Closing | CloseState::Flushing => nanoseconds(self.options.close_timeout),
            CloseState::Lingering => return Some(self.lingers_until(connection)),
            CloseState::Aborted(_) | CloseState::Dropped => u64::MAX,
        };
        let at = connection.quiet_since().saturating_add(patience);
        (at != u64::MAX).then_some(at)
    }

    /// Bounds the time that the rest of a closed datagram socket may take to leave; once for each.
    pub(crate) fn arm_datagram_close_timeout(&mut self, id: SocketId) {
        let over = self.after(self.options.close_timeout);
        let Some(datagram) = self.sockets.datagram_mut(id) else { return };
        if datagram.closes_at.is_none() {
            datagram.closes_at = Some(over);
            self.deadlines.push(over, id);
        }
    }

    /// A datagram socket takes nothing more, and closes when those that it took are answered: within
    /// the grace of a shutdown, or else within the time that a closed one has.
    pub(crate) fn await_answers(&mut self, id: SocketId) {
        if let Some(datagram) = self.sockets.datagram_mut(id) {
            datagram.wait();
        }
        if !self.is_shutting_down() {
            self.arm_datagram_close_timeout(id);
        }
    }

    /// Has room reported to a datagram socket that refused to send.
    pub(crate) fn ask_for_packet_room(&mut self, id: SocketId) -> io::Result<()> {
        let registry = self.poll.registry();
        match self.sockets.datagram_mut(id) {
            Some(datagram) => datagram.update_write_interest(registry, id.token()),
            None => Ok(()),
        }
    }

    /// Has room reported to a connection whose output was refused, where that must be asked for.
    #[inline]
    pub(crate) fn update_write_interest(&mut self, id: SocketId) -> io::Result<()> {
        let registry = self.poll.registry();
        match self.sockets.connection_mut(id) {
            Some(connection) => connection.update_write_interest(registry, id.token()),
            None => Ok(()),
        }
    }

    /// Whether one more client may be accepted; among other loops, that is then reserved.
    pub(crate) fn has_room(&mut self) -> bool {
        !self.is_shutting_down() && self.accept_quota != Some(0) && self.reserve()
    }

    fn reserve(&mut self) -> bool {
        self.sockets.connection_count() < self.options.max_connections && self.sockets.reserve()
    }

    /// The same; but who is over and only lingers makes room for who comes.
    pub(crate) fn reserve_or_end_lingering(&mut self) -> bool {
        self.reserve() || self.end_oldest_lingering() && self.reserve()
    }

    /// Whether one more client may be accepted if one that lingers goes for it. Whether a client waits
    /// is not known before there is room, so after the last one another goes for nothing.
    pub(crate) fn makes_room(&mut self) -> bool {
        !self.is_shutting_down() && self.accept_quota != Some(0) && self.reserve_or_end_lingering()
    }

    /// Closes the descriptor of a socket and forgets everything about it. What is left of its
    /// output is dropped, and then the peer is told so by a reset.
    pub(crate) fn discard(&mut self, id: SocketId) {
        let registry = self.poll.registry();
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let (mut deadlines, mut unfinished, mut lingered) = (0, 0, false);
        match socket {
            Entry::Connection(connection) => {
                let dropped = connection.stream.drop_output(&mut self.pool);
                self.stats.bytes_dropped += dropped as u64;
                if dropped > 0 || connection.wants_reset() {
                    connection.stream.transport().reset_on_close();
                }
                // epoll forgets a descriptor with its close, unless a copy of it lives in another
                // process; descriptors opened here are closed on exec and never copied.
                if cfg!(not(any(target_os = "linux", target_os = "android"))) {
                    let _ = connection.stream.transport_mut().deregister(registry);
                }
                deadlines = usize::from(connection.deadlines);
                unfinished = usize::from(connection.stream.is_unfinished_watched());
                lingered = connection.lingers;
            }
            Entry::Listener(listener) => {
                // On Linux its close does that too, but there is nothing to save here.
                let _ = listener.socket.deregister(registry);
            }
            Entry::Datagram(datagram) => {
                self.stats.packets_dropped += datagram.clear_queue() as u64;
                self.own.remove(id);
                let _ = datagram.deregister(registry);
                deadlines =
                    usize::from(datagram.closes_at.is_some()) + usize::from(datagram.retries_later);
            }
            Entry::Source(_) => {}
        }
        self.sockets.remove(id);
        if !self.attempts.is_empty() {
            self.forget_attempt(id);
        }
        if !self.loans.is_empty() {
            self.loans.remove(&id);
        }
        let sockets = &self.sockets;
        if lingered {
            self.lingering.remove(|id| sockets.lingers(id));
        }
        self.deadlines.forget(deadlines, |id| sockets.get(id).is_some());
        self.unfinished.forget(unfinished, |id| sockets.get(id).is_some());
        self.trace.step(|| TraceEvent::Removed(id));
    }
}

/// How long at most a shutdown goes on reading, in nanoseconds.
const READ_ON: u64 = 1_000_000_000;

fn no_id_left() -> io::Error {
    io::Error::other("no id is left for another socket")
}
