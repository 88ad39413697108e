//! Where `serve` listens: at each address of each name, which are looked up once for all loops.

use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;

use log::warn;
use socketserver::{Server, SocketId, ToAddrs};

use crate::args::ListenerArg;

/// The listeners that were asked for, and what the first loop has opened, which the others open too.
pub(crate) struct Opened {
    /// Each with a listener for each address of its name.
    asked: Vec<(ListenerArg, Vec<ListenerArg>)>,
    opened: OnceLock<Vec<ListenerArg>>,
}

impl Opened {
    /// Looks up the names. It may take long, so it comes before the signals are watched: one that asks for a
    /// stop ends the program then and there.
    pub(crate) fn look_up(listeners: &[ListenerArg]) -> io::Result<Opened> {
        let asked = listeners.iter().map(|one| Ok((one.clone(), each(one)?)));
        Ok(Opened { asked: asked.collect::<io::Result<_>>()?, opened: OnceLock::new() })
    }

    /// Opens every listener; gives each with its id.
    pub(crate) fn open_all<S>(
        &self,
        server: &mut Server<S>,
        mut open: impl FnMut(&mut Server<S>, &ListenerArg) -> io::Result<SocketId>,
    ) -> io::Result<Vec<(SocketId, ListenerArg)>> {
        let mut all = Vec::new();
        if let Some(opened) = self.opened.get() {
            for listener in opened {
                all.push((open(server, listener)?, listener.clone()));
            }
            return Ok(all);
        }
        for (listener, each) in &self.asked {
            let opened = open_each(server, each, &mut open);
            all.extend(opened.map_err(|error| with_hint(error, listener, &all))?);
        }
        self.opened.get_or_init(|| all.iter().map(|(_, listener)| listener.clone()).collect());
        Ok(all)
    }
}

/// A listener for each address of its name.
fn each(listener: &ListenerArg) -> io::Result<Vec<ListenerArg>> {
    let of = |name: &String, make: fn(String) -> ListenerArg| {
        let mut each: Vec<ListenerArg> = Vec::new();
        for addr in name.to_addrs()? {
            let one = make(addr.to_string());
            if !each.contains(&one) {
                each.push(one);
            }
        }
        Ok(each)
    };
    match listener {
        ListenerArg::Tcp(name) => of(name, ListenerArg::Tcp),
        ListenerArg::Udp(name) => of(name, ListenerArg::Udp),
        path => Ok(vec![path.clone()]),
    }
}

/// Opens the addresses of one name, with one port where any is asked for. One that this machine does
/// not have, as `::1` where IPv6 is switched off, is left out while there is another; one that is
/// taken, or not allowed, is an error.
fn open_each<S>(
    server: &mut Server<S>,
    each: &[ListenerArg],
    open: &mut impl FnMut(&mut Server<S>, &ListenerArg) -> io::Result<SocketId>,
) -> io::Result<Vec<(SocketId, ListenerArg)>> {
    let mut opened: Vec<(SocketId, ListenerArg)> = Vec::new();
    let (mut port, mut left_out) = (None, None);
    for listener in each {
        let with_port = port.and_then(|port| at_port(listener, port));
        let first_try = with_port.as_ref().unwrap_or(listener);
        let tried = match open(server, first_try) {
            // Somebody has this port at this address alone, and any other will do.
            Err(error) if with_port.is_some() && error.kind() == io::ErrorKind::AddrInUse => {
                open(server, listener).map(|id| (id, listener.clone()))
            }
            tried => tried.map(|id| (id, first_try.clone())),
        };
        match tried {
            Ok((id, listener)) => {
                port = port.or_else(|| server.io().local_addr(id)?.port());
                opened.push((id, listener));
            }
            Err(error) if each.len() == 1 || !may_be_left_out(&error) => return Err(error),
            Err(error) => {
                warn!("left out: {error}");
                left_out = Some(error);
            }
        }
    }
    match left_out {
        Some(error) if opened.is_empty() => Err(error),
        _ => Ok(opened),
    }
}

/// What "address in use" does not say: that an address before has taken this one with all others.
/// `[::]` takes IPv4 clients as well (ipv6(7), `IPV6_V6ONLY`).
fn with_hint(
    error: io::Error,
    listener: &ListenerArg,
    opened: &[(SocketId, ListenerArg)],
) -> io::Error {
    let covers = |one: SocketAddr, other: SocketAddr| {
        one.ip().is_unspecified() && (one.is_ipv6() || other.is_ipv4())
    };
    let overlap = |one: SocketAddr, other: SocketAddr| {
        one.port() == other.port() && (covers(one, other) || covers(other, one))
    };
    let is_taken = |before: &ListenerArg| match (before, listener) {
        (ListenerArg::Tcp(one), ListenerArg::Tcp(other))
        | (ListenerArg::Udp(one), ListenerArg::Udp(other)) => {
            one.parse().is_ok_and(|one| other.parse().is_ok_and(|other| overlap(one, other)))
        }
        _ => false,
    };
    if error.kind() != io::ErrorKind::AddrInUse || !opened.iter().any(|(_, one)| is_taken(one)) {
        return error;
    }
    let hint = "0.0.0.0 is every IPv4 address and [::] every IPv6 and IPv4 address, so one of them \
                is enough";
    io::Error::new(error.kind(), format!("{error}; {hint}"))
}

fn may_be_left_out(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

/// The same at this port, where any port was asked for.
fn at_port(listener: &ListenerArg, port: u16) -> Option<ListenerArg> {
    let with_port = |addr: &String| {
        let mut addr: SocketAddr =
            addr.parse().ok().filter(|addr: &SocketAddr| addr.port() == 0)?;
        addr.set_port(port);
        Some(addr.to_string())
    };
    match listener {
        ListenerArg::Tcp(addr) => with_port(addr).map(ListenerArg::Tcp),
        ListenerArg::Udp(addr) => with_port(addr).map(ListenerArg::Udp),
        ListenerArg::Unix(_) | ListenerArg::Unixgram(_) => None,
    }
}
