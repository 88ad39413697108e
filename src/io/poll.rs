//! Waiting for events, the clock of the loop, and which events the poll reports.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Registry};

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
    pub(crate) fn wait(
        &mut self,
        events: &mut impl PolledEvents,
        most: Option<Duration>,
    ) -> io::Result<()> {
        let next = self.next_deadline();
        let timeout = self.timeout(next, most);
        let began = self.now;
        let polled = if self.options.busy_poll.is_zero() || timeout == Some(Duration::ZERO) {
            events.poll(&mut self.poll, timeout)
        } else {
            self.busy_poll(events, timeout)
        };
        self.update_clock();
        let looked = is_complete(polled)?;
        if next <= self.now {
            self.look_before_deadlines((looked && next <= began).then_some(began), events)?;
        }
        if self.trace.is_on() {
            self.trace.step(|| TraceEvent::Polled(events.count()));
        }
        Ok(())
    }

    /// A deadline has come. What the kernel already has for us precedes it, however late the loop
    /// is (a debugger, a stopped process, a slow callback): a deadline expires only in a turn whose
    /// poll began after it had come, was not interrupted, and reported all there was.
    ///
    /// `began` is when this turn's poll began, if it was such a poll for any deadline. Otherwise
    /// the kernel is asked once more, unless there are events to serve; then the next turn asks,
    /// because it does not wait.
    #[cold]
    #[inline(never)]
    fn look_before_deadlines(
        &mut self,
        began: Option<u64>,
        events: &mut impl PolledEvents,
    ) -> io::Result<()> {
        let began = match began {
            Some(began) => began,
            None if events.count() > 0 => return Ok(()),
            None => {
                if !is_complete(events.poll(&mut self.poll, Some(Duration::ZERO)))? {
                    return Ok(());
                }
                self.now
            }
        };
        let capacity = self.options.events_per_turn;
        let full = (events.count() >= capacity).then_some(capacity);
        if let Some(looked_at) = self.full_polls.note(began, full, self.sockets.len()) {
            self.looked_at = looked_at;
            self.is_deadline_due = true;
        }
        Ok(())
    }

    /// Polls repeatedly for as long as [`Options::busy_poll`](crate::Options::busy_poll) says, and
    /// only then sleeps: waking a sleeping thread costs more than many polls.
    #[inline(never)]
    fn busy_poll(
        &mut self,
        events: &mut impl PolledEvents,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let spin =
            timeout.map_or(self.options.busy_poll, |timeout| timeout.min(self.options.busy_poll));
        let began = Instant::now();
        loop {
            events.poll(&mut self.poll, Some(Duration::ZERO))?;
            let waited = began.elapsed();
            if events.count() > 0 {
                return Ok(());
            }
            if waited >= spin {
                let left = timeout.map(|timeout| timeout.saturating_sub(waited));
                return events.poll(&mut self.poll, left);
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

    /// How long to wait when the next deadline is at `next`.
    #[inline]
    pub(crate) fn timeout(&self, next: u64, most: Option<Duration>) -> Option<Duration> {
        // After a shutdown the edge for the clients in a backlog has been consumed, so poll at once.
        let begins =
            matches!(self.shutdown_state, ShutdownState::Requested { .. } | ShutdownState::Done);
        if begins || !self.sockets.is_idle() {
            return Some(Duration::ZERO);
        }
        if next == u64::MAX {
            return most;
        }
        let left = Duration::from_nanos(next.saturating_sub(self.now));
        Some(most.map_or(left, |most| most.min(left)))
    }

    /// How long a poll that begins now may wait. The clock of the loop shows when its turn began.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let spent = self.clock().saturating_sub(self.now);
        self.timeout(self.next_deadline(), None)
            .map(|left| left.saturating_sub(Duration::from_nanos(spent)))
    }

    /// Updates the write interest of a datagram socket.
    pub(crate) fn update_datagram_write_interest(&mut self, id: SocketId) -> io::Result<()> {
        let registry = self.poll.registry();
        match self.sockets.datagram_mut(id) {
            Some(datagram) => datagram.update_write_interest(registry, id.token()),
            None => Ok(()),
        }
    }

    /// Updates what is reported of a connection.
    #[inline]
    pub(crate) fn update_interests(&mut self, id: SocketId) -> io::Result<()> {
        let registry = self.poll.registry();
        match self.sockets.connection_mut(id) {
            Some(connection) => connection.update_interests(registry, id.token()),
            None => Ok(()),
        }
    }

    /// Has input not reported any more if the connection is paused.
    pub(crate) fn leave_input(&mut self, id: SocketId) -> io::Result<()> {
        let registry = self.poll.registry();
        match self.sockets.connection_mut(id) {
            Some(connection) => connection.leave_input(registry, id.token()),
            None => Ok(()),
        }
    }
}

/// The events of a poll. A trait, because the simulated kernel has its own.
pub(crate) trait PolledEvents {
    /// Replaces the events by those of the kernel.
    fn poll(&mut self, poll: &mut Poll, timeout: Option<Duration>) -> io::Result<()>;

    fn count(&self) -> usize;
}

impl PolledEvents for Events {
    #[inline]
    fn poll(&mut self, poll: &mut Poll, timeout: Option<Duration>) -> io::Result<()> {
        poll.poll(self, timeout)
    }

    fn count(&self) -> usize {
        self.iter().count()
    }
}

/// Whether a poll was not interrupted. After a signal there are no events: mio clears them before
/// it waits.
#[inline]
fn is_complete(polled: io::Result<()>) -> io::Result<bool> {
    match polled {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

/// Polls in a row that were full, so that more may be ready than was reported.
///
/// The kernel reports in the order in which sockets became ready, so whatever was ready when the
/// first of these polls began is reported after as many of them as all sockets fill. So deadlines
/// expire under any load.
#[derive(Debug, Default)]
pub(crate) struct FullPolls {
    /// When the first of them began, and how many are still to come.
    row: Option<(u64, usize)>,
}

impl FullPolls {
    /// Notes a poll that began at `began`, and its capacity if that was used up. The time until which everything was reported; `None`
    /// when that is not known yet.
    fn note(&mut self, began: u64, capacity: Option<usize>, sockets: usize) -> Option<u64> {
        let Some(capacity) = capacity else {
            self.row = None;
            return Some(began);
        };
        let (since, left) = self.row.unwrap_or((began, sockets / capacity.max(1)));
        self.row = left.checked_sub(1).map(|left| (since, left));
        (left == 0).then_some(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_that_is_not_full_reports_everything() {
        let mut polls = FullPolls::default();
        assert_eq!(polls.note(5, None, 100), Some(5));
        assert_eq!(polls.note(6, Some(10), 100), None);
        assert_eq!(polls.note(7, None, 100), Some(7));
    }

    #[test]
    fn so_many_full_polls_as_all_sockets_fill_report_what_was_ready_when_the_first_began() {
        let mut polls = FullPolls::default();
        for first in [10, 20] {
            assert_eq!(polls.note(first, Some(10), 25), None);
            assert_eq!(polls.note(first + 1, Some(10), 25), None);
            assert_eq!(polls.note(first + 2, Some(10), 25), Some(first));
        }
        // One socket fills a poll of one event, and so may another one behind it.
        assert_eq!(polls.note(30, Some(1), 1), None);
        assert_eq!(polls.note(31, Some(1), 1), Some(30));
        assert_eq!(polls.note(40, Some(4), 3), Some(40));
    }
}
