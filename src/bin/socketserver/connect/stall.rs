//! A server that takes nothing: noticed where the system does not notice it by itself.
//!
//! Over TCP, Linux does (`Options::user_timeout`), and sees acknowledgements as well. A Unix socket
//! has nothing but the bytes that it takes.

use std::io;
use std::time::Duration;

use socketserver::{Io, SocketId, TimerId};

pub(super) struct Stall {
    timeout: Duration,
    /// Bytes that were handed over so far.
    given: u64,
    /// Set while something waits to be taken: the timer, and what had been taken when it was set.
    watch: Option<(TimerId, u64)>,
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
        match self.watch {
            None if io.unsent(id) > 0 => self.begin(io, id),
            Some((timer, _)) if io.unsent(id) == 0 => {
                io.cancel_timer(timer);
                self.watch = None;
            }
            _ => {}
        }
    }

    fn begin(&mut self, io: &mut Io, id: SocketId) {
        self.watch = Some((io.set_timer(id, self.timeout), self.taken(io, id)));
    }

    /// A timer rang; says whether it was this one's.
    ///
    /// # Errors
    /// When nothing was taken since it was set.
    pub(super) fn rang(&mut self, io: &mut Io, id: SocketId, timer: TimerId) -> io::Result<bool> {
        let Some((_, before)) = self.watch.take_if(|(own, _)| *own == timer) else {
            return Ok(false);
        };
        if self.taken(io, id) == before {
            let time = humantime::format_duration(self.timeout);
            let what = format!("the server took nothing for {time} (--timeout)");
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        self.begin(io, id);
        Ok(true)
    }
}
