//! Clients for every datagram server alike: one thread, and epoll says who was answered. What comes
//! back is compared with what was sent, byte by byte.
//!
//! A datagram may be lost, and then nobody would ever be answered again: so after a while of
//! silence what is missing is sent once more, and counted.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Registry, Token};

/// No answer takes that long, not even under valgrind.
const TIMEOUT: Duration = Duration::from_secs(2);

/// So often a whole silence is answered by sending again; then the server is thought dead.
const MAX_RESENDS: usize = 5;

/// The number of a datagram stands in front of its other bytes.
const SEQUENCE_LEN: usize = size_of::<u64>();

/// Clients with a socket each.
pub(crate) struct DatagramClients {
    poll: Poll,
    events: Events,
    clients: Vec<DatagramClient>,
    exchange: Exchange,
}

/// What they have to do together.
struct Exchange {
    /// How many datagrams are still to be sent.
    unsent: usize,
    /// How many answers are still to come.
    missing: usize,
    /// How many datagrams, or their answers, were lost until now.
    lost: usize,
    answer: Vec<u8>,
}

struct DatagramClient {
    socket: UdpSocket,
    /// Of the datagram in `message`.
    sequence: u64,
    message: Vec<u8>,
    /// Whether the answer to it is missing.
    is_unanswered: bool,
}

impl DatagramClients {
    /// `count` clients of the server at `addr`, which send datagrams of `size` bytes.
    pub(crate) fn connect(addr: SocketAddr, count: usize, size: usize) -> io::Result<Self> {
        if size < SEQUENCE_LEN {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no room for a sequence"));
        }
        let poll = Poll::new()?;
        let connect = |nth| DatagramClient::connect(addr, nth, size, poll.registry());
        let clients = (0..count).map(connect).collect::<io::Result<_>>()?;
        // One byte more than is expected, so that a longer answer shows.
        let exchange = Exchange { unsent: 0, missing: 0, lost: 0, answer: vec![0; size + 1] };
        Ok(DatagramClients { poll, events: Events::with_capacity(count), clients, exchange })
    }

    /// Sends `total` datagrams and waits for the answers. Each client sends its first at once and
    /// its next when it is answered; so with as many datagrams as clients, all are sent together
    /// before the first answer is looked at.
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

    /// How many datagrams were lost, or their answers, and had to be sent again.
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
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer"));
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

    /// Sends one more if there is one more to send.
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

    /// Takes answers up to the one that is missing.
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
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a wrong echo"));
            }
        }
    }

    /// Whether this is a late answer to what was sent twice.
    fn is_late_answer(&self, answer: &[u8]) -> bool {
        let Some((sequence, rest)) = answer.split_first_chunk() else { return false };
        (1..=self.sequence).contains(&u64::from_le_bytes(*sequence))
            && rest == &self.message[SEQUENCE_LEN..]
    }
}
