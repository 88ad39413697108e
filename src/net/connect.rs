//! Opens a stream with connect(2).

use std::io;
use std::net::SocketAddr;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

#[cfg(unix)]
use super::unix_name;
use super::{StreamSocket, set_buffers, set_keepalive, unsupported};
use crate::addr::Addr;
#[cfg(feature = "testing")]
use crate::net::memory::kernel;
use crate::options::Options;

impl StreamSocket {
    /// Starts to connect. The connection is established once [`StreamSocket::error`] is `None` and
    /// [`StreamSocket::is_connected`] is `true`.
    ///
    /// A connection to a free port of this machine may be given that port as its own, and then
    /// connects to itself: a simultaneous open (RFC 9293, section 3.5). Everything sent would come
    /// back, and the server of that port could not start, so this is an error.
    pub(crate) fn connect(
        addr: &Addr,
        from: Option<&Addr>,
        options: &Options,
    ) -> io::Result<StreamSocket> {
        let socket = StreamSocket::open(addr, from, options)?;
        if socket.is_connected_to_itself(addr) {
            // A reset leaves no `TIME_WAIT` on the port.
            socket.reset_on_close();
            let what = "connection refused: the socket connected to itself";
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, what));
        }
        Ok(socket)
    }

    fn is_connected_to_itself(&self, to: &Addr) -> bool {
        to.ip().is_some_and(|to| is_self_connect(self.local_addr().as_ref().and_then(Addr::ip), to))
    }

    fn open(addr: &Addr, from: Option<&Addr>, options: &Options) -> io::Result<StreamSocket> {
        #[cfg(feature = "testing")]
        if let Some(begun) = kernel::connect(addr, from) {
            return begun.map(StreamSocket::Memory);
        }
        match addr {
            Addr::Ip(addr) => {
                let stream = match from {
                    None => TcpStream::connect(*addr)?,
                    Some(Addr::Ip(from)) => connect_from(*from, *addr)?,
                    Some(from) => return Err(unsupported(from)),
                };
                let socket = SockRef::from(&stream);
                socket.set_tcp_nodelay(options.nodelay)?;
                set_keepalive(&socket, options)?;
                set_buffers(&socket, options)?;
                Ok(StreamSocket::Tcp(stream))
            }
            #[cfg(unix)]
            Addr::Unix(_) | Addr::Abstract(_) if from.is_some() => {
                let what = "a Unix stream cannot be bound to a local address";
                Err(io::Error::new(io::ErrorKind::Unsupported, what))
            }
            #[cfg(unix)]
            Addr::Unix(path) => {
                StreamSocket::from_unix(mio::net::UnixStream::connect(path)?, options)
            }
            #[cfg(unix)]
            Addr::Abstract(_) => {
                StreamSocket::from_unix(unix_name::connect_abstract(addr)?, options)
            }
            _ => Err(unsupported(addr)),
        }
    }

    #[cfg(unix)]
    fn from_unix(stream: mio::net::UnixStream, options: &Options) -> io::Result<StreamSocket> {
        set_buffers(&SockRef::from(&stream), options)?;
        Ok(StreamSocket::Unix { stream, ctrunc: false })
    }
}

/// bind(2), then connect(2), which mio does not offer.
fn connect_from(from: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    if from.is_ipv4() != to.is_ipv4() {
        let what = format!("Connect::local_addr {from} and {to} are of different address families");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    set_bind_address_no_port(&socket);
    // An earlier connection from this port may be in `TIME_WAIT`.
    #[cfg(unix)]
    if from.port() != 0 {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SockAddr::from(from))?;
    match socket.connect(&SockAddr::from(to)) {
        Err(error) if !is_in_progress(&error) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// Whether a socket is connected to itself. Its local address is known as soon as connect(2) has
/// returned.
pub(super) fn is_self_connect(ours: Option<&SocketAddr>, to: &SocketAddr) -> bool {
    let ip = to.ip().to_canonical();
    // Connecting to an unspecified address connects to this machine.
    ours.is_some_and(|ours| {
        ours.port() == to.port() && (ip.is_unspecified() || ip == ours.ip().to_canonical())
    })
}

/// Delays the choice of the local port until the peer is known, so that one port serves connections
/// to several peers.
#[cfg(all(feature = "sys", any(target_os = "linux", target_os = "android")))]
fn set_bind_address_no_port(socket: &Socket) {
    use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
    // Without it there are only fewer ports.
    let _ = setsockopt(socket, IpBindAddressNoPort, &true);
}

#[cfg(not(all(feature = "sys", any(target_os = "linux", target_os = "android"))))]
fn set_bind_address_no_port(_: &Socket) {}

#[cfg(unix)]
fn is_in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINPROGRESS)
}

#[cfg(not(unix))]
fn is_in_progress(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
