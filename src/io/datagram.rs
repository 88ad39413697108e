//! A datagram socket of the operating system: its registration with the poll.

use std::io;

use mio::{Registry, Token};

use crate::conn::datagram::Datagram;
use crate::net::DatagramSocket;

impl Datagram<DatagramSocket> {
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.transport_mut().register(registry, token)
    }

    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.transport_mut().deregister(registry)
    }

    /// Registers write interest exactly while sending would block.
    pub(super) fn update_write_interest(
        &mut self,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        self.take_write_interest_change()
            .map_or(Ok(()), |ask| self.transport_mut().update_write_interest(registry, token, ask))
    }
}
