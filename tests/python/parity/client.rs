//! A client that blocks, of any transport.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::combination::Transport;
use super::started::PATIENCE;
use crate::read_some::ReadSome;

pub(crate) struct Client {
    pub(crate) socket: Socket,
    is_stream: bool,
    /// Where the path of a client for Unix datagrams is.
    _directory: Option<tempfile::TempDir>,
}

impl Client {
    pub(crate) fn connect(transport: Transport, address: &str) -> Client {
        let name = if transport.is_unix() {
            SockAddr::unix(address).unwrap()
        } else {
            SockAddr::from(address.parse::<SocketAddr>().unwrap())
        };
        let is_stream = transport.is_stream();
        let kind = if is_stream { Type::STREAM } else { Type::DGRAM };
        let socket = Socket::new(Domain::from(i32::from(name.family())), kind, None).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut directory = None;
        if transport == Transport::Unixgram {
            let own = directory.insert(tempfile::TempDir::new().unwrap());
            socket.bind(&SockAddr::unix(own.path().join("client")).unwrap()).unwrap();
        }
        socket.connect(&name).unwrap();
        Client { socket, is_stream, _directory: directory }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, message: impl AsRef<[u8]>) {
        self.socket.write_all(message.as_ref()).unwrap();
    }

    /// One line of a stream with its end, or one datagram.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        String::from_utf8(self.line_of_bytes()).unwrap()
    }

    fn line_of_bytes(&mut self) -> Vec<u8> {
        if !self.is_stream {
            let mut packet = vec![0; 70_000];
            let n = self.socket.read_some(&mut packet).unwrap();
            packet.truncate(n);
            return packet;
        }
        let mut line = Vec::new();
        let mut byte = [0];
        while line.last() != Some(&b'\n') && self.socket.read_some(&mut byte).unwrap() > 0 {
            line.extend_from_slice(&byte);
        }
        line
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, message: &str) -> String {
        self.send(message);
        self.line()
    }

    /// Sends until the system has had no room for a while; says how much that was.
    pub(crate) fn send_until_full(&mut self, all: &[u8]) -> usize {
        const A_WHILE: Duration = Duration::from_millis(20);

        self.socket.set_write_timeout(Some(A_WHILE)).unwrap();
        let mut sent = 0;
        while sent < all.len() {
            let Ok(n) = self.socket.write(&all[sent..]) else { break };
            sent += n;
        }
        sent
    }

    pub(crate) fn finish_sending(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Everything until the server ends the connection, which must be in order.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.socket.read_to_end(&mut rest).unwrap();
        rest
    }

    /// It has ended, in whatever way.
    #[track_caller]
    pub(crate) fn was_ended(&mut self) {
        let rest = self.socket.read_to_end(&mut Vec::new());
        let ends = |error: std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(rest.map_err(ends) != Err(false));
    }

    /// The process that served this connection was killed: nothing more comes, and where there are
    /// resets the end is no EOF, which would make of a part the whole.
    #[track_caller]
    pub(crate) fn was_cut_off(&mut self) {
        let mut rest = Vec::new();
        match self.socket.read_to_end(&mut rest) {
            Ok(_) => assert!(self.socket.local_addr().unwrap().is_unix(), "a clean end"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        assert_eq!(rest, b"");
    }

    /// A connection has ended without a word; a datagram was not answered, nor will it be: nothing
    /// waits here although the server has seen to whatever came after it.
    #[track_caller]
    pub(crate) fn got_nothing(&mut self) {
        if self.is_stream {
            assert_eq!(self.rest(), b"");
        } else {
            self.socket.set_nonblocking(true).unwrap();
            assert!(self.socket.read(&mut [0]).is_err());
        }
    }
}
