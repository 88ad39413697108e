//! Handlers that block: straight-line code for one client, in a thread or a process of its own.
//!
//! The loop accepts a connection, detaches its socket, and runs the handler as [`Workers`] says. When the
//! handler has finished, the loop reattaches the socket and closes the connection as it closes any other.
//! While all workers are busy the loop accepts no client, so further clients wait in the backlog of the
//! kernel.

#[cfg(all(unix, feature = "processes"))]
pub(crate) mod fork;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::thread;

use crate::addr::{Addr, ToAddrs};
use crate::exit::Exit;
use crate::foreign::{self, ForeignCode};
use crate::id::SocketId;
use crate::reactor::dispatch::panic_message;
use crate::server::Server;

#[cfg(all(unix, feature = "processes"))]
mod child;
mod datagram;
mod executor;
mod reader;
mod request;
mod socket;
mod stream;
mod work;
mod worker_limit;
mod workers;

pub use request::Request;
pub use workers::{MAX_CHILDREN, Workers};

use datagram::BlockingDatagrams;
use stream::BlockingFactory;
use work::Factory;
use workers::ErrorHook;

/// Serves one client from beginning to end (Python's `BaseRequestHandler`, with its
/// `StreamRequestHandler` and `DatagramRequestHandler`). The factory makes one value for each connection,
/// or for each datagram; it is dropped where it ran. With `Workers::processes` the factory runs in the
/// child too.
///
/// The order is Python's: `setup`; `handle`; `finish`, which also runs when `handle` failed or panicked,
/// but not when `setup` did. The first error or panic of the three is passed to
/// [`Workers::handle_error`], and the connection is closed. After success the server sends a FIN and
/// lingers, so that all that was written arrives. When a write failed, or was cut by the end of a grace,
/// the connection ends with a reset, so that the peer does not take part of an answer for the whole. (A
/// Unix stream has no reset.)
///
/// A closure `|request: &mut Request<'_>| ...` is a handler with `handle` only.
///
/// ```
/// use std::io::{self, Read, Write};
/// use std::net::TcpStream;
/// use std::thread;
/// use socketserver::blocking::{Handler, Workers, Request};
/// use socketserver::{RequestOutcome, Server};
///
/// struct Upper;
///
/// impl Handler for Upper {
///     fn handle(&mut self, request: &mut Request<'_>) -> io::Result<()> {
///         // The limit is needed because the client decides how long a line is.
///         while let Some(line) = request.take_line(4096)? {
///             let mut answer = line.to_ascii_uppercase();
///             answer.push(b'\n');
///             request.send_all(&answer)?;
///         }
///         Ok(())
///     }
/// }
///
/// let mut server = Server::new()?;
/// let listener = server.listen_blocking("127.0.0.1:0", &Workers::threads(4), |_peer| Upper)?;
/// let port = server.io().local_addr(listener).and_then(|addr| addr.port()).unwrap();
/// let client = thread::spawn(move || -> io::Result<String> {
///     let mut stream = TcpStream::connect(("127.0.0.1", port))?;
///     stream.write_all(b"one\ntwo\n")?;
///     stream.shutdown(std::net::Shutdown::Write)?;
///     let mut answer = String::new();
///     stream.read_to_string(&mut answer)?;
///     Ok(answer)
/// });
/// assert_eq!(server.handle_request(None)?, RequestOutcome::Handled);
/// assert_eq!(client.join().unwrap()?, "ONE\nTWO\n");
/// # Ok::<(), io::Error>(())
/// ```
pub trait Handler<S = ()> {
    /// Runs first. The default does nothing.
    ///
    /// # Errors
    /// An error ends the request; neither `handle` nor `finish` runs.
    fn setup(&mut self, request: &mut Request<'_, S>) -> io::Result<()> {
        let _ = request;
        Ok(())
    }

