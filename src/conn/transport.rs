//! What a socket moves its bytes through, and what the system says about it.

use std::io::{self, Read, Write};

use crate::conn::packets::{RecvBuffers, SendQueue};

/// What a [`Stream`](crate::conn::stream::Stream) moves its bytes through. Nothing of it may block.
pub(crate) trait Transport: Read + Write {
    /// Whether the last read took everything there was if it did not fill its buffer: the system
    /// will then report the next byte by itself.
    fn short_read_drained(&self) -> bool;

    /// Whether a write that took only a part was the last for now: the system will then report the
    /// room by itself.
    fn short_write_filled(&self) -> bool;

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

impl Readiness {
    /// What either of both says.
    pub(crate) fn or(self, other: Readiness) -> Readiness {
        Readiness {
            readable: self.readable | other.readable,
            writable: self.writable | other.writable,
            read_closed: self.read_closed | other.read_closed,
            urgent: self.urgent | other.urgent,
            error: self.error | other.error,
        }
    }
}

/// What datagrams move through. Nothing of it may block.
pub(crate) trait DatagramTransport {
    /// What it needs to move many datagrams in one call; one for all sockets of a loop.
    type MmsgHeaders;

    /// Lets in what has come, but not more than `max`.
    fn receive(
        &mut self,
        headers: &mut Self::MmsgHeaders,
        buffers: &mut RecvBuffers,
        max: usize,
    ) -> io::Result<RecvOutcome>;

    /// Sends from the front of the queue, but not more than `max`, and says how many have left;
    /// never 0. An error concerns the first alone.
    fn send(
        &mut self,
        headers: &mut Self::MmsgHeaders,
        packets: &SendQueue,
        max: usize,
    ) -> io::Result<usize>;

    /// Whether `WouldBlock` at sending says that the one peer has no room, and not the socket.
    fn would_block_is_per_peer(&self) -> bool;

    /// Whether it has every address of the machine, is told which one each datagram was sent to,
    /// and may be told which one each leaves from.
    fn is_wildcard(&self) -> bool;
}

/// What one call has let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecvOutcome {
    /// How many; never 0.
    pub(crate) count: usize,
    /// Nothing is left, and the system will report the next one by itself.
    pub(crate) drained: bool,
}
