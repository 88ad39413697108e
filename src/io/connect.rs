//! The destination of an outgoing connection, its local address, and its delay.

use std::io;
use std::time::Duration;

use crate::addr::{Addr, ToAddrs};
use crate::foreign::{self, ForeignCode};

/// An outgoing connection to be made: what [`Server::connect`](crate::Server::connect) takes when
/// an address alone does not say enough.
///
/// With several addresses, the next one is tried when the one before has failed or has not answered
/// within 250 ms, and the earlier attempts go on meanwhile. The first that is established is used
/// and the others are closed (RFC 8305, "Happy Eyeballs"). The addresses of a name alternate
/// between IPv6 and IPv4; others keep their order.
/// [`Options::connect_timeout`](crate::Options::connect_timeout) applies to all of it together, the
/// look-up included. A connection whose two ends have the same address and port is rejected: a
/// client that connects to a free port of its own machine may be connected to itself.
///
/// ```
/// use std::time::Duration;
/// use socketserver::{Connect, Echo, Server};
///
/// let mut server = Server::new()?;
/// // A name is looked up by another thread; whatever comes of it, `finish` is told.
/// let later = Connect::to("localhost:7000")?.delay(Duration::from_millis(100));
/// server.connect(later, Echo)?;
/// server.connect(Connect::to("127.0.0.1:7000")?.local_addr("127.0.0.2:0")?, Echo)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Connect {
    pub(super) to: ConnectTarget,
    pub(super) from: Option<Addr>,
    pub(super) after: Duration,
    pub(super) allowed: Option<fn(&Addr) -> bool>,
    /// Every error is passed to `finish`, also one that could be returned at once.
    pub(super) fails_later: bool,
}

#[derive(Clone, Debug)]
pub(super) enum ConnectTarget {
    Addrs(Vec<Addr>),
    /// A name that is not looked up yet.
    Name(String),
}

impl Connect {
    /// Connects to an address, or to a name as [`Connect::to_name`] does. This never blocks.
    ///
    /// # Errors
    /// When `addr` is not an address. The error of an unknown name is passed to `finish`.
    pub fn to(addr: impl ToAddrs) -> io::Result<Connect> {
        match addr.name_to_look_up() {
            Some(name) => Ok(Connect::to_name(name)),
            None => Ok(Connect::of(ConnectTarget::Addrs(addr.to_addrs()?))),
        }
    }

    /// Connects to a name and port (`example.org:80`). Another thread looks the name up
    /// ([`Options::lookup_threads`](crate::Options::lookup_threads)), so the loop does not block.
    /// The look-up starts when the connection begins, and is repeated for each connection; equal
    /// names that are requested at the same time are looked up once. A client or handler that
    /// requests many names at once leaves threads for others.
    ///
    /// Numeric addresses and `localhost` are not looked up. Errors of the name are passed to
    /// `finish`.
    #[must_use]
    pub fn to_name(name: impl Into<String>) -> Connect {
        Connect::of(ConnectTarget::Name(name.into()))
    }

    fn of(to: ConnectTarget) -> Connect {
        Connect { to, from: None, after: Duration::ZERO, allowed: None, fails_later: false }
    }

    /// Binds the local end to `addr`; port 0 is any port. By default the system chooses.
    ///
    /// # Errors
    /// When it is not an address.
    pub fn local_addr(mut self, addr: impl ToAddrs) -> io::Result<Connect> {
        self.from = Some(addr.to_addrs()?.into_iter().next().ok_or_else(no_address)?);
        Ok(self)
    }

    /// Connects only to addresses for which `allowed` returns `true`, including those that a name
    /// resolves to. When none is left, the connection fails with
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied). Use this when the destination comes
    /// from an untrusted party (SSRF): a harmless name may resolve to 127.0.0.1. If `allowed`
    /// panics, the connection fails.
    #[must_use]
    pub fn allow_if(mut self, allowed: fn(&Addr) -> bool) -> Connect {
        self.allowed = Some(allowed);
        self
    }

    /// Passes every error to `finish`.
    pub(crate) fn fails_later(mut self) -> Connect {
        self.fails_later = true;
        self
    }

    /// Keeps the addresses that `allowed` accepts.
    pub(super) fn choose(
        allowed: Option<fn(&Addr) -> bool>,
        mut addrs: Vec<Addr>,
    ) -> io::Result<Vec<Addr>> {
        if addrs.is_empty() {
            return Err(no_address());
        }
        if let Some(allowed) = allowed {
            // This is the user's function, and it runs in the loop after a look-up.
            foreign::run(ForeignCode::AllowIf, None, || addrs.retain(allowed))
                .ok_or_else(|| io::Error::other("Connect::allow_if panicked"))?;
        }
        if addrs.is_empty() {
            let what = "none of the addresses is allowed (Connect::allow_if)";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        Ok(addrs)
    }

    /// Begins to connect after `wait`. What is sent meanwhile leaves when the connection is
    /// established. A shutdown that begins earlier ends the connection with
    /// [`CloseReason::ConnectFailed`](crate::CloseReason::ConnectFailed).
    #[must_use]
    pub fn delay(mut self, wait: Duration) -> Connect {
        self.after = wait;
        self
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no address")
}

/// What [`Server::connect`](crate::Server::connect) accepts: an address or a name ([`ToAddrs`]), or
/// a [`Connect`].
pub trait IntoConnect {
    /// Converts into a [`Connect`]. This looks up no name, so it never blocks.
    ///
    /// # Errors
    /// When it is not an address.
    fn into_connect(self) -> io::Result<Connect>;
}

impl<T: ToAddrs> IntoConnect for T {
    fn into_connect(self) -> io::Result<Connect> {
        Connect::to(self)
    }
}

impl IntoConnect for Connect {
    fn into_connect(self) -> io::Result<Connect> {
        Ok(self)
    }
}
