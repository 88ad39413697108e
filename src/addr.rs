//! Addresses of every kind of socket.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::os_text::{self, LONGEST_NAME};

mod text;

pub(crate) use text::{Name, Written, some_of};

/// The address of a socket (Python's `server_address` and `client_address`).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Addr {
    /// An IPv4 or IPv6 address and a port.
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// The abstract name of a Unix socket, without the leading zero byte (unix(7)), at most 107 bytes of any
    /// value. It is not a file, and the kernel frees it when its socket is closed. Linux and Android only.
    Abstract(Vec<u8>),
    /// A Unix socket without a name, as the clients of a Unix server usually are.
    Unnamed,
}

/// Whether `@name` is an abstract name on this system, and not a file.
const HAS_ABSTRACT: bool = cfg!(any(target_os = "linux", target_os = "android"));

impl Addr {
    /// Parses the address of a Unix socket as on a command line. `@name` is an abstract name where the
    /// system has them (as in `ss`, socat and systemd); any other text is a path. For a file named `@name`,
    /// write `./@name`.
    ///
    /// ```
    /// use socketserver::Addr;
    ///
    /// assert_eq!(Addr::unix("/run/echo"), Addr::Unix("/run/echo".into()));
    /// # #[cfg(target_os = "linux")]
    /// assert_eq!(Addr::unix("@echo"), Addr::Abstract(b"echo".to_vec()));
    /// ```
    #[must_use]
    pub fn unix(name: impl AsRef<OsStr>) -> Addr {
        let name = name.as_ref();
        match name.as_encoded_bytes().strip_prefix(b"@") {
            Some(name) if HAS_ABSTRACT => Addr::Abstract(name.to_vec()),
            _ => Addr::Unix(name.into()),
        }
    }

    /// Returns the text of [`Display`](fmt::Display), but exact for a path or an abstract name that is not
    /// UTF-8.
    #[must_use]
    pub fn to_os_string(&self) -> OsString {
        match self {
            Addr::Unix(path) if looks_abstract(path) => Path::new(".").join(path).into(),
            Addr::Unix(path) => path.into(),
            Addr::Abstract(name) => os_text::from_bytes([b"@", name.as_slice()].concat()),
            other => other.to_string().into(),
        }
    }

    /// The port of an IP address; `None` for other addresses.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.ip().map(SocketAddr::port)
    }

    /// The IP address and port; `None` for other addresses.
    #[must_use]
    pub fn ip(&self) -> Option<&SocketAddr> {
        if let Addr::Ip(addr) = self { Some(addr) } else { None }
    }

    /// The path of a Unix socket; `None` for other addresses.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        if let Addr::Unix(path) = self { Some(path) } else { None }
    }
}

/// Whether [`Addr::unix`] would parse the path as an abstract name.
fn looks_abstract(path: &Path) -> bool {
    HAS_ABSTRACT && path.as_os_str().as_encoded_bytes().starts_with(b"@")
}

/// Writes the form of the command line and of logs: `127.0.0.1:7000`, `[::1]:7000`, the path, `@name`. A
/// path or name that is not UTF-8 is in quotes with `\xFF` escapes; [`Addr::to_os_string`] is exact.
impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::Ip(addr) => addr.fmt(f),
            // `ss` too writes a zero byte in a name as `@`.
            Addr::Abstract(name) if std::str::from_utf8(name).is_ok() => {
                write!(f, "@{}", String::from_utf8_lossy(name).replace('\0', "@"))
            }
            Addr::Unix(_) | Addr::Abstract(_) => {
                let written = self.to_os_string();
                match written.to_str() {
                    Some(text) => f.write_str(text),
                    None => write!(f, "{written:?}"),
                }
            }
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

