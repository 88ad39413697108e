//! The destination of a received datagram, and the source of one to send.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The destination of a received datagram, as the system reports it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Destination {
    /// With the port of the socket, and the interface of a link-local address.
    pub(crate) addr: SocketAddr,
    /// Whether a datagram may leave from it; `false` for a group or a broadcast address.
    pub(crate) is_unicast: bool,
}

impl Destination {
    /// The source address of a reply; `None` leaves the choice to the system.
    pub(crate) fn source(&self) -> Option<SocketAddr> {
        self.is_unicast.then_some(self.addr)
    }
}

/// The source address of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PacketSource {
    V4(Ipv4Addr),
    /// With the index of the interface; 0 is any.
    V6(Ipv6Addr, u32),
}

/// The length of a source address in the queue.
pub(super) const V4_LEN: usize = 4;
pub(super) const V6_LEN: usize = 20;

impl PacketSource {
    /// Names `from` as a packet to `to` needs it; `None` if one cannot be reached from the other.
    pub(super) fn new(from: SocketAddr, to: SocketAddr) -> Option<PacketSource> {
        match (from, to) {
            (SocketAddr::V4(from), SocketAddr::V4(_)) => Some(PacketSource::V4(*from.ip())),
            (SocketAddr::V6(from), SocketAddr::V6(to)) => {
                let alike = is_mapped(from) == is_mapped(to);
                alike.then_some(PacketSource::V6(*from.ip(), from.scope_id()))
            }
            (SocketAddr::V6(from), SocketAddr::V4(_)) => {
                from.ip().to_ipv4_mapped().map(PacketSource::V4)
            }
            (SocketAddr::V4(from), SocketAddr::V6(to)) => {
                is_mapped(to).then_some(PacketSource::V6(from.ip().to_ipv6_mapped(), 0))
            }
        }
    }

    pub(super) fn encode(self, bytes: &mut Vec<u8>) {
        match self {
            PacketSource::V4(ip) => bytes.extend_from_slice(&ip.octets()),
            PacketSource::V6(ip, interface) => {
                bytes.extend_from_slice(&ip.octets());
                bytes.extend_from_slice(&interface.to_be_bytes());
            }
        }
    }

    #[allow(dead_code, reason = "only where a system can be told where something leaves from")]
    pub(super) fn decode(bytes: &[u8]) -> Option<PacketSource> {
        if let Ok(ip) = <[u8; V4_LEN]>::try_from(bytes) {
            return Some(PacketSource::V4(ip.into()));
        }
        let (ip, interface) = bytes.split_first_chunk::<16>()?;
        Some(PacketSource::V6((*ip).into(), u32::from_be_bytes(interface.try_into().ok()?)))
    }
}

fn is_mapped(addr: SocketAddrV6) -> bool {
    addr.ip().to_ipv4_mapped().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_is_named_as_its_peer_is_and_lies_in_the_queue_as_it_was() {
        let named = |from: &str, to: &str| PacketSource::new(addr(from), addr(to));
        let (four, six) = (Ipv4Addr::new(127, 0, 0, 2), "fe80::2".parse().unwrap());
        let mapped = PacketSource::V6(four.to_ipv6_mapped(), 0);
        assert_eq!(named("127.0.0.2:7", "10.0.0.1:9"), Some(PacketSource::V4(four)));
        assert_eq!(named("[::ffff:127.0.0.2]:7", "10.0.0.1:9"), Some(PacketSource::V4(four)));
        assert_eq!(named("127.0.0.2:7", "[::ffff:10.0.0.1]:9"), Some(mapped));
        assert_eq!(named("[::ffff:127.0.0.2]:7", "[::ffff:10.0.0.1]:9"), Some(mapped));
        assert_eq!(named("[fe80::2%3]:7", "[fe80::1%3]:9"), Some(PacketSource::V6(six, 3)));
        for (from, to) in [
            ("127.0.0.1:7", "[::1]:9"),
            ("[::1]:7", "127.0.0.1:9"),
            ("[::1]:7", "[::ffff:127.0.0.1]:9"),
        ] {
            assert_eq!(named(from, to), None, "from {from} to {to}");
        }
        for source in [PacketSource::V4(four), mapped, PacketSource::V6(six, 3)] {
            let mut bytes = Vec::new();
            source.encode(&mut bytes);
            assert_eq!(bytes.len(), if let PacketSource::V4(_) = source { V4_LEN } else { V6_LEN });
            assert_eq!(PacketSource::decode(&bytes), Some(source));
        }
        assert_eq!(PacketSource::decode(b"neither"), None);
    }
}
