//! What an address on the command line must look like, said before anything is opened.

use std::ffi::OsStr;

use socketserver::{Addr, ToAddrs};

use super::usage;
use crate::terminal;

/// A path, or an abstract name, that can be that of a socket; what else may be wrong with it is seen
/// when it is bound.
pub(crate) fn check_path(path: &OsStr, option: &str) -> Result<Addr, clap::Error> {
    let addr = Addr::unix(path);
    let wrong = |why: &str| {
        usage(&format!("invalid value '{}' for '{option}': {why}", terminal::shown(path)))
    };
    addr.to_addrs().map(|_| addr).map_err(|error| wrong(&error.to_string()))
}

/// The form of an address; whether its name exists is seen when it is looked up.
pub(crate) fn check_ip(addr: &str, option: &str) -> Result<(), clap::Error> {
    let wrong = |why: &str| usage(&format!("invalid value '{addr}' for '{option}': {why}"));
    form_of_ip(addr).map_err(wrong)
}

/// What is wrong with the form of an address.
pub(crate) fn form_of_ip(addr: &str) -> Result<(), &'static str> {
    let Some((host, port)) = addr.rsplit_once(':') else {
        return Err("a port is missing; write it like 127.0.0.1:7000");
    };
    // A sign would pass as part of a number here, but not everywhere behind.
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err() {
        return Err("the port is no number from 0 to 65535");
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(bare) if !is_v6(bare) => Err("no IPv6 address stands in the brackets"),
        None if host.contains(':') => Err("write an IPv6 address like [::1]:7000"),
        None if host.is_empty() => Err("the host is missing; 0.0.0.0 is every IPv4 address"),
        _ => Ok(()),
    }
}

/// An IPv6 address, perhaps with its interface behind it, by name or by number: fe80::1%eth0.
fn is_v6(text: &str) -> bool {
    let (ip, zone) = text.split_once('%').map_or((text, None), |(ip, zone)| (ip, Some(zone)));
    let is_zone = |zone: &str| {
        let is_number = zone.bytes().all(|byte| byte.is_ascii_digit());
        !zone.is_empty() && (!is_number || zone.parse::<u32>().is_ok())
    };
    ip.parse::<std::net::Ipv6Addr>().is_ok() && zone.is_none_or(is_zone)
}
