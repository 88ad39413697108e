//! Many datagrams a system call, with recvmmsg(2) and sendmmsg(2).

use std::array;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use libc::{in_pktinfo, in6_pktinfo};
use mio::net::{UdpSocket, UnixDatagram};
use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, SockaddrIn6, SockaddrLike,
    UnixAddr, recvmmsg, sendmmsg,
};
use socket2::Socket;

use super::one_datagram::{Family, V4, V6, send_one, send_one_unix};
use super::pktinfo;
use crate::addr::Addr;
use crate::conn::packets::recv_buffers::RecvSlot;
use crate::conn::packets::send_queue::QueuedPacket;
use crate::conn::packets::{BATCH, DestAddr, Destination, PacketSource, RecvBuffers, SendQueue};
use crate::conn::transport::RecvOutcome;

/// The headers of these calls, one set for each kind of address. Allocated when first needed.
#[derive(Default)]
pub(crate) struct MmsgHeaders {
    pub(super) v4: FamilyHeaders<V4>,
    pub(super) v6: FamilyHeaders<V6>,
    to_unix: Option<MultiHeaders<UnixAddr>>,
}

impl MmsgHeaders {
    /// Requests the destination of each datagram of a socket that is about to be bound. `false` if
    /// the system cannot report it.
    pub(super) fn request_destinations(socket: &Socket, is_v6: bool) -> io::Result<bool> {
        pktinfo::request(socket, is_v6)?;
        Ok(true)
    }

    pub(super) fn send_unix(
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

/// How an address family is written in the headers.
pub(super) trait BatchFamily: Family {
    type Name: SockaddrLike + Copy;
    /// The source address of a packet, as a control message has it.
    type PktInfo;

    /// `None` if a socket of this family cannot send to `addr`.
    fn name(addr: SocketAddr) -> Option<Self::Name>;
    fn addr(name: Self::Name) -> SocketAddr;
    fn pktinfo(source: PacketSource) -> Option<Self::PktInfo>;
    fn control_message(info: &Self::PktInfo) -> ControlMessage<'_>;
    /// The space for one such control message.
    fn control_space() -> Vec<u8>;
}

impl BatchFamily for V4 {
    type Name = SockaddrIn;
    type PktInfo = in_pktinfo;

    #[inline]
    fn name(addr: SocketAddr) -> Option<SockaddrIn> {
        if let SocketAddr::V4(addr) = addr { Some(addr.into()) } else { None }
    }

    #[inline]
    fn addr(name: SockaddrIn) -> SocketAddr {
        SocketAddr::V4(name.into())
    }

    fn pktinfo(source: PacketSource) -> Option<in_pktinfo> {
        pktinfo::pktinfo_v4(source)
    }

    fn control_message(info: &in_pktinfo) -> ControlMessage<'_> {
        ControlMessage::Ipv4PacketInfo(info)
    }

    fn control_space() -> Vec<u8> {
        cmsg_space!(in_pktinfo)
    }
}

impl BatchFamily for V6 {
    type Name = SockaddrIn6;
    type PktInfo = in6_pktinfo;

    #[inline]
    fn name(addr: SocketAddr) -> Option<SockaddrIn6> {
        match addr {
            SocketAddr::V4(addr) => V6::name(V6::from_v4(addr)),
            SocketAddr::V6(addr) => Some(addr.into()),
        }
    }

    #[inline]
    fn addr(name: SockaddrIn6) -> SocketAddr {
        SocketAddr::V6(name.into())
    }

    fn pktinfo(source: PacketSource) -> Option<in6_pktinfo> {
        Some(pktinfo::pktinfo_v6(source))
    }

    fn control_message(info: &in6_pktinfo) -> ControlMessage<'_> {
        ControlMessage::Ipv6PacketInfo(info)
    }

    fn control_space() -> Vec<u8> {
        cmsg_space!(in6_pktinfo)
    }
}

/// The headers for the sockets of one address family.
///
/// Sockets bound to the wildcard have sets of their own, with space for one control message in each
/// header: the kernel writes the used length into a header, and `nix` does not restore it.
pub(super) struct FamilyHeaders<F: BatchFamily> {
    from: Option<MultiHeaders<F::Name>>,
    to: Option<MultiHeaders<F::Name>>,
    wildcard_from: Option<MultiHeaders<F::Name>>,
    wildcard_to: Option<MultiHeaders<F::Name>>,
}

