//! One datagram a system call, where the system has no calls for many.

use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;
use socket2::Socket;

use crate::addr::Addr;
use crate::conn::packets::{RecvBuffers, SendQueue};
use crate::conn::transport::RecvOutcome;
use crate::net::one_datagram::{mapped, send_one};

#[derive(Debug, Default)]
pub(crate) struct MmsgHeaders(());

#[expect(clippy::unused_self, reason = "where many cross in one call, it keeps their headers")]
impl MmsgHeaders {
    pub(super) fn receive_v4(
        &mut self,
        socket: &UdpSocket,
        buffers: &mut RecvBuffers,
        _most: usize,
        _came_last: usize,
    ) -> io::Result<RecvOutcome> {
        receive_one(socket, buffers)
    }

    pub(super) fn receive_v6(
        &mut self,
        socket: &UdpSocket,
        buffers: &mut RecvBuffers,
        _most: usize,
        _came_last: usize,
    ) -> io::Result<RecvOutcome> {
        receive_one(socket, buffers)
    }

    pub(super) fn send_v4(
        &mut self,
        socket: &UdpSocket,
        packets: &SendQueue,
        _most: usize,
    ) -> io::Result<usize> {
        send_one(socket, packets, SocketAddr::V4)
    }

    pub(super) fn send_v6(
        &mut self,
        socket: &UdpSocket,
        packets: &SendQueue,
        _most: usize,
    ) -> io::Result<usize> {
        send_one(socket, packets, |addr| mapped(addr).into())
    }

    /// `false`: such a system does not report destinations, because std and socket2 have no control
    /// messages that safe code could read.
    #[expect(clippy::unnecessary_wraps, reason = "where a system is asked, it may refuse")]
    pub(super) fn request_destinations(_: &Socket, _is_v6: bool) -> io::Result<bool> {
        Ok(false)
    }

    pub(super) fn receive_v4_wildcard(
        &mut self,
        (socket, _port): (&UdpSocket, u16),
        buffers: &mut RecvBuffers,
        _most: usize,
        _came_last: usize,
    ) -> io::Result<RecvOutcome> {
        receive_one(socket, buffers)
    }

    pub(super) fn receive_v6_wildcard(
        &mut self,
        (socket, _port): (&UdpSocket, u16),
        buffers: &mut RecvBuffers,
        _most: usize,
        _came_last: usize,
    ) -> io::Result<RecvOutcome> {
        receive_one(socket, buffers)
    }

    pub(super) fn send_v4_wildcard(
        &mut self,
        socket: &UdpSocket,
        packets: &SendQueue,
        max: usize,
    ) -> io::Result<usize> {
        self.send_v4(socket, packets, max)
    }

    pub(super) fn send_v6_wildcard(
        &mut self,
        socket: &UdpSocket,
        packets: &SendQueue,
        max: usize,
    ) -> io::Result<usize> {
        self.send_v6(socket, packets, max)
    }

    #[cfg(unix)]
    pub(super) fn send_unix(
        &mut self,
        socket: &mio::net::UnixDatagram,
        packets: &SendQueue,
        _most: usize,
    ) -> io::Result<usize> {
        crate::net::one_datagram::send_one_unix(socket, packets)
    }
}

/// Receives one datagram of a UDP socket.
fn receive_one(socket: &UdpSocket, buffers: &mut RecvBuffers) -> io::Result<RecvOutcome> {
    let (mut places, mut arrived) = buffers.slots();
    let (Some(place), Some(arrived)) = (places.next(), arrived.next()) else {
        return Err(io::ErrorKind::WouldBlock.into());
    };
    match socket.recv_from(place) {
        Ok((len, peer)) => {
            arrived.len = len;
            arrived.peer = Addr::Ip(peer);
        }
        // Windows reports truncation as an error, without the sender.
        Err(error) if is_too_long(&error) => {
            arrived.len = place.len();
            arrived.peer = Addr::Unnamed;
        }
        Err(error) => return Err(error),
    }
    Ok(RecvOutcome { count: 1, drained: false })
}

/// `WSAEMSGSIZE`; on other systems recvfrom(2) has no such error.
fn is_too_long(error: &io::Error) -> bool {
    cfg!(windows) && error.raw_os_error() == Some(10_040)
}
