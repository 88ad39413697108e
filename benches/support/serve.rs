//! What a process does that is a server and nothing else: ours and bare mio, until standard input
//! ends.

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

/// Runs a server of this crate, which listens at `addr`.
pub(crate) fn serve_until_stdin_eof(mut server: Server, addr: SocketAddr) -> io::Result<()> {
    server.watch(SourceFd(&STDIN), Interest::READABLE, |cx, _, _| {
        cx.io.shutdown(Duration::ZERO);
        Ok(())
    })?;
    announce(addr)?;
    server.serve_forever()
}

/// Tells whoever started this process where it listens.
pub(crate) fn announce(addr: SocketAddr) -> io::Result<()> {
    println!("{addr}");
    io::stdout().flush()
}
