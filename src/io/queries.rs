//! What can be asked about a socket and about the server.

use super::Io;
use crate::addr::Addr;
use crate::conn::datagram::DatagramPhase;
use crate::conn::stream::CloseState;
use crate::id::SocketId;
use crate::io::table::Entry;
use crate::net::{local_addr_of, peer_addr_of};
use crate::stats::Stats;

impl Io {
    /// Whether the socket exists and, if it is a connection, neither side of the program has
    /// closed it.
    #[must_use]
    pub fn is_open(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Connection(connection)) => {
                connection.stream.close_state() == CloseState::Open
            }
            Some(Entry::Listener(listener)) => !listener.closing,
            Some(Entry::Datagram(datagram)) => {
                matches!(datagram.phase(), DatagramPhase::Open | DatagramPhase::Stopped)
            }
            Some(Entry::Source(source)) => !source.closing,
            None => false,
        }
    }

    /// Whether output waits above high water, or has not fallen to low water since it did; of a
    /// datagram socket, whether something found no room in its queue since that was last empty.
    #[must_use]
    pub fn is_congested(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Connection(connection)) => connection.stream.is_congested(),
            Some(Entry::Datagram(datagram)) => datagram.is_congested(),
            _ => false,
        }
    }

    /// Whether [`Io::pause`] holds.
    #[must_use]
    pub fn is_paused(&self, id: SocketId) -> bool {
        match self.sockets.get(id) {
            Some(Entry::Connection(connection)) => connection.stream.is_paused(),
            Some(Entry::Datagram(datagram)) => datagram.is_paused(),
            Some(Entry::Listener(listener)) => listener.paused,
            Some(Entry::Source(source)) => source.is_paused(),
            None => false,
        }
    }

    /// How many bytes wait to be sent. Of what other connections were sent in this round, only
    /// that is counted which does not leave with its end.
    #[must_use]
    pub fn pending_output(&self, id: SocketId) -> usize {
        let waiting = self.sockets.connection(id).map_or(0, |c| c.stream.unsent());
        waiting + if self.cork.is_corked(id) { self.cork.corked_len() } else { 0 }
    }

    /// The address of the peer (`getpeername`, Python's `client_address`); `None` when there is
    /// none any more. Who needs it in `finish` keeps the one it was made with.
    #[must_use]
    pub fn peer_addr(&self, id: SocketId) -> Option<Addr> {
        match self.sockets.get(id)? {
            Entry::Connection(connection) => {
                let peer = connection.stream.transport().peer_addr();
                peer.or_else(|| self.detached_socket(id).and_then(peer_addr_of))
            }
            Entry::Datagram(datagram) => datagram.transport().peer_addr(),
            Entry::Listener(_) | Entry::Source(_) => None,
        }
    }

    /// The address of this end (`getsockname`, Python's `server_address`): of a listener on port 0,
    /// the port it got. A connection in the making has one while it is certain: while just one
    /// socket is under way for it.
    #[must_use]
    pub fn local_addr(&self, id: SocketId) -> Option<Addr> {
        match self.sockets.get(id)? {
            Entry::Connection(connection) if connection.stream.is_connecting() => {
                self.attempts.get(id)?.local_addr()
            }
            Entry::Connection(connection) => {
                let own = connection.stream.transport().local_addr();
                own.or_else(|| self.detached_socket(id).and_then(local_addr_of))
            }
            Entry::Listener(listener) => listener.socket.local_addr(),
            Entry::Datagram(datagram) => datagram.transport().local_addr(),
            Entry::Source(_) => None,
        }
    }

    /// How many connections are open, those included that only linger.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.sockets.connection_count()
    }

    /// The counters of this server.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Compares the counters with what is really there; for tests and soak runs, since it looks at
    /// every connection.
    ///
    /// # Errors
    /// What does not balance.
    pub fn verify_stats(&self) -> Result<(), String> {
        let unsent: usize = self.sockets.connections().map(|(_, c)| c.stream.unsent()).sum();
        let live = self.sockets.connections().filter(|(_, c)| !c.is_finished()).count();
        let stats = &self.stats;
        if stats.accepted + stats.connected != stats.all_ended() + live as u64 {
            return Err(format!("{live} conversations are live, but {stats:?}"));
        }
        if stats.bytes_sent != stats.bytes_out + stats.bytes_dropped + unsent as u64 {
            return Err(format!("{unsent} bytes are unsent, but {stats:?}"));
        }
        let waiting: usize =
            self.sockets.datagrams().map(|(_, datagram)| datagram.queue_len()).sum();
        if stats.packets_sent != stats.packets_out + stats.packets_dropped + waiting as u64 {
            return Err(format!("{waiting} datagrams wait, but {stats:?}"));
        }
        Ok(())
    }
}
