//! UDP sockets with their options, and whether an address is local.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::connect::is_self_connect;
use super::datagram::set_buffers;
use crate::options::Options;

/// A socket connected to `to`. Towards a free port of this machine it may be given that port as its
/// own, and then is connected to itself: it would receive what it sends, and the server of that
/// port could not start. While it has that port, a second socket is given another.
pub(super) fn udp_towards(to: SocketAddr, options: &Options) -> io::Result<Socket> {
    let connected = || {
        let socket = udp(to, options)?;
        socket.connect(&SockAddr::from(to))?;
        let ours = socket.local_addr().ok().and_then(|name| name.as_socket());
        Ok::<_, io::Error>((is_self_connect(ours.as_ref(), &to), socket))
    };
    let (met_itself, first) = connected()?;
    if !met_itself {
        return Ok(first);
    }
    if let Ok((false, second)) = connected() {
        return Ok(second);
    }
    let what = "connection refused: the socket connected to itself";
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, what))
}

/// A UDP socket with the options set. Never `SO_REUSEADDR`, with which a second server could take
/// the port silently.
pub(super) fn udp(addr: SocketAddr, options: &Options) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    set_buffers(&socket, options)?;
    socket.set_broadcast(options.broadcast)?;
    if addr.is_ipv6() {
        socket.set_only_v6(options.v6_only)?;
        set_ttl_v6(&socket, options)?;
    }
    if addr.is_ipv4() {
        set_ttl_v4(&socket, options)?;
    } else if !options.v6_only {
        // For IPv4 peers. A system without such options on IPv6 sockets may refuse them.
        match set_ttl_v4(&socket, options) {
            Err(error) if !V6_TAKES_V4_TTL => log::debug!("no TTL towards IPv4 peers: {error}"),
            set => set?,
        }
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Whether an IPv6 socket takes the options of IPv4, for its IPv4 peers.
const V6_TAKES_V4_TTL: bool = cfg!(any(target_os = "linux", target_os = "android"));

fn set_ttl_v4(socket: &Socket, options: &Options) -> io::Result<()> {
    socket.set_multicast_loop_v4(options.multicast_loop)?;
    options.ttl.map_or(Ok(()), |ttl| socket.set_ttl_v4(ttl))?;
    options.multicast_ttl.map_or(Ok(()), |ttl| socket.set_multicast_ttl_v4(ttl))
}

fn set_ttl_v6(socket: &Socket, options: &Options) -> io::Result<()> {
    socket.set_multicast_loop_v6(options.multicast_loop)?;
    options.ttl.map_or(Ok(()), |hops| socket.set_unicast_hops_v6(hops))?;
    options.multicast_ttl.map_or(Ok(()), |hops| socket.set_multicast_hops_v6(hops))
}

/// Whether an address belongs to this machine. The system is asked, because interfaces come and go.
pub(crate) fn is_local(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let plain = match ip {
        IpAddr::V4(v4) => v4.is_loopback() || v4 == Ipv4Addr::UNSPECIFIED,
        IpAddr::V6(v6) => v6.is_loopback() || v6 == Ipv6Addr::UNSPECIFIED,
    };
    plain || std::net::UdpSocket::bind((ip, 0)).is_ok()
}
