//! The same for outgoing connections: each script is played on the simulated kernel and on a real
//! socket that the production code connects, registers and asks.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tempfile::TempDir;

use super::conformance::{PATIENCE, agree, compare_events};
use super::connection::{Made, SimConnection};
use super::kernel::Simulated;
use super::outgoing::{Fate, Named, Outgoing, Place, PlaceKind, Plan};
use super::random::Random;
use super::script::Script;
use crate::addr::Addr;
use crate::net::StreamSocket;
use crate::net::memory::kernel::SimKernel;
use crate::options::Options;

/// Where it goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Where {
    Listening,
    Closed,
    /// A listener whose backlog is full answers no client.
    Silent,
    /// From an address that is not ours.
    FromElsewhere,
    UnixListening,
    UnixMissing,
    /// The path of a socket that does not listen any more.
    UnixDead,
    UnixFull,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Connect,
    /// A client that waits in a full backlog is accepted.
    Free,
    Poll,
    /// `SO_ERROR`
    Error,
    /// `getpeername`
    IsConnected,
    // The peer.
    Send(usize),
    End,
    Reset,
}

enum Listener {
    Nobody,
    Tcp(TcpListener),
    Unix(UnixListener),
    /// A listener whose backlog is full, with the clients in it.
    Full(Socket, Vec<Socket>),
}

enum Peer {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// It was never accepted, or is gone.
    None,
}

/// One connection, twice.
struct Twice {
    sim: Simulated,
    descriptor: Option<u32>,
    addr: Addr,
    from: Option<Addr>,
    listener: Listener,
    real: Option<StreamSocket>,
    peer: Peer,
    poll: Poll,
    events: Events,
    _folder: TempDir,
}

const TOKEN: Token = Token(7);

impl Twice {
    fn new(to: Where) -> io::Result<Twice> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("there");
        let (listener, addr) = listen(to, &path)?;
        let unix = matches!(addr, Addr::Unix(_));
        let fate = match to {
            Where::Listening | Where::UnixListening => Fate::AtOnce,
            Where::Closed => Fate::Fails(libc::ECONNREFUSED),
            Where::Silent => Fate::Silent,
            Where::FromElsewhere => Fate::Refuses(libc::EADDRNOTAVAIL),
            Where::UnixMissing => Fate::Refuses(libc::ENOENT),
            Where::UnixDead => Fate::Refuses(libc::ECONNREFUSED),
            Where::UnixFull => Fate::Full(u32::MAX),
        };
        let elsewhere = Addr::Ip(([192, 0, 2, 1], 0).into());
        let from = (to == Where::FromElsewhere).then_some(elsewhere);
        let mut sim = Simulated::new(Options::default(), 1);
        let kind = if unix { PlaceKind::Unix } else { PlaceKind::V4 };
        let (places, named) = (vec![Place { kind, fate }], Named::Address);
        let plan = Plan { line: 0, places, named, from: false, after: Duration::ZERO };
        let mut trip = Outgoing::new(plan, Script::draw(0).peers[0]);
        trip.begin(0, Duration::MAX);
        sim.trips.push(trip);
        sim.lines[0] = Some(SimConnection::outgoing(0, u64::MAX, 1));
        let (poll, events) = (Poll::new()?, Events::with_capacity(8));
        let (descriptor, real, peer) = (None, None, Peer::None);
        Ok(Twice {
            sim,
            descriptor,
            addr,
            from,
            listener,
            real,
            peer,
            poll,
            events,
            _folder: folder,
        })
    }

    fn act(&mut self, act: Act) -> Result<(), String> {
        match act {
            Act::Connect => self.connect()?,
            Act::Free => self.free(),
            Act::Poll => compare_events(&mut self.sim, &mut self.poll, &mut self.events)?,
            Act::Error => self.compare(
                |sim, n| sim.error(n).map(|error| error.kind()),
                |real| real.error().map(|error| error.kind()),
            )?,
            Act::IsConnected => {
                self.compare(SimKernel::is_connected, StreamSocket::is_connected)?;
            }
            Act::Send(len) => self.send(len),
            Act::End => self.end(),
            Act::Reset => self.reset(),
        }
        self.sim.failure.take().map_or(Ok(()), Err)
    }

    fn connect(&mut self) -> Result<(), String> {
        if self.descriptor.is_some() || self.sim.trips[0].is_refused() {
            return Ok(());
        }
        self.sim.now += 10_000_000;
        let to = self.sim.trips[0].addr(0);
        let told = SimKernel::connect(&mut self.sim, &to, None);
        let said = StreamSocket::connect(&self.addr, self.from.as_ref(), &Options::default());
        let kinds =
            (told.as_ref().map_err(io::Error::kind), said.as_ref().map_err(io::Error::kind));
        if kinds.0.err() != kinds.1.err() {
            return Err(format!("connect says {told:?}, and really {said:?}"));
        }
        let (Ok(n), Ok(mut real)) = (told, said) else { return Ok(()) };
        let room = !real.reports_writable();
        if room == self.sim.reports_writable(n) {
            return Err(format!("room is reported: {}", !room));
        }
        self.sim.register(n, TOKEN, room).map_err(|error| error.to_string())?;
        real.register(self.poll.registry(), TOKEN, room).map_err(|error| error.to_string())?;
        // Over loopback the answer is there at once.
        self.sim.answer(0);
        (self.descriptor, self.real) = (Some(n), Some(real));
        self.accept();
        Ok(())
    }

    /// The peer's end, if there is one.
    fn accept(&mut self) {
        self.peer = match &self.listener {
            Listener::Tcp(listener) => Peer::Tcp(listener.accept().expect("it connected").0),
            Listener::Unix(listener) => Peer::Unix(listener.accept().expect("it connected").0),
            Listener::Nobody | Listener::Full(..) => Peer::None,
        };
    }

    fn free(&mut self) {
        if let Listener::Full(listener, waiting) = &mut self.listener {
            for _ in waiting.drain(..) {
                listener.accept().expect("they wait there");
            }
            self.sim.trips[0].plan.places[0].fate = Fate::AtOnce;
        }
    }

    /// What is said about it must be the same; the answer may still be on its way.
    fn compare<T: std::fmt::Debug + PartialEq>(
        &mut self,
        told: impl FnOnce(&mut Simulated, u32) -> T,
        said: impl Fn(&StreamSocket) -> T,
    ) -> Result<(), String> {
        let (Some(n), Some(real)) = (self.descriptor, &self.real) else { return Ok(()) };
        let (told, before) = (told(&mut self.sim, n), Instant::now());
        loop {
            let said = said(real);
            if said == told {
                return Ok(());
            }
            if before.elapsed() > PATIENCE {
                return Err(format!("{told:?}, and really {said:?}"));
            }
        }
    }

    /// Whether the peer may still say something.
    fn talks(&mut self) -> bool {
        let line = self.sim.line(0);
        line.open && line.made == Made::Stands && !line.ended && !line.reset
    }

    fn send(&mut self, len: usize) {
        let bytes = vec![1; len];
        let sent = match &mut self.peer {
            _ if self.sim.lines[0].as_ref().is_none_or(|line| line.ended) => return,
            Peer::Tcp(peer) => peer.write_all(&bytes),
            Peer::Unix(peer) => peer.write_all(&bytes),
            Peer::None => return,
        };
        sent.expect("there is room for what little is sent");
        self.sim.send(0, len as u64);
    }

    fn end(&mut self) {
        if self.talks() {
            let ended = match &self.peer {
                Peer::Tcp(peer) => peer.shutdown(Shutdown::Write),
                Peer::Unix(peer) => peer.shutdown(Shutdown::Write),
                Peer::None => return,
            };
            ended.expect("it was connected");
            self.sim.end(0);
        }
    }

    /// A Unix socket resets only when its owner leaves something unread, and nothing was sent.
    fn reset(&mut self) {
        if let Peer::Tcp(peer) = &self.peer {
            SockRef::from(peer).set_linger(Some(Duration::ZERO)).expect("it is open");
            self.peer = Peer::None;
            self.sim.reset(0);
        }
    }
}

