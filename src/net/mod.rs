//! The sockets of the operating system, and those in memory that stand in for them. With the code
//! that forks and `os_text.rs`, the only files with `cfg(unix)`.
//!
//! Every socket opened here is non-blocking and closed on exec. `socket2` sets what mio does not:
//! the backlog, reuse of addresses, keep-alive.
//!
//! This room may use `values` and `conn`. Start reading at [`StreamSocket`] (`stream.rs`).

#[cfg(feature = "testing")]
pub(crate) mod memory;

use std::io;
use std::time::Duration;

use mio::Token;
use mio::event::Event;
use socket2::{SockAddr, Socket, TcpKeepalive};

use crate::addr::Addr;
use crate::conn::transport::Readiness;
use crate::options::Options;

mod accept_error;
mod connect;
mod datagram;
mod detached;
mod listener;
#[cfg(all(feature = "sys", any(target_os = "linux", target_os = "android")))]
mod mmsg;
mod one_datagram;
#[cfg(all(feature = "sys", any(target_os = "linux", target_os = "android")))]
mod pktinfo;
#[cfg(not(all(feature = "sys", any(target_os = "linux", target_os = "android"))))]
mod single;
mod stop_token;
mod stream;
mod udp;
mod unacknowledged;
#[cfg(unix)]
mod unix_name;
#[cfg(unix)]
mod unix_path;

pub(crate) use accept_error::{AcceptError, accept_error, is_shortage};
pub(crate) use datagram::DatagramSocket;
#[cfg(all(unix, feature = "processes"))]
pub(crate) use detached::ByteCounts;
pub(crate) use detached::{DetachedSocket, LentSocket, send_nonblocking};
pub(crate) use listener::ListenerSocket;
#[cfg(all(feature = "sys", any(target_os = "linux", target_os = "android")))]
pub(crate) use mmsg::MmsgHeaders;
#[cfg(not(all(feature = "sys", any(target_os = "linux", target_os = "android"))))]
pub(crate) use single::MmsgHeaders;
pub(crate) use stop_token::{StopToken, Waited, wait_writable};
pub(crate) use stream::StreamSocket;
pub(crate) use udp::is_local;
#[cfg(unix)]
pub(crate) use unix_name::UnixName;

/// Whether a short read or write is followed by an event for the next byte, or for free space. True
/// for epoll, where every arrival is an edge. Not for `poll(2)`, which mio arms again only after
/// `WouldBlock`, and not for kqueue, which does not report that urgent data made a read stop early.
const EDGE_AFTER_SHORT: bool = cfg!(all(
    any(target_os = "linux", target_os = "android"),
    not(mio_unsupported_force_poll_poll)
));

/// Whether the kernel distributes clients among the sockets with `SO_REUSEPORT` at one port. On
/// other systems one of them may get all.
pub(crate) const REUSEPORT_BALANCES: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// An end of a TCP connection. An IPv4 client of a listener at `[::]` has an IPv4 address, as at
/// `0.0.0.0`, and not an IPv4-mapped one (RFC 4291, section 2.5.5.2).
fn canonical(addr: std::net::SocketAddr) -> Addr {
    if addr.ip().to_canonical() == addr.ip() {
        return Addr::Ip(addr);
    }
    Addr::Ip((addr.ip().to_canonical(), addr.port()).into())
}

fn canonical_of(name: &SockAddr) -> Addr {
    match addr_of(name) {
        Addr::Ip(addr) => canonical(addr),
        other => other,
    }
}

/// A readiness event. A trait, because [`Event`] cannot be constructed and the simulated kernel
/// needs one of its own.
pub(crate) trait ReadyEvent {
    fn token(&self) -> Token;
    fn is_readable(&self) -> bool;
    fn is_writable(&self) -> bool;
    fn is_read_closed(&self) -> bool;
    fn is_priority(&self) -> bool;
    fn is_error(&self) -> bool;
}

impl ReadyEvent for Event {
    #[inline]
    fn token(&self) -> Token {
        self.token()
    }

    #[inline]
    fn is_readable(&self) -> bool {
        self.is_readable()
    }

    #[inline]
    fn is_writable(&self) -> bool {
        self.is_writable()
    }

    #[inline]
    fn is_read_closed(&self) -> bool {
        self.is_read_closed()
    }

    #[inline]
    fn is_priority(&self) -> bool {
        self.is_priority()
    }

    #[inline]
    fn is_error(&self) -> bool {
        self.is_error()
    }
}

/// Whether an event reports only input, and perhaps free space.
#[inline]
pub(crate) fn is_plain_input(event: &impl ReadyEvent) -> bool {
    let usual = event.is_readable() && !event.is_priority() && !event.is_error();
    usual && !event.is_read_closed()
}

