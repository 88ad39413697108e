//! Datagram sockets: bound for a server, connected for a client.

use std::io;
use std::net::IpAddr;

use mio::event::Source;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
#[cfg(unix)]
use socket2::{Domain, Type};
use socket2::{InterfaceIndexOrAddress, SockAddr, SockRef, Socket};

#[cfg(unix)]
use super::one_datagram::receive_unix;
use super::udp::{udp, udp_towards};
use super::{EDGE_AFTER_SHORT, MmsgHeaders, set_reuse_port};
#[cfg(unix)]
use super::{unacknowledged, unix_addr, unix_name, unix_path};
use crate::addr::Addr;
use crate::conn::packets::{RecvBuffers, SendQueue};
use crate::conn::transport::{DatagramTransport, RecvOutcome};
#[cfg(feature = "testing")]
use crate::net::memory::datagram::MemoryDatagram;
use crate::options::Options;

#[derive(Debug)]
pub(crate) struct DatagramSocket {
    kind: Kind,
    /// The number of datagrams of the last receive; the next one asks for more or fewer
    /// accordingly.
    last_count: usize,
}

#[derive(Debug)]
enum Kind {
    Udp(UdpSocket, UdpKind),
    #[cfg(unix)]
    Unix {
        /// Removes the path when dropped. Declared before the socket, as in
        /// [`ListenerSocket`](super::ListenerSocket).
        _path: Option<unix_path::BoundPath>,
        socket: mio::net::UnixDatagram,
    },
    /// A socket of a simulated kernel.
    #[cfg(feature = "testing")]
    #[cfg_attr(not(test), expect(dead_code, reason = "only this crate's tests have one"))]
    Memory(MemoryDatagram),
}

#[derive(Clone, Copy, Debug)]
enum UdpKind {
    V4,
    V6,
    /// Bound to the wildcard, at this port. The system reports the destination of each datagram.
    V4Wildcard(u16),
    V6Wildcard(u16),
}

/// The buffer size if [`Options`] has none: a burst waits in the kernel while the loop is busy.
/// Every system reduces it to its maximum.
const BUFFER: usize = 4 << 20;

impl DatagramSocket {
    /// A socket bound to `addr`.
    pub(crate) fn bind(addr: &Addr, options: &Options) -> io::Result<DatagramSocket> {
        match addr {
            Addr::Ip(ip) => {
                let socket = udp(*ip, options)?;
                #[cfg(unix)]
                socket.set_reuse_port(options.reuse_port)?;
                let reports_destinations = ip.ip().to_canonical().is_unspecified()
                    && MmsgHeaders::request_destinations(&socket, ip.is_ipv6())?;
                socket.bind(&SockAddr::from(*ip))?;
                Ok(DatagramSocket::from_udp(socket, ip.is_ipv4(), reports_destinations))
            }
            #[cfg(unix)]
            Addr::Unix(_) | Addr::Abstract(_) => {
                let (socket, path) = unix_path::bind(addr, Type::DGRAM)?;
                set_buffers(&socket, options)?;
                Ok(DatagramSocket::from_unix(socket, path))
            }
            _ => Err(unsupported(addr)),
        }
    }

    /// A socket connected to `addr`. A connected Unix socket has no name, so its peer cannot
    /// answer; to get answers, bind a socket and connect it.
    pub(crate) fn connect(addr: &Addr, options: &Options) -> io::Result<DatagramSocket> {
        match addr {
            Addr::Ip(ip) => {
                let socket = udp_towards(*ip, options)?;
                Ok(DatagramSocket::from_udp(socket, ip.is_ipv4(), false))
            }
            #[cfg(unix)]
            Addr::Unix(_) | Addr::Abstract(_) => {
                let name = unix_name::sock_addr(addr).ok_or_else(|| unsupported(addr))??;
                let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
                set_buffers(&socket, options)?;
                socket.set_nonblocking(true)?;
                socket.connect(&name)?;
                Ok(DatagramSocket::from_unix(socket, None))
            }
            _ => Err(unsupported(addr)),
        }
    }

