//! How the loops of a group come to one address: one opens it, the others join.
//!
//! The first loop opens the address as any server does, alone, so that an address that is taken is
//! an error and no server joins another by mistake. Only then does it let others in
//! (`SO_REUSEPORT`), where the kernel can balance; elsewhere the others get a listener without a
//! socket, to which clients are handed.

use std::io;

use crate::addr::{Addr, first_that_works};
use crate::id::SocketId;
use crate::io::Io;
use crate::io::group::{Distribution, GroupMember, LoadBalancing, SharedAddr};
use crate::io::listener::Listener;
use crate::net::{DatagramSocket, ListenerSocket, REUSEPORT_BALANCES};
use crate::options::Options;

impl Io {
    /// The number of what is opened now, if all loops of a group open it.
    pub(super) fn next_addr(&self) -> Option<usize> {
        self.sockets.place.as_ref().and_then(GroupMember::next_addr)
    }

    pub(super) fn open_door(&mut self, number: usize, addrs: &[Addr]) -> io::Result<SocketId> {
        let (socket, way) = match self.joined(number, addrs, false)? {
            None => self.open_first(addrs)?,
            Some(SharedAddr { addr, way: Distribution::ReusePort, .. }) => {
                let open = || ListenerSocket::listen(&addr, &self.for_joining());
                (open().map_err(|error| of(&error, "listen on", &addr))?, Distribution::ReusePort)
            }
            Some(SharedAddr { addr, .. }) => (ListenerSocket::Remote(addr), Distribution::Handoff),
        };
        let mut listener = Listener::new(socket);
        listener.door = (way == Distribution::Handoff).then_some(number);
        let id = self.adopt_listener(listener)?;
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
        let way = if by_kernel && REUSEPORT_BALANCES {
            Distribution::ReusePort
        } else {
            Distribution::Handoff
        };
        if way == Distribution::ReusePort {
            socket.set_reuse_port()?;
        }
        self.note_door(SharedAddr { addr, way, is_datagram: false });
        Ok((socket, way))
    }

    pub(super) fn open_packet_door(
        &mut self,
        number: usize,
        addrs: &[Addr],
    ) -> io::Result<SocketId> {
        let id = match self.joined(number, addrs, true)? {
            None => self.bind_first(addrs)?,
            Some(SharedAddr { addr, way: Distribution::ReusePort, .. }) => {
                let socket = DatagramSocket::bind(&addr, &self.for_joining());
                self.adopt_bound(socket.map_err(|error| of(&error, "bind to", &addr))?)?
            }
            // It stands for a socket of another loop, and nothing ever happens to it.
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
        // A datagram cannot be handed over as a connection can, so here only the kernel spreads.
        let by_kernel = REUSEPORT_BALANCES && matches!(addr, Addr::Ip(_));
        let way = if by_kernel { Distribution::ReusePort } else { Distribution::SingleLoop };
        if way == Distribution::ReusePort {
            socket.set_reuse_port()?;
        }
        let id = self.adopt_bound(socket)?;
        self.note_door(SharedAddr { addr, way, is_datagram: true });
        Ok(id)
    }

    /// What another loop has opened under this number. `None` when this loop is the first.
    fn joined(
        &self,
        number: usize,
        addrs: &[Addr],
        packets: bool,
    ) -> io::Result<Option<SharedAddr>> {
        let Some(place) = &self.sockets.place else { return Ok(None) };
        let door = place.group.doors().get(number).cloned();
        match &door {
            Some(door) => door.check(addrs, packets)?,
            None => place.may_open_more()?,
        }
        Ok(door)
    }

    fn balance(&self) -> LoadBalancing {
        self.sockets.place.as_ref().map_or_else(LoadBalancing::default, |place| place.group.balance)
    }

    fn for_joining(&self) -> Options {
        Options { reuse_port: true, ..self.options.clone() }
    }

    fn note_door(&self, door: SharedAddr) {
        if let Some(place) = &self.sockets.place {
            place.group.doors().push(door);
        }
    }

    fn note_opened(&mut self, id: SocketId) {
        if let Some(place) = &mut self.sockets.place {
            place.note_opened_addr(id);
        }
    }
}

fn of(error: &io::Error, what: &str, addr: &Addr) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {addr}: {error}"))
}
