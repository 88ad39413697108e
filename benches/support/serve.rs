//! Server processes: ours and bare mio; each stops at the end of standard input.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::Interest;
use mio::unix::SourceFd;
use socketserver::Server;

use super::{bare, ours};

pub(crate) const STDIN: i32 = 0;

pub(crate) fn serve_ours(addr: SocketAddr) -> io::Result<()> {
    let (server, addr) = ours::listen(addr)?;
    serve_until_stdin_eof(server, addr)
}

pub(crate) fn serve_bare(addr: SocketAddr) -> io::Result<()> {
    let listener = bare::listen(addr)?;
    announce(listener.local_addr()?)?;
    bare::serve(listener, Some(&mut SourceFd(&STDIN)))
}

/// Serves until the end of standard input; `addr` is the server's address.
pub(crate) fn serve_until_stdin_eof(mut server: Server, addr: SocketAddr) -> io::Result<()> {
    server.watch(SourceFd(&STDIN), Interest::READABLE, |cx, _, _| {
        cx.io.shutdown(Duration::ZERO);
        Ok(())
    })?;
    announce(addr)?;
    server.serve_forever()
}

/// Prints the address for the parent process.
pub(crate) fn announce(addr: SocketAddr) -> io::Result<()> {
    println!("{addr}");
    io::stdout().flush()
}
