//! What a stream moves its bytes through, and what the system says about it.

use std::io::{self, Read, Write};

/// What a [`Stream`](crate::stream::Stream) moves its bytes through. Nothing of it may block.
pub(crate) trait Transport: Read + Write {
    /// Whether the last read took everything there was if it did not fill its buffer: the system
    /// will then report the next byte by itself.
    fn short_read_was_last(&self) -> bool;

    /// Whether a write that took only a part was the last for now: the system will then report the
    /// room by itself.
    fn short_write_was_last(&self) -> bool;

    /// Ends the outgoing direction, after everything written.
    fn shutdown_write(&mut self) -> io::Result<()>;
}

/// What the system reported about a socket.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Readiness {
    /// There may be something to read.
    pub readable: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The peer's end is in the queue, behind what is still to read.
    pub read_closed: bool,
    /// Urgent data is in the queue (`EPOLLPRI`): a read of a stream stops in front of it.
    pub urgent: bool,
    /// It broke; reading or writing will say how.
    pub error: bool,
}
