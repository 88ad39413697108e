//! A server that takes nothing of what is sent.
//!
//! What the system takes from us says little of a server that reads slowly: it may report no room for
//! minutes. So its acknowledgements count as well, which are asked for only when the time is over, as
//! the servers of the library do it ([`Io::unacknowledged`]).

use std::io;
use std::time::Duration;

use socketserver::{Io, SocketId, TimerId};

pub(super) struct Stall {
    timeout: Duration,
    /// Bytes that were handed over so far.
    given: u64,
    /// Set while something waits to be taken.
    watch: Option<Watch>,
}

struct Watch {
    timer: TimerId,
    /// Bytes that had been taken when the timer was set.
    taken: u64,
    /// What was not acknowledged then; not known at the first timer, which costs no look.
    left: Option<usize>,
}

impl Stall {
    pub(super) fn new(timeout: Duration) -> Stall {
        Stall { timeout, given: 0, watch: None }
    }

    pub(super) fn give(&mut self, n: usize) {
        self.given += n as u64;
    }

    fn taken(&self, io: &Io, id: SocketId) -> u64 {
        self.given.saturating_sub(io.unsent(id) as u64)
    }

    /// Looks whether something waits; once a turn.
    pub(super) fn tend(&mut self, io: &mut Io, id: SocketId) {
        match &self.watch {
            None if io.unsent(id) > 0 => self.begin(io, id, None),
            Some(watch) if io.unsent(id) == 0 => {
                io.cancel_timer(watch.timer);
                self.watch = None;
            }
            _ => {}
        }
    }

    fn begin(&mut self, io: &mut Io, id: SocketId, left: Option<usize>) {
        let (timer, taken) = (io.set_timer(id, self.timeout), self.taken(io, id));
        self.watch = Some(Watch { timer, taken, left });
    }

    /// A timer rang; says whether it was this one's.
    ///
    /// # Errors
    /// When nothing was taken since it was set.
    pub(super) fn rang(&mut self, io: &mut Io, id: SocketId, timer: TimerId) -> io::Result<bool> {
        let Some(watch) = self.watch.take_if(|watch| watch.timer == timer) else {
            return Ok(false);
        };
        let left = io.unacknowledged(id);
        if self.taken(io, id) == watch.taken && !has_fallen(watch.left, left) {
            let time = humantime::format_duration(self.timeout);
            let what = format!("the server took nothing for {time} (--timeout)");
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        self.begin(io, id, left);
        Ok(true)
    }
}

/// Whether less is not acknowledged than before. Without a look before there is no telling, so the
/// first look only notes it; where the system does not say, nothing ever has.
fn has_fallen(before: Option<usize>, left: Option<usize>) -> bool {
    let left = left.unwrap_or(0);
    before.map_or(left > 0, |before| left < before)
}
