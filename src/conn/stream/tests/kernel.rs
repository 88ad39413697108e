//! The other side of the system calls: a small model of a kernel.
//!
//! It keeps the edge rules of epoll: an edge on arrival, on the peer's end, on a reset, and on room
//! after a refused or cut write; never otherwise. Or the rules of mio on poll(2): what was reported
//! is not reported again before a call has said `WouldBlock`.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::io::{self, IoSlice, Read, Write};

use crate::conn::transport::{Readiness, Transport};

pub(in crate::conn::stream) const PIPE: usize = 2;

/// Whose rules hold.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(in crate::conn::stream) enum System {
    /// A place where a read stops is urgent data, which shows in the event. Room is reported after
    /// a refusal.
    Tcp,
    /// Such a place is a passed descriptor, of which the read itself tells. Room is reported only
    /// while that is asked for, and then whenever the peer reads.
    Unix,
    /// No short call proves anything.
    Poll,
}

#[derive(Clone, Debug)]
pub(in crate::conn::stream) struct Kernel {
    pub(super) system: System,
    /// There is no socket yet, or it does not stand yet.
    pub(super) unopened: bool,
    pub(super) connecting: bool,
    /// Bytes to read; `None` is a place where a read stops.
    pub(super) buffers: VecDeque<Option<u8>>,
    pub(super) ended: bool,
    pub(super) reset: bool,
    pub(super) reset_told: bool,
    pub(in crate::conn::stream) outbox: VecDeque<u8>,
    /// A write met too little room since the last edge.
    pub(super) refused: bool,
    pub(super) room_asked: bool,
    pub(super) write_ended: bool,
    pub(super) interrupt: bool,
    pub(super) edge: bool,
    /// What poll(2) would report.
    pub(super) read_armed: bool,
    pub(super) write_armed: bool,
    pub(super) stopped_early: bool,
}

impl Kernel {
    pub(in crate::conn::stream) fn new(system: System) -> Kernel {
        Kernel {
            system,
            unopened: false,
            connecting: false,
            buffers: VecDeque::new(),
            ended: false,
            reset: false,
            reset_told: false,
            outbox: VecDeque::new(),
            refused: false,
            room_asked: false,
            write_ended: false,
            interrupt: false,
            edge: false,
            read_armed: true,
            write_armed: true,
            stopped_early: false,
        }
    }

    fn is_readable(&self) -> bool {
        !self.buffers.is_empty() || self.ended || self.reset
    }

    fn is_writable(&self) -> bool {
        let reported = self.system != System::Unix || self.room_asked;
        reported && self.outbox.len() < PIPE && !self.connecting || self.reset
    }

    /// What a poll would report now, if anything.
    pub(super) fn event(&mut self) -> Option<Readiness> {
        if self.unopened {
            return None;
        }
        let mut readable = self.is_readable();
        let mut writable = self.is_writable();
        if self.system == System::Poll {
            readable &= self.read_armed;
            writable &= self.write_armed;
            self.read_armed &= !readable;
            self.write_armed &= !writable;
            self.edge |= readable || writable;
        }
        std::mem::take(&mut self.edge).then(|| Readiness {
            readable,
            writable,
            read_closed: self.ended || self.reset,
            urgent: self.system == System::Tcp && self.buffers.contains(&None),
            error: self.reset && !self.reset_told,
        })
    }

    pub(super) fn has_event(&self) -> bool {
        let armed = self.read_armed && self.is_readable() || self.write_armed && self.is_writable();
        !self.unopened && (self.edge || self.system == System::Poll && armed)
    }

    /// The peer has read, or not even that.
    pub(super) fn note_room(&mut self) {
        match self.system {
            System::Unix => self.edge |= self.room_asked,
            System::Tcp | System::Poll => self.edge |= std::mem::take(&mut self.refused),
        }
    }

    /// A change of what is asked for reports anew all there is.
    pub(super) fn update_write_interest(&mut self, ask: bool) {
        self.room_asked = ask;
        self.edge |= self.is_readable() || self.is_writable();
    }

    /// All but what lies on the way.
    pub(super) fn hash_calls(&self, hasher: &mut impl Hasher) {
        (self.reset_told, self.outbox.len(), self.refused, self.room_asked).hash(hasher);
        (self.write_ended, self.interrupt, self.edge).hash(hasher);
        // What the last read did matters only within a turn.
        (self.read_armed, self.write_armed).hash(hasher);
    }

    pub(super) fn broken(&mut self) -> io::Error {
        if std::mem::replace(&mut self.reset_told, true) {
            io::ErrorKind::BrokenPipe.into()
        } else {
            io::ErrorKind::ConnectionReset.into()
        }
    }

    fn would_block<T>(&mut self) -> io::Result<T> {
        self.read_armed = true;
        self.write_armed = true;
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Read for Kernel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!self.unopened && !self.connecting, "a read before the connection is established");
        self.stopped_early = false;
        if std::mem::take(&mut self.interrupt) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        while self.buffers.front() == Some(&None) {
            self.buffers.pop_front();
        }
        let mut n = 0;
        while n < buffer.len() {
            match self.buffers.front() {
                Some(Some(byte)) => buffer[n] = *byte,
                Some(None) => {
                    self.stopped_early = self.system == System::Unix;
                    break;
                }
                None => break,
            }
            self.buffers.pop_front();
            n += 1;
        }
        match n {
            0 if self.reset && !self.reset_told => Err(self.broken()),
            0 if self.ended || self.reset => Ok(0),
            0 => self.would_block(),
            n => Ok(n),
        }
    }
}

impl Write for Kernel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.unopened && !self.connecting, "a write before the connection is established");
        if std::mem::take(&mut self.interrupt) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.reset {
            return Err(self.broken());
        }
        assert!(!self.write_ended, "a write after the end of output");
        let n = bytes.len().min(PIPE - self.outbox.len());
        self.refused |= n < bytes.len();
        self.outbox.extend(&bytes[..n]);
        if n == 0 { self.would_block() } else { Ok(n) }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        self.write(&bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Kernel {
    fn short_read_drained(&self) -> bool {
        self.system != System::Poll && !self.stopped_early
    }

    fn short_write_filled(&self) -> bool {
        self.system != System::Poll
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        assert!(!self.write_ended, "two ends of output");
        self.write_ended = true;
        Ok(())
    }
}