/// Converts to addresses: `"127.0.0.1:7000"`, `"localhost:7000"`, `("::1", 7000)`, a [`SocketAddr`], a
/// [`Path`], `"unix:/run/echo"`, `"unix:@echo"` (see [`Addr::unix`]), an [`Addr`], or an argument of the
/// command line ([`OsStr`]).
///
/// An IPv6 address may have a zone, the index or name of an interface: `"[fe80::1%eth0]:7000"`.
/// `localhost`, and any name that ends in `.localhost`, is always `::1` and `127.0.0.1` (RFC 6761).
///
/// The call looks up any other name, which may block; [`Connect`](crate::Connect) looks it up in another
/// thread.
pub trait ToAddrs {
    /// Returns the addresses in the order in which the caller should try them; at least one.
    ///
    /// # Errors
    /// `InvalidInput` when the value is not an address; an error of the lookup when the name or the
    /// interface is unknown.
    fn to_addrs(&self) -> io::Result<Vec<Addr>>;

    /// The name that [`ToAddrs::to_addrs`] would look up; `None` if it needs no lookup.
    #[doc(hidden)]
    fn name_to_look_up(&self) -> Option<String> {
        None
    }
}

impl ToAddrs for str {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        match self.strip_prefix("unix:") {
            Some(name) => Addr::unix(name).to_addrs(),
            None => text::read(self)?.addrs(),
        }
    }

    fn name_to_look_up(&self) -> Option<String> {
        let has_name = !self.starts_with("unix:") && is_name(&text::read(self));
        has_name.then(|| self.to_string())
    }
}

fn is_name(written: &io::Result<Written>) -> bool {
    matches!(written, Ok(Written::Name(_)))
}

/// Like `str`; after `unix:` the bytes need not be UTF-8.
impl ToAddrs for OsStr {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        if let Some(text) = self.to_str() {
            return text.to_addrs();
        }
        let Some(name) = os_text::strip_prefix(self, "unix:") else {
            let what = format!("{self:?} is not UTF-8, which a host and a port must be");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        };
        Addr::unix(name).to_addrs()
    }

    fn name_to_look_up(&self) -> Option<String> {
        self.to_str()?.name_to_look_up()
    }
}

impl ToAddrs for OsString {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        self.as_os_str().to_addrs()
    }

    fn name_to_look_up(&self) -> Option<String> {
        self.as_os_str().name_to_look_up()
    }
}

impl ToAddrs for String {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        self.as_str().to_addrs()
    }

    fn name_to_look_up(&self) -> Option<String> {
        self.as_str().name_to_look_up()
    }
}

impl ToAddrs for (&str, u16) {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        text::read_host(self.0, self.1)?.addrs()
    }

    fn name_to_look_up(&self) -> Option<String> {
        is_name(&text::read_host(self.0, self.1)).then(|| format!("{}:{}", self.0, self.1))
    }
}

impl ToAddrs for Path {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        Addr::Unix(self.to_path_buf()).to_addrs()
    }
}

impl ToAddrs for PathBuf {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        self.as_path().to_addrs()
    }
}

impl ToAddrs for Addr {
    fn to_addrs(&self) -> io::Result<Vec<Addr>> {
        let too_long = |what: &str, len: usize| {
            format!("{what} is too long: {len} bytes, a socket allows at most {LONGEST_NAME}")
        };
        let wrong = match self {
            Addr::Unix(path) if path.as_os_str().is_empty() => "the path is empty".into(),
            Addr::Unix(path) if path.as_os_str().len() > LONGEST_NAME => {
                too_long("the path", path.as_os_str().len())
            }
            Addr::Abstract(name) if name.is_empty() => "the name after the @ is empty".into(),
            Addr::Abstract(name) if name.len() > LONGEST_NAME => {
                too_long("the name after the @", name.len())
            }
            _ => return Ok(vec![self.clone()]),
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, wrong))
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

/// Returns the addresses in this order; an empty slice is `InvalidInput`.
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

    fn name_to_look_up(&self) -> Option<String> {
        (**self).name_to_look_up()
    }
}

/// Parses the destination of a connection, without a lookup.
pub(crate) fn written(text: &str) -> io::Result<Written> {
    if text.starts_with("unix:") { text.to_addrs().map(Written::Addrs) } else { text::read(text) }
}

/// Calls `open` with each address until one succeeds; returns the error of the last.
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
mod tests;
