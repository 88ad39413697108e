//! `socks5`: what a client says until its target is known, with any beginning of it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socketserver::Input;

use crate::bytes::Bytes;
use crate::examples::socks5::handshake::{
    Refusal, SocksTarget, SocksVersion, greeting, login, reply, request, request_v4,
};

/// What was understood, and how many bytes were taken for it; nothing while something is missing.
type Understood = Option<Result<(String, usize), ()>>;

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    let kind = choices.below(5);
    let cut = choices.byte();
    let bytes = choices.0;
    if kind == 4 {
        return replies(bytes);
    }
    let (parse, expected) = match kind {
        0 => (greet as fn(&[u8]) -> Understood, expect_greeting(bytes)),
        1 => (log_in as fn(&[u8]) -> Understood, expect_login(bytes)),
        2 => (ask as fn(&[u8]) -> Understood, expect_request(bytes)),
        _ => (ask_v4 as fn(&[u8]) -> Understood, expect_request_v4(bytes)),
    };
    let found = parse(bytes);
    assert_eq!(found, expected, "{kind}: {bytes:?}");
    // A beginning says nothing, or what the whole says.
    let beginning = &bytes[..usize::from(cut).min(bytes.len())];
    let early = parse(beginning);
    assert!(
        early.is_none() || early == found,
        "{kind}: {early:?} of {beginning:?}, then {found:?}"
    );
}

fn parsed<'a, T>(
    bytes: &'a [u8],
    parse: impl FnOnce(&mut Input<'a>) -> io::Result<Option<T>>,
    show: impl FnOnce(T) -> String,
) -> Understood {
    let mut input = Input::new(bytes);
    match parse(&mut input) {
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            Some(Err(()))
        }
        Ok(None) => {
            assert_eq!(input.peek(), bytes, "taken too early");
            None
        }
        Ok(Some(said)) => Some(Ok((show(said), bytes.len() - input.len()))),
    }
}

fn greet(bytes: &[u8]) -> Understood {
    parsed(bytes, greeting, |methods| format!("{methods:?}"))
}

fn log_in(bytes: &[u8]) -> Understood {
    parsed(bytes, login, |login| format!("{login:?}"))
}

fn ask(bytes: &[u8]) -> Understood {
    parsed(bytes, request, show)
}

fn ask_v4(bytes: &[u8]) -> Understood {
    parsed(bytes, request_v4, show)
}

fn show(asked: Result<SocksTarget, Refusal>) -> String {
    match asked {
        Ok(SocksTarget::Ip(addr)) => format!("ip {addr}"),
        Ok(SocksTarget::Name(name, port)) => {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            assert!(!name.is_empty() && name.chars().all(is_plain), "{name:?} is no name");
            assert!(name.parse::<IpAddr>().is_err(), "{name} is an address");
            format!("name {name} {port}")
        }
        Err(refusal) => format!("{refusal:?}"),
    }
}

fn expect_greeting(bytes: &[u8]) -> Understood {
    let n = 2 + usize::from(*bytes.get(1)?);
    bytes.get(2..n).map(|methods| Ok((format!("{methods:?}"), n)))
}

fn expect_login(bytes: &[u8]) -> Understood {
    if *bytes.first()? != 1 {
        return Some(Err(()));
    }
    let user_len = usize::from(*bytes.get(1)?);
    let user = bytes.get(2..2 + user_len)?;
    let len = usize::from(*bytes.get(2 + user_len)?);
    let password = bytes.get(3 + user_len..3 + user_len + len)?;
    let mut both = user.to_vec();
    both.push(b':');
    both.extend_from_slice(password);
    Some(Ok((format!("{both:?}"), 3 + user_len + len)))
}

fn expect_request(bytes: &[u8]) -> Understood {
    let [version, command, _, kind] = *bytes.first_chunk()?;
    if version != 5 {
        return Some(Err(()));
    }
    let (target, len) = match kind {
        1 => {
            let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            (format!("ip {}", SocketAddr::new(ip.into(), port(bytes, 8)?)), 10)
        }
        4 => {
            let ip: [u8; 16] = bytes.get(4..20)?.try_into().ok()?;
            (format!("ip {}", SocketAddr::new(ip.into(), port(bytes, 20)?)), 22)
        }
        3 => {
            let end = 5 + usize::from(*bytes.get(4)?);
            (named(bytes.get(5..end)?, port(bytes, end)?), end + 2)
        }
        _ => ("AddressNotSupported".into(), 0),
    };
    let target = if command == 1 { target } else { "CommandNotSupported".into() };
    Some(Ok((target, len)))
}

fn expect_request_v4(bytes: &[u8]) -> Understood {
    let head: [u8; 8] = *bytes.first_chunk()?;
    let string = |from: usize| {
        let len = bytes[from..].iter().position(|byte| *byte == 0);
        if len.unwrap_or(bytes.len() - from) > 255 { Some(Err(())) } else { len.map(Ok) }
    };
    let Ok(user_len) = string(8)? else { return Some(Err(())) };
    let mut end = 8 + user_len + 1;
    let port = u16::from_be_bytes([head[2], head[3]]);
    let target = if head[4..7] == [0; 3] && head[7] != 0 {
        let Ok(len) = string(end)? else { return Some(Err(())) };
        let name = &bytes[end..end + len];
        end += len + 1;
        named(name, port)
    } else {
        format!(
            "ip {}",
            SocketAddr::new(Ipv4Addr::new(head[4], head[5], head[6], head[7]).into(), port)
        )
    };
    let target = if head[1] == 1 { target } else { "CommandNotSupported".into() };
    Some(Ok((target, end)))
}

fn port(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|digits| u16::from(digits[0]) << 8 | u16::from(digits[1]))
}

fn named(name: &[u8], port: u16) -> String {
    let Ok(name) = std::str::from_utf8(name) else { return "AddressNotSupported".into() };
    if let Ok(ip) = name.parse::<IpAddr>() {
        return format!("ip {}", SocketAddr::new(ip, port));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if name.is_empty() || !name.chars().all(is_plain) {
        return "AddressNotSupported".into();
    }
    format!("name {name} {port}")
}

/// A client finds in an answer what was put there.
fn replies(bytes: &[u8]) {
    let mut choices = Bytes(bytes);
    let flags = choices.byte();
    let port = u16::try_from(choices.number::<2>()).unwrap_or(0);
    let ip: IpAddr = if flags & 1 == 0 {
        Ipv4Addr::from(choices.number::<4>() as u32).into()
    } else {
        Ipv6Addr::from(u128::from(choices.number::<8>()) << 64 | u128::from(choices.number::<8>()))
            .into()
    };
    let addr = SocketAddr::new(ip, port);
    let outcome = match flags >> 1 & 3 {
        0 => Err(Refusal::NotAllowed),
        1 => Ok(None),
        _ => Ok(Some(addr)),
    };
    let v4 = reply(SocksVersion::V4, outcome);
    assert_eq!((v4.len(), v4[0], v4[1] == 90), (8, 0, outcome.is_ok()));
    // An answer has the form of a request, but for its first bytes.
    let v5 = reply(SocksVersion::V5, outcome);
    assert_eq!((v5[0], v5[1] == 0, v5[2]), (5, outcome.is_ok(), 0));
    let as_request = [&[5, 1, 0], &v5[3..]].concat();
    let said = outcome.ok().flatten().unwrap_or(SocketAddr::from(([0; 4], 0)));
    assert_eq!(ask(&as_request), Some(Ok((format!("ip {said}"), v5.len()))));
}
