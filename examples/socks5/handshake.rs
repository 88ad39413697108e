//! The messages of SOCKS 4, 4a and 5, without any socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socketserver::{Input, LengthField};

/// The destination of a request.
pub(crate) enum SocksTarget {
    Ip(SocketAddr),
    /// A host name of letters, digits, `-`, `.` and `_` only, and a port.
    Name(String, u16),
}

/// The version that a reply is encoded in.
#[derive(Clone, Copy)]
pub(crate) enum SocksVersion {
    V4,
    V5,
}

/// Why a request is refused; the reply codes of RFC 1928, section 6.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    General = 1,
    NotAllowed = 2,
    NetworkUnreachable = 3,
    HostUnreachable = 4,
    ConnectionRefused = 5,
    CommandNotSupported = 7,
    AddressNotSupported = 8,
}

/// Version, the count of methods, one byte for each.
const GREETING: LengthField = LengthField::U8.offset(1);
/// Version, command, reserved, address type 3, a name with its length, a port.
const NAMED: LengthField = LengthField::U8.offset(4).adjustment(2);
/// Longest user ID in SOCKS 4, and name in 4a, in bytes.
const LONGEST_STRING: usize = 255;

/// Parses the authentication methods of a client; `None` if the message is not complete.
pub(crate) fn greeting<'a>(input: &mut Input<'a>) -> io::Result<Option<&'a [u8]>> {
    Ok(input.take_frame_with(&GREETING, 255)?.map(|frame| frame.body))
}

/// Parses a username and a password (RFC 1929), joined by a colon; `None` if the message is not
/// complete.
pub(crate) fn login(input: &mut Input<'_>) -> io::Result<Option<Vec<u8>>> {
    let (Some(version), user_len) = (input.peek().first(), input.peek().get(1)) else {
        return Ok(None);
    };
    if *version != 1 {
        return Err(invalid("unknown version of the login message"));
    }
    let Some(user_end) = user_len.map(|len| 2 + usize::from(*len)) else { return Ok(None) };
    let Some(password_len) = input.peek().get(user_end) else { return Ok(None) };
    let Some(all) = input.take(user_end + 1 + usize::from(*password_len)) else { return Ok(None) };
    let user = all.get(2..user_end).unwrap_or_default();
    let password = all.get(user_end + 1..).unwrap_or_default();
    Ok(Some([user, b":", password].concat()))
}

/// Parses a request of version 5; `None` if it is not complete.
pub(crate) fn request(input: &mut Input<'_>) -> io::Result<Option<Result<SocksTarget, Refusal>>> {
    let &[version, command, _, kind, ..] = input.peek() else { return Ok(None) };
    if version != 5 {
        return Err(invalid("the version of the request differs from the greeting's"));
    }
    let target = match kind {
        1 => input.take(4 + 4 + 2).map(v5_address::<4>),
        4 => input.take(4 + 16 + 2).map(v5_address::<16>),
        3 => match input.take_frame_with(&NAMED, 255 + 2)? {
            Some(frame) => frame.body.split_last_chunk().map(|(name, port)| named(name, *port)),
            None => None,
        },
        _ => Some(Err(Refusal::AddressNotSupported)),
    };
    // A wrong command is reported before a wrong address, but after the whole request is taken.
    Ok(target.map(|target| if command == 1 { target } else { Err(Refusal::CommandNotSupported) }))
}

/// Parses a request of version 4 or 4a; `None` if it is not complete.
pub(crate) fn request_v4(
    input: &mut Input<'_>,
) -> io::Result<Option<Result<SocksTarget, Refusal>>> {
    let &[_, command, p0, p1, a, b, c, d, ref strings @ ..] = input.peek() else {
        return Ok(None);
    };
    let mut strings = Input::new(strings);
    if strings.take_until(0, LONGEST_STRING)?.is_none() {
        return Ok(None);
    }
    let port = u16::from_be_bytes([p0, p1]);
    let target = match [a, b, c, d] {
        // SOCKS 4a: an invalid address means that a name follows.
        [0, 0, 0, last] if last != 0 => match strings.take_until(0, LONGEST_STRING)? {
            Some(name) => named(name, [p0, p1]),
            None => return Ok(None),
        },
        ip => Ok(SocksTarget::Ip((Ipv4Addr::from(ip), port).into())),
    };
    input.take(input.len() - strings.len());
    Ok(Some(if command == 1 { target } else { Err(Refusal::CommandNotSupported) }))
}

/// Encodes the reply to a request: success with the local address, or a refusal.
pub(crate) fn reply(
    version: SocksVersion,
    outcome: Result<Option<SocketAddr>, Refusal>,
) -> Vec<u8> {
    let ours = outcome.ok().flatten().unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into());
    let port = ours.port().to_be_bytes();
    match (version, ours.ip()) {
        (SocksVersion::V4, ip) => {
            let ip = if let IpAddr::V4(ip) = ip { ip } else { Ipv4Addr::UNSPECIFIED };
            [&[0, if outcome.is_ok() { 90 } else { 91 }], &port[..], &ip.octets()].concat()
        }
        (SocksVersion::V5, ip) => {
            let head = [5, outcome.err().map_or(0, |refusal| refusal as u8), 0];
            match ip {
                IpAddr::V4(ip) => [&head[..], &[1], &ip.octets(), &port].concat(),
                IpAddr::V6(ip) => [&head[..], &[4], &ip.octets(), &port].concat(),
            }
        }
    }
}

/// The `N` bytes before the port are the address.
fn v5_address<const N: usize>(all: &[u8]) -> Result<SocksTarget, Refusal>
where
    IpAddr: From<[u8; N]>,
{
    let address = all.split_last_chunk().and_then(|(rest, port)| {
        let (_, ip) = rest.split_last_chunk::<N>()?;
        Some(SocketAddr::new((*ip).into(), u16::from_be_bytes(*port)))
    });
    address.map(SocksTarget::Ip).ok_or(Refusal::General)
}

/// Clients also send numeric addresses as names. Other characters than a host name's are refused,
/// because a resolver might interpret them.
fn named(name: &[u8], port: [u8; 2]) -> Result<SocksTarget, Refusal> {
    let port = u16::from_be_bytes(port);
    let name = std::str::from_utf8(name).map_err(|_| Refusal::AddressNotSupported)?;
    if let Ok(ip) = name.parse() {
        return Ok(SocksTarget::Ip(SocketAddr::new(ip, port)));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Err(Refusal::AddressNotSupported);
    }
    Ok(SocksTarget::Name(name.to_string(), port))
}

/// An error that closes the connection.
pub(crate) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
