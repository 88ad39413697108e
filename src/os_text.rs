//! Text of the operating system, which may be no UTF-8; no file above it has to ask which system.

use std::ffi::{OsStr, OsString};
use std::io;

/// Bytes of the longest path, or abstract name, of a Unix socket: `sun_path` (unix(7)) without the
/// zero byte that ends a path, or begins an abstract name.
#[cfg(unix)]
pub(crate) const LONGEST_NAME: usize =
    size_of::<libc::sockaddr_un>() - std::mem::offset_of!(libc::sockaddr_un, sun_path) - 1;

#[cfg(not(unix))]
pub(crate) const LONGEST_NAME: usize = 107;

/// The text behind `prefix`, if it begins so.
#[cfg(unix)]
pub(crate) fn strip_prefix<'a>(text: &'a OsStr, prefix: &str) -> Option<&'a OsStr> {
    use std::os::unix::ffi::OsStrExt;

    text.as_bytes().strip_prefix(prefix.as_bytes()).map(OsStr::from_bytes)
}

/// Elsewhere only of what is text.
#[cfg(not(unix))]
pub(crate) fn strip_prefix<'a>(text: &'a OsStr, prefix: &str) -> Option<&'a OsStr> {
    text.to_str()?.strip_prefix(prefix).map(OsStr::new)
}

/// Bytes as text, exactly where any bytes are text.
#[cfg(unix)]
pub(crate) fn from_bytes(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

#[cfg(not(unix))]
pub(crate) fn from_bytes(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// The number of the network interface of this name (`if_nametoindex(3)`).
#[cfg(all(unix, feature = "sys"))]
pub(crate) fn interface(name: &str) -> io::Result<u32> {
    nix::net::if_::if_nametoindex(name).map_err(|_| unknown_interface(name))
}

/// Linux says it in a file as well.
#[cfg(not(all(unix, feature = "sys")))]
pub(crate) fn interface(name: &str) -> io::Result<u32> {
    let is_plain = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    let text = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex"));
    let index = text.ok().filter(|_| is_plain).and_then(|text| text.trim().parse().ok());
    index.ok_or_else(|| unknown_interface(name))
}

fn unknown_interface(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no network interface {name:?}"))
}
