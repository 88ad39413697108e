//! How the loops of a group share one address: the first opens it, the others join.
//!
//! The first loop opens the address as any server does, without sharing it, so that an address in
//! use is an error and no other program's port is joined by mistake. Only then does it permit
//! others to join (`SO_REUSEPORT`), where the kernel can balance; elsewhere the other loops get a
//! listener without a socket, to which clients are handed off.

use std::io;

use crate::addr::{Addr, first_that_works};
use crate::id::SocketId;
use crate::io::Io;
use crate::io::group::{Distribution, GroupMember, LoadBalancing, SharedAddr};
use crate::io::listener::Listener;
use crate::net::{DatagramSocket, ListenerSocket, REUSEPORT_BALANCES};
use crate::options::Options;

impl Io {
    /// The index of the address that is opened next, if all loops of the group open it.
    pub(super) fn next_addr(&self) -> Option<usize> {
        self.sockets.member.as_ref().and_then(GroupMember::next_addr)
    }

    pub(super) fn open_shared_listener(
        &mut self,
        number: usize,
        addrs: &[Addr],
    ) -> io::Result<SocketId> {
        let (socket, distribution) = match self.find_opened(number, addrs, false)? {
            None => self.open_first(addrs)?,
            Some(SharedAddr { addr, distribution: Distribution::ReusePort, .. }) => {
                let open = || ListenerSocket::listen(&addr, &self.joining_options());
                (
                    open().map_err(|error| with_addr(&error, "listen on", &addr))?,
                    Distribution::ReusePort,
                )
            }
            Some(SharedAddr { addr, .. }) => (ListenerSocket::Remote(addr), Distribution::Handoff),
        };
        let mut listener = Listener::new(socket);
        listener.addr_index = (distribution == Distribution::Handoff).then_some(number);
        let id = self.register_listener(listener)?;
        self.note_opened(id);
        Ok(id)
    }

    fn open_first(&mut self, addrs: &[Addr]) -> io::Result<(ListenerSocket, Distribution)> {
        let options = &self.options;
        let (socket, addr) = first_that_works("listen on", addrs, |addr| {
            let socket = ListenerSocket::listen(addr, options)?;
            let addr = socket.local_addr().unwrap_or_else(|| addr.clone());
            Ok((socket, addr))
        })?;
        let by_kernel = self.balance() == LoadBalancing::ReusePort && matches!(addr, Addr::Ip(_));
        let distribution = if by_kernel && REUSEPORT_BALANCES {
            Distribution::ReusePort
        } else {
            Distribution::Handoff
        };
        if distribution == Distribution::ReusePort {
            socket.set_reuse_port()?;
        }
        self.publish_addr(SharedAddr { addr, distribution, is_datagram: false });
        Ok((socket, distribution))
    }

    pub(super) fn open_shared_datagram(
        &mut self,
        number: usize,
        addrs: &[Addr],
    ) -> io::Result<SocketId> {
        let id = match self.find_opened(number, addrs, true)? {
            None => self.bind_first(addrs)?,
            Some(SharedAddr { addr, distribution: Distribution::ReusePort, .. }) => {
                let socket = DatagramSocket::bind(&addr, &self.joining_options());
                self.register_bound(socket.map_err(|error| with_addr(&error, "bind to", &addr))?)?
            }
            // A placeholder for the socket of another loop; it never becomes ready.
            Some(_) => self.open_source(|_, _| Ok(()))?,
        };
        self.note_opened(id);
        Ok(id)
    }

    fn bind_first(&mut self, addrs: &[Addr]) -> io::Result<SocketId> {
        let options = &self.options;
        let (socket, addr) = first_that_works("bind to", addrs, |addr| {
            let socket = DatagramSocket::bind(addr, options)?;
            let addr = socket.local_addr().unwrap_or_else(|| addr.clone());
            Ok((socket, addr))
        })?;
        // Datagrams cannot be handed off as connections can, so only the kernel balances them.
        let by_kernel = REUSEPORT_BALANCES && matches!(addr, Addr::Ip(_));
        let distribution =
            if by_kernel { Distribution::ReusePort } else { Distribution::SingleLoop };
        if distribution == Distribution::ReusePort {
            socket.set_reuse_port()?;
        }
        let id = self.register_bound(socket)?;
        self.publish_addr(SharedAddr { addr, distribution, is_datagram: true });
        Ok(id)
    }

    /// The address that another loop has opened under this index. `None` when this loop is the
    /// first.
    fn find_opened(
        &self,
        number: usize,
        addrs: &[Addr],
        packets: bool,
    ) -> io::Result<Option<SharedAddr>> {
        let Some(member) = &self.sockets.member else { return Ok(None) };
        let shared = member.group.addrs().get(number).cloned();
        match &shared {
            Some(shared) => shared.check(addrs, packets)?,
            None => member.may_open_more()?,
        }
        Ok(shared)
    }

    fn balance(&self) -> LoadBalancing {
        self.sockets
            .member
            .as_ref()
            .map_or_else(LoadBalancing::default, |member| member.group.balance)
    }

    fn joining_options(&self) -> Options {
        Options { reuse_port: true, ..self.options.clone() }
    }

    fn publish_addr(&self, shared: SharedAddr) {
        if let Some(member) = &self.sockets.member {
            member.group.addrs().push(shared);
        }
    }

    fn note_opened(&mut self, id: SocketId) {
        if let Some(member) = &mut self.sockets.member {
            member.note_opened_addr(id);
        }
    }
}

fn with_addr(error: &io::Error, what: &str, addr: &Addr) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {addr}: {error}"))
}
