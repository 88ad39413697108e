//! Where an outgoing connection goes, from which address, and when.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::addr::{Addr, ToAddrs};

/// An outgoing connection to be made: what [`Server::connect`](crate::Server::connect) takes when an
/// address alone does not say enough.
///
/// Of several addresses the next one is begun when the one before has failed, or has not answered
/// within 250 ms, and those under way go on meanwhile; the first that stands is taken and the others
/// are closed (RFC 8305, "Happy Eyeballs"). Those of a name alternate between IPv6 and IPv4, others
/// keep their order. All of it together, the look-up of the name included, has
/// [`Options::connect_timeout`](crate::Options::connect_timeout). A connection whose two ends are one
/// and the same address and port is refused: a client that connects to a free port of its own machine
/// may meet itself there.
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
    /// Whatever fails is told to `finish`, also what could be said at once.
    pub(super) fails_later: bool,
}

#[derive(Clone, Debug)]
pub(super) enum ConnectTarget {
    Addrs(Vec<Addr>),
    /// Still to be looked up.
    Name(String),
}

impl Connect {
    /// To an address, or to a name as by [`Connect::to_name`]. This never blocks, and what can be
    /// said without a look-up is said at once.
    ///
    /// # Errors
    /// When it is no address. That a name is unknown is told to `finish`.
    pub fn to(addr: impl ToAddrs) -> io::Result<Connect> {
        match addr.name_to_look_up() {
            Some(name) => Ok(Connect::to_name(name)),
            None => Ok(Connect::of(ConnectTarget::Addrs(addr.to_addrs()?))),
        }
    }

    /// To a name and port (`example.org:80`) that is looked up by another thread
    /// ([`Options::lookup_threads`](crate::Options::lookup_threads)), so that the loop goes on
    /// meanwhile. It is looked up when the connection begins, and anew for each connection; equal
    /// names that are wanted at the same time are looked up once. Whoever asks for many names at
    /// once, a client as told by its address or a handler, leaves threads for others.
    ///
    /// Numbers and `localhost` are not looked up. What is wrong with the name is told to `finish`.
    #[must_use]
    pub fn to_name(name: impl Into<String>) -> Connect {
        Connect::of(ConnectTarget::Name(name.into()))
    }

    fn of(to: ConnectTarget) -> Connect {
        Connect { to, from: None, after: Duration::ZERO, allowed: None, fails_later: false }
    }

    /// From this address of ours; port 0 is any port. By default the system chooses.
    ///
    /// # Errors
    /// When it is no address.
    pub fn local_addr(mut self, addr: impl ToAddrs) -> io::Result<Connect> {
        self.from = Some(addr.to_addrs()?.into_iter().next().ok_or_else(no_address)?);
        Ok(self)
    }

    /// Only to addresses of which `allowed` says so, those of a name that was looked up included.
    /// When none is left, the connection is not made, with
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied). Use this when the destination
    /// comes from an untrusted party: a harmless name may resolve to 127.0.0.1. A panic of `allowed` is
    /// the failure of the connection.
    #[must_use]
    pub fn allow_if(mut self, allowed: fn(&Addr) -> bool) -> Connect {
        self.allowed = Some(allowed);
        self
    }

    /// The same, but whatever fails is told to `finish`.
    pub(crate) fn fails_later(mut self) -> Connect {
        self.fails_later = true;
        self
    }

    /// Keeps the addresses that are allowed.
    pub(super) fn choose(
        allowed: Option<fn(&Addr) -> bool>,
        mut addrs: Vec<Addr>,
    ) -> io::Result<Vec<Addr>> {
        if addrs.is_empty() {
            return Err(no_address());
        }
        if let Some(allowed) = allowed {
            // It is the user's, and runs in the loop when a name was looked up.
            catch_unwind(AssertUnwindSafe(|| addrs.retain(allowed)))
                .map_err(|_| io::Error::other("the function of Connect::allow_if has panicked"))?;
        }
        if addrs.is_empty() {
            let what = "none of its addresses is allowed";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        Ok(addrs)
    }

    /// Not now but after so long. What is sent meanwhile leaves when the connection stands. A shutdown
    /// that begins before ends it, with [`CloseReason::ConnectFailed`](crate::CloseReason::ConnectFailed).
    #[must_use]
    pub fn delay(mut self, wait: Duration) -> Connect {
        self.after = wait;
        self
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no address")
}

/// What can be connected to: whatever is an address or a name ([`ToAddrs`]), or a [`Connect`].
pub trait IntoConnect {
    /// The connection to be made. This looks up no name, and so never blocks.
    ///
    /// # Errors
    /// When it is no address.
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
