//! Opening sockets: each is stored in the table and registered with the poll.

use std::io;

use mio::{Registry, Token};

use crate::addr::{Addr, first_that_works};
use crate::conn::datagram::Datagram;
use crate::id::SocketId;
use crate::io::connection::Connection;
use crate::io::listener::Listener;
use crate::io::{Io, ShutdownState};
use crate::net::{DatagramSocket, ListenerSocket, StreamSocket};

impl Io {
    pub(crate) fn open_listener(&mut self, addrs: &[Addr]) -> io::Result<SocketId> {
        if let Some(number) = self.next_addr() {
            return self.open_shared_listener(number, addrs);
        }
        first_that_works("listen on", addrs, |addr| {
            let socket = ListenerSocket::listen(addr, &self.options)?;
            self.register_listener(Listener::new(socket))
        })
    }

    /// Binds a datagram socket.
    pub(crate) fn open_bound(&mut self, addrs: &[Addr]) -> io::Result<SocketId> {
        if let Some(number) = self.next_addr() {
            return self.open_shared_datagram(number, addrs);
        }
        first_that_works("bind to", addrs, |addr| {
            let socket = DatagramSocket::bind(addr, &self.options)?;
            self.register_bound(socket)
        })
    }

    pub(crate) fn register_bound(&mut self, socket: DatagramSocket) -> io::Result<SocketId> {
        let own = socket.local_addr();
        let id = self.register_datagram(Datagram::new(socket, false))?;
        if let Some(own) = own {
            self.local_addrs.insert(id, own);
        }
        Ok(id)
    }

    /// Connects a datagram socket, which never waits.
    pub(crate) fn open_connected(&mut self, addrs: &[Addr]) -> io::Result<SocketId> {
        first_that_works("connect to", addrs, |addr| {
            let socket = DatagramSocket::connect(addr, &self.options)?;
            self.register_datagram(Datagram::new(socket, true))
        })
    }

    fn register_datagram(&mut self, datagram: Datagram<DatagramSocket>) -> io::Result<SocketId> {
        let id = self.sockets.insert_datagram(datagram).ok_or_else(no_id_left)?;
        let registry = self.poll.registry();
        let registered = match self.sockets.datagram_mut(id) {
            Some(datagram) => datagram.register(registry, id.token()),
            None => Ok(()),
        };
        if let Err(error) = registered {
            self.sockets.remove(id);
            return Err(error);
        }
        if let ShutdownState::Draining { since, .. } = self.shutdown_state {
            self.begin_drain(id, since);
        }
        Ok(id)
    }

    pub(crate) fn register_listener(&mut self, listener: Listener) -> io::Result<SocketId> {
        let id = self.sockets.insert_listener(listener).ok_or_else(no_id_left)?;
        let registry = self.poll.registry();
        let registered = match self.sockets.listener_mut(id) {
            Some(listener) => listener.socket.register(registry, id.token()),
            None => Ok(()),
        };
        if let Err(error) = registered {
            self.sockets.remove(id);
            return Err(error);
        }
        Ok(id)
    }

    pub(crate) fn open_source(
        &mut self,
        register: impl FnOnce(&Registry, Token) -> io::Result<()>,
    ) -> io::Result<SocketId> {
        let id = self.sockets.insert_source().ok_or_else(no_id_left)?;
        if let Err(error) = register(self.poll.registry(), id.token()) {
            self.sockets.remove(id);
            return Err(error);
        }
        Ok(id)
    }

    /// Stores a connection that is connecting and has no socket yet. The counters do not include it
    /// yet.
    pub(super) fn insert_connecting(&mut self) -> io::Result<SocketId> {
        let connection = Connection::new(StreamSocket::Unopened, true, self.now);
        self.sockets.insert_connection(connection).ok_or_else(no_id_left)
    }

    /// Registers an established connection. The counters do not include it yet.
    #[inline]
    pub(crate) fn register_connection(&mut self, socket: StreamSocket) -> io::Result<SocketId> {
        let mut connection = Connection::new(socket, false, self.now);
        let at = self.deadline_of(&connection);
        connection.armed_deadlines = u8::from(at.is_some());
        let id = self.sockets.insert_connection(connection).ok_or_else(no_id_left)?;
        let registry = self.poll.registry();
        let Some(connection) = self.sockets.connection_mut(id) else { return Ok(id) };
        if let Err(error) = connection.register(registry, id.token()) {
            self.sockets.remove(id);
            return Err(error);
        }
        if let Some(at) = at {
            self.deadlines.push(at, id);
        }
        Ok(id)
    }

    /// Replaces the socket of a connection and restarts its idle time.
    pub(super) fn replace_socket(&mut self, id: SocketId, socket: StreamSocket) -> io::Result<()> {
        let registry = self.poll.registry();
        let Some(connection) = self.sockets.connection_mut(id) else { return Ok(()) };
        connection.active_at = self.now;
        // Closing the descriptor deregisters it, but not on every system.
        let _ = connection.stream.replace_transport(socket).deregister(registry);
        connection.register(registry, id.token())
    }
}

fn no_id_left() -> io::Error {
    io::Error::other("no id is left for another socket")
}
