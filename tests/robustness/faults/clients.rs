//! The clients of a run: each knows which bytes must come back to it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::play::{Fate, Fault, Kind};
use crate::waits::{delay, within};

/// How long a client that must be answered waits before it says one word more.
const LONG: Duration = Duration::from_secs(4);
/// The same, when what fails may well have cost it its answer.
const SHORT: Duration = Duration::from_millis(150);
/// How long it waits then before it gives up.
const PATIENT: Duration = Duration::from_millis(1_500);

/// A connection, or as good as one.
trait Wire: Read + Write + Send {
    fn split(&self) -> Box<dyn Wire>;
    fn patience(&self, most: Duration);
    fn end(&self);
}

impl Wire for TcpStream {
    fn split(&self) -> Box<dyn Wire> {
        Box::new(self.try_clone().unwrap())
    }

    fn patience(&self, most: Duration) {
        self.set_read_timeout(Some(most)).unwrap();
        self.set_write_timeout(Some(most)).unwrap();
    }

    fn end(&self) {
        let _ = TcpStream::shutdown(self, Shutdown::Write);
    }
}

impl Wire for UnixStream {
    fn split(&self) -> Box<dyn Wire> {
        Box::new(self.try_clone().unwrap())
    }

    fn patience(&self, most: Duration) {
        self.set_read_timeout(Some(most)).unwrap();
        self.set_write_timeout(Some(most)).unwrap();
    }

    fn end(&self) {
        let _ = UnixStream::shutdown(self, Shutdown::Write);
    }
}

/// Those of one run.
pub(crate) struct Clients {
    kind: Kind,
    addr: String,
    dir: PathBuf,
    soon: Duration,
    gives_up: Duration,
    /// Those that only wake a listener, and those that stay until the stop.
    open: Vec<Box<dyn Wire>>,
}

impl Clients {
    pub(crate) fn new(kind: Kind, addr: String, dir: &Path, fault: Option<&Fault>) -> Clients {
        let (soon, gives_up) = match fault {
            Some(fault) if fault.lasts() => (SHORT, SHORT),
            Some(fault) if fault.lies() => (SHORT, PATIENT),
            _ => (LONG, PATIENT),
        };
        Clients { kind, addr, dir: dir.into(), soon, gives_up, open: Vec::new() }
    }

    /// Gives how many bytes came back to all.
    pub(crate) fn play(&mut self, fates: &mut Vec<Fate>) -> u64 {
        if matches!(self.kind, Kind::Udp | Kind::Unixgram) {
            self.datagrams(fates)
        } else {
            self.streams(fates)
        }
    }

    fn connect(&self) -> Option<Box<dyn Wire>> {
        let wire: Box<dyn Wire> = within(self.gives_up, || {
            if self.kind == Kind::Unix {
                UnixStream::connect(&self.addr).ok().map(|wire| Box::new(wire) as _)
            } else {
                TcpStream::connect(&self.addr).ok().map(|wire| Box::new(wire) as _)
            }
        })?;
        wire.patience(self.soon);
        Some(wire)
    }

    fn streams(&mut self, fates: &mut Vec<Fate>) -> u64 {
        let mut received = 0;
        // It may still be starting, on a machine that has much to do.
        let first = (0..6).find_map(|_| self.connect());
        let Some(mut first) = first else {
            fates.push(Fate::Lost);
            return 0;
        };
        let mut fate = self.ask(&mut first, 10, &mut received);
        self.one(3_000, fates, &mut received);
        if fate != Fate::Lost {
            // More than the system holds, from who does not read at first.
            fate = fate.max(self.ask(&mut first, 600_000, &mut received));
        }
        fates.push(fate);
        self.half_closed(fates, &mut received);
        self.resets();
        // Whatever a fault did, somebody is served in the end.
        let mut tries = 0;
        while self.one(20, fates, &mut received) == Fate::Lost && tries < 3 {
            tries += 1;
        }
        self.open.push(first);
        received
    }

    /// A client that comes, asks and goes.
    fn one(&mut self, n: usize, fates: &mut Vec<Fate>, received: &mut u64) -> Fate {
        let fate = match self.connect() {
            Some(mut wire) => self.ask(&mut wire, n, received),
            None => Fate::Lost,
        };
        fates.push(fate);
        fate
    }

