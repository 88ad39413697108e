//! Addresses: what is printed is understood again, and the command accepts what the library does.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

use socketserver::{Addr, ToAddrs};

use crate::args::addresses::form_of_ip;
use crate::bytes::Bytes;

/// Bytes of the path of a Unix socket (`sun_path` without its zero).
const LONGEST: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    match choices.below(4) {
        0 => printed(&mut choices),
        _ => {
            if let Ok(text) = std::str::from_utf8(choices.0) {
                typed(text);
            }
        }
    }
}

fn printed(choices: &mut Bytes<'_>) {
    let port = u16::try_from(choices.number::<2>()).unwrap_or(0);
    let addr = if choices.flag() {
        let v4 = u32::try_from(choices.number::<4>()).unwrap_or(0);
        SocketAddr::from((Ipv4Addr::from(v4), port))
    } else {
        // Few bytes, so that there are runs of zeros and addresses of IPv4 in those of IPv6.
        let bits = u128::from(choices.number::<2>()) << 112 | u128::from(choices.number::<6>());
        let scope = u32::from(choices.byte());
        SocketAddrV6::new(Ipv6Addr::from(bits), port, 0, scope).into()
    };
    let text = Addr::from(addr).to_string();
    let expected = vec![Addr::Ip(addr)];
    assert_eq!(text.to_addrs().expect("our own address"), expected);
    assert_eq!(addr.to_addrs().expect("an address"), expected);
    assert_eq!(expected[..].to_addrs().expect("addresses"), expected);
    assert_eq!(form_of_ip(&text), Ok(()), "{text}");
    if !matches!(addr, SocketAddr::V6(v6) if v6.scope_id() != 0) {
        let host = addr.ip().to_string();
        assert_eq!((host.as_str(), port).to_addrs().expect("a number"), expected);
        assert_eq!((addr.ip(), port).to_addrs().expect("a number"), expected);
    }
    let addr = Addr::Ip(addr);
    assert_eq!((addr.port(), addr.path()), (Some(port), None));
}

fn typed(text: &str) {
    let is_number = text.parse::<SocketAddr>().is_ok();
    match form_of_ip(text) {
        Ok(()) => {
            let (host, port) = text.rsplit_once(':').expect("a port");
            assert!(!host.is_empty() && port.parse::<u16>().is_ok(), "{text:?}");
            let has_interface = host.contains('%');
            let in_brackets = host.starts_with('[') && host.ends_with(']');
            assert!(is_number || has_interface || !in_brackets, "{text:?}");
        }
        Err(why) => assert!(!is_number, "{text:?}: {why}"),
    }
    if let Some(path) = text.strip_prefix("unix:") {
        let found = text.to_addrs();
        if path.is_empty() {
            assert!(found.is_err());
            return;
        }
        let has_abstract = cfg!(any(target_os = "linux", target_os = "android"));
        if let Some(name) = path.strip_prefix('@').filter(|_| has_abstract) {
            let found = found.ok();
            let can_be = !name.is_empty() && name.len() <= LONGEST;
            let expected = can_be.then(|| vec![Addr::Abstract(name.into())]);
            assert_eq!(found, expected);
            return;
        }
        if path.len() > LONGEST {
            let error = found.expect_err("no socket has so long a path");
            assert!(error.to_string().contains(&path.len().to_string()), "{error}");
            return;
        }
        let expected = Addr::Unix(path.into());
        assert_eq!(found.expect("any path may be one"), std::slice::from_ref(&expected));
        assert_eq!(Path::new(path).to_addrs().expect("a path"), std::slice::from_ref(&expected));
        assert_eq!(format!("unix:{expected}").to_addrs().expect("our own"), [expected]);
        return;
    }
    // A name would be looked up, which is no matter of bytes.
    let is_name = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if is_number {
        let found = text.to_addrs().expect("a number");
        assert_eq!(found, [Addr::Ip(text.parse().expect("it did"))]);
        let printed = found[0].to_string();
        assert_eq!(printed.to_addrs().expect("our own"), found, "{text:?}");
    } else if !is_name {
        let error = text.to_addrs().expect_err("it is no address");
        assert!(error.to_string().contains(text), "{text:?}: {error}");
    }
}
