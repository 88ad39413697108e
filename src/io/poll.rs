//! Waiting for events, the clock of the loop, and which events the poll reports.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Registry};

use crate::id::SocketId;
use crate::io::{Io, ShutdownState};
use crate::trace::TraceEvent;

impl Io {
    pub(crate) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Waits for events, at most until the next deadline, and not at all while the queue is not
    /// empty.
    #[inline]
    pub(crate) fn wait(&mut self, events: &mut Events, most: Option<Duration>) -> io::Result<()> {
        let timeout = self.timeout(most);
        let polled = if self.options.busy_poll.is_zero() || timeout == Some(Duration::ZERO) {
            self.poll.poll(events, timeout)
        } else {
            self.busy_poll(events, timeout)
        };
        self.update_clock();
        match polled {
            Ok(()) => {}
            // A signal. `events` is empty then: mio clears it before it waits.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if self.trace.is_on() {
            self.trace.step(|| TraceEvent::Polled(events.iter().count()));
        }
        Ok(())
    }

    /// Polls repeatedly for as long as [`Options::busy_poll`](crate::Options::busy_poll) says, and
    /// only then sleeps: waking a sleeping thread costs more than many polls.
    #[inline(never)]
    fn busy_poll(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let spin =
            timeout.map_or(self.options.busy_poll, |timeout| timeout.min(self.options.busy_poll));
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
        self.now = self.clock();
    }

    #[inline]
    fn clock(&self) -> u64 {
        #[cfg(feature = "testing")]
        if let Some(at) = self.stopped_at {
            return at;
        }
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    #[inline]
    pub(crate) fn timeout(&self, most: Option<Duration>) -> Option<Duration> {
        // After a shutdown the edge for the clients in a backlog has been consumed, so poll at once.
        let begins =
            matches!(self.shutdown_state, ShutdownState::Requested { .. } | ShutdownState::Done);
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

    /// How long a poll that begins now may wait. The clock of the loop shows when its turn began.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let spent = self.clock().saturating_sub(self.now);
        self.timeout(None).map(|left| left.saturating_sub(Duration::from_nanos(spent)))
    }

    /// Updates the write interest of a datagram socket.
    pub(crate) fn update_datagram_write_interest(&mut self, id: SocketId) -> io::Result<()> {
        let registry = self.poll.registry();
        match self.sockets.datagram_mut(id) {
            Some(datagram) => datagram.update_write_interest(registry, id.token()),
            None => Ok(()),
        }
    }

    /// Updates the write interest of a connection, on sockets that need it.
    #[inline]
    pub(crate) fn update_write_interest(&mut self, id: SocketId) -> io::Result<()> {
        let registry = self.poll.registry();
        match self.sockets.connection_mut(id) {
            Some(connection) => connection.update_write_interest(registry, id.token()),
            None => Ok(()),
        }
    }
}
