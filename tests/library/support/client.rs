//! A stream client that never blocks, and bytes that show every loss.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::Addr;

/// A client that never blocks.
pub(crate) struct Client {
    pub(crate) socket: Socket,
    pub(crate) received: Vec<u8>,
    /// How the stream ended, once it has.
    pub(crate) end: Option<Result<(), ErrorKind>>,
}

impl Client {
    /// Connects; on a listener that stands this waits for nobody.
    pub(crate) fn connect(addr: &Addr) -> Client {
        Client::connect_with(addr, |_| {})
    }

    /// The same, with options set before the connection is made.
    pub(crate) fn connect_with(addr: &Addr, prepare: impl FnOnce(&Socket)) -> Client {
        let (domain, name) = match addr {
            Addr::Ip(ip) => (Domain::for_address(*ip), SockAddr::from(*ip)),
            Addr::Unix(path) => (Domain::UNIX, SockAddr::unix(path).unwrap()),
            _ => panic!("nobody here connects to that"),
        };
        let socket = Socket::new(domain, Type::STREAM, None).unwrap();
        prepare(&socket);
        socket.connect(&name).unwrap();
        socket.set_nonblocking(true).unwrap();
        if domain != Domain::UNIX {
            socket.set_tcp_nodelay(true).unwrap();
        }
        Client { socket, received: Vec::new(), end: None }
    }

    pub(crate) fn connect_many(addr: &Addr, n: usize) -> Vec<Client> {
        (0..n).map(|_| Client::connect(addr)).collect()
    }

    /// Sends what must fit into the buffers of the system.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        assert_eq!(self.push(bytes), bytes.len(), "the system has no room for it");
    }

    /// Sends what the system takes now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        sent
    }

    /// Takes what came in, and says whether the stream has ended.
    pub(crate) fn look(&mut self) -> bool {
        self.look_at_most(usize::MAX)
    }

    pub(crate) fn look_at_most(&mut self, most: usize) -> bool {
        let mut buffer = [0; 64 << 10];
        let mut left = most;
        while self.end.is_none() && left > 0 {
            let room = buffer.len().min(left);
            match self.socket.read(&mut buffer[..room]) {
                Ok(0) => self.end = Some(Ok(())),
                Ok(n) => {
                    self.received.extend_from_slice(&buffer[..n]);
                    left -= n;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.end = Some(Err(error.kind())),
            }
        }
        self.end.is_some()
    }

    /// Says that nothing more will come; reading goes on.
    pub(crate) fn finish_sending(&mut self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends TCP by a reset, whatever is under way.
    pub(crate) fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// `n` bytes that are different enough for every loss and swap to show.
pub(crate) fn pattern(n: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(2).wrapping_add(1));
    let mut bytes = Vec::with_capacity(n + 8);
    while bytes.len() < n {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(n);
    bytes
}

/// Numbers that are the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n
    }
}