/// Whether an event reports EOF, and no error or urgent data.
#[inline]
pub(crate) fn is_plain_eof(event: &impl ReadyEvent) -> bool {
    event.is_read_closed() && !event.is_error() && !event.is_priority()
}

/// Converts an event of mio.
#[inline]
pub(crate) fn readiness(event: &impl ReadyEvent) -> Readiness {
    Readiness {
        readable: event.is_readable(),
        writable: event.is_writable(),
        read_closed: event.is_read_closed(),
        urgent: event.is_priority(),
        error: event.is_error(),
    }
}

/// The local address of a socket of any kind (getsockname(2)).
pub(crate) fn local_addr_of(socket: &Socket) -> Option<Addr> {
    socket.local_addr().ok().map(|name| canonical_of(&name))
}

/// The address of its peer (getpeername(2)).
pub(crate) fn peer_addr_of(socket: &Socket) -> Option<Addr> {
    socket.peer_addr().ok().map(|name| canonical_of(&name))
}

fn addr_of(name: &SockAddr) -> Addr {
    if let Some(ip) = name.as_socket() {
        return Addr::Ip(ip);
    }
    #[cfg(unix)]
    if let Some(path) = name.as_pathname() {
        return Addr::Unix(path.to_path_buf());
    }
    #[cfg(unix)]
    if let Some(name) = name.as_abstract_namespace() {
        return Addr::Abstract(name.to_vec());
    }
    Addr::Unnamed
}

/// Called after bind(2), so that the address was free at first; further sockets set it before.
#[cfg(unix)]
fn set_reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(unix))]
fn set_reuse_port(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// Sets the buffer sizes of the options; the system adjusts the others by itself.
fn set_buffers(socket: &Socket, options: &Options) -> io::Result<()> {
    if let Some(size) = options.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    if let Some(size) = options.send_buffer {
        socket.set_send_buffer_size(size)?;
    }
    Ok(())
}

/// The most that tcp(7) allows for `TCP_KEEPINTVL`.
const MAX_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(32_767);

/// The number of probes within [`Options::keepalive_timeout`]; one may be lost.
const MAX_KEEPALIVE_PROBES: u32 = 4;

/// Sets the times after which the system gives up an unreachable peer.
fn set_keepalive(socket: &Socket, options: &Options) -> io::Result<()> {
    set_user_timeout(socket, options.user_timeout)?;
    let Some(after) = options.keepalive else { return Ok(()) };
    let mut probes = TcpKeepalive::new().with_time(after);
    if let Some(timeout) = options.keepalive_timeout {
        let seconds = timeout.as_secs();
        let count = seconds.clamp(1, MAX_KEEPALIVE_PROBES.into());
        let interval = Duration::from_secs(seconds.div_ceil(count).max(1));
        probes = probes.with_interval(interval).with_retries(count as u32);
    }
    if let Some(timeout) = options.user_timeout {
        // Linux checks that timeout whenever it sends a probe, and the default interval is 75 s.
        let often = (timeout / 4).clamp(Duration::from_secs(1), MAX_KEEPALIVE_INTERVAL);
        probes = probes.with_interval(often);
    }
    socket.set_tcp_keepalive(&probes)
}

#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
fn set_user_timeout(socket: &Socket, timeout: Option<Duration>) -> io::Result<()> {
    let Some(timeout) = timeout else { return Ok(()) };
    socket.set_tcp_user_timeout(Some(timeout))
}

#[cfg(not(any(target_os = "android", target_os = "fuchsia", target_os = "linux")))]
fn set_user_timeout(_: &Socket, _: Option<Duration>) -> io::Result<()> {
    Ok(())
}

fn unsupported(addr: &Addr) -> io::Error {
    let what = format!("stream sockets at {addr} are not supported on this system");
    io::Error::new(io::ErrorKind::Unsupported, what)
}

#[cfg(unix)]
fn unix_addr(addr: &std::os::unix::net::SocketAddr) -> Addr {
    UnixName::of(addr).to_addr()
}

/// Implements `AsFd` for a type with a method `registry`, so that another loop can watch it.
macro_rules! impl_as_fd {
    ($type:ident<$shared:ident>) => {
        #[cfg(all(unix, not(mio_unsupported_force_poll_poll)))]
        impl<$shared> std::os::fd::AsFd for $type<$shared> {
            /// Readable when the loop has events; then call [`turn`]($type::turn) with no wait.
            /// Timers, and work that a turn has left, make it not readable: see
            /// [`poll_timeout`]($type::poll_timeout).
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.registry().as_fd()
            }
        }
    };
}
pub(crate) use impl_as_fd;

#[cfg(test)]
mod tests;