    /// Sends so many bytes and takes them back.
    fn ask(&mut self, wire: &mut Box<dyn Wire>, n: usize, received: &mut u64) -> Fate {
        let sent: Vec<u8> = (0..n).map(|nth| (nth % 251) as u8).collect();
        let (mut writer, gives_up) = (wire.split(), self.gives_up);
        let bytes = sent.clone();
        let writing = thread::spawn(move || {
            writer.patience(gives_up);
            writer.write_all(&bytes).is_ok()
        });
        if n > 100_000 {
            delay(Duration::from_millis(20));
        }
        let mut fate = Fate::Served;
        let mut wanted = sent;
        let mut got = Vec::new();
        let mut buffer = [0; 65_536];
        wire.patience(self.soon);
        while got.len() < wanted.len() && fate != Fate::Lost {
            match wire.read(&mut buffer) {
                Ok(0) => fate = Fate::Lost,
                Ok(n) => got.extend(buffer.iter().take(n)),
                Err(error) if is_timeout(&error) && fate == Fate::Served => {
                    // An edge that was denied does not come again without news.
                    fate = Fate::Late;
                    let _ = writing.is_finished() && wire.write_all(b"!").is_ok();
                    wanted.push(b'!');
                    self.open.extend(self.connect());
                    wire.patience(self.gives_up);
                }
                Err(_) => fate = Fate::Lost,
            }
        }
        if fate == Fate::Lost {
            // The end of the wire ends its writer too.
            wire.end();
        }
        let _ = writing.join();
        *received += got.len() as u64;
        if wanted.starts_with(&got) { fate } else { Fate::Wrong }
    }

    /// A client that says at once that nothing more comes, and still gets everything.
    fn half_closed(&mut self, fates: &mut Vec<Fate>, received: &mut u64) {
        let fate = match self.connect() {
            Some(mut wire) => {
                let sent = [b'h'; 5_000];
                let wrote = wire.write_all(&sent).is_ok();
                wire.end();
                wire.patience(self.soon);
                let mut got = Vec::new();
                let mut ended = wire.read_to_end(&mut got);
                let mut fate = Fate::Served;
                if ended.as_ref().is_err_and(is_timeout) {
                    // An edge that was denied does not come again without news.
                    fate = Fate::Late;
                    self.open.extend(self.connect());
                    wire.patience(self.gives_up);
                    ended = wire.read_to_end(&mut got);
                }
                *received += got.len() as u64;
                match () {
                    () if !sent.starts_with(&got) => Fate::Wrong,
                    () if ended.is_ok() && wrote && got.len() == sent.len() => fate,
                    () => Fate::Lost,
                }
            }
            None => Fate::Lost,
        };
        fates.push(fate);
    }

    /// A client that vanishes without an end; nobody knows what it would have got.
    fn resets(&mut self) {
        if self.kind == Kind::Unix {
            return;
        }
        if let Ok(wire) = TcpStream::connect(&self.addr) {
            let _ = socket2::SockRef::from(&wire).set_linger(Some(Duration::ZERO));
        }
    }

    fn datagrams(&mut self, fates: &mut Vec<Fate>) -> u64 {
        let mut received = 0;
        for nth in 0..3 {
            let Ok(socket) = Packets::new(self, nth) else {
                fates.push(Fate::Lost);
                continue;
            };
            socket.patience(SHORT);
            // Where nothing works, it does not help to ask again.
            let tries = if self.gives_up == SHORT { 1 } else { 4 };
            fates.extend((0..4_u8).map(|n| socket.ask(&[n; 40], tries, &mut received)));
            // A batch, of which each may be lost once.
            let _ = (10..30).all(|n| socket.send(&[n; 100]));
            let came = (10..30).take_while(|_| socket.receive(&mut received).is_some()).count();
            fates.push(if came == 20 { Fate::Served } else { Fate::Late });
            fates.push(socket.ask(&[77; 9], tries, &mut received));
        }
        received
    }
}

/// A client of datagrams.
enum Packets {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Packets {
    fn new(clients: &Clients, nth: usize) -> std::io::Result<Packets> {
        if clients.kind == Kind::Udp {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(&clients.addr)?;
            return Ok(Packets::Udp(socket));
        }
        let socket = UnixDatagram::bind(clients.dir.join(format!("client{nth}")))?;
        socket.connect(&clients.addr)?;
        Ok(Packets::Unix(socket))
    }

    fn patience(&self, most: Duration) {
        match self {
            Packets::Udp(socket) => socket.set_read_timeout(Some(most)).unwrap(),
            Packets::Unix(socket) => {
                socket.set_read_timeout(Some(most)).unwrap();
                socket.set_write_timeout(Some(most)).unwrap();
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> bool {
        match self {
            Packets::Udp(socket) => socket.send(bytes).is_ok(),
            Packets::Unix(socket) => socket.send(bytes).is_ok(),
        }
    }

    fn receive(&self, received: &mut u64) -> Option<Vec<u8>> {
        let mut buffer = [0; 2_000];
        let n = match self {
            Packets::Udp(socket) => socket.recv(&mut buffer).ok()?,
            Packets::Unix(socket) => socket.recv(&mut buffer).ok()?,
        };
        *received += n as u64;
        buffer.get(..n).map(<[u8]>::to_vec)
    }

    /// A datagram is not owed: who misses an answer asks again.
    fn ask(&self, bytes: &[u8], tries: usize, received: &mut u64) -> Fate {
        for nth in 0..tries {
            let fate = if nth == 0 { Fate::Served } else { Fate::Late };
            self.send(bytes);
            // Answers to what was asked before may still come.
            while let Some(answer) = self.receive(received) {
                if answer == bytes {
                    return fate;
                }
                if answer.iter().any(|byte| Some(byte) != answer.first()) {
                    return Fate::Wrong;
                }
            }
        }
        Fate::Lost
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
