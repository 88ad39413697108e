//! Handlers that block: straight-line code for one client, in a thread or a process of its own.
//!
//! The loop accepts, and lends the connection to whoever serves it; when that is done the
//! connection comes back, and the loop ends it as it ends any other. While all places are taken the
//! loop accepts nobody, so clients wait in the backlog of the kernel.

#[cfg(all(unix, feature = "processes"))]
pub(crate) mod fork;

use std::io;
use std::thread;

use crate::addr::{Addr, ToAddrs};
use crate::exit::Exit;
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
mod workers;

pub use request::Request;
pub use workers::{MAX_CHILDREN, Workers};

use datagram::BlockingDatagrams;
use executor::catch_panic;
use stream::BlockingFactory;
use workers::ErrorHook;

/// One request of one client, served from its beginning to its end (Python's `BaseRequestHandler`,
/// with its `StreamRequestHandler` and `DatagramRequestHandler`). There is one value for each
/// connection, and one for each datagram.
///
/// In Python's order: `setup`; then `handle`; then `finish`, even when `handle` failed or panicked,
/// but not when `setup` did. What of them fails or panics first is the outcome; it goes to
/// [`Workers::handle_error`], and the client's connection ends. A connection that is done is closed
/// with its end said, so that all that was written arrives.
///
/// A closure `|request: &mut Request<'_>| ...` is a handler with nothing but `handle`.
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
///         // The limit is required: the client decides how long a line is.
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
    /// Before anything else.
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

    /// Cleans up.
    ///
    /// # Errors
    /// An error is the outcome, unless `handle` had one.
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

/// Any blocking handler that can be given to a thread.
type Serving<S> = dyn Handler<S> + Send;

impl<S: 'static> Server<S> {
    /// Listens for connections whose handlers block; they run as `workers` says. Else as
    /// [`Server::listen`].
    ///
    /// # Errors
    /// What the system says, with the address; `InvalidInput` for a mode that cannot be;
    /// `Unsupported` for processes while other threads run.
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
        workers.check()?;
        let id = self
            .listen_with(addr, Box::new(BlockingFactory { workers: workers.clone(), factory }))?;
        if workers.executor.ends_reads_at_stop(workers.daemon_threads) {
            // Now, because there may be no descriptors left when the first client comes.
            let opened = self.io_mut().stop_token();
            opened.map_err(|error| {
                self.io_mut().close(id);
                let what = format!("no pipe can be opened for the stop of the server: {error}");
                io::Error::new(error.kind(), what)
            })?;
        }
        Ok(id)
    }

    /// Serves datagrams with handlers that block; they run as `workers` says. Else as
    /// [`Server::bind`].
    ///
    /// # Errors
    /// As [`Server::listen_blocking`].
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
        workers.check()?;
        self.bind(addr, BlockingDatagrams::new(workers.clone(), factory))
    }
}

/// The whole request, in Python's order.
fn serve<S>(
    handler: &mut Serving<S>,
    request: &mut Request<'_, S>,
) -> thread::Result<io::Result<()>> {
    match catch_panic(|| handler.setup(request)) {
        Ok(Ok(())) => {}
        failed => {
            // In Python the answer to a datagram is sent by `finish`.
            request.drop_reply();
            return failed;
        }
    }
    let result = catch_panic(|| handler.handle(request));
    let finished = catch_panic(|| handler.finish(request));
    if matches!(result, Ok(Ok(()))) { finished } else { result }
}

/// Tells the hook of the user, if there is something to tell.
fn report(hook: Option<&ErrorHook>, peer: &Addr, result: &thread::Result<io::Result<()>>) {
    let Some(hook) = hook else { return };
    let reported = catch_panic(|| {
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) if Exit::is_exit(error) => {}
            Ok(Err(error)) => hook(peer, error),
            Err(panic) => hook(peer, &io::Error::other(panic_message(&**panic))),
        }
        Ok(())
    });
    // A panic of the hook was printed, as any other is.
    drop(reported);
}
