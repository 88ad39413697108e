//! A datagram socket of a simulated kernel.

#![cfg_attr(not(test), allow(dead_code, reason = "only this crate's tests bring a kernel"))]

use std::io;

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::kernel::ask;
use crate::addr::Addr;
use crate::conn::packets::{RecvBuffers, SendQueue};
use crate::conn::transport::{DatagramTransport, RecvOutcome};

/// The datagram calls of a simulated kernel; `n` is a descriptor.
pub(crate) trait SimDatagramKernel {
    /// Registers for reading, and for writing if `room`; reports the present state anew.
    fn watch_datagrams(&mut self, n: u32, token: Token, room: bool) -> io::Result<()>;
    fn receive_datagrams(
        &mut self,
        n: u32,
        buffers: &mut RecvBuffers,
        max: usize,
    ) -> io::Result<RecvOutcome>;
    fn send_packets(&mut self, n: u32, packets: &SendQueue, max: usize) -> io::Result<usize>;
    fn would_block_is_per_peer(&self, n: u32) -> bool;
    fn is_wildcard(&self, n: u32) -> bool;
    fn set_peer(&mut self, n: u32, peer: &Addr) -> io::Result<()>;
    fn own_addr(&self, n: u32) -> Option<Addr>;
    fn close_datagrams(&mut self, n: u32);
}

/// A descriptor of the simulated kernel.
#[derive(Debug)]
pub(in crate::net) struct MemoryDatagram(pub(crate) u32);

impl MemoryDatagram {
    pub(in crate::net) fn set_peer(&self, peer: &Addr) -> io::Result<()> {
        ask(Err(gone()), |kernel| kernel.set_peer(self.0, peer))
    }

    pub(in crate::net) fn local_addr(&self) -> Option<Addr> {
        ask(None, |kernel| kernel.own_addr(self.0))
    }

    fn watch(&self, token: Token, interests: Interest) -> io::Result<()> {
        let room = interests.is_writable();
        ask(Err(gone()), |kernel| kernel.watch_datagrams(self.0, token, room))
    }
}

/// The error without a kernel.
fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl Source for MemoryDatagram {
    fn register(&mut self, _: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.watch(token, interests)
    }

    fn reregister(&mut self, _: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.watch(token, interests)
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        Ok(())
    }
}

impl DatagramTransport for MemoryDatagram {
    type MmsgHeaders = ();

    // Not inlined, so that they take no registers from those of real sockets.
    #[cold]
    #[inline(never)]
    fn receive(
        &mut self,
        (): &mut (),
        buffers: &mut RecvBuffers,
        max: usize,
    ) -> io::Result<RecvOutcome> {
        ask(Err(gone()), |kernel| kernel.receive_datagrams(self.0, buffers, max))
    }

    #[cold]
    #[inline(never)]
    fn send(&mut self, (): &mut (), packets: &SendQueue, max: usize) -> io::Result<usize> {
        ask(Err(gone()), |kernel| kernel.send_packets(self.0, packets, max))
    }

    fn would_block_is_per_peer(&self) -> bool {
        ask(false, |kernel| kernel.would_block_is_per_peer(self.0))
    }

    fn is_wildcard(&self) -> bool {
        ask(false, |kernel| kernel.is_wildcard(self.0))
    }
}

impl Drop for MemoryDatagram {
    fn drop(&mut self) {
        ask((), |kernel| kernel.close_datagrams(self.0));
    }
}
