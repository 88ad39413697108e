//! A datagram client that never blocks, and a flood.

use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::Addr;

/// A client of datagrams that never blocks, and exchanges them with one server alone.
pub(crate) struct DatagramClient {
    pub(crate) socket: Socket,
    /// Where the path of a Unix client is.
    pub(crate) directory: Option<tempfile::TempDir>,
}

impl DatagramClient {
    /// One that can be answered.
    pub(crate) fn new(server: &Addr) -> DatagramClient {
        match server {
            Addr::Unix(_) => {
                let directory = tempfile::TempDir::new().unwrap();
                let socket = Socket::new(Domain::UNIX, Type::DGRAM, None).unwrap();
                socket.bind(&SockAddr::unix(directory.path().join("client")).unwrap()).unwrap();
                DatagramClient::connected(socket, server, Some(directory))
            }
            _ => DatagramClient::unnamed(server),
        }
    }

    /// The same, but a Unix client has no name.
    pub(crate) fn unnamed(server: &Addr) -> DatagramClient {
        let domain = server.ip().map_or(Domain::UNIX, |ip| Domain::for_address(*ip));
        let socket = Socket::new(domain, Type::DGRAM, None).unwrap();
        DatagramClient::connected(socket, server, None)
    }

    fn connected(
        socket: Socket,
        server: &Addr,
        directory: Option<tempfile::TempDir>,
    ) -> DatagramClient {
        socket.connect(&name(server)).unwrap();
        socket.set_nonblocking(true).unwrap();
        DatagramClient { socket, directory }
    }

    pub(crate) fn many(server: &Addr, n: usize) -> Vec<DatagramClient> {
        (0..n).map(|_| DatagramClient::new(server)).collect()
    }

    /// The address under which it sends.
    pub(crate) fn addr(&self) -> Addr {
        let name = self.socket.local_addr().unwrap();
        match (name.as_socket(), name.as_pathname()) {
            (Some(ip), _) => Addr::Ip(ip),
            (_, Some(path)) => Addr::from(path),
            _ => Addr::Unnamed,
        }
    }

    /// Sends what the system must have room for.
    #[track_caller]
    pub(crate) fn send(&self, bytes: &[u8]) {
        assert_eq!(self.socket.send(bytes).unwrap(), bytes.len());
    }

    /// Sends if the system takes it now.
    pub(crate) fn push(&self, bytes: &[u8]) -> bool {
        self.socket.send(bytes).is_ok()
    }

    /// The next datagram that has come, if there is one.
    pub(crate) fn next(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 70_000];
        let n = (&self.socket).read(&mut buffer).ok()?;
        buffer.truncate(n);
        Some(buffer)
    }

    /// Every datagram that has come.
    pub(crate) fn all(&self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

/// How the system writes an address.
fn name(addr: &Addr) -> SockAddr {
    match addr {
        Addr::Ip(ip) => SockAddr::from(*ip),
        Addr::Unix(path) => SockAddr::unix(path).unwrap(),
        _ => panic!("it has no such name"),
    }
}

/// Sends this many datagrams from each of three threads, or fewer once `enough` is set.
pub(crate) fn flood(to: SocketAddr, each: usize, enough: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let sender = |enough: Arc<AtomicBool>| {
        move || {
            let socket = UdpSocket::bind((to.ip(), 0)).unwrap();
            socket.set_nonblocking(true).unwrap();
            let packet = [b'f'; 100];
            for _ in 0..each {
                let _ = socket.send_to(&packet, to);
                if enough.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    };
    (0..3).map(|_| thread::spawn(sender(Arc::clone(enough)))).collect()
}
