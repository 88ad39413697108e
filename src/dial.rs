//! How outgoing connections come about: waited for, looked up, and tried address by address.

use std::io;
use std::time::Duration;

use crate::addr::Addr;
use crate::attempts::Attempt;
use crate::connect::{Connect, Target};
use crate::id::{SocketId, TimerId};
use crate::io::{Drain, Io};
use crate::ledger::Reason;
use crate::socket::StreamSocket;
use crate::stage::{Failure, Stage};
use crate::stream::Ending;

/// How long a full backlog is waited out before the next try.
const BACKLOG_RETRY: Duration = Duration::from_millis(10);

impl Io {
    /// Begins an outgoing connection, or plans one. Only what can be said at once is an error here;
    /// all else comes to the handler's `finish`.
    pub(crate) fn open_connection(&mut self, connect: Connect) -> io::Result<SocketId> {
        if matches!(self.drain, Drain::Until { deadline, .. } if deadline <= self.now) {
            // Nobody would cut it off: it would outlive the shutdown.
            let what = "the grace of the shutdown is over";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, what));
        }
        if self.connections() >= self.options.max_connections || !self.sockets.reserve() {
            let what = "as many connections as Options::max_connections allows are open";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, what));
        }
        let opened = self.begin_connection(connect);
        self.sockets.give_back();
        opened
    }

    fn begin_connection(&mut self, connect: Connect) -> io::Result<SocketId> {
        let Connect { to, from, after, allowed } = connect;
        let begins = (!after.is_zero()).then(|| self.after(after));
        let (looking_up, mut left) = match to {
            Target::Name(_) => (true, Vec::new()),
            Target::Addrs(addrs) => {
                (false, Connect::choose(allowed, addrs)?.into_iter().rev().collect())
            }
        };
        let (mut begins, mut give_up) = (begins, None);
        let socket = if looking_up || begins.is_some() {
            StreamSocket::Unopened
        } else {
            match self.dial(&mut left, from.as_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let over = self.after(self.options.connect_timeout);
                    begins = Some(self.after(BACKLOG_RETRY).min(over));
                    give_up = Some(over);
                    StreamSocket::Unopened
                }
                dialled => dialled?,
            }
        };
        let is_planned = matches!(socket, StreamSocket::Unopened);
        let id = self.adopt(socket, true)?;
        if is_planned || !left.is_empty() {
            let attempt = Attempt { begins, looking_up, left, give_up, from, ..Attempt::default() };
            self.attempts.insert(id, attempt);
        }
        if is_planned {
            self.arm(id);
        }
        self.ledger.connected += 1;
        if let Drain::Until { .. } = self.drain {
            self.ask_to_end(id);
        }
        Ok(id)
    }

    /// Begins to connect to the next address that can be connected to at all. The last one stays if
    /// it may be tried again: a Unix server whose backlog is full says `WouldBlock`, and nothing
    /// tells when there is room (connect(2), `EAGAIN`).
    fn dial(&self, left: &mut Vec<Addr>, from: Option<&Addr>) -> io::Result<StreamSocket> {
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "no address");
        while let Some(addr) = left.pop() {
            match StreamSocket::connect(&addr, from, &self.options) {
                Ok(socket) => return Ok(socket),
                Err(error) => {
                    let what = format!("cannot connect to {addr}: {error}");
                    last = io::Error::new(error.kind(), what);
                    if error.kind() == io::ErrorKind::WouldBlock && left.is_empty() {
                        left.push(addr);
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Goes on to the next address, in place of the last.
    fn redial(&mut self, id: SocketId) -> io::Result<()> {
        let Some(attempt) = self.attempts.get_mut(id) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if let Some(error) = attempt.failed.take() {
            return Err(error);
        }
        let (mut left, from) = (std::mem::take(&mut attempt.left), attempt.from.clone());
        let dialled = self.dial(&mut left, from.as_ref());
        if let Some(attempt) = self.attempts.get_mut(id) {
            attempt.left = left;
        }
        match dialled {
            Ok(socket) => self.replace(id, socket),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.try_later(id, error),
            Err(error) => Err(error),
        }
    }

    /// Goes on to the next address, not at the end of a time that was set for that.
    fn go_on(&mut self, id: SocketId) -> io::Result<()> {
        self.redial(id)?;
        if self.attempts.begins(id).is_some() {
            // Sooner than whatever was waited for.
            self.arm(id);
        }
        Ok(())
    }

    /// The backlog of a Unix server is full: tries again a little later, within the time that a
    /// connection has.
    fn try_later(&mut self, id: SocketId, error: io::Error) -> io::Result<()> {
        let now = self.now;
        let retry = self.after(BACKLOG_RETRY);
        let timeout = self.after(self.options.connect_timeout);
        let Some(attempt) = self.attempts.get_mut(id) else { return Err(error) };
        let give_up = *attempt.give_up.get_or_insert(timeout);
        if now >= give_up {
            let what =
                "the backlog of the server stayed full: the connection did not stand in time";
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        attempt.begins = Some(retry.min(give_up));
        // The socket of the address before has had its answer, which is not one of this address.
        self.replace(id, StreamSocket::Unopened)
    }

    /// Whether a timer that has come up has to wait until its connection stands, since nothing is
    /// told to a handler before its `setup`.
    pub(crate) fn puts_off(&mut self, timer: TimerId) -> bool {
        let Some(owner) = self.timers.owner(timer) else { return false };
        let connection = self.sockets.connection_ref(owner);
        let waits = connection.is_some_and(|connection| connection.stream.is_connecting());
        if waits {
            self.attempts.put_off(owner, timer);
        }
        waits
    }

    fn has_more_to_try(&mut self, id: SocketId) -> bool {
        self.attempts.get_mut(id).is_some_and(|attempt| !attempt.left.is_empty())
    }

    /// A name was looked up, or is unknown.
    pub(crate) fn note_looked_up(&mut self, id: SocketId, result: io::Result<Vec<Addr>>) {
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        attempt.looking_up = false;
        match result {
            Ok(addrs) => attempt.left = addrs.into_iter().rev().collect(),
            Err(error) => attempt.failed = Some(error),
        }
        if attempt.begins.is_some() {
            return;
        }
        if let Some(connection) = self.sockets.connection(id) {
            connection.stream.note_verdict();
            self.sockets.enqueue(id);
        }
    }
}

impl<S> Stage<S> {
    /// The time of a connection has come that was to wait.
    pub(crate) fn begin_attempt(&mut self, id: SocketId) {
        let Some(attempt) = self.io.attempts.get_mut(id) else { return };
        attempt.begins = None;
        let looking_up = attempt.looking_up;
        if let Some(connection) = self.io.sockets.connection(id) {
            connection.active_at = self.io.now;
        }
        let begun = if looking_up { Ok(()) } else { self.io.redial(id) };
        match begun {
            Ok(()) => self.io.arm(id),
            Err(error) => self.fail(id, Failure { reason: Reason::NotConnected, error }),
        }
    }

    /// A connection in the making may have come about, or failed.
    pub(crate) fn complete_connect(&mut self, id: SocketId) -> Result<(), Failure> {
        let Some(connection) = self.io.sockets.connection(id) else { return Ok(()) };
        if connection.stream.ending() != Ending::Open {
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, "closed before it stood");
            return Err(Failure { reason: Reason::NotConnected, error });
        }
        if !connection.stream.has_verdict() {
            return Ok(());
        }
        let not_connected = |error| Failure { reason: Reason::NotConnected, error };
        if matches!(connection.stream.transport(), StreamSocket::Unopened) {
            if self.io.attempts.waits(id) {
                connection.stream.forget_verdict();
                return Ok(());
            }
            return self.io.go_on(id).map_err(not_connected);
        }
        if let Some(error) = connection.stream.transport().error() {
            if self.io.has_more_to_try(id) {
                return self.io.go_on(id).map_err(not_connected);
            }
            return Err(not_connected(error));
        }
        if !connection.stream.transport().is_connected() {
            // It was only said to be writable (mio asks for this look).
            connection.stream.forget_verdict();
            return Ok(());
        }
        connection.active_at = self.io.now;
        connection.stream.note_connected();
        let attempt = self.io.attempts.remove(id);
        for timer in attempt.map(|attempt| attempt.late).unwrap_or_default() {
            self.io.timers.put_back(self.io.now, timer);
        }
        self.io.arm(id);
        self.call(id, |handler, cx| handler.setup(cx))
    }

    /// It took too long to connect. Whether there was another address, with which it goes on or
    /// ends.
    pub(crate) fn tries_another(&mut self, id: SocketId) -> bool {
        if !self.io.has_more_to_try(id) {
            return false;
        }
        match self.io.redial(id) {
            Ok(()) => self.io.arm(id),
            Err(error) => self.fail(id, Failure { reason: Reason::NotConnected, error }),
        }
        true
    }
}
