//! A server that takes nothing of what is sent.
//!
//! What the system takes from us says little of a server that reads slowly: it may report no room for
//! minutes. So its acknowledgements count as well, which are asked for only when the time is over, as
//! the servers of the library do it ([`Io::unacknowledged`]). Over TCP what the system has taken is also
//! waited for until it is acknowledged, which the system of the server does even if that reads nothing:
//! so a server that has vanished is noticed. A Unix socket has nothing but what the server reads, and
//! many a server reads little of what it is sent.

use std::io;
use std::time::Duration;

use socketserver::{Io, SocketId, TimerId};

pub(super) struct Stall {
    timeout: Duration,
    /// Whether what the system has taken is waited for.
    is_acknowledged: bool,
    /// Bytes that were handed over so far.
    given: u64,
    /// As many of them as are known to be acknowledged.
    settled: u64,
    /// Set while something waits to be taken.
    watch: Option<Watch>,
}

struct Watch {
    timer: TimerId,
    /// Bytes that had been taken when the timer was set.
    taken: u64,
    /// What was not acknowledged then; not known at the first timer, which costs no look.
    left: Option<usize>,
    /// Nothing was taken before it, either, as far as could be seen.
    is_second: bool,
}

impl Stall {
    pub(super) fn new(timeout: Duration, is_acknowledged: bool) -> Stall {
        Stall { timeout, is_acknowledged, given: 0, settled: 0, watch: None }
    }

    pub(super) fn give(&mut self, n: usize) {
        self.given += n as u64;
    }

    fn taken(&self, io: &Io, id: SocketId) -> u64 {
        self.given.saturating_sub(io.pending_output(id) as u64)
    }

    /// Looks whether something waits; once a turn.
    pub(super) fn tend(&mut self, io: &mut Io, id: SocketId) {
        let is_taken =
            io.pending_output(id) == 0 && (!self.is_acknowledged || self.given == self.settled);
        match &self.watch {
            None if !is_taken => self.begin(io, id, None, false),
            Some(watch) if is_taken => {
                io.cancel_timer(watch.timer);
                self.watch = None;
            }
            _ => {}
        }
    }

    fn begin(&mut self, io: &mut Io, id: SocketId, left: Option<usize>, is_second: bool) {
        let (timer, taken) = (io.set_timer(id, self.timeout), self.taken(io, id));
        self.watch = Some(Watch { timer, taken, left, is_second });
    }

    /// A timer rang; says whether it was this one's.
    ///
    /// # Errors
    /// When nothing was taken in two such times. One is not enough: the first look has nothing to
    /// compare with, and a server opens its window in steps, up to a sixteenth of its buffer, which
    /// it may take a while to read. Where the system does not say what is acknowledged, one is.
    pub(super) fn rang(&mut self, io: &mut Io, id: SocketId, timer: TimerId) -> io::Result<bool> {
        let Some(watch) = self.watch.take_if(|watch| watch.timer == timer) else {
            return Ok(false);
        };
        let left = io.unacknowledged(id);
        if io.pending_output(id) == 0 && left.unwrap_or(0) == 0 {
            self.settled = self.given;
            return Ok(true);
        }
        let has_fallen = watch.left.zip(left).is_some_and(|(before, left)| left < before);
        let has_moved = has_fallen || self.taken(io, id) != watch.taken;
        if !has_moved && (watch.is_second || left.is_none()) {
            let time = humantime::format_duration(self.timeout);
            let what = format!("the server took nothing for {time} (--timeout)");
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        self.begin(io, id, left, !has_moved);
        Ok(true)
    }
}
