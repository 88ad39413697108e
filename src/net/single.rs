//! One datagram a system call, where the system has no calls for many.

use std::io;
use std::marker::PhantomData;

use mio::net::UdpSocket;
use socket2::Socket;

use super::one_datagram::{Family, V4, V6, send_one};
use crate::addr::Addr;
use crate::conn::packets::{RecvBuffers, SendQueue};
use crate::conn::transport::RecvOutcome;

#[derive(Debug, Default)]
pub(crate) struct MmsgHeaders {
    pub(super) v4: FamilyHeaders<V4>,
    pub(super) v6: FamilyHeaders<V6>,
}

impl MmsgHeaders {
    /// `false`: such a system does not report destinations, because std and socket2 have no control
    /// messages that safe code could read.
    #[expect(clippy::unnecessary_wraps, reason = "where a system is asked, it may refuse")]
    pub(super) fn request_destinations(_: &Socket, _is_v6: bool) -> io::Result<bool> {
        Ok(false)
    }

    #[cfg(unix)]
    #[expect(clippy::unused_self, reason = "where many cross in one call, it keeps their headers")]
    pub(super) fn send_unix(
        &mut self,
        socket: &mio::net::UnixDatagram,
        packets: &SendQueue,
        _max: usize,
    ) -> io::Result<usize> {
        super::one_datagram::send_one_unix(socket, packets)
    }
}

#[derive(Debug, Default)]
pub(super) struct FamilyHeaders<F>(PhantomData<F>);

#[expect(clippy::unused_self, reason = "where many cross in one call, it keeps their headers")]
impl<F: Family> FamilyHeaders<F> {
    pub(super) fn receive(
        &mut self,
        socket: &UdpSocket,
        buffers: &mut RecvBuffers,
        _max: usize,
        _last_count: usize,
    ) -> io::Result<RecvOutcome> {
        receive_one(socket, buffers)
    }

    pub(super) fn receive_wildcard(
        &mut self,
        (socket, _port): (&UdpSocket, u16),
        buffers: &mut RecvBuffers,
        _max: usize,
        _last_count: usize,
    ) -> io::Result<RecvOutcome> {
        receive_one(socket, buffers)
    }

    pub(super) fn send(
        &mut self,
        socket: &UdpSocket,
        packets: &SendQueue,
        _max: usize,
    ) -> io::Result<usize> {
        send_one::<F>(socket, packets)
    }

    pub(super) fn send_wildcard(
        &mut self,
        socket: &UdpSocket,
        packets: &SendQueue,
        max: usize,
    ) -> io::Result<usize> {
        self.send(socket, packets, max)
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
