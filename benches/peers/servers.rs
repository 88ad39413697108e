//! The echo with tokio, with smol and with a thread for each connection; each server stops at the
//! end of standard input.
//!
//! All have the listener of bare mio, and a read buffer of 16 KiB a connection.

#![expect(clippy::indexing_slicing, reason = "the system returns no more than it was given")]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process;
use std::thread;

use smol::{Async, LocalExecutor};
use tokio::net::unix::pipe;

use super::support::bare;
use super::support::client::ANY_PORT;
use super::support::serve::announce;

const BUFFER: usize = 16 << 10;

pub(crate) fn serve_tokio() -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    async fn echo(mut stream: TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                n => stream.write_all(&buffer[..n]).await?,
            }
        }
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listen()?)?;
        let input = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
        tokio::spawn(async move { end(input.readable().await.is_ok()) });
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(echo(stream));
        }
    })
}

pub(crate) fn serve_smol() -> io::Result<()> {
    use smol::io::{AsyncReadExt, AsyncWriteExt};
    use smol::net::{TcpListener, TcpStream};

    async fn echo(mut stream: TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                n => stream.write_all(&buffer[..n]).await?,
            }
        }
    }

    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        let listener = TcpListener::from(Async::new(listen()?)?);
        let input = Async::new(io::stdin())?;
        executor.spawn(async move { end(input.readable().await.is_ok()) }).detach();
        loop {
            let (stream, _) = listener.accept().await?;
            executor.spawn(echo(stream)).detach();
        }
    }))
}

pub(crate) fn serve_threads() -> io::Result<()> {
    fn echo(mut stream: TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                n => stream.write_all(&buffer[..n])?,
            }
        }
    }

    let listener = listen()?;
    listener.set_nonblocking(false)?;
    thread::spawn(|| end(io::stdin().read(&mut [0]).is_ok()));
    for stream in listener.incoming() {
        let stream = stream?;
        thread::Builder::new().spawn(move || echo(stream))?;
    }
    Ok(())
}

/// Listens with the options of ours and bare mio, and prints the address.
fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::from(bare::listen(ANY_PORT)?);
    announce(listener.local_addr()?)?;
    Ok(listener)
}

/// Exits the process; with an error unless standard input has ended.
fn end(as_asked: bool) {
    process::exit(i32::from(!as_asked));
}
