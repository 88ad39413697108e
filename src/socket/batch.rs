//! Many datagrams a system call, where the system has `recvmmsg` and `sendmmsg`; one elsewhere.

#[cfg(not(all(feature = "sys", any(target_os = "linux", target_os = "android"))))]
pub(crate) use one::Batch;

#[cfg(all(feature = "sys", any(target_os = "linux", target_os = "android")))]
pub(crate) use many::Batch;

/// Without those calls.
#[cfg(not(all(feature = "sys", any(target_os = "linux", target_os = "android"))))]
mod one {
    use std::io;
    use std::net::SocketAddr;

    use mio::net::UdpSocket;

    use crate::addr::Addr;
    use crate::packets::{Inbox, Packets};
    use crate::socket::datagram::{mapped, send_one};
    use crate::transport::Received;

    #[derive(Debug, Default)]
    pub(crate) struct Batch(());

    #[expect(clippy::unused_self, reason = "where many cross in one call, it keeps their headers")]
    impl Batch {
        pub(crate) fn receive_v4(
            &mut self,
            socket: &UdpSocket,
            inbox: &mut Inbox,
            _most: usize,
            _came_last: usize,
        ) -> io::Result<Received> {
            receive_one(socket, inbox)
        }

        pub(crate) fn receive_v6(
            &mut self,
            socket: &UdpSocket,
            inbox: &mut Inbox,
            _most: usize,
            _came_last: usize,
        ) -> io::Result<Received> {
            receive_one(socket, inbox)
        }

        pub(crate) fn send_v4(
            &mut self,
            socket: &UdpSocket,
            packets: &Packets,
            _most: usize,
        ) -> io::Result<usize> {
            send_one(socket, packets, SocketAddr::V4)
        }

        pub(crate) fn send_v6(
            &mut self,
            socket: &UdpSocket,
            packets: &Packets,
            _most: usize,
        ) -> io::Result<usize> {
            send_one(socket, packets, |addr| mapped(addr).into())
        }

        #[cfg(unix)]
        pub(crate) fn send_unix(
            &mut self,
            socket: &mio::net::UnixDatagram,
            packets: &Packets,
            _most: usize,
        ) -> io::Result<usize> {
            crate::socket::datagram::send_one_unix(socket, packets)
        }
    }

    /// Takes one datagram from a UDP socket.
    fn receive_one(socket: &UdpSocket, inbox: &mut Inbox) -> io::Result<Received> {
        let (mut places, mut arrived) = inbox.places();
        let (Some(place), Some(arrived)) = (places.next(), arrived.next()) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        match socket.recv_from(place) {
            Ok((len, peer)) => {
                arrived.len = len;
                arrived.peer = Addr::Ip(peer);
            }
            // How Windows says that it was cut; of whom it came is not known then.
            Err(error) if is_too_long(&error) => {
                arrived.len = place.len();
                arrived.peer = Addr::Unnamed;
            }
            Err(error) => return Err(error),
        }
        Ok(Received { came: 1, all: false })
    }

    /// `WSAEMSGSIZE`; elsewhere a `recvfrom` has no such error.
    fn is_too_long(error: &io::Error) -> bool {
        cfg!(windows) && error.raw_os_error() == Some(10_040)
    }
}

#[cfg(all(feature = "sys", any(target_os = "linux", target_os = "android")))]
mod many {
    use std::array;
    use std::ffi::OsStr;
    use std::fmt;
    use std::io::{self, IoSlice, IoSliceMut};
    use std::net::SocketAddr;
    use std::os::fd::{AsRawFd, RawFd};
    use std::os::unix::ffi::OsStrExt;

    use mio::net::{UdpSocket, UnixDatagram};
    use nix::sys::socket::{
        MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, UnixAddr, recvmmsg, sendmmsg,
    };

    use crate::addr::Addr;
    use crate::packets::{BATCH, Inbox, Packet, Packets, To};
    use crate::socket::datagram::{mapped, send_one, send_one_unix};
    use crate::transport::Received;

    /// The headers that these calls want, one set for each kind of name. Made when first needed.
    #[derive(Default)]
    pub(crate) struct Batch {
        from_v4: Option<MultiHeaders<SockaddrIn>>,
        from_v6: Option<MultiHeaders<SockaddrIn6>>,
        to_v4: Option<MultiHeaders<SockaddrIn>>,
        to_v6: Option<MultiHeaders<SockaddrIn6>>,
        to_unix: Option<MultiHeaders<UnixAddr>>,
    }

    /// A small batch, so that a lone datagram does not pay for preparing a large one.
    const FEW: usize = 4;

    impl Batch {
        #[inline]
        pub(crate) fn receive_v4(
            &mut self,
            socket: &UdpSocket,
            inbox: &mut Inbox,
            most: usize,
            came_last: usize,
        ) -> io::Result<Received> {
            let headers = headers(&mut self.from_v4);
            let name = |name: SockaddrIn| SocketAddr::V4(name.into());
            receive_some(socket, headers, inbox, most, came_last, name)
        }

        #[inline]
        pub(crate) fn receive_v6(
            &mut self,
            socket: &UdpSocket,
            inbox: &mut Inbox,
            most: usize,
            came_last: usize,
        ) -> io::Result<Received> {
            let headers = headers(&mut self.from_v6);
            let name = |name: SockaddrIn6| SocketAddr::V6(name.into());
            receive_some(socket, headers, inbox, most, came_last, name)
        }