impl<F: BatchFamily> Default for FamilyHeaders<F> {
    fn default() -> FamilyHeaders<F> {
        FamilyHeaders { from: None, to: None, wildcard_from: None, wildcard_to: None }
    }
}

impl<F: BatchFamily> FamilyHeaders<F> {
    #[inline]
    pub(super) fn receive(
        &mut self,
        socket: &UdpSocket,
        buffers: &mut RecvBuffers,
        max: usize,
        last_count: usize,
    ) -> io::Result<RecvOutcome> {
        let headers = headers(&mut self.from);
        receive_some(socket, headers, buffers.slots(), max, last_count, fill_slot::<F>)
    }

    #[inline]
    pub(super) fn send(
        &mut self,
        socket: &UdpSocket,
        packets: &SendQueue,
        max: usize,
    ) -> io::Result<usize> {
        if packets.len() == 1 {
            return send_one::<F>(socket, packets);
        }
        let name = |packet: &QueuedPacket| match packet.to {
            DestAddr::Connected => Some(None),
            DestAddr::V4(addr) => F::name(addr.into()).map(Some),
            DestAddr::V6(addr) => F::name(addr.into()).map(Some),
            DestAddr::V4From(_) | DestAddr::V6From(_) | DestAddr::Path(_) => None,
        };
        let headers = headers(&mut self.to);
        socket.try_io(|| send_some(socket.as_raw_fd(), headers, packets, max, [], name))
    }

    /// For a socket bound to the wildcard, at this port. Not inlined, as is its counterpart below, so
    /// that the usual calls need few registers.
    #[inline(never)]
    pub(super) fn receive_wildcard(
        &mut self,
        (socket, port): (&UdpSocket, u16),
        buffers: &mut RecvBuffers,
        max: usize,
        last_count: usize,
    ) -> io::Result<RecvOutcome> {
        let headers =
            self.wildcard_from.get_or_insert_with(|| with_control_space(F::control_space()));
        let mut any_unknown = false;
        let fill = |message: RecvMsg<'_, '_, F::Name>, (slot, destination): WildcardSlot<'_>| {
            *destination = pktinfo::destination(&message, port);
            any_unknown |= destination.is_none();
            fill_slot::<F>(message, slot);
        };
        let slots = buffers.slots_with_destination();
        let received = receive_some(socket, headers, slots, max, last_count, fill);
        if any_unknown {
            self.wildcard_from = None;
        }
        received
    }

    /// All packets of a batch leave from one address, so it ends where the source changes.
    #[inline(never)]
    pub(super) fn send_wildcard(
        &mut self,
        socket: &UdpSocket,
        packets: &SendQueue,
        max: usize,
    ) -> io::Result<usize> {
        let source = packets.pending().first().and_then(|first| packets.source(first));
        let Some((source, info)) = source.and_then(|one| Some((one, F::pktinfo(one)?))) else {
            return self.send(socket, packets, max);
        };
        let name = |packet: &QueuedPacket| {
            let addr = match packet.to {
                DestAddr::V4From(addr) => SocketAddr::V4(addr),
                DestAddr::V6From(addr) => SocketAddr::V6(addr),
                _ => return None,
            };
            let has_same_source = packets.source(packet) == Some(source);
            if has_same_source { F::name(addr).map(Some) } else { None }
        };
        let headers =
            self.wildcard_to.get_or_insert_with(|| with_control_space(F::control_space()));
        let control = [F::control_message(&info)];
        let fd = socket.as_raw_fd();
        match socket.try_io(|| send_some(fd, headers, packets, max, control, name)) {
            // The packet leaves alone, from the address that the system chooses.
            Err(error) if pktinfo::is_source_error(&error) => send_one::<F>(socket, packets),
            sent => sent,
        }
    }
}

/// The slot of a datagram of a socket bound to the wildcard.
type WildcardSlot<'a> = (&'a mut RecvSlot, &'a mut Option<Destination>);

/// The size of a small batch, so that a lone datagram does not pay for preparing a large one.
const SMALL_BATCH: usize = 4;

fn headers<S: SockaddrLike + Copy>(made: &mut Option<MultiHeaders<S>>) -> &mut MultiHeaders<S> {
    made.get_or_insert_with(|| MultiHeaders::preallocate(BATCH, None))
}

