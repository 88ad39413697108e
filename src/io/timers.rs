//! The timers that handlers set: each fires once, unless it is cancelled.

use std::time::{Duration, Instant};

use super::Io;
use crate::id::{Slots, SocketId, TimerId};
use crate::io::deadline_queue::DeadlineQueue;
use crate::io::table::Entry;

/// The timers of handlers, with their owners.
#[derive(Debug)]
pub(crate) struct Timers {
    owners: Slots<SocketId>,
    deadlines: DeadlineQueue<TimerId>,
    /// Timers of no time, which wait for no deadline: they fire in this turn, before anything that
    /// is queued.
    immediate: Vec<TimerId>,
    /// How many timers there may be before those of closed owners are removed.
    sweep_at: usize,
}

/// With fewer timers no sweep is worth its cost.
const MIN_SWEEP: usize = 1_024;

impl Timers {
    pub(super) const fn new() -> Timers {
        Timers {
            owners: Slots::new(),
            deadlines: DeadlineQueue::new(),
            immediate: Vec::new(),
            sweep_at: MIN_SWEEP,
        }
    }

    /// A new timer of `owner`. `None` when no id is left.
    fn insert(
        &mut self,
        at: u64,
        owner: SocketId,
        is_open: impl Fn(SocketId) -> bool,
    ) -> Option<TimerId> {
        let timer = self.insert_owner(owner, is_open)?;
        self.deadlines.push(at, timer);
        Some(timer)
    }

    /// A new immediate timer of `owner`. `None` when no id is left.
    fn insert_immediate(
        &mut self,
        owner: SocketId,
        is_open: impl Fn(SocketId) -> bool,
    ) -> Option<TimerId> {
        let timer = self.insert_owner(owner, is_open)?;
        self.immediate.push(timer);
        Some(timer)
    }

    fn insert_owner(
        &mut self,
        owner: SocketId,
        is_open: impl Fn(SocketId) -> bool,
    ) -> Option<TimerId> {
        if self.owners.len() >= self.sweep_at {
            self.sweep(is_open);
        }
        Some(TimerId(self.owners.insert_with(|_| owner)?))
    }

    /// Cancels a timer. `false` when it has fired or was cancelled.
    pub(super) fn cancel(&mut self, timer: TimerId) -> bool {
        let was_set = self.owners.remove(timer.0).is_some();
        if was_set {
            let owners = &self.owners;
            self.deadlines.note_stale(1, |timer| owners.get(timer.0).is_some());
        }
        was_set
    }

    #[inline]
    pub(super) fn next(&self) -> Option<u64> {
        if self.immediate.is_empty() { self.deadlines.next() } else { Some(0) }
    }

    /// Moves the immediate timers to `due`.
    pub(crate) fn take_immediate(&mut self, due: &mut Vec<TimerId>) {
        due.append(&mut self.immediate);
    }

    /// The timer that expires first.
    #[inline]
    fn first(&self) -> Option<TimerId> {
        self.deadlines.next_key()
    }

    /// The owner of the timer that expires first.
    #[inline]
    pub(super) fn first_owner(&self) -> Option<SocketId> {
        self.owner(self.first()?)
    }

    /// Removes cancelled timers, and those of closed owners, that would expire first.
    pub(super) fn drop_stale_front(&mut self, is_open: impl Fn(SocketId) -> bool) {
        let owners = &mut self.owners;
        self.deadlines.drop_stale_front(|timer| {
            let live = owners.get(timer.0).is_some_and(|owner| is_open(*owner));
            if !live {
                owners.remove(timer.0);
            }
            live
        });
    }

    /// A timer that has expired; [`Timers::fire`] returns whether it was cancelled since.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<TimerId> {
        self.deadlines.pop_due(now)
    }

    /// The owner of a timer. `None` when it was cancelled.
    pub(super) fn owner(&self, timer: TimerId) -> Option<SocketId> {
        self.owners.get(timer.0).copied()
    }

    /// Arms an expired timer again.
    pub(super) fn rearm(&mut self, at: u64, timer: TimerId) {
        if self.owners.get(timer.0).is_some() {
            self.deadlines.push(at, timer);
        }
    }

    /// Removes an expired timer and returns its owner. `None` when it was cancelled, even by the
    /// timer that fired just before.
    pub(crate) fn fire(&mut self, timer: TimerId) -> Option<SocketId> {
        let owner = self.owners.remove(timer.0);
        if owner.is_none() {
            self.deadlines.stale_popped();
        }
        owner
    }

    /// Removes the timers of closed owners. A sweep is due when there are twice as many timers as
    /// the last sweep left, so all sweeps together cost a constant for each timer set.
    fn sweep(&mut self, is_open: impl Fn(SocketId) -> bool) {
        let before = self.owners.len();
        self.owners.retain(|_, owner| is_open(*owner));
        let owners = &self.owners;
        self.deadlines.note_stale(before - owners.len(), |timer| owners.get(timer.0).is_some());
        self.sweep_at = MIN_SWEEP.max(2 * owners.len());
    }
}

