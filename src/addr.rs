//! Addresses of every kind of socket.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// The address of a socket (Python's `server_address` and `client_address`).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Addr {
    /// An IPv4 or IPv6 address and a port.
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// A Unix socket without a name, as the clients of a Unix server usually are.
    Unnamed,
}

impl Addr {
    /// The port of an IP address.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.ip().map(SocketAddr::port)
    }

    /// The IP address and port, if that is what it is.
    #[must_use]
    pub fn ip(&self) -> Option<&SocketAddr> {
        if let Addr::Ip(addr) = self { Some(addr) } else { None }
    }

    /// The path of a Unix socket that has one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        if let Addr::Unix(path) = self { Some(path) } else { None }
    }
}

/// As it is written on the command line and in logs: `127.0.0.1:7000`, `[::1]:7000`, the path.
impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::Ip(addr) => addr.fmt(f),
            Addr::Unix(path) => path.display().fmt(f),
            Addr::Unnamed => f.write_str("unnamed"),
        }
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Addr {
        Addr::Ip(addr)
    }
}

impl From<PathBuf> for Addr {
    fn from(path: PathBuf) -> Addr {
        Addr::Unix(path)
    }
}

impl From<&Path> for Addr {
    fn from(path: &Path) -> Addr {
        Addr::Unix(path.to_path_buf())
    }
}

/// What can be turned into addresses: `"127.0.0.1:7000"`, `"localhost:7000"`, `("::1", 7000)`, a
/// [`SocketAddr`], a [`Path`], `"unix:/run/echo"`, an [`Addr`].
///
/// A name is looked up where it is given, which may block; numbers never do.
pub trait ToAddrs {
    /// The addresses, in the order in which they should be tried; never none.
    ///
    /// # Errors
    /// When it is no address, or the name is unknown.
    fn to_addrs(&self) -> io::Result<Vec<Addr>>;
}

impl ToAddrs for str {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        match self.strip_prefix("unix:") {
            Some(path) => Path::new(path).to_addrs(),
            None => look_up(self, self),
        }
    }
}

impl ToAddrs for String {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        self.as_str().to_addrs()
    }
}

impl ToAddrs for (&str, u16) {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        look_up(self, self.0)
    }
}

impl ToAddrs for Path {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        if self.as_os_str().is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is empty"));
        }
        Ok(vec![Addr::Unix(self.to_path_buf())])
    }
}

impl ToAddrs for PathBuf {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        self.as_path().to_addrs()
    }
}

impl ToAddrs for Addr {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        Ok(vec![self.clone()])
    }
}

impl ToAddrs for SocketAddr {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        Ok(vec![Addr::Ip(*self)])
    }
}

impl ToAddrs for (IpAddr, u16) {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        Ok(vec![Addr::Ip(SocketAddr::from(*self))])
    }
}

impl ToAddrs for (Ipv4Addr, u16) {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        Ok(vec![Addr::Ip(SocketAddr::from(*self))])
    }
}

impl ToAddrs for (Ipv6Addr, u16) {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        Ok(vec![Addr::Ip(SocketAddr::from(*self))])
    }
}

/// As they are, in this order; an error when there is none.
impl ToAddrs for [Addr] {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        if self.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address"));
        }
        Ok(self.to_vec())
    }
}

impl<T: ToAddrs + ?Sized> ToAddrs for &T {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        (**self).to_addrs()
    }
}

fn look_up(addr: impl ToSocketAddrs, name: &str) -> io::Result<Vec<Addr>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
    let addrs: Vec<Addr> = addr.to_socket_addrs().map_err(named)?.map(Addr::Ip).collect();
    if addrs.is_empty() {
        return Err(named(io::Error::new(io::ErrorKind::NotFound, "no address for this name")));
    }
    Ok(addrs)
}

/// Tries one address of a name after the other; the error is that of the last.
pub(crate) fn first_that_works<T>(
    what: &str,
    addrs: &[Addr],
    mut open: impl FnMut(&Addr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for addr in addrs {
        match open(addr) {
            Ok(id) => return Ok(id),
            Err(error) => {
                let what = format!("cannot {what} {addr}: {error}");
                last = Some(io::Error::new(error.kind(), what));
            }
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_meant() {
        let one = |addr: &dyn Fn() -> io::Result<Vec<Addr>>| addr().unwrap()[0].to_string();
        assert_eq!(one(&|| "127.0.0.1:7000".to_addrs()), "127.0.0.1:7000");
        assert_eq!(one(&|| "[::1]:9".to_addrs()), "[::1]:9");
        assert_eq!(one(&|| "unix:/run/echo".to_addrs()), "/run/echo");
        assert_eq!(one(&|| ("127.0.0.1", 9).to_addrs()), "127.0.0.1:9");
        assert_eq!(one(&|| Path::new("a b").to_addrs()), "a b");
    }

    #[test]
    fn what_is_no_address_is_named() {
        for bad in ["", "nonsense", "127.0.0.1", "127.0.0.1:99999", "unix:"] {
            let error = bad.to_addrs().unwrap_err();
            assert!(error.to_string().contains(bad.trim_start_matches("unix:")), "{bad}: {error}");
        }
    }
}
