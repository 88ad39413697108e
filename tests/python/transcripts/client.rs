//! What a client says, and what it hears: one script, over any kind of socket.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::thread;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::read_some::ReadSome;
use crate::waits::PATIENCE;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Transport {
    Tcp,
    Unix,
    Udp,
    Unixgram,
}

impl Transport {
    pub(crate) const STREAMS: &'static [Transport] = &[Transport::Tcp, Transport::Unix];
    pub(crate) const PACKETS: &'static [Transport] = &[Transport::Udp, Transport::Unixgram];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Unix => "unix",
            Transport::Udp => "udp",
            Transport::Unixgram => "unixgram",
        }
    }

    fn connect(self, addr: &str, own: &Path) -> Socket {
        let (domain, kind, to, from) = match self {
            Transport::Tcp | Transport::Udp => {
                let to: SocketAddr = addr.parse().unwrap();
                let any = SocketAddr::from(([127, 0, 0, 1], 0));
                let kind = if self == Transport::Tcp { Type::STREAM } else { Type::DGRAM };
                (Domain::IPV4, kind, to.into(), any.into())
            }
            Transport::Unix | Transport::Unixgram => {
                let kind = if self == Transport::Unix { Type::STREAM } else { Type::DGRAM };
                let (to, own) = (SockAddr::unix(addr).unwrap(), SockAddr::unix(own).unwrap());
                (Domain::UNIX, kind, to, own)
            }
        };
        let socket = Socket::new(domain, kind, None).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        if kind == Type::DGRAM {
            // Only who has a name is answered.
            socket.bind(&from).unwrap();
        }
        socket.connect(&to).unwrap();
        socket
    }
}

#[derive(Clone)]
pub(crate) enum Step {
    /// Sends these bytes.
    Say(Vec<u8>),
    /// Sends them while it reads, and half-closes behind them.
    SayAllAndEnd(Vec<u8>),
    /// Goes on only when so many more bytes have come.
    Hear(usize),
    HalfClose,
    /// Closes, where it would otherwise read until the server ends.
    Leave,
    /// Sends a datagram, and goes on when one has come back.
    Ask(Vec<u8>),
    /// Sends a datagram to which no answer belongs. If one comes, it is taken for that to the next.
    Tell(Vec<u8>),
}

/// All that came, and how it ended. The datagrams are apart; the bytes of a stream are in one piece.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Transcript {
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// The server said its end.
    Clean,
    Reset,
    /// The client left first; or there is no end, as with datagrams.
    None,
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            let shown = piece.get(..60).unwrap_or(piece).escape_ascii();
            write!(f, "{} bytes \"{shown}\", ", piece.len())?;
        }
        write!(f, "end: {:?}", self.end)
    }
}

/// Plays the script; `own` is a path for a socket that needs a name.
pub(crate) fn play(transport: Transport, addr: &str, own: &Path, steps: &[Step]) -> Transcript {
    let socket = transport.connect(addr, own);
    if Transport::PACKETS.contains(&transport) {
        Transcript { pieces: exchange(&socket, steps), end: End::None }
    } else {
        converse(&socket, steps)
    }
}

fn exchange(mut socket: &Socket, steps: &[Step]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut buffer = vec![0; 70_000];
    for step in steps {
        match step {
            Step::Ask(packet) => {
                socket.send(packet).unwrap();
                let n = socket.read_some(&mut buffer).unwrap();
                pieces.push(buffer[..n].to_vec());
            }
            Step::Tell(packet) => {
                socket.send(packet).unwrap();
            }
            _ => panic!("datagrams have no such step"),
        }
    }
    pieces
}

fn converse(mut socket: &Socket, steps: &[Step]) -> Transcript {
    let mut heard = Vec::new();
    let mut writer = None;
    for step in steps {
        match step {
            Step::Say(bytes) => socket.write_all(bytes).unwrap(),
            Step::SayAllAndEnd(bytes) => {
                let (socket, bytes) = (socket.try_clone().unwrap(), bytes.clone());
                writer = Some(thread::spawn(move || {
                    (&socket).write_all(&bytes).unwrap();
                    socket.shutdown(Shutdown::Write).unwrap();
                }));
            }
            Step::Hear(n) => {
                let begin = heard.len();
                heard.resize(begin + n, 0);
                socket.read_exact(&mut heard[begin..]).unwrap();
            }
            Step::HalfClose => socket.shutdown(Shutdown::Write).unwrap(),
            Step::Leave => return Transcript { pieces: vec![heard], end: End::None },
            Step::Ask(_) | Step::Tell(_) => panic!("streams have no such step"),
        }
    }
    let end = match socket.read_to_end(&mut heard) {
        Ok(_) => End::Clean,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => End::Reset,
        Err(error) => panic!("{error}"),
    };
    if let Some(writer) = writer {
        writer.join().unwrap();
    }
    Transcript { pieces: vec![heard], end }
}
