//! The system calls that the state machines need, as traits, and the readiness that a poll reports.

use std::io::{self, Read, Write};

use crate::conn::packets::{RecvBuffers, SendQueue};

/// A non-blocking byte stream under a [`Stream`](crate::conn::stream::Stream).
pub(crate) trait Transport: Read + Write {
    /// Whether the last read, if it was short, emptied the receive buffer, so that the system
    /// reports the next byte as a new event.
    fn short_read_drained(&self) -> bool;

    /// Whether a short write filled the send buffer, so that the system reports free space as a new
    /// event.
    fn short_write_filled(&self) -> bool;

    /// Closes the sending direction after everything that was written (shutdown(2), `SHUT_WR`).
    fn shutdown_write(&mut self) -> io::Result<()>;
}

/// The readiness that a poll reports of a socket.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Readiness {
    /// A read may return bytes (`EPOLLIN`).
    pub readable: bool,
    /// A write may succeed (`EPOLLOUT`).
    pub writable: bool,
    /// The peer closed its sending direction (`EPOLLRDHUP`); unread bytes may precede the EOF.
    pub read_closed: bool,
    /// Urgent data is in the receive buffer (`EPOLLPRI`). A read of a stream stops in front of it.
    pub urgent: bool,
    /// The socket has a pending error (`EPOLLERR`); the next read or write returns it.
    pub error: bool,
}

impl Readiness {
    /// Returns the union of both.
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

/// A non-blocking datagram socket under a [`Datagram`](crate::conn::datagram::Datagram).
pub(crate) trait DatagramTransport {
    /// The buffers for moving many datagrams in one call; all sockets of a loop share one.
    type MmsgHeaders;

    /// Receives at most `max` datagrams into `buffers`.
    fn receive(
        &mut self,
        headers: &mut Self::MmsgHeaders,
        buffers: &mut RecvBuffers,
        max: usize,
    ) -> io::Result<RecvOutcome>;

    /// Sends at most `max` datagrams from the front of the queue and returns how many left, never
    /// 0. An error concerns the first datagram only.
    fn send(
        &mut self,
        headers: &mut Self::MmsgHeaders,
        packets: &SendQueue,
        max: usize,
    ) -> io::Result<usize>;

    /// Whether `WouldBlock` of a send means that this one peer is full, and not our socket.
    fn would_block_is_per_peer(&self) -> bool;

    /// Whether the socket is bound to the wildcard address. Then the system reports the destination
    /// of each received datagram, and a send may choose its source.
    fn is_wildcard(&self) -> bool;
}

/// The result of one receive call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecvOutcome {
    /// The number of datagrams received, never 0.
    pub(crate) count: usize,
    /// The receive buffer is empty, and the system reports the next datagram as a new event.
    pub(crate) drained: bool,
}
