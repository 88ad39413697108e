//! The local address of a datagram, its destination or source, as a control message.
//!
//! A socket that is bound to the wildcard has every address of the machine. The kernel reports the
//! destination of each datagram (ip(7): `IP_PKTINFO`; RFC 3542, 6: `IPV6_PKTINFO`), and takes the
//! source of each reply, which a client expects from there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessageOwned, RecvMsg, setsockopt, sockopt};
use socket2::Socket;

use crate::conn::packets::{Destination, PacketSource};

/// Requests the destination of each datagram. Called before bind(2), so that the first one has it.
pub(super) fn request(socket: &Socket, is_v6: bool) -> io::Result<()> {
    if is_v6 {
        // IPv4 datagrams of such a socket are included; their addresses are mapped.
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    Ok(())
}

/// The destination of a datagram of a socket with this port; `None` if the kernel did not report
/// it.
#[inline]
pub(super) fn destination<S>(message: &RecvMsg<'_, '_, S>, port: u16) -> Option<Destination> {
    message.cmsgs().ok()?.find_map(|info| match info {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(of_v4(&info, port)),
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(of_v6(&info, port)),
        _ => None,
    })
}

fn of_v4(info: &in_pktinfo, port: u16) -> Destination {
    let ip = Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes());
    // For a group and for a broadcast the kernel reports an address of the interface here.
    let is_unicast = info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr;
    Destination { addr: SocketAddrV4::new(ip, port).into(), is_unicast }
}

fn of_v6(info: &in6_pktinfo, port: u16) -> Destination {
    let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
    let scope = if is_link_scoped(ip) { number(info.ipi6_ifindex) } else { 0 };
    let is_broadcast = ip.to_canonical() == IpAddr::V4(Ipv4Addr::BROADCAST);
    let is_unicast = !ip.to_canonical().is_multicast() && !is_broadcast;
    Destination { addr: SocketAddrV6::new(ip, port, 0, scope).into(), is_unicast }
}

/// Whether the address is valid only together with an interface.
fn is_link_scoped(ip: Ipv6Addr) -> bool {
    ip.is_unicast_link_local() || matches!(ip.octets(), [0xff, scope, ..] if scope & 0xf <= 2)
}

/// The source of a packet of an IPv4 socket. The routes choose the interface, because a reply may
/// have to leave by another one.
pub(super) fn pktinfo_v4(source: PacketSource) -> Option<in_pktinfo> {
    let PacketSource::V4(ip) = source else { return None };
    let unset = in_addr { s_addr: 0 };
    let ip = in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
    Some(in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: ip, ipi_addr: unset })
}

/// The source of a packet of an IPv6 socket, on which IPv4 addresses are mapped.
pub(super) fn pktinfo_v6(source: PacketSource) -> in6_pktinfo {
    let (ip, interface) = match source {
        PacketSource::V4(ip) => (ip.to_ipv6_mapped(), 0),
        PacketSource::V6(ip, interface) => (ip, interface),
    };
    let ip = in6_addr { s6_addr: ip.octets() };
    in6_pktinfo { ipi6_addr: ip, ipi6_ifindex: number(interface) }
}

/// Whether an error means that nothing can leave from the source address, at least not to this
/// peer: it is a broadcast address, which an IPv6 socket cannot recognise, or was removed.
#[cold]
pub(super) fn is_source_error(error: &io::Error) -> bool {
    // For a foreign IPv4 address older kernels return EINVAL, newer ones ENETUNREACH.
    let known = [libc::EINVAL, libc::ENODEV, libc::EADDRNOTAVAIL, libc::ENETUNREACH];
    error.raw_os_error().is_some_and(|errno| known.contains(&errno))
}

/// The index of an interface, whose sign differs between systems.
#[allow(
    clippy::unnecessary_fallible_conversions,
    clippy::useless_conversion,
    reason = "only on Android it is another type"
)]
fn number<T: Default + TryFrom<U>, U>(of: U) -> T {
    T::try_from(of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_datagram_was_sent_to_is_told_as_it_is_and_a_group_answers_nothing() {
        let four = |addr: [u8; 4], ours: [u8; 4]| {
            let [ipi_addr, ipi_spec_dst] =
                [addr, ours].map(|ip| in_addr { s_addr: u32::from_ne_bytes(ip) });
            of_v4(&in_pktinfo { ipi_ifindex: 3, ipi_spec_dst, ipi_addr }, 7)
        };
        let six = |text: &str| {
            let ip: Ipv6Addr = text.parse().unwrap();
            of_v6(&in6_pktinfo { ipi6_addr: in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 3 }, 7)
        };
        for (destination, addr, is_unicast) in [
            (four([127, 0, 0, 2], [127, 0, 0, 2]), "127.0.0.2:7", true),
            (four([10, 0, 0, 255], [10, 0, 0, 1]), "10.0.0.255:7", false),
            (four([224, 0, 0, 251], [10, 0, 0, 1]), "224.0.0.251:7", false),
            (six("::1"), "[::1]:7", true),
            (six("::ffff:127.0.0.2"), "[::ffff:127.0.0.2]:7", true),
            (six("::ffff:255.255.255.255"), "[::ffff:255.255.255.255]:7", false),
            (six("::ffff:224.0.0.251"), "[::ffff:224.0.0.251]:7", false),
            (six("fe80::1"), "[fe80::1%3]:7", true),
            (six("ff02::fb"), "[ff02::fb%3]:7", false),
            (six("ff05::fb"), "[ff05::fb]:7", false),
        ] {
            assert_eq!(
                (destination.addr, destination.is_unicast),
                (addr.parse().unwrap(), is_unicast)
            );
            let source = destination.source();
            assert_eq!(source, Some(destination.addr).filter(|_| is_unicast));
        }
    }

    #[test]
    fn where_an_answer_leaves_from_is_told_in_the_words_of_the_socket() {
        let (four, six) = (Ipv4Addr::new(127, 0, 0, 2), "fe80::1".parse::<Ipv6Addr>().unwrap());
        let info = pktinfo_v4(PacketSource::V4(four)).unwrap();
        assert_eq!(info.ipi_spec_dst.s_addr.to_ne_bytes(), four.octets());
        assert_eq!(info.ipi_ifindex, 0);
        assert!(pktinfo_v4(PacketSource::V6(six, 3)).is_none());
        let info = pktinfo_v6(PacketSource::V4(four));
        assert_eq!(info.ipi6_addr.s6_addr, four.to_ipv6_mapped().octets());
        let info = pktinfo_v6(PacketSource::V6(six, 3));
        assert_eq!((info.ipi6_addr.s6_addr, info.ipi6_ifindex), (six.octets(), 3));
    }
}
