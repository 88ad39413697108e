//! How a connection leaves the loop for a handler that blocks, and how it comes back.
//!
//! It keeps its id, its place among the connections and its handler; only its socket is away. So
//! limits, counters and shutdowns hold for it as for any other.

use std::io;
use std::sync::Arc;

use socket2::Socket;

use crate::id::SocketId;
use crate::io::Io;
use crate::socket::{Loan, StreamSocket};
use crate::sockets::Sockets;
use crate::transport::Readiness;

impl Io {
    /// Takes the socket of a connection out of the loop. It blocks, and all shares of it must be
    /// gone before it can come back.
    pub(crate) fn lend(&mut self, id: SocketId) -> io::Result<Arc<Socket>> {
        self.stop_collecting(id);
        let registry = self.poll.registry();
        let Some(connection) = self.sockets.connection(id) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        connection.stream.transport_mut().deregister(registry)?;
        let loan = Loan::begin(connection.stream.retry(StreamSocket::Lent))?;
        let socket = Arc::clone(loan.socket());
        self.loans.insert(id, loan);
        Ok(socket)
    }

    /// The socket of a connection, if it is away.
    pub(crate) fn lent(&self, id: SocketId) -> Option<&Socket> {
        self.loans.get(&id).map(|loan| &**loan.socket())
    }

    /// Puts the socket of a connection back. One that somebody else still uses stays away, and the
    /// connection ends without it.
    pub(crate) fn take_back(&mut self, id: SocketId) -> io::Result<()> {
        let Some(loan) = self.loans.remove(&id) else { return Ok(()) };
        let Some(socket) = loan.end()? else { return Ok(()) };
        self.replace(id, socket)?;
        // There is no telling what happened meanwhile, so it is looked into.
        let ready = Readiness { readable: true, writable: true, ..Readiness::default() };
        self.change(id, |connection| connection.stream.note(ready));
        Ok(())
    }

    /// An answer to one more datagram is owed, or to one less; the socket stays until none is.
    pub(crate) fn owe(&mut self, id: SocketId, on: bool) {
        self.change_datagram(id, |datagram| datagram.owe(on));
    }

    /// Closes the descriptors of all sockets and forgets them: those of a forked child are copies.
    #[cfg_attr(
        not(all(unix, feature = "processes")),
        expect(dead_code, reason = "nothing is forked")
    )]
    pub(crate) fn close_copies(&mut self) {
        drop(std::mem::replace(&mut self.sockets, Sockets::new()));
        drop(std::mem::take(&mut self.attempts));
        self.loans.clear();
    }
}
