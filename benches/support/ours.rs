//! The TCP echo of this crate, with default options and the idle timeout armed.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socketserver::{Echo, Options, Server};

/// Longer than any connection of a benchmark is idle, so it never expires.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Binds a server to `addr`. Returns it with its address.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<(Server, SocketAddr)> {
    let options = Options { idle_timeout: Some(IDLE_TIMEOUT), ..Options::default() };
    let mut server = Server::with_shared((), options)?;
    let id = server.listen(addr, |_peer| Echo)?;
    let addr = server.io().local_addr(id).and_then(|addr| addr.ip().copied());
    Ok((server, addr.ok_or(io::ErrorKind::AddrNotAvailable)?))
}