fn listen(to: Where, path: &Path) -> io::Result<(Listener, Addr)> {
    let there = Addr::Unix(path.to_path_buf());
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    Ok(match to {
        Where::Listening | Where::FromElsewhere => {
            let listener = TcpListener::bind(any)?;
            let addr = Addr::Ip(listener.local_addr()?);
            (Listener::Tcp(listener), addr)
        }
        Where::Closed => {
            // Bound, so that no other socket takes the port, but not listening.
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&any.into())?;
            let addr = socket.local_addr()?.as_socket().map(Addr::Ip);
            (Listener::Full(socket, Vec::new()), addr.expect("it is one"))
        }
        Where::Silent => full(Domain::IPV4, &any.into())?,
        Where::UnixListening => (Listener::Unix(UnixListener::bind(path)?), there),
        Where::UnixMissing => (Listener::Nobody, there),
        Where::UnixDead => {
            drop(UnixListener::bind(path)?);
            (Listener::Nobody, there)
        }
        Where::UnixFull => full(Domain::UNIX, &SockAddr::unix(path)?)?,
    })
}

/// A listener whose backlog is full.
fn full(domain: Domain, addr: &SockAddr) -> io::Result<(Listener, Addr)> {
    let listener = Socket::new(domain, Type::STREAM, None)?;
    listener.bind(addr)?;
    listener.listen(0)?;
    let name = listener.local_addr()?;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let client = Socket::new(domain, Type::STREAM, None)?;
        client.set_nonblocking(true)?;
        match client.connect(&name) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            _ => waiting.push(client),
        }
    }
    let path = name.as_pathname().map(|path| Addr::Unix(path.to_path_buf()));
    let addr = path.or_else(|| name.as_socket().map(Addr::Ip));
    Ok((Listener::Full(listener, waiting), addr.expect("it has a name")))
}

fn draw(random: &mut Random, to: Where) -> Vec<Act> {
    let mut acts = vec![Act::Connect];
    for _ in 0..random.between(2, 9) {
        acts.push(match random.below(12) {
            0 => Act::Send(random.between(1, 2_000)),
            1 => Act::End,
            2 => Act::Reset,
            3 | 4 => Act::Error,
            5 | 6 => Act::IsConnected,
            7 if to == Where::UnixFull => Act::Free,
            7 | 8 => Act::Connect,
            _ => Act::Poll,
        });
    }
    acts
}

#[test]
fn connections_to_tcp_ports_are_made_as_they_are_simulated() {
    for to in [Where::Listening, Where::Closed, Where::Silent, Where::FromElsewhere] {
        agree(|random| draw(random, to), || Twice::new(to), Twice::act);
    }
}

#[test]
fn connections_to_unix_paths_are_made_as_they_are_simulated() {
    for to in [Where::UnixListening, Where::UnixMissing, Where::UnixDead, Where::UnixFull] {
        agree(|random| draw(random, to), || Twice::new(to), Twice::act);
    }
}
