//! Parses the text form of addresses, without a lookup.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};

use super::Addr;
use crate::os_text;

/// A host that needs a lookup, and a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Name {
    /// In lower case, so that equal names are equal (RFC 4343).
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A parsed text: addresses, or a name that needs a lookup.
#[derive(Debug)]
pub(crate) enum Written {
    Addrs(Vec<Addr>),
    Name(Name),
}

impl Written {
    /// Returns the addresses; looks a name up, which may block.
    pub(super) fn addrs(self) -> io::Result<Vec<Addr>> {
        let Name { host, port } = match self {
            Written::Addrs(addrs) => return Ok(addrs),
            Written::Name(name) => name,
        };
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{host}:{port}: {error}"));
        let addrs = (host.as_str(), port).to_socket_addrs().map_err(named)?;
        some_of(&host, addrs.map(Addr::Ip).collect())
    }
}

/// Returns the result of a lookup, or `NotFound` if it is empty.
pub(crate) fn some_of(host: &str, addrs: Vec<Addr>) -> io::Result<Vec<Addr>> {
    if addrs.is_empty() {
        let what = format!("{host}: no address for this name");
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    Ok(addrs)
}

/// Parses `HOST:PORT` or `[V6]:PORT`.
///
/// # Errors
/// `InvalidInput` when it is neither; `NotFound` for an unknown interface.
pub(crate) fn read(text: &str) -> io::Result<Written> {
    let wrong = |why| invalid(text, why);
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(wrong("a port is missing; write it like localhost:7000"));
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("the port is not a number from 0 to 65535"));
    }
    let port = port.parse().map_err(|_| wrong("the port is not a number from 0 to 65535"))?;
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(bare) => match v6(bare, port)? {
            Some(addr) => Ok(Written::Addrs(vec![addr])),
            None => Err(wrong("there is no IPv6 address in the brackets")),
        },
        None if host.contains([':', '[', ']']) => {
            Err(wrong("an IPv6 address with a port is written like [::1]:7000"))
        }
        None => read_host(host, port),
    }
}

/// Parses a host without its port: `127.0.0.1`, `::1`, `fe80::1%eth0`, `localhost`, or a name.
///
/// # Errors
/// Those of [`read`].
pub(crate) fn read_host(host: &str, port: u16) -> io::Result<Written> {
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Ok(Written::Addrs(vec![SocketAddr::from((ip, port)).into()]));
    }
    if let Some(addr) = v6(host, port)? {
        return Ok(Written::Addrs(vec![addr]));
    }
    if is_localhost(host) {
        let loopback = [IpAddr::from(Ipv6Addr::LOCALHOST), IpAddr::from(Ipv4Addr::LOCALHOST)];
        return Ok(Written::Addrs(loopback.map(|ip| SocketAddr::new(ip, port).into()).into()));
    }
    if host.is_empty() || host.contains([':', '\0']) {
        return Err(invalid(host, "the host is missing or not a valid name"));
    }
    Ok(Written::Name(Name { host: host.to_ascii_lowercase(), port }))
}

/// Whether a name always resolves to the loopback addresses (RFC 6761, section 6.3).
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let (start, last) = host.rsplit_once('.').map_or(("a", host), |(start, last)| (start, last));
    last.eq_ignore_ascii_case("localhost") && !start.is_empty()
}

/// Parses an IPv6 address, with an optional zone: the index or name of an interface (RFC 4007, section
/// 11). `None` if it is no IPv6 address.
fn v6(text: &str, port: u16) -> io::Result<Option<Addr>> {
    let (ip, zone) = text.split_once('%').map_or((text, None), |(ip, zone)| (ip, Some(zone)));
    let Ok(ip) = ip.parse::<Ipv6Addr>() else { return Ok(None) };
    let scope = match zone {
        None => 0,
        Some(zone) if !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_digit()) => {
            zone.parse().map_err(|_| invalid(text, "no interface has that number"))?
        }
        Some(zone) => os_text::interface(zone)
            .map_err(|error| io::Error::new(error.kind(), format!("{text}: {error}")))?,
    };
    Ok(Some(Addr::Ip(SocketAddrV6::new(ip, port, 0, scope).into())))
}

fn invalid(text: &str, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{text}: {why}"))
}