    /// Allows other sockets of this user to bind to the same address.
    pub(crate) fn set_reuse_port(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Udp(socket, _) => set_reuse_port(&SockRef::from(socket)),
            #[cfg(unix)]
            Kind::Unix { .. } => Ok(()),
            #[cfg(feature = "testing")]
            Kind::Memory(_) => Ok(()),
        }
    }

    /// The socket with this descriptor of a simulated kernel.
    #[cfg(all(test, feature = "testing"))]
    pub(crate) fn in_memory(n: u32) -> DatagramSocket {
        DatagramSocket { kind: Kind::Memory(MemoryDatagram(n)), last_count: 1 }
    }

    fn from_udp(socket: Socket, is_v4: bool, reports_destinations: bool) -> DatagramSocket {
        let socket = UdpSocket::from_std(socket.into());
        let port = || socket.local_addr().map_or(0, |addr| addr.port());
        let kind = match (is_v4, reports_destinations) {
            (true, false) => UdpKind::V4,
            (false, false) => UdpKind::V6,
            (true, true) => UdpKind::V4Wildcard(port()),
            (false, true) => UdpKind::V6Wildcard(port()),
        };
        DatagramSocket { kind: Kind::Udp(socket, kind), last_count: 1 }
    }

    #[cfg(unix)]
    fn from_unix(socket: Socket, path: Option<unix_path::BoundPath>) -> DatagramSocket {
        let socket = mio::net::UnixDatagram::from_std(socket.into());
        DatagramSocket { kind: Kind::Unix { socket, _path: path }, last_count: 1 }
    }

    /// Connects a bound socket to `addr`.
    pub(crate) fn set_peer(&self, addr: &Addr) -> io::Result<()> {
        #[cfg(feature = "testing")]
        if let Kind::Memory(socket) = &self.kind {
            return socket.set_peer(addr);
        }
        let name = match addr {
            Addr::Ip(ip) => SockAddr::from(*ip),
            #[cfg(unix)]
            _ => unix_name::sock_addr(addr).ok_or_else(|| unsupported(addr))??,
            #[cfg(not(unix))]
            _ => return Err(unsupported(addr)),
        };
        self.raw()?.connect(&name)
    }

    /// Joins the group, or leaves it, on the interface with this index; 0 lets the system choose.
    pub(crate) fn set_multicast_membership(
        &self,
        group: IpAddr,
        interface: u32,
        on: bool,
    ) -> io::Result<()> {
        let by_index = InterfaceIndexOrAddress::Index(interface);
        match (group, on) {
            (IpAddr::V4(group), true) => self.raw()?.join_multicast_v4_n(&group, &by_index),
            (IpAddr::V4(group), false) => self.raw()?.leave_multicast_v4_n(&group, &by_index),
            (IpAddr::V6(group), true) => self.raw()?.join_multicast_v6(&group, interface),
            (IpAddr::V6(group), false) => self.raw()?.leave_multicast_v6(&group, interface),
        }
    }

    /// Registers for reading only: a datagram socket raises a write edge whenever a datagram has
    /// left it, so write interest is added only while a send would block.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.source(), token, Interest::READABLE)
    }

    pub(crate) fn update_write_interest(
        &mut self,
        registry: &Registry,
        token: Token,
        ask: bool,
    ) -> io::Result<()> {
        let write = ask.then_some(Interest::WRITABLE);
        let interests = write.map_or(Interest::READABLE, |write| Interest::READABLE | write);
        registry.reregister(self.source(), token, interests)
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(self.source())
    }

    fn source(&mut self) -> &mut dyn Source {
        match &mut self.kind {
            Kind::Udp(socket, _) => socket,
            #[cfg(unix)]
            Kind::Unix { socket, .. } => socket,
            #[cfg(feature = "testing")]
            Kind::Memory(socket) => socket,
        }
    }

    #[cfg_attr(
        not(feature = "testing"),
        expect(clippy::unnecessary_wraps, reason = "what is in memory has no descriptor")
    )]
    pub(super) fn raw(&self) -> io::Result<SockRef<'_>> {
        match &self.kind {
            Kind::Udp(socket, _) => Ok(SockRef::from(socket)),
            #[cfg(unix)]
            Kind::Unix { socket, .. } => Ok(SockRef::from(socket)),
            #[cfg(feature = "testing")]
            Kind::Memory(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether datagrams that its peers have not read fill its send buffer, as far as the system says:
    /// then no peer gets one, also one that reads.
    pub(crate) fn is_send_buffer_full(&self) -> bool {
        match &self.kind {
            #[cfg(unix)]
            Kind::Unix { socket, .. } => unacknowledged::is_full(socket),
            _ => false,
        }
    }

    pub(crate) fn local_addr(&self) -> Option<Addr> {
        match &self.kind {
            Kind::Udp(socket, _) => socket.local_addr().ok().map(Addr::Ip),
            #[cfg(unix)]
            Kind::Unix { socket, .. } => socket.local_addr().ok().map(|addr| unix_addr(&addr)),
            #[cfg(feature = "testing")]
            Kind::Memory(socket) => socket.local_addr(),
        }
    }

    pub(crate) fn peer_addr(&self) -> Option<Addr> {
        match &self.kind {
            Kind::Udp(socket, _) => socket.peer_addr().ok().map(Addr::Ip),
            #[cfg(unix)]
            Kind::Unix { socket, .. } => socket.peer_addr().ok().map(|addr| unix_addr(&addr)),
            #[cfg(feature = "testing")]
            Kind::Memory(_) => None,
        }
    }
}

impl DatagramTransport for DatagramSocket {
    type MmsgHeaders = MmsgHeaders;

    #[inline]
    fn receive(
        &mut self,
        headers: &mut MmsgHeaders,
        buffers: &mut RecvBuffers,
        max: usize,
    ) -> io::Result<RecvOutcome> {
        let last = self.last_count;
        let received = match &mut self.kind {
            Kind::Udp(socket, UdpKind::V4) => headers.v4.receive(socket, buffers, max, last)?,
            Kind::Udp(socket, UdpKind::V6) => headers.v6.receive(socket, buffers, max, last)?,
            Kind::Udp(socket, UdpKind::V4Wildcard(port)) => {
                headers.v4.receive_wildcard((socket, *port), buffers, max, last)?
            }
            Kind::Udp(socket, UdpKind::V6Wildcard(port)) => {
                headers.v6.receive_wildcard((socket, *port), buffers, max, last)?
            }
            #[cfg(unix)]
            Kind::Unix { socket, .. } => receive_unix(socket, buffers)?,
            #[cfg(feature = "testing")]
            Kind::Memory(socket) => socket.receive(&mut (), buffers, max)?,
        };
        self.last_count = received.count;
        Ok(RecvOutcome { drained: received.drained && EDGE_AFTER_SHORT, ..received })
    }

    #[inline]
    fn send(
        &mut self,
        headers: &mut MmsgHeaders,
        packets: &SendQueue,
        max: usize,
    ) -> io::Result<usize> {
        match &mut self.kind {
            Kind::Udp(socket, UdpKind::V4) => headers.v4.send(socket, packets, max),
            Kind::Udp(socket, UdpKind::V6) => headers.v6.send(socket, packets, max),
            Kind::Udp(socket, UdpKind::V4Wildcard(_)) => {
                headers.v4.send_wildcard(socket, packets, max)
            }
            Kind::Udp(socket, UdpKind::V6Wildcard(_)) => {
                headers.v6.send_wildcard(socket, packets, max)
            }
            #[cfg(unix)]
            Kind::Unix { socket, .. } => headers.send_unix(socket, packets, max),
            #[cfg(feature = "testing")]
            Kind::Memory(socket) => socket.send(&mut (), packets, max),
        }
    }

    fn would_block_is_per_peer(&self) -> bool {
        match &self.kind {
            Kind::Udp(..) => false,
            #[cfg(unix)]
            Kind::Unix { .. } => true,
            #[cfg(feature = "testing")]
            Kind::Memory(socket) => socket.would_block_is_per_peer(),
        }
    }

    fn is_wildcard(&self) -> bool {
        #[cfg(feature = "testing")]
        if let Kind::Memory(socket) = &self.kind {
            return socket.is_wildcard();
        }
        matches!(self.kind, Kind::Udp(_, UdpKind::V4Wildcard(_) | UdpKind::V6Wildcard(_)))
    }
}

pub(super) fn set_buffers(socket: &Socket, options: &Options) -> io::Result<()> {
    socket.set_recv_buffer_size(options.receive_buffer.unwrap_or(BUFFER))?;
    socket.set_send_buffer_size(options.send_buffer.unwrap_or(BUFFER))
}

fn unsupported(addr: &Addr) -> io::Error {
    let what = format!("datagram sockets at {addr} are not supported on this system");
    io::Error::new(io::ErrorKind::Unsupported, what)
}
