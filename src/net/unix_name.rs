//! Names of Unix sockets: a path, an abstract name (Linux, Android), or none.

use std::ffi::OsStr;
use std::io;
#[cfg(target_os = "android")]
use std::os::android::net::SocketAddrExt;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};

use super::unsupported;
use crate::addr::Addr;

/// The name that the system reports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum UnixName<'a> {
    Path(&'a Path),
    /// Without the leading zero byte.
    Abstract(&'a [u8]),
    None,
}

impl<'a> UnixName<'a> {
    pub(super) fn of(addr: &'a SocketAddr) -> UnixName<'a> {
        match addr.as_pathname() {
            Some(path) => UnixName::Path(path),
            None => abstract_name(addr).map_or(UnixName::None, UnixName::Abstract),
        }
    }

    pub(super) fn to_addr(self) -> Addr {
        match self {
            UnixName::Path(path) => Addr::Unix(path.to_path_buf()),
            UnixName::Abstract(name) => Addr::Abstract(name.to_vec()),
            UnixName::None => Addr::Unnamed,
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_name(addr: &SocketAddr) -> Option<&[u8]> {
    addr.as_abstract_name()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_name(_: &SocketAddr) -> Option<&[u8]> {
    None
}

/// The peer of an accepted stream. mio reports an abstract name as unnamed.
pub(super) fn of_accepted(peer: &SocketAddr, stream: &mio::net::UnixStream) -> Addr {
    let asked = if cfg!(any(target_os = "linux", target_os = "android")) && peer.is_unnamed() {
        stream.peer_addr().ok()
    } else {
        None
    };
    UnixName::of(asked.as_ref().unwrap_or(peer)).to_addr()
}

/// Connects without blocking. Not with mio, which truncates an abstract name that begins with a
/// zero byte.
pub(super) fn connect_abstract(addr: &Addr) -> io::Result<mio::net::UnixStream> {
    let name = sock_addr(addr).ok_or_else(|| unsupported(addr))??;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&name)?;
    Ok(mio::net::UnixStream::from_std(socket.into()))
}

/// For an empty name the system would choose one itself.
fn check_abstract(name: &[u8]) -> io::Result<()> {
    let what = match name.len() {
        0 => "the abstract name is empty",
        1..=MAX_ABSTRACT_NAME => return Ok(()),
        _ => "an abstract name has at max 107 bytes",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// With the leading zero byte it fills `sun_path` (unix(7)).
const MAX_ABSTRACT_NAME: usize = 107;

/// Converts an address for `socket2`; `None` if it is no Unix address on this system.
pub(super) fn sock_addr(addr: &Addr) -> Option<io::Result<SockAddr>> {
    match addr {
        Addr::Unix(path) => Some(of_path(path)),
        Addr::Abstract(name) if cfg!(any(target_os = "linux", target_os = "android")) => {
            Some(check_abstract(name).and_then(|()| of_bytes(&[b"\0", name.as_slice()].concat())))
        }
        _ => None,
    }
}

/// `socket2` would take a leading zero byte for an abstract name.
pub(super) fn of_path(path: &Path) -> io::Result<SockAddr> {
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path contains a zero byte"));
    }
    SockAddr::unix(path)
}

/// Converts the system's encoding; a leading zero byte means an abstract name.
pub(super) fn of_bytes(name: &[u8]) -> io::Result<SockAddr> {
    SockAddr::unix(OsStr::from_bytes(name))
}
