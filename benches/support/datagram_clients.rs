//! UDP clients for every server: one thread, and epoll for the answers. Answers are compared with
//! what was sent.
//!
//! A datagram may be lost, and its client would wait for ever. So unanswered datagrams are sent
//! again after a timeout, and counted.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Registry, Token};

/// Far above any answer's time, also under valgrind.
const TIMEOUT: Duration = Duration::from_secs(2);

/// After this many timeouts the server counts as dead.
const MAX_RESENDS: usize = 5;

/// Length of the sequence number at the start of a datagram.
const SEQUENCE_LEN: usize = size_of::<u64>();

/// Clients with a socket each.
pub(crate) struct DatagramClients {
    poll: Poll,
    events: Events,
    clients: Vec<DatagramClient>,
    exchange: Exchange,
}

/// The state of an exchange of all clients.
struct Exchange {
    /// Datagrams still to be sent.
    unsent: usize,
    /// Answers still to be received.
    missing: usize,
    /// Datagrams or answers lost so far.
    lost: usize,
    answer: Vec<u8>,
}

struct DatagramClient {
    socket: UdpSocket,
    /// The sequence number in `message`.
    sequence: u64,
    message: Vec<u8>,
    /// Whether the answer to `message` is missing.
    is_unanswered: bool,
}

impl DatagramClients {
    /// Connects `count` clients to the server at `addr`; a datagram has `size` bytes.
    pub(crate) fn connect(addr: SocketAddr, count: usize, size: usize) -> io::Result<Self> {
        if size < SEQUENCE_LEN {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no room for a sequence"));
        }
        let poll = Poll::new()?;
        let connect = |nth| DatagramClient::connect(addr, nth, size, poll.registry());
        let clients = (0..count).map(connect).collect::<io::Result<_>>()?;
        // One byte longer than expected, so that a longer answer is detected.
        let exchange = Exchange { unsent: 0, missing: 0, lost: 0, answer: vec![0; size + 1] };
        Ok(DatagramClients { poll, events: Events::with_capacity(count), clients, exchange })
    }

    /// Sends `total` datagrams and waits for the answers. Each client sends its first datagram at
    /// once and the next one after an answer. So if `total` is the number of clients, all are sent
    /// before the first answer is read.
    pub(crate) fn exchange(&mut self, total: usize) -> io::Result<()> {
        self.exchange.unsent = total;
        for client in &mut self.clients {
            client.send_next(&mut self.exchange)?;
        }
        let mut resends = 0;
        while self.exchange.missing > 0 {
            self.wait()?;
            if self.events.is_empty() {
                resends += 1;
                self.resend(resends)?;
            }
            for event in &self.events {
                let Token(nth) = event.token();
                if let Some(client) = self.clients.get_mut(nth) {
                    client.take_answers(&mut self.exchange)?;
                }
            }
        }
        Ok(())
    }

    /// Count of datagrams and answers that were lost.
    pub(crate) fn lost(&self) -> usize {
        self.exchange.lost
    }

    fn wait(&mut self) -> io::Result<()> {
        loop {
            match self.poll.poll(&mut self.events, Some(TIMEOUT)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn resend(&mut self, resends: usize) -> io::Result<()> {
        if resends > MAX_RESENDS {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer from the server"));
        }
        for client in self.clients.iter().filter(|client| client.is_unanswered) {
            self.exchange.lost += 1;
            client.socket.send(&client.message)?;
        }
        Ok(())
    }
}

impl DatagramClient {
    fn connect(
        addr: SocketAddr,
        nth: usize,
        size: usize,
        registry: &Registry,
    ) -> io::Result<DatagramClient> {
        let any_port = SocketAddr::new(addr.ip(), 0);
        let mut socket = UdpSocket::bind(any_port)?;
        socket.connect(addr)?;
        registry.register(&mut socket, Token(nth), Interest::READABLE)?;
        let message = (0..size).map(|i| ((nth + i) % 251) as u8).collect();
        Ok(DatagramClient { socket, sequence: 0, message, is_unanswered: false })
    }

    /// Sends the next datagram, if there is one.
    fn send_next(&mut self, exchange: &mut Exchange) -> io::Result<()> {
        if exchange.unsent == 0 {
            return Ok(());
        }
        exchange.unsent -= 1;
        exchange.missing += 1;
        self.sequence += 1;
        self.message[..SEQUENCE_LEN].copy_from_slice(&self.sequence.to_le_bytes());
        self.is_unanswered = true;
        self.socket.send(&self.message).map(drop)
    }

    /// Receives answers up to the missing one.
    fn take_answers(&mut self, exchange: &mut Exchange) -> io::Result<()> {
        loop {
            let n = match self.socket.recv(&mut exchange.answer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                came => came?,
            };
            if self.is_unanswered && exchange.answer[..n] == self.message {
                self.is_unanswered = false;
                exchange.missing -= 1;
                return self.send_next(exchange);
            }
            if !self.is_late_answer(&exchange.answer[..n]) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the echo differs from what was sent",
                ));
            }
        }
    }

    /// Whether this is the second answer to a datagram sent twice.
    fn is_late_answer(&self, answer: &[u8]) -> bool {
        let Some((sequence, rest)) = answer.split_first_chunk() else { return false };
        (1..=self.sequence).contains(&u64::from_le_bytes(*sequence))
            && rest == &self.message[SEQUENCE_LEN..]
    }
}