        #[inline]
        pub(crate) fn send_v4(
            &mut self,
            socket: &UdpSocket,
            packets: &Packets,
            most: usize,
        ) -> io::Result<usize> {
            if packets.len() == 1 {
                return send_one(socket, packets, SocketAddr::V4);
            }
            let name = |packet: &Packet| match packet.to {
                To::Peer => Some(None),
                To::V4(addr) => Some(Some(SockaddrIn::from(addr))),
                _ => None,
            };
            let headers = headers(&mut self.to_v4);
            socket.try_io(|| send_some(socket.as_raw_fd(), headers, packets, most, name))
        }

        #[inline]
        pub(crate) fn send_v6(
            &mut self,
            socket: &UdpSocket,
            packets: &Packets,
            most: usize,
        ) -> io::Result<usize> {
            if packets.len() == 1 {
                return send_one(socket, packets, |addr| mapped(addr).into());
            }
            let name = |packet: &Packet| match packet.to {
                To::Peer => Some(None),
                To::V4(addr) => Some(Some(SockaddrIn6::from(mapped(addr)))),
                To::V6(addr) => Some(Some(SockaddrIn6::from(addr))),
                To::Path(_) => None,
            };
            let headers = headers(&mut self.to_v6);
            socket.try_io(|| send_some(socket.as_raw_fd(), headers, packets, most, name))
        }

        pub(crate) fn send_unix(
            &mut self,
            socket: &UnixDatagram,
            packets: &Packets,
            most: usize,
        ) -> io::Result<usize> {
            if packets.len() == 1 {
                return send_one_unix(socket, packets);
            }
            let name = |packet: &Packet| match (packet.to, packets.path(packet)) {
                (To::Peer, _) => Some(None),
                (_, Some([0, name @ ..])) => UnixAddr::new_abstract(name).ok().map(Some),
                (_, Some(path)) => UnixAddr::new(OsStr::from_bytes(path)).ok().map(Some),
                _ => None,
            };
            let headers = headers(&mut self.to_unix);
            socket.try_io(|| send_some(socket.as_raw_fd(), headers, packets, most, name))
        }
    }

    impl fmt::Debug for Batch {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Batch").finish_non_exhaustive()
        }
    }

    fn headers<S: SockaddrLike + Copy>(made: &mut Option<MultiHeaders<S>>) -> &mut MultiHeaders<S> {
        made.get_or_insert_with(|| MultiHeaders::preallocate(BATCH, None))
    }

    /// Asks for few while few come.
    #[inline]
    fn receive_some<S: SockaddrLike + Copy>(
        socket: &UdpSocket,
        headers: &mut MultiHeaders<S>,
        inbox: &mut Inbox,
        most: usize,
        came_last: usize,
        name: impl Fn(S) -> SocketAddr,
    ) -> io::Result<Received> {
        let fd = socket.as_raw_fd();
        socket.try_io(|| match came_last {
            ..=1 => receive_many::<S, 2>(fd, headers, inbox, most, name),
            _ => receive_many::<S, BATCH>(fd, headers, inbox, most, name),
        })
    }

    #[inline]
    fn receive_many<S: SockaddrLike + Copy, const N: usize>(
        fd: RawFd,
        headers: &mut MultiHeaders<S>,
        inbox: &mut Inbox,
        most: usize,
        name: impl Fn(S) -> SocketAddr,
    ) -> io::Result<Received> {
        let (places, arrived) = inbox.places();
        let mut buffers: [[IoSliceMut<'_>; 1]; N] = array::from_fn(|_| [IoSliceMut::new(&mut [])]);
        let asked = most.min(N);
        for (buffer, place) in buffers.iter_mut().zip(places) {
            *buffer = [IoSliceMut::new(place)];
        }
        let buffers = buffers.iter_mut().take(asked);
        let messages = recvmmsg(fd, headers, buffers, MsgFlags::MSG_DONTWAIT, None)?;
        let mut came = 0;
        for (message, arrived) in messages.zip(arrived) {
            arrived.len = message.bytes;
            arrived.peer = message.address.map_or(Addr::Unnamed, |addr| Addr::Ip(name(addr)));
            came += 1;
        }
        Ok(Received { came, all: came < asked })
    }

    #[inline]
    fn send_some<S: SockaddrLike + Copy>(
        fd: RawFd,
        headers: &mut MultiHeaders<S>,
        packets: &Packets,
        most: usize,
        name: impl Fn(&Packet) -> Option<Option<S>>,
    ) -> io::Result<usize> {
        match packets.len() {
            ..=FEW => send_many::<S, FEW>(fd, headers, packets, most, name),
            _ => send_many::<S, BATCH>(fd, headers, packets, most, name),
        }
    }

    /// Sends up to the first packet that this kind of socket has no name for.
    #[inline]
    fn send_many<S: SockaddrLike + Copy, const N: usize>(
        fd: RawFd,
        headers: &mut MultiHeaders<S>,
        packets: &Packets,
        most: usize,
        name: impl Fn(&Packet) -> Option<Option<S>>,
    ) -> io::Result<usize> {
        let waiting = packets.waiting().iter().take(most);
        let mut names: [Option<S>; N] = [None; N];
        let mut slices: [[IoSlice<'_>; 1]; N] = array::from_fn(|_| [IoSlice::new(&[])]);
        let mut ready = 0;
        for ((packet, to), slice) in waiting.zip(&mut names).zip(&mut slices) {
            let Some(name) = name(packet) else { break };
            *to = name;
            *slice = [IoSlice::new(packets.payload(packet))];
            ready += 1;
        }
        if ready == 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let slices = slices.iter().take(ready);
        let sent = sendmmsg(fd, headers, slices, names, [], MsgFlags::MSG_DONTWAIT)?;
        Ok(sent.count())
    }
}
