//! Outgoing connections until they are established: delayed, looked up, and tried address by
//! address.

use std::io;

use super::{Io, ShutdownState, nanoseconds};
use crate::addr::{Addr, Name, Written, some_of, written};
use crate::conn::connector::{Connector, Next};
use crate::id::{SocketId, TimerId};
use crate::io::connect::{Connect, ConnectTarget};
use crate::io::connect_attempts::{ConnectAttempt, Established, with_addr};
use crate::io::names::Owner;
use crate::io::resolver::Resolved;
use crate::net::StreamSocket;

impl Io {
    /// Begins an outgoing connection, or schedules a delayed one. Errors that need no look-up and
    /// no waiting are returned here; all others are passed to the handler's `finish`.
    pub(crate) fn open_connection(
        &mut self,
        connect: Connect,
        requester: Option<SocketId>,
    ) -> io::Result<SocketId> {
        if matches!(self.shutdown_state, ShutdownState::Draining { deadline, .. } if deadline <= self.now)
        {
            // The shutdown has aborted its connections already, so this one would outlive it.
            let what = "the server has shut down";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, what));
        }
        if !self.reserve_or_evict() {
            let what = "too many open connections (Options::max_connections)";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, what));
        }
        let opened = self.start_connect(connect, requester);
        self.sockets.cancel_reservation();
        opened
    }

    fn start_connect(
        &mut self,
        connect: Connect,
        requester: Option<SocketId>,
    ) -> io::Result<SocketId> {
        let fails_later = connect.fails_later || matches!(connect.to, ConnectTarget::Name(_));
        let is_beside = requester.is_some_and(|id| self.is_beside(id));
        let mut attempt = self.plan(connect, requester)?;
        attempt.is_awaited = requester.is_some() && !is_beside;
        let id = self.insert_connecting()?;
        self.attempts.insert(id, attempt);
        if let Some(connection) = self.sockets.connection_mut(id).filter(|_| is_beside) {
            connection.stream.set_unsolicited();
        }
        match self.advance_connect(id) {
            Ok(()) => {}
            Err(error) if fails_later => self.fail_in_turn(id, error),
            Err(error) => {
                self.cancel_attempt(id);
                self.sockets.remove(id);
                return Err(error);
            }
        }
        self.stats.connected += 1;
        if let ShutdownState::Draining { .. } = self.shutdown_state {
            self.begin_connection_shutdown(id);
        }
        Ok(id)
    }

    fn plan(&self, connect: Connect, requester: Option<SocketId>) -> io::Result<ConnectAttempt> {
        let Connect { to, from, after, allowed, .. } = connect;
        let (begins, timeout) =
            (self.deadline_in(after), nanoseconds(self.options.connect_timeout));
        let from = || from.clone();
        let to_addrs =
            |addrs| ConnectAttempt::new(Connector::to_addrs(begins, timeout, addrs), from());
        let choose = |addrs| Connect::choose(allowed, addrs);
        let text = match to {
            ConnectTarget::Addrs(addrs) => return Ok(to_addrs(choose(addrs)?)),
            ConnectTarget::Name(text) => text,
        };
        let chosen = written(&text).and_then(|written| match written {
            Written::Addrs(addrs) => choose(addrs).map(Written::Addrs),
            name @ Written::Name(_) => Ok(name),
        });
        Ok(match chosen {
            Ok(Written::Addrs(addrs)) => to_addrs(addrs),
            Ok(Written::Name(name)) => {
                let mut attempt = ConnectAttempt::new(Connector::to_name(begins, timeout), from());
                attempt.name = Some((name, self.lookup_owner(requester)));
                attempt.allowed = allowed;
                attempt
            }
            // Passed to the handler, as the error of an unknown name is.
            Err(error) => {
                let mut attempt = to_addrs(Vec::new());
                attempt.error = Some(error);
                attempt
            }
        })
    }

    /// Passes an error to the handler in the next turn of the connection.
    pub(super) fn fail_in_turn(&mut self, id: SocketId, error: io::Error) {
        if let Some(attempt) = self.attempts.get_mut(id) {
            attempt.error = Some(error);
        }
        self.enqueue_connect_result(id);
    }

    /// Advances a connection that is connecting until it has to wait.
    pub(crate) fn advance_connect(&mut self, id: SocketId) -> io::Result<()> {
        loop {
            let Some(attempt) = self.attempts.get_mut(id) else { return Ok(()) };
            if let Some(error) = attempt.error.take() {
                return Err(error);
            }
            match attempt.connector.next(self.now) {
                Next::Resolve => self.look_up(id),
                Next::Open(number, addr) => self.open_socket(id, number, addr),
                Next::Abandon(number) => attempt.drop_one(self.poll.registry(), number),
                Next::Wait(at) => {
                    self.arm_connect_deadline(id, at);
                    return Ok(());
                }
                Next::Fail(error) => return Err(error),
            }
        }
    }

    /// Begins to connect to one address.
    fn open_socket(&mut self, id: SocketId, number: u32, addr: Addr) {
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        let opened = StreamSocket::connect(&addr, attempt.from.as_ref(), &self.options);
        let registered = opened.and_then(|mut socket| {
            socket.register(self.poll.registry(), id.token(), false)?;
            Ok(socket)
        });
        match registered {
            Ok(socket) => {
                let is_established = socket.is_connected_at_once();
                attempt.add(number, addr, socket);
                if is_established {
                    self.enqueue_connect_result(id);
                }
            }
            Err(error) => {
                let error = with_addr(&addr, &error);
                if error.kind() == io::ErrorKind::WouldBlock {
                    attempt.connector.backlog_full(self.now, number, addr, error);
                } else {
                    attempt.connector.failed(number, error);
                }
            }
        }
    }

    /// Arms a deadline at `at`, unless an earlier one is armed.
    fn arm_connect_deadline(&mut self, id: SocketId, at: u64) {
        let Some(attempt) = self.attempts.get_mut(id).filter(|attempt| at < attempt.next_wake)
        else {
            return;
        };
        attempt.next_wake = at;
        if let Some(connection) = self.sockets.connection_mut(id) {
            connection.armed_deadlines = connection.armed_deadlines.saturating_add(1);
            self.deadlines.push(at, id);
        }
    }

    /// Queues a connection whose attempt has a result.
    fn enqueue_connect_result(&mut self, id: SocketId) {
        if let Some(connection) = self.sockets.connection_mut(id) {
            connection.stream.set_connect_result();
            self.sockets.enqueue(id);
        }
    }

    /// The owner of the look-ups that a handler, or the program, requests.
    fn lookup_owner(&self, requester: Option<SocketId>) -> Owner {
        let Some(id) = requester else { return Owner::Program };
        match self.peer_addr(id) {
            Some(Addr::Ip(peer)) => Owner::client(peer.ip()),
            _ => Owner::Handler(id),
        }
    }

    fn look_up(&mut self, id: SocketId) {
        let Some(attempt) = self.attempts.get(id) else { return };
        if let Some((name, owner)) = &attempt.name {
            self.resolver.request(&name.host, *owner, id);
        }
    }

    /// Passes the results of look-ups to the connections that wait for them.
    pub(crate) fn complete_lookups(&mut self) {
        for Resolved { host, result } in self.resolver.take_results() {
            for id in self.resolver.finish(&host) {
                let addrs = match &result {
                    Ok(addrs) => Ok(addrs.iter().copied().map(Addr::Ip).collect()),
                    Err(error) => {
                        let what = format!("{host}: {error}");
                        Err(io::Error::new(error.kind(), what))
                    }
                };
                self.resolved(id, addrs.and_then(|addrs| some_of(&host, addrs)));
            }
        }
    }

    /// Passes the result of a look-up to one connection.
    pub(crate) fn resolved(&mut self, id: SocketId, result: io::Result<Vec<Addr>>) {
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        let port = attempt.name.take().map(|(Name { port, .. }, _)| port);
        let with_port = |mut addr: Addr| {
            if let (Addr::Ip(ip), Some(port)) = (&mut addr, port) {
                ip.set_port(port);
            }
            addr
        };
        let addrs = result.map(|addrs| addrs.into_iter().map(with_port).collect());
        let addrs = addrs.and_then(|addrs| Connect::choose(attempt.allowed, addrs));
        attempt.connector.resolved(self.now, addrs);
        self.enqueue_connect_result(id);
    }

    /// Defers an expired timer if its connection is not established, because no callback runs
    /// before `setup`. `true` when it did.
    pub(crate) fn defer_timer(&mut self, timer: TimerId) -> bool {
        if self.attempts.is_empty() {
            return false;
        }
        let Some(owner) = self.timers.owner(timer) else { return false };
        let Some(attempt) = self.attempts.get_mut(owner) else { return false };
        attempt.deferred_timers.push(timer);
        true
    }

    /// Cancels an attempt, with its sockets, look-up and timers.
    pub(super) fn cancel_attempt(&mut self, id: SocketId) {
        let Some(mut attempt) = self.attempts.remove(id) else { return };
        attempt.drop_all(self.poll.registry());
        if let Some((name, _)) = attempt.name {
            self.resolver.cancel(&name.host, id);
        }
        for timer in attempt.deferred_timers {
            self.timers.cancel(timer);
        }
    }

    /// Makes an established socket that of the connection, and closes the others.
    pub(crate) fn establish(&mut self, id: SocketId, established: Established) -> io::Result<()> {
        let Some(mut attempt) = self.attempts.remove(id) else { return Ok(()) };
        let registry = self.poll.registry();
        attempt.drop_all(registry);
        for timer in attempt.deferred_timers {
            self.timers.rearm(self.now, timer);
        }
        let Some(connection) = self.sockets.connection_mut(id) else { return Ok(()) };
        connection.active_at = self.now;
        if established.is_sole {
            *connection.stream.transport_mut() = established.socket;
        } else {
            // The readiness that was reported may belong to another socket, so the poll has to
            // report again.
            connection.stream.replace_transport(established.socket);
            connection.stream.set_connect_result();
            connection.stream.transport_mut().update_interests(
                registry,
                id.token(),
                true,
                false,
            )?;
        }
        connection.stream.set_connected();
        if let Some(on) = attempt.nodelay {
            connection.stream.transport().set_nodelay(on)?;
        }
        Ok(())
    }
}