    /// Serves the client.
    ///
    /// # Errors
    /// An error ends the request.
    fn handle(&mut self, request: &mut Request<'_, S>) -> io::Result<()>;

    /// Cleans up. The default does nothing.
    ///
    /// # Errors
    /// An error is the outcome of the request, unless `handle` failed.
    fn finish(&mut self, request: &mut Request<'_, S>) -> io::Result<()> {
        let _ = request;
        Ok(())
    }
}

impl<S, F: FnMut(&mut Request<'_, S>) -> io::Result<()>> Handler<S> for F {
    fn handle(&mut self, request: &mut Request<'_, S>) -> io::Result<()> {
        self(request)
    }
}

/// A blocking handler that may run in another thread.
type Serving<S> = dyn Handler<S> + Send;

impl<S: 'static> Server<S> {
    /// Like [`Server::listen`], for handlers that block; `workers` says where they run.
    ///
    /// # Errors
    /// The error of the system call, with the address; `InvalidInput` when a setting of `workers` is out of
    /// range, or when another server uses it; `Unsupported` for processes while other threads run.
    pub fn listen_blocking<H, F>(
        &mut self,
        addr: impl ToAddrs,
        workers: &Workers,
        factory: F,
    ) -> io::Result<SocketId>
    where
        F: FnMut(&Addr) -> H + 'static,
        H: Handler<S> + Send + 'static,
    {
        workers.check(self)?;
        let factory = boxed(factory);
        let id =
            self.listen_with(addr, Box::new(BlockingFactory::new(workers.clone(), factory)))?;
        if workers.executor.ends_reads_at_stop(workers.daemon_threads) {
            // Opens the pipe now, because no descriptor may be left when the first client connects.
            let opened = self.io_mut().stop_token();
            opened.map_err(|error| {
                self.io_mut().close(id);
                let what = format!("cannot open the pipe of the stop token: {error}");
                io::Error::new(error.kind(), what)
            })?;
        }
        Ok(id)
    }

    /// Like [`Server::bind`], for handlers that block; `workers` says where they run. Each handler gets one
    /// datagram as its [`Request`], and what it writes is the reply.
    ///
    /// ```
    /// use std::io;
    /// use std::net::UdpSocket;
    /// use socketserver::blocking::{Request, Workers};
    /// use socketserver::{Addr, Server};
    ///
    /// let mut server = Server::new()?;
    /// let upper = |request: &mut Request<'_>| {
    ///     let reply = request.datagram().unwrap_or_default().to_ascii_uppercase();
    ///     request.send_all(&reply)
    /// };
    /// let id = server.bind_blocking("127.0.0.1:0", &Workers::inline(), move |_: &Addr| upper)?;
    /// let port = server.io().local_addr(id).and_then(|addr| addr.port()).unwrap();
    /// let client = UdpSocket::bind("127.0.0.1:0")?;
    /// client.send_to(b"hello", ("127.0.0.1", port))?;
    /// server.handle_request(None)?;
    /// let mut reply = [0; 80];
    /// let n = client.recv(&mut reply)?;
    /// assert_eq!(&reply[..n], b"HELLO");
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Server::listen_blocking`].
    pub fn bind_blocking<H, F>(
        &mut self,
        addr: impl ToAddrs,
        workers: &Workers,
        factory: F,
    ) -> io::Result<SocketId>
    where
        F: FnMut(&Addr) -> H + 'static,
        H: Handler<S> + Send + 'static,
    {
        workers.check(self)?;
        self.bind(addr, BlockingDatagrams::new(workers.clone(), boxed(factory)))
    }
}

/// The same factory for handlers of any type.
fn boxed<S, H>(mut factory: impl FnMut(&Addr) -> H + 'static) -> Factory<S>
where
    H: Handler<S> + Send + 'static,
{
    Rc::new(RefCell::new(move |peer: &Addr| Box::new(factory(peer)) as Box<Serving<S>>))
}

/// Runs the three callbacks in Python's order, and drops the handler.
fn serve<S>(
    mut handler: Box<Serving<S>>,
    request: &mut Request<'_, S>,
) -> thread::Result<io::Result<()>> {
    let mut result = foreign::catch(|| handler.setup(request));
    if matches!(result, Ok(Ok(()))) {
        let served = foreign::catch(|| handler.handle(request));
        let finished = foreign::catch(|| handler.finish(request));
        result = first_failure(served, finished);
    } else {
        // In Python `finish` sends the reply to a datagram.
        request.drop_reply();
    }
    foreign::discard(ForeignCode::BlockingHandler, None, handler);
    result
}

fn first_failure(
    first: thread::Result<io::Result<()>>,
    second: thread::Result<io::Result<()>>,
) -> thread::Result<io::Result<()>> {
    if matches!(first, Ok(Ok(()))) {
        return second;
    }
    match second {
        Ok(outcome) => foreign::discard(ForeignCode::Error, None, outcome),
        Err(payload) => foreign::panicked(ForeignCode::BlockingHandler, None, payload),
    }
    first
}

/// Calls the hook of the user, if there is one and the request failed.
fn report(hook: Option<&ErrorHook>, peer: &Addr, result: &thread::Result<io::Result<()>>) {
    let Some(hook) = hook else { return };
    foreign::run(ForeignCode::ErrorHook, None, || match result {
        Ok(Ok(())) => {}
        Ok(Err(error)) if Exit::is_exit(error) => {}
        Ok(Err(error)) => hook(peer, error),
        Err(panic) => hook(peer, &io::Error::other(panic_message(&**panic))),
    });
}
