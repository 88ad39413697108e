//! The echo of this crate, with default options and the idle timeout armed.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socketserver::{Echo, Options, Server};

/// Longer than any connection of a benchmark is silent, so it never strikes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A server that listens at `addr`, and the address it got.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<(Server, SocketAddr)> {
    let options = Options { idle_timeout: Some(IDLE_TIMEOUT), ..Options::default() };
    let mut server = Server::with_shared((), options)?;
    let id = server.listen(addr, |_peer| Echo)?;
    let addr = server.io().local_addr(id).and_then(|addr| addr.ip().copied());
    Ok((server, addr.ok_or(io::ErrorKind::AddrNotAvailable)?))
}
