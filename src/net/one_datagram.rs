//! One datagram a system call.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use mio::net::UdpSocket;
#[cfg(unix)]
use socket2::SockRef;

#[cfg(unix)]
use super::{UnixName, unix_name};
#[cfg(unix)]
use crate::conn::packets::RecvBuffers;
use crate::conn::packets::{DestAddr, SendQueue};
#[cfg(unix)]
use crate::conn::transport::RecvOutcome;

/// Receives one datagram. Not a batch, because `nix` does not restore the length of each name
/// buffer, and Unix names differ in length. Plain `recvfrom` has no control buffer, so the kernel
/// drops passed descriptors.
#[cfg(unix)]
pub(super) fn receive_unix(
    socket: &mio::net::UnixDatagram,
    buffers: &mut RecvBuffers,
) -> io::Result<RecvOutcome> {
    let Some((place, arrived)) = buffers.unix_slot() else {
        return Err(io::ErrorKind::WouldBlock.into());
    };
    let (len, peer) = socket.recv_from(place)?;
    arrived.len = len;
    match UnixName::of(&peer) {
        UnixName::Path(path) => arrived.set_path(path),
        UnixName::Abstract(name) => arrived.set_abstract(name),
        UnixName::None => arrived.set_unnamed(),
    }
    Ok(RecvOutcome { count: 1, drained: false })
}

/// The address family of a UDP socket.
pub(super) trait Family {
    /// The name of an IPv4 address on such a socket.
    fn from_v4(addr: SocketAddrV4) -> SocketAddr;
}

#[derive(Debug, Default)]
pub(super) struct V4;

#[derive(Debug, Default)]
pub(super) struct V6;

impl Family for V4 {
    #[inline]
    fn from_v4(addr: SocketAddrV4) -> SocketAddr {
        addr.into()
    }
}

impl Family for V6 {
    #[inline]
    fn from_v4(addr: SocketAddrV4) -> SocketAddr {
        SocketAddrV6::new(addr.ip().to_ipv6_mapped(), addr.port(), 0, 0).into()
    }
}

/// Sends the first packet of the queue.
#[inline]
pub(super) fn send_one<F: Family>(socket: &UdpSocket, packets: &SendQueue) -> io::Result<usize> {
    let Some(packet) = packets.pending().first() else { return Ok(0) };
    let payload = packets.payload(packet);
    match packet.to {
        DestAddr::Connected => socket.send(payload)?,
        DestAddr::V4(addr) | DestAddr::V4From(addr) => socket.send_to(payload, F::from_v4(addr))?,
        DestAddr::V6(addr) | DestAddr::V6From(addr) => socket.send_to(payload, addr.into())?,
        DestAddr::Path(_) => return Err(io::ErrorKind::Unsupported.into()),
    };
    Ok(1)
}

#[cfg(unix)]
pub(super) fn send_one_unix(
    socket: &mio::net::UnixDatagram,
    packets: &SendQueue,
) -> io::Result<usize> {
    use std::os::unix::ffi::OsStrExt;

    let Some(packet) = packets.pending().first() else { return Ok(0) };
    let payload = packets.payload(packet);
    match (packet.to, packets.path(packet)) {
        (DestAddr::Connected, _) => socket.send(payload)?,
        (_, Some(name @ [0, ..])) => {
            let name = unix_name::of_bytes(name)?;
            socket.try_io(|| SockRef::from(socket).send_to(payload, &name))?
        }
        (_, Some(path)) => socket.send_to(payload, std::ffi::OsStr::from_bytes(path))?,
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    Ok(1)
}
