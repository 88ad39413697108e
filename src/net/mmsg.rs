//! Many datagrams a system call, where the system has `recvmmsg` and `sendmmsg`; one elsewhere.

#[cfg(not(all(feature = "sys", any(target_os = "linux", target_os = "android"))))]
pub(crate) use super::single::MmsgHeaders;

#[cfg(all(feature = "sys", any(target_os = "linux", target_os = "android")))]
pub(crate) use many::MmsgHeaders;

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
    use nix::cmsg_space;
    use nix::sys::socket::{
        ControlMessage, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, SockaddrIn6, SockaddrLike,
        UnixAddr, recvmmsg, sendmmsg,
    };
    use socket2::Socket;

    use crate::addr::Addr;
    use crate::conn::packets::recv_buffers::RecvSlot;
    use crate::conn::packets::send_queue::QueuedPacket;
    use crate::conn::packets::{BATCH, DestAddr, Destination, RecvBuffers, SendQueue};
    use crate::conn::transport::RecvOutcome;
    use crate::net::one_datagram::{mapped, send_one, send_one_unix};
    use crate::net::pktinfo;

    /// The headers that these calls want, one set for each kind of name. Made when first needed.
    ///
    /// Those of sockets that have every address are sets of their own, with room for one control
    /// message in each: the kernel notes in a header how much of that it used, and `nix` does not
    /// set it again.
    #[derive(Default)]
    pub(crate) struct MmsgHeaders {
        from_v4: Option<MultiHeaders<SockaddrIn>>,
        from_v6: Option<MultiHeaders<SockaddrIn6>>,
        to_v4: Option<MultiHeaders<SockaddrIn>>,
        to_v6: Option<MultiHeaders<SockaddrIn6>>,
        to_unix: Option<MultiHeaders<UnixAddr>>,
        wildcard_from_v4: Option<MultiHeaders<SockaddrIn>>,
        wildcard_from_v6: Option<MultiHeaders<SockaddrIn6>>,
        wildcard_to_v4: Option<MultiHeaders<SockaddrIn>>,
        wildcard_to_v6: Option<MultiHeaders<SockaddrIn6>>,
    }

    /// What is noted about a datagram of a socket that has every address.
    type Slot<'a> = (&'a mut RecvSlot, &'a mut Option<Destination>);

    /// A small batch, so that a lone datagram does not pay for preparing a large one.
    const FEW: usize = 4;

    impl MmsgHeaders {
        #[inline]
        pub(crate) fn receive_v4(
            &mut self,
            socket: &UdpSocket,
            buffers: &mut RecvBuffers,
            max: usize,
            last_count: usize,
        ) -> io::Result<RecvOutcome> {
            let headers = headers(&mut self.from_v4);
            receive_some(socket, headers, buffers.slots(), max, last_count, note_v4)
        }

        #[inline]
        pub(crate) fn receive_v6(
            &mut self,
            socket: &UdpSocket,
            buffers: &mut RecvBuffers,
            max: usize,
            last_count: usize,
        ) -> io::Result<RecvOutcome> {
            let headers = headers(&mut self.from_v6);
            receive_some(socket, headers, buffers.slots(), max, last_count, note_v6)
        }

        #[inline]
        pub(crate) fn send_v4(
            &mut self,
            socket: &UdpSocket,
            packets: &SendQueue,
            max: usize,
        ) -> io::Result<usize> {
            if packets.len() == 1 {
                return send_one(socket, packets, SocketAddr::V4);
            }
            let name = |packet: &QueuedPacket| match packet.to {
                DestAddr::Connected => Some(None),
                DestAddr::V4(addr) => Some(Some(SockaddrIn::from(addr))),
                _ => None,
            };
            let headers = headers(&mut self.to_v4);
            socket.try_io(|| send_some(socket.as_raw_fd(), headers, packets, max, [], name))
        }

        #[inline]
        pub(crate) fn send_v6(
            &mut self,
            socket: &UdpSocket,
            packets: &SendQueue,
            max: usize,
        ) -> io::Result<usize> {
            if packets.len() == 1 {
                return send_one(socket, packets, |addr| mapped(addr).into());
            }
            let name = |packet: &QueuedPacket| match packet.to {
                DestAddr::Connected => Some(None),
                DestAddr::V4(addr) => Some(Some(SockaddrIn6::from(mapped(addr)))),
                DestAddr::V6(addr) => Some(Some(SockaddrIn6::from(addr))),
                DestAddr::V4From(_) | DestAddr::V6From(_) | DestAddr::Path(_) => None,
            };
            let headers = headers(&mut self.to_v6);
            socket.try_io(|| send_some(socket.as_raw_fd(), headers, packets, max, [], name))
        }

        /// Has the kernel say of each datagram of a socket that is about to be bound where it was
        /// sent to; says whether this system can.
        pub(crate) fn request_destinations(socket: &Socket, is_v6: bool) -> io::Result<bool> {
            pktinfo::request(socket, is_v6)?;
            Ok(true)
        }

        /// For a socket that has every address of the machine, at this port. Apart, as are the others
        /// of that kind, so that the usual ones need few registers.
        #[inline(never)]
        pub(crate) fn receive_v4_wildcard(
            &mut self,
            (socket, port): (&UdpSocket, u16),
            buffers: &mut RecvBuffers,
            max: usize,
            last_count: usize,
        ) -> io::Result<RecvOutcome> {
            let headers = self
                .wildcard_from_v4
                .get_or_insert_with(|| with_room(cmsg_space!(libc::in_pktinfo)));
            let mut untold = false;
            let note = |message: RecvMsg<'_, '_, SockaddrIn>, (arrived, destination): Slot<'_>| {
                note_v4(message, arrived);
                *destination = pktinfo::destination(&message, port);
                untold |= destination.is_none();
            };
            let places = buffers.slots_with_destination();
            let received = receive_some(socket, headers, places, max, last_count, note);
            if untold {
                self.wildcard_from_v4 = None;
            }
            received
        }

        #[inline(never)]
        pub(crate) fn receive_v6_wildcard(
            &mut self,
            (socket, port): (&UdpSocket, u16),
            buffers: &mut RecvBuffers,
            max: usize,
            last_count: usize,
        ) -> io::Result<RecvOutcome> {
            let headers = self
                .wildcard_from_v6
                .get_or_insert_with(|| with_room(cmsg_space!(libc::in6_pktinfo)));
            let mut untold = false;
            let note = |message: RecvMsg<'_, '_, SockaddrIn6>, (arrived, destination): Slot<'_>| {
                note_v6(message, arrived);
                *destination = pktinfo::destination(&message, port);
                untold |= destination.is_none();
            };
            let places = buffers.slots_with_destination();
            let received = receive_some(socket, headers, places, max, last_count, note);
            if untold {
                self.wildcard_from_v6 = None;
            }
            received
        }

        /// All of a batch leave from one address, so it ends where that changes.
        #[inline(never)]
        pub(crate) fn send_v4_wildcard(
            &mut self,
            socket: &UdpSocket,
            packets: &SendQueue,
            max: usize,
        ) -> io::Result<usize> {
            let source = packets.pending().first().and_then(|first| packets.source(first));
            let Some((source, info)) =
                source.and_then(|one| Some((one, pktinfo::pktinfo_v4(one)?)))
            else {
                return self.send_v4(socket, packets, max);
            };
            let name = |packet: &QueuedPacket| match packet.to {
                DestAddr::V4From(addr) if packets.source(packet) == Some(source) => {
                    Some(Some(SockaddrIn::from(addr)))
                }
                _ => None,
            };
            let headers =
                self.wildcard_to_v4.get_or_insert_with(|| with_room(cmsg_space!(libc::in_pktinfo)));
            let from = [ControlMessage::Ipv4PacketInfo(&info)];
            let fd = socket.as_raw_fd();
            let sent = socket.try_io(|| send_some(fd, headers, packets, max, from, name));
            or_from_any_source(sent, || send_one(socket, packets, SocketAddr::V4))
        }

        #[inline(never)]
        pub(crate) fn send_v6_wildcard(
            &mut self,
            socket: &UdpSocket,
            packets: &SendQueue,
            max: usize,
        ) -> io::Result<usize> {
            let source = packets.pending().first().and_then(|first| packets.source(first));
            let Some(source) = source else { return self.send_v6(socket, packets, max) };
            let info = pktinfo::pktinfo_v6(source);
            let name = |packet: &QueuedPacket| match packet.to {
                DestAddr::V4From(addr) if packets.source(packet) == Some(source) => {
                    Some(Some(SockaddrIn6::from(mapped(addr))))
                }
                DestAddr::V6From(addr) if packets.source(packet) == Some(source) => {
                    Some(Some(SockaddrIn6::from(addr)))
                }
                _ => None,
            };
            let headers = self
                .wildcard_to_v6
                .get_or_insert_with(|| with_room(cmsg_space!(libc::in6_pktinfo)));
            let from = [ControlMessage::Ipv6PacketInfo(&info)];
            let fd = socket.as_raw_fd();
            let sent = socket.try_io(|| send_some(fd, headers, packets, max, from, name));
            or_from_any_source(sent, || send_one(socket, packets, |addr| mapped(addr).into()))
        }

        pub(crate) fn send_unix(
            &mut self,
            socket: &UnixDatagram,
            packets: &SendQueue,
            max: usize,
        ) -> io::Result<usize> {
            if packets.len() == 1 {
                return send_one_unix(socket, packets);
            }
            let name = |packet: &QueuedPacket| match (packet.to, packets.path(packet)) {
                (DestAddr::Connected, _) => Some(None),
                (_, Some([0, name @ ..])) => UnixAddr::new_abstract(name).ok().map(Some),
                (_, Some(path)) => UnixAddr::new(OsStr::from_bytes(path)).ok().map(Some),
                _ => None,
            };
            let headers = headers(&mut self.to_unix);
            socket.try_io(|| send_some(socket.as_raw_fd(), headers, packets, max, [], name))
        }
    }

    impl fmt::Debug for MmsgHeaders {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("MmsgHeaders").finish_non_exhaustive()
        }
    }

    fn headers<S: SockaddrLike + Copy>(made: &mut Option<MultiHeaders<S>>) -> &mut MultiHeaders<S> {
        made.get_or_insert_with(|| MultiHeaders::preallocate(BATCH, None))
    }

    fn with_room<S: SockaddrLike + Copy>(control: Vec<u8>) -> MultiHeaders<S> {
        MultiHeaders::preallocate(BATCH, Some(control))
    }

    #[inline]
    fn note_v4(message: RecvMsg<'_, '_, SockaddrIn>, arrived: &mut RecvSlot) {
        arrived.len = message.bytes;
        let name = |name: SockaddrIn| Addr::Ip(SocketAddr::V4(name.into()));
        arrived.peer = message.address.map_or(Addr::Unnamed, name);
    }

    #[inline]
    fn note_v6(message: RecvMsg<'_, '_, SockaddrIn6>, arrived: &mut RecvSlot) {
        arrived.len = message.bytes;
        let name = |name: SockaddrIn6| Addr::Ip(SocketAddr::V6(name.into()));
        arrived.peer = message.address.map_or(Addr::Unnamed, name);
    }

    /// What cannot leave from the address that was asked leaves from the one that the system
    /// chooses, alone.
    #[inline]
    fn or_from_any_source(
        sent: io::Result<usize>,
        prepend_output: impl FnOnce() -> io::Result<usize>,
    ) -> io::Result<usize> {
        match sent {
            Err(error) if pktinfo::is_source_error(&error) => prepend_output(),
            sent => sent,
        }
    }

    /// Asks for few while few come.
    #[inline]
    fn receive_some<'a, S: SockaddrLike + Copy, A>(
        socket: &UdpSocket,
        headers: &mut MultiHeaders<S>,
        places: (impl Iterator<Item = &'a mut [u8]>, impl Iterator<Item = A>),
        max: usize,
        last_count: usize,
        note: impl FnMut(RecvMsg<'_, '_, S>, A),
    ) -> io::Result<RecvOutcome> {
        let fd = socket.as_raw_fd();
        socket.try_io(|| match last_count {
            ..=1 => receive_many::<S, A, 2>(fd, headers, places, max, note),
            _ => receive_many::<S, A, BATCH>(fd, headers, places, max, note),
        })
    }

    #[inline]
    fn receive_many<'a, S: SockaddrLike + Copy, A, const N: usize>(
        fd: RawFd,
        headers: &mut MultiHeaders<S>,
        (places, arrived): (impl Iterator<Item = &'a mut [u8]>, impl Iterator<Item = A>),
        max: usize,
        mut note: impl FnMut(RecvMsg<'_, '_, S>, A),
    ) -> io::Result<RecvOutcome> {
        let mut buffers: [[IoSliceMut<'_>; 1]; N] = array::from_fn(|_| [IoSliceMut::new(&mut [])]);
        let asked = max.min(N);
        for (buffer, place) in buffers.iter_mut().zip(places) {
            *buffer = [IoSliceMut::new(place)];
        }
        let buffers = buffers.iter_mut().take(asked);
        let messages = recvmmsg(fd, headers, buffers, MsgFlags::MSG_DONTWAIT, None)?;
        let mut came = 0;
        for (message, arrived) in messages.zip(arrived) {
            note(message, arrived);
            came += 1;
        }
        Ok(RecvOutcome { count: came, drained: came < asked })
    }

    #[inline]
    fn send_some<'a, S: SockaddrLike + Copy + 'a, const C: usize>(
        fd: RawFd,
        headers: &'a mut MultiHeaders<S>,
        packets: &'a SendQueue,
        max: usize,
        from: [ControlMessage<'a>; C],
        name: impl Fn(&QueuedPacket) -> Option<Option<S>>,
    ) -> io::Result<usize> {
        match packets.len() {
            ..=FEW => send_many::<S, C, FEW>(fd, headers, packets, max, from, name),
            _ => send_many::<S, C, BATCH>(fd, headers, packets, max, from, name),
        }
    }

    /// Sends up to the first packet that this kind of socket has no name for.
    #[inline]
    fn send_many<'a, S: SockaddrLike + Copy + 'a, const C: usize, const N: usize>(
        fd: RawFd,
        headers: &'a mut MultiHeaders<S>,
        packets: &'a SendQueue,
        max: usize,
        from: [ControlMessage<'a>; C],
        name: impl Fn(&QueuedPacket) -> Option<Option<S>>,
    ) -> io::Result<usize> {
        let waiting = packets.pending().iter().take(max);
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
        let sent = sendmmsg(fd, headers, slices, names, from, MsgFlags::MSG_DONTWAIT)?;
        Ok(sent.count())
    }
}
