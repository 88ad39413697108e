//! The echo in each mode; each server stops at the end of standard input.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use mio::Interest;
use mio::unix::SourceFd;
use socketserver::blocking::{Request, Workers};
use socketserver::{Addr, Echo, LoopGroup, Options, Server, SocketId};

use super::support::client::ANY_PORT;

const STDIN: i32 = 0;

/// Read buffer of each thread and each process.
const BUFFER: usize = 16 << 10;

pub(crate) fn serve_one_loop() -> io::Result<()> {
    let mut server = Server::with_shared((), Options::default())?;
    let id = server.listen(ANY_PORT, |_peer| Echo)?;
    announce(&mut server, id)?;
    stop_at_stdin_eof(&mut server)?;
    server.serve_forever()
}

pub(crate) fn serve_two_loops() -> io::Result<()> {
    let cores = LoopGroup::new(2);
    let handle = Mutex::new(cores.handle());
    let served = cores.serve(
        |_| (),
        |index, server: &mut Server| {
            let id = server.listen(ANY_PORT, |_peer| Echo)?;
            if index > 0 {
                return Ok(());
            }
            announce(server, id)?;
            let handle = handle.lock().map_err(|_| io::ErrorKind::Other)?.clone();
            server.watch(SourceFd(&STDIN), Interest::READABLE, move |_, _, _| {
                handle.shutdown(Duration::ZERO);
                Ok(())
            })?;
            Ok(())
        },
    );
    served.map(drop)
}

pub(crate) fn serve_blocking(mode: &Workers) -> io::Result<()> {
    let mut server = Server::new()?;
    let id = server.listen_blocking(ANY_PORT, mode, |_: &Addr| echo)?;
    announce(&mut server, id)?;
    stop_at_stdin_eof(&mut server)?;
    server.serve_forever()
}

fn echo(request: &mut Request<'_>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match request.read(&mut buffer)? {
            0 => return Ok(()),
            n => request.write_all(&buffer[..n])?,
        }
    }
}

fn stop_at_stdin_eof(server: &mut Server) -> io::Result<()> {
    server.watch(SourceFd(&STDIN), Interest::READABLE, |cx, _, _| {
        cx.io.shutdown(Duration::ZERO);
        Ok(())
    })?;
    Ok(())
}

/// Prints the address for the parent process.
fn announce(server: &mut Server, id: SocketId) -> io::Result<()> {
    let addr: Option<SocketAddr> = server.io().local_addr(id).and_then(|addr| addr.ip().copied());
    let addr = addr.ok_or(io::ErrorKind::AddrNotAvailable)?;
    println!("{addr}");
    io::stdout().flush()
}
