//! Text of the operating system, which may not be UTF-8, and names of interfaces; hides the platform.

use std::ffi::{OsStr, OsString};
use std::io;

/// The longest path, or abstract name, of a Unix socket in bytes: `sun_path` (unix(7)) without the zero
/// byte that ends a path, or begins an abstract name.
#[cfg(unix)]
pub(crate) const LONGEST_NAME: usize =
    size_of::<libc::sockaddr_un>() - std::mem::offset_of!(libc::sockaddr_un, sun_path) - 1;

#[cfg(not(unix))]
pub(crate) const LONGEST_NAME: usize = 107;

/// The text after `prefix`; `None` if it does not begin with `prefix`.
#[cfg(unix)]
pub(crate) fn strip_prefix<'a>(text: &'a OsStr, prefix: &str) -> Option<&'a OsStr> {
    use std::os::unix::ffi::OsStrExt;

    text.as_bytes().strip_prefix(prefix.as_bytes()).map(OsStr::from_bytes)
}

/// Without `OsStrExt`, text that is not UTF-8 gives `None`.
#[cfg(not(unix))]
pub(crate) fn strip_prefix<'a>(text: &'a OsStr, prefix: &str) -> Option<&'a OsStr> {
    text.to_str()?.strip_prefix(prefix).map(OsStr::new)
}

/// Converts bytes to text; exact on Unix, lossy elsewhere.
#[cfg(unix)]
pub(crate) fn from_bytes(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

#[cfg(not(unix))]
pub(crate) fn from_bytes(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// The index of a network interface (`if_nametoindex(3)`).
#[cfg(all(unix, feature = "sys"))]
pub(crate) fn interface(name: &str) -> io::Result<u32> {
    nix::net::if_::if_nametoindex(name).map_err(|_| unknown_interface(name))
}

/// Without `nix`, reads the index from sysfs, which only Linux has.
#[cfg(not(all(unix, feature = "sys")))]
pub(crate) fn interface(name: &str) -> io::Result<u32> {
    let is_plain = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    let text = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex"));
    let index = text.ok().filter(|_| is_plain).and_then(|text| text.trim().parse().ok());
    index.ok_or_else(|| unknown_interface(name))
}

fn unknown_interface(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no such network interface: {name:?}"))
}
