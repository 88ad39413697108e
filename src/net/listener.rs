//! The socket of a listener.

use std::io;

use mio::event::Source;
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::{StreamSocket, canonical, set_buffers, set_keepalive, set_reuse_port, unsupported};
#[cfg(unix)]
use super::{unix_addr, unix_name, unix_path};
use crate::addr::Addr;
#[cfg(feature = "testing")]
use crate::net::memory::kernel;
use crate::options::Options;

/// A socket that accepts connections.
#[derive(Debug)]
pub(crate) enum ListenerSocket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix {
        /// Removes the path when dropped. Declared before the socket: while that is open, no other
        /// file can get the inode number by which the path is known to be ours.
        _path: Option<unix_path::BoundPath>,
        listener: mio::net::UnixListener,
    },
    /// Another loop accepts at this address and hands clients over.
    Remote(Addr),
    /// It is closed; this was its address.
    Closed(Option<Addr>),
    /// The listener of a simulated kernel.
    #[cfg(feature = "testing")]
    #[cfg_attr(not(test), expect(dead_code, reason = "only this crate's tests have one"))]
    Memory,
}

impl ListenerSocket {
    pub(crate) fn listen(addr: &Addr, options: &Options) -> io::Result<ListenerSocket> {
        match addr {
            Addr::Ip(ip) => {
                let socket =
                    Socket::new(Domain::for_address(*ip), Type::STREAM, Some(Protocol::TCP))?;
                if ip.is_ipv6() {
                    socket.set_only_v6(options.v6_only)?;
                }
                #[cfg(unix)]
                {
                    socket.set_reuse_address(options.reuse_address)?;
                    socket.set_reuse_port(options.reuse_port)?;
                }
                // Connections inherit these, on the systems that do so.
                set_buffers(&socket, options)?;
                socket.set_tcp_nodelay(options.nodelay)?;
                set_keepalive(&socket, options)?;
                socket.set_nonblocking(true)?;
                socket.bind(&SockAddr::from(*ip))?;
                socket.listen(options.backlog)?;
                Ok(ListenerSocket::Tcp(TcpListener::from_std(socket.into())))
            }
            #[cfg(unix)]
            Addr::Unix(_) | Addr::Abstract(_) => {
                if options.reuse_port {
                    let what = "reuse_port is not supported on Unix sockets";
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
                }
                let (listener, path) = unix_path::listen(addr, options.backlog)?;
                Ok(ListenerSocket::Unix { listener, _path: path })
            }
            _ => Err(unsupported(addr)),
        }
    }

    /// Allows other sockets of this user to listen at the same address.
    pub(crate) fn set_reuse_port(&self) -> io::Result<()> {
        match self {
            ListenerSocket::Tcp(listener) => set_reuse_port(&SockRef::from(listener)),
            _ => Ok(()),
        }
    }

    pub(crate) fn accept(&self, options: &Options) -> io::Result<(StreamSocket, Addr)> {
        match self {
            ListenerSocket::Remote(_) | ListenerSocket::Closed(_) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            #[cfg(feature = "testing")]
            ListenerSocket::Memory => {
                let (stream, peer) = kernel::accept()?;
                Ok((StreamSocket::Memory(stream), peer))
            }
            ListenerSocket::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                if cfg!(not(any(target_os = "linux", target_os = "android"))) {
                    // Not every system inherits it. An error means that the connection is broken,
                    // which its next read reports.
                    let _ = stream.set_nodelay(options.nodelay);
                }
                Ok((StreamSocket::Tcp(stream), canonical(peer)))
            }
            #[cfg(unix)]
            ListenerSocket::Unix { listener, .. } => {
                let (stream, peer) = listener.accept()?;
                // An error is reported by the connection itself.
                let _ = set_buffers(&SockRef::from(&stream), options);
                let peer = unix_name::of_accepted(&peer, &stream);
                Ok((StreamSocket::Unix { stream, ctrunc: false }, peer))
            }
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        #[cfg(feature = "testing")]
        if matches!(self, ListenerSocket::Memory) {
            return kernel::register_listener(token);
        }
        let interests = Interest::READABLE;
        self.source().map_or(Ok(()), |source| registry.register(source, token, interests))
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().map_or(Ok(()), |source| registry.deregister(source))
    }

    /// Closes the descriptor and frees the address.
    pub(crate) fn close(&mut self, registry: &Registry) {
        // On Linux the close deregisters too.
        let _ = self.deregister(registry);
        *self = ListenerSocket::Closed(self.local_addr());
    }

    fn source(&mut self) -> Option<&mut dyn Source> {
        match self {
            ListenerSocket::Tcp(listener) => Some(listener),
            #[cfg(unix)]
            ListenerSocket::Unix { listener, .. } => Some(listener),
            ListenerSocket::Remote(_) | ListenerSocket::Closed(_) => None,
            #[cfg(feature = "testing")]
            ListenerSocket::Memory => None,
        }
    }

    pub(crate) fn local_addr(&self) -> Option<Addr> {
        match self {
            ListenerSocket::Tcp(listener) => listener.local_addr().ok().map(Addr::Ip),
            #[cfg(unix)]
            ListenerSocket::Unix { listener, .. } => {
                listener.local_addr().ok().map(|a| unix_addr(&a))
            }
            ListenerSocket::Remote(addr) => Some(addr.clone()),
            ListenerSocket::Closed(addr) => addr.clone(),
            #[cfg(feature = "testing")]
            ListenerSocket::Memory => Some(Addr::Unnamed),
        }
    }
}