fn with_control_space<S: SockaddrLike + Copy>(control: Vec<u8>) -> MultiHeaders<S> {
    MultiHeaders::preallocate(BATCH, Some(control))
}

#[inline]
fn fill_slot<F: BatchFamily>(message: RecvMsg<'_, '_, F::Name>, slot: &mut RecvSlot) {
    slot.len = message.bytes;
    slot.peer = message.address.map_or(Addr::Unnamed, |name| Addr::Ip(F::addr(name)));
}

/// Receives into few slots while few datagrams arrive.
#[inline]
fn receive_some<'a, S: SockaddrLike + Copy, A>(
    socket: &UdpSocket,
    headers: &mut MultiHeaders<S>,
    slots: (impl Iterator<Item = &'a mut [u8]>, impl Iterator<Item = A>),
    max: usize,
    last_count: usize,
    fill: impl FnMut(RecvMsg<'_, '_, S>, A),
) -> io::Result<RecvOutcome> {
    let fd = socket.as_raw_fd();
    socket.try_io(|| match last_count {
        ..=1 => receive_many::<S, A, 2>(fd, headers, slots, max, fill),
        _ => receive_many::<S, A, BATCH>(fd, headers, slots, max, fill),
    })
}

#[inline]
fn receive_many<'a, S: SockaddrLike + Copy, A, const N: usize>(
    fd: RawFd,
    headers: &mut MultiHeaders<S>,
    (buffers, slots): (impl Iterator<Item = &'a mut [u8]>, impl Iterator<Item = A>),
    max: usize,
    mut fill: impl FnMut(RecvMsg<'_, '_, S>, A),
) -> io::Result<RecvOutcome> {
    let mut slices: [[IoSliceMut<'_>; 1]; N] = array::from_fn(|_| [IoSliceMut::new(&mut [])]);
    let asked = max.min(N);
    for (slice, buffer) in slices.iter_mut().zip(buffers) {
        *slice = [IoSliceMut::new(buffer)];
    }
    let slices = slices.iter_mut().take(asked);
    let messages = recvmmsg(fd, headers, slices, MsgFlags::MSG_DONTWAIT, None)?;
    let mut count = 0;
    for (message, slot) in messages.zip(slots) {
        fill(message, slot);
        count += 1;
    }
    Ok(RecvOutcome { count, drained: count < asked })
}

#[inline]
fn send_some<'a, S: SockaddrLike + Copy + 'a, const C: usize>(
    fd: RawFd,
    headers: &'a mut MultiHeaders<S>,
    packets: &'a SendQueue,
    max: usize,
    control: [ControlMessage<'a>; C],
    name: impl Fn(&QueuedPacket) -> Option<Option<S>>,
) -> io::Result<usize> {
    match packets.len() {
        ..=SMALL_BATCH => send_many::<S, C, SMALL_BATCH>(fd, headers, packets, max, control, name),
        _ => send_many::<S, C, BATCH>(fd, headers, packets, max, control, name),
    }
}

/// Sends up to the first packet for which `name` is `None`; `Some(None)` is the connected peer.
#[inline]
fn send_many<'a, S: SockaddrLike + Copy + 'a, const C: usize, const N: usize>(
    fd: RawFd,
    headers: &'a mut MultiHeaders<S>,
    packets: &'a SendQueue,
    max: usize,
    control: [ControlMessage<'a>; C],
    name: impl Fn(&QueuedPacket) -> Option<Option<S>>,
) -> io::Result<usize> {
    let pending = packets.pending().iter().take(max);
    let mut names: [Option<S>; N] = [None; N];
    let mut slices: [[IoSlice<'_>; 1]; N] = array::from_fn(|_| [IoSlice::new(&[])]);
    let mut ready = 0;
    for ((packet, to), slice) in pending.zip(&mut names).zip(&mut slices) {
        let Some(name) = name(packet) else { break };
        *to = name;
        *slice = [IoSlice::new(packets.payload(packet))];
        ready += 1;
    }
    if ready == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let slices = slices.iter().take(ready);
    let sent = sendmmsg(fd, headers, slices, names, control, MsgFlags::MSG_DONTWAIT)?;
    Ok(sent.count())
}
