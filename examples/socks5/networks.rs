//! Which IP addresses are public. The rest is in the IANA registries of special-purpose addresses
//! (RFC 6890 and its successors).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `ip` is globally reachable, so that a proxy adds no access to it.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

#[allow(clippy::unnested_or_patterns, reason = "one line a registry")]
fn is_public_v4(ip: Ipv4Addr) -> bool {
    match ip.octets() {
        // "This network" (RFC 1122): a connection to 0.0.0.0 reaches this machine.
        [0 | 127, ..]
        // Private (RFC 1918), shared (RFC 6598), link-local (RFC 3927).
        | [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [169, 254, ..]
        // Protocol assignments, documentation, benchmarks (RFC 6890, 5737, 2544).
        | [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18..=19, ..]
        // Multicast, reserved, broadcast.
        | [224..=255, ..] => false,
        _ => true,
    }
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // An embedded IPv4 address: NAT64 (RFC 6052), 6to4 (RFC 3056).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        // Teredo and other assignments (RFC 4380, 2928), documentation (RFC 3849, 9637).
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Global unicast addresses are in 2000::/3. The rest is loopback, unique local, link-local,
        // site-local, multicast, local NAT64 (RFC 8215) or unassigned.
        [first, ..] => first >> 13 == 1,
    }
}
