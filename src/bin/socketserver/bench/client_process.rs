//! One client process: does what its parent says on standard input, and tells it the outcome on
//! standard output.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use socketserver::{Addr, Connect, Handler, Options, Server, SocketId};

use super::client::{Client, PacketClient};
use super::control::Parent;
use super::errors;
use super::load::{Load, MOST_OPENING};
use super::protocol::{ClientMessage, Order};
use super::scenario::{LoadMode, Scenario, SocketKind};
use super::timer::PreciseTimer;
use crate::system;

/// How long a connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// `servers` are processes to end when the parent is gone.
pub(crate) fn run(servers: &[u32]) -> ExitCode {
    crate::console::start_log();
    system::raise_descriptor_limit();
    match drive(servers.to_vec()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if say(&ClientMessage::Failed(error.to_string())).is_err() {
                // Without a reader there is no parent, which would have ended the servers.
                servers.iter().copied().for_each(system::terminate);
            }
            ExitCode::FAILURE
        }
    }
}

fn say(said: &ClientMessage) -> io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

fn drive(servers: Vec<u32>) -> io::Result<()> {
    let mut parent = Parent::new(servers)?;
    let order = parent.order()?;
    let addrs = addrs(&order)?;
    let mut server = Server::with_shared(Load::new(&order), options(&order.terms))?;
    server.set_service_actions(Load::tick);
    let alarm = PreciseTimer::start(&mut server)?;
    server.shared_mut().alarm = alarm;
    parent.watch(&mut server)?;
    let mut opener = Opener { order, addrs };
    server.shared_mut().begin_opening();
    while !server.shared_mut().is_over {
        opener.open_some(&mut server);
        let load = server.shared_mut();
        let wait = if load.wants_to_open() { Some(Duration::ZERO) } else { load.wait };
        server.turn(wait)?;
        for said in std::mem::take(&mut server.shared_mut().said) {
            say(&said)?;
        }
    }
    Ok(())
}

fn options(terms: &Scenario) -> Options {
    let pipeline =
        if let LoadMode::Closed { pipeline } = terms.mode { pipeline as usize } else { 1 };
    let most = terms.size.saturating_mul(pipeline).saturating_mul(4);
    let high_water = if terms.mode == LoadMode::Bulk { 256 << 10 } else { 64 << 10 };
    Options {
        connect_timeout: CONNECT_TIMEOUT,
        high_water,
        low_water: high_water / 4,
        output_limit: most.max(64 << 20),
        ..Options::default()
    }
}

fn addrs(order: &Order) -> io::Result<Vec<Addr>> {
    let resolve = |target: &OsString| match order.terms.transport {
        SocketKind::Unix | SocketKind::Unixgram => Ok(Addr::unix(target)),
        SocketKind::Tcp | SocketKind::Udp => {
            let mut addrs = socketserver::ToAddrs::to_addrs(target)?.into_iter();
            addrs.next().ok_or_else(|| io::ErrorKind::InvalidInput.into())
        }
    };
    order.targets.iter().map(resolve).collect()
}

/// Opens the connections that the load wants.
struct Opener {
    order: Order,
    addrs: Vec<Addr>,
}

impl Opener {
    /// As many as may be in the making at once.
    fn open_some(&mut self, server: &mut Server<Load>) {
        if !server.shared_mut().wants_to_open() {
            return;
        }
        let now = server.io_mut().now();
        let now = server.shared_mut().nanoseconds(now);
        while server.shared_mut().wants_to_open() {
            let Some(number) = server.shared_mut().to_open.pop_front() else { return };
            match self.open(server, number) {
                Ok(id) => server.shared_mut().opens(number, now, id),
                Err(error) if errors::passes(&error) => {
                    // The backlog of a Unix server is full; the next turn may find room.
                    server.shared_mut().to_retry.push(number);
                    return;
                }
                Err(error) => server.shared_mut().cannot_open(number, &error),
            }
        }
    }

    /// The id of a socket that is established already.
    fn open(&self, server: &mut Server<Load>, number: u32) -> io::Result<Option<SocketId>> {
        let nth = number as usize;
        let Some(addr) = self.addrs.get(nth % self.addrs.len().max(1)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let packets = PacketClient { number, failure: None };
        match self.order.terms.transport {
            SocketKind::Tcp | SocketKind::Unix => {
                let sources = &self.order.sources;
                let source = sources.get(nth % sources.len().max(1)).copied();
                connect(server, addr, source, Client(number))?;
                Ok(None)
            }
            SocketKind::Udp => server.connect_datagram(addr, packets).map(Some),
            SocketKind::Unixgram => {
                let path = Path::new(&self.order.scratch);
                let path = path.join(format!("{}", self.order.first + number));
                let id = server.bind(path, packets)?;
                server.io_mut().connect_peer(id, addr)?;
                Ok(Some(id))
            }
        }
    }
}

/// Connects from `source`, or from wherever the system likes.
fn connect(
    server: &mut Server<Load>,
    target: &Addr,
    source: Option<IpAddr>,
    handler: impl Handler<Load> + 'static,
) -> io::Result<SocketId> {
    let Some(source) = source else { return server.connect(target.clone(), handler) };
    server.connect(Connect::to(target)?.local_addr(SocketAddr::new(source, 0))?, handler)
}

impl Load {
    fn wants_to_open(&self) -> bool {
        self.opening < MOST_OPENING && !self.to_open.is_empty()
    }
}