impl Io {
    /// Calls `timeout` of the handler of `owner` once, when `after` has passed since the beginning
    /// of this turn ([`Io::now`]). Timers are cancelled when their owner closes. While the owner is
    /// still connecting, they fire after `setup` at the earliest. Every call makes a new timer; to
    /// restart one, cancel it first. The timer of a watched source calls its callback with an empty
    /// readiness.
    ///
    /// Input comes first: what the peers had sent when the time was over is delivered before,
    /// however late the loop is. A timer of zero waits for nothing: it fires in this turn, or in
    /// the next one when a timer sets it. The resolution is that of the poll, a millisecond: a
    /// timer fires up to that much later, and never earlier.
    ///
    /// Returns [`TimerId::NONE`] and sets no timer when there is no handler to call: `owner` is
    /// closed, or is a listener. For timers that belong to no connection, make an owner with
    /// [`Server::add_timer_handler`](crate::Server::add_timer_handler).
    ///
    /// ```
    /// use socketserver::testing::TestServer;
    /// use socketserver::{Context, Handler, Input};
    /// use std::io;
    /// use std::time::Duration;
    ///
    /// /// Says so when nothing has come for a minute.
    /// struct Patient;
    ///
    /// impl Handler for Patient {
    ///     fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
    ///         cx.io.set_timer(cx.id, Duration::from_secs(60));
    ///         Ok(())
    ///     }
    ///
    ///     fn handle(&mut self, _cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
    ///         input.take_all();
    ///         Ok(())
    ///     }
    ///
    ///     fn timeout(&mut self, cx: &mut Context<'_>, _timer: socketserver::TimerId) -> io::Result<()> {
    ///         cx.send(b"too slow\n");
    ///         cx.close();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Patient)?;
    /// server.advance(Duration::from_secs(60));
    /// assert_eq!(peer.received(), b"too slow\n");
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn set_timer(&mut self, owner: SocketId, after: Duration) -> TimerId {
        if !self.is_live(owner) || matches!(self.sockets.get(owner), Some(Entry::Listener(_))) {
            return TimerId::NONE;
        }
        self.arm_timer(owner, after)
    }

    /// The same for a handler that may have to finish something after the close of its socket.
    pub(crate) fn arm_timer(&mut self, owner: SocketId, after: Duration) -> TimerId {
        let at = self.deadline_in(after);
        let sockets = &self.sockets;
        let is_open = |id| sockets.get(id).is_some();
        let timer = if after.is_zero() {
            self.is_deadline_due = true;
            self.timers.insert_immediate(owner, is_open)
        } else {
            self.timers.insert(at, owner, is_open)
        };
        // Without an id it can neither fire nor be cancelled.
        timer.unwrap_or(TimerId::NONE)
    }

    /// Cancels a timer. `false` when it has fired or was cancelled before.
    ///
    /// ```
    /// use socketserver::Echo;
    /// use socketserver::testing::TestServer;
    /// use std::time::Duration;
    ///
    /// let mut server = TestServer::new()?;
    /// let peer = server.connect(Echo)?;
    /// let timer = server.io_mut().set_timer(peer.id(), Duration::from_secs(1));
    /// assert!(server.io_mut().cancel_timer(timer));
    /// assert!(!server.io_mut().cancel_timer(timer), "it is cancelled already");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        let is_first = self.timers.first() == Some(timer);
        let was_set = self.timers.cancel(timer);
        if is_first {
            self.drop_stale_deadlines();
        }
        was_set
    }

    /// The time at which this turn began.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::deadline_queue::STALE_ALLOWED;
    use mio::Token;

    mod model;

    fn owner(n: usize) -> SocketId {
        SocketId::from_token(Token(n))
    }

    #[test]
    #[cfg_attr(miri, ignore = "too long")]
    fn timers_of_closed_owners_are_swept() {
        let mut timers = Timers::new();
        for n in 0..1_000_000 {
            // Only the last hundred owners are open.
            let is_open = |id: SocketId| id.token().0 + 100 > n;
            timers.insert(u64::MAX, owner(n), is_open).unwrap();
            assert!(timers.owners.len() <= MIN_SWEEP);
            assert!(timers.deadlines.len() <= 2 * MIN_SWEEP + 2 * STALE_ALLOWED);
        }
    }

    #[test]
    fn few_timers_are_not_swept() {
        let mut timers = Timers::new();
        assert_eq!(timers.next(), None);
        for n in 0..MIN_SWEEP {
            timers.insert(10 + n as u64, owner(n), |_| panic!("a sweep")).unwrap();
        }
        assert_eq!(timers.next(), Some(10));
        timers.insert(5, owner(0), |_| true).unwrap();
        assert_eq!((timers.next(), timers.sweep_at), (Some(5), 2 * MIN_SWEEP));

        let mut timers = Timers::new();
        for n in 0..=MIN_SWEEP {
            timers.insert(u64::MAX, owner(n), |id| id.token().0 < MIN_SWEEP / 2).unwrap();
        }
        assert_eq!(timers.owners.len(), MIN_SWEEP / 2 + 1);
        assert_eq!(timers.deadlines.len(), MIN_SWEEP + 1, "half of them are not too many");
    }
}
