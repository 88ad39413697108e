//! The traits that the user implements, and what their callbacks get.
//!
//! This room may use `values`, `conn`, `net` and `io`. Start reading at [`Handler`].

pub(crate) mod relay;
pub(crate) mod server_handle;

use std::io;

use crate::conn::input::Input;
use crate::id::TimerId;

mod context;
mod datagram;
mod registrar;

pub use context::Context;
pub use datagram::DatagramHandler;
pub(crate) use registrar::{HandlerFactory, HandlerSlot, Registrar};

/// The handler of one connection (Python's `StreamRequestHandler`). There is one value for each
/// connection, so its fields are the state of that connection.
///
/// The callbacks of one handler are called in this order, never two at once, and never while
/// another handler of the same server runs:
///
/// ```text
/// setup   at most once, before everything but finish
/// handle, eof, drained, timeout, shutdown   as things happen; eof and shutdown at most once
/// finish  exactly once; nothing after it
/// ```
///
/// An error or a panic in any of them ends this connection only: pending output still leaves, and
/// `finish` gets the error.
///
/// ```
/// use std::io::{self, Read, Write};
/// use std::net::{Shutdown, TcpStream};
/// use std::thread;
/// use socketserver::{Context, Handler, Input, RequestOutcome, Server};
///
/// /// Numbers the lines it gets.
/// struct Number(u32);
///
/// impl Handler for Number {
///     fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
///         while let Some(line) = input.take_line(80)? {
///             self.0 += 1;
///             cx.send(format!("{} {}\n", self.0, String::from_utf8_lossy(line)).as_bytes());
///         }
///         Ok(())
///     }
/// }
///
/// let mut server = Server::new()?;
/// let listener = server.listen("127.0.0.1:0", |_peer| Number(0))?;
/// let port = server.io().local_addr(listener).and_then(|addr| addr.port()).unwrap();
/// let client = thread::spawn(move || -> io::Result<String> {
///     let mut stream = TcpStream::connect(("127.0.0.1", port))?;
///     stream.write_all(b"one\ntwo\n")?;
///     stream.shutdown(Shutdown::Write)?;
///     let mut answer = String::new();
///     stream.read_to_string(&mut answer)?;
///     Ok(answer)
/// });
/// assert_eq!(server.handle_request(None)?, RequestOutcome::Handled);
/// assert_eq!(client.join().unwrap()?, "1 one\n2 two\n");
/// # Ok::<(), io::Error>(())
/// ```
pub trait Handler<S = ()> {
    /// Called when the connection is established (Python's `setup`).
    ///
    /// # Errors
    /// An error ends the connection. Unlike in Python, `finish` is called then too.
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// Called with input (Python's `handle`). What it does not take from `input` is delivered
    /// again, together with new input.
    ///
    /// # Errors
    /// An error ends the connection.
    fn handle(&mut self, cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()>;

    /// Called when the peer has closed its sending side (EOF); `rest` is the input that the handler
    /// did not consume. By default the connection is closed, once all output has left. A handler
    /// that does not close may go on sending.
    ///
    /// It is called after all answers: not while the connection is paused, not while work given to
    /// [`Context::offload`] is running, and not before input left unconsumed during congestion was
    /// delivered again.
    ///
    /// # Errors
    /// An error ends the connection.
    fn eof(&mut self, cx: &mut Context<'_, S>, rest: &[u8]) -> io::Result<()> {
        let _ = rest;
        cx.close();
        Ok(())
    }

    /// Called when the output has been congested and has fallen to low water: the handler may send
    /// more, or resume the connection that feeds it.
    ///
    /// # Errors
    /// An error ends the connection.
    fn drained(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// Called when a timer of this connection expires. By default that is an error of the kind
    /// [`TimedOut`](io::ErrorKind::TimedOut).
    ///
    /// # Errors
    /// An error ends the connection.
    fn timeout(&mut self, cx: &mut Context<'_, S>, timer: TimerId) -> io::Result<()> {
        let _ = (cx, timer);
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Called when the server shuts down, after all input that had arrived was delivered, also what
    /// was unconsumed during congestion, and after work given to [`Context::offload`] is done.
    /// Input that is unconsumed while the connection is paused for another reason is not waited
    /// for. By default the connection is closed, once all output has left. A handler that does not
    /// close may go on until the grace is over.
    ///
    /// # Errors
    /// An error ends the connection.
    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        cx.close();
        Ok(())
    }

    /// Called once at the end (Python's `finish`). `outcome` is `Ok` when this program or the peer
    /// closed the connection and all output was sent, otherwise the error that ended it.
    /// [`Context::reason`] returns the reason. Sending is not possible any more.
    fn finish(&mut self, cx: &mut Context<'_, S>, outcome: io::Result<()>) {
        let _ = (cx, outcome);
    }
}

/// A box is a handler too, so a factory may choose between handlers.
impl<S, H: Handler<S> + ?Sized> Handler<S> for Box<H> {
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        (**self).setup(cx)
    }

    fn handle(&mut self, cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        (**self).handle(cx, input)
    }

    fn eof(&mut self, cx: &mut Context<'_, S>, rest: &[u8]) -> io::Result<()> {
        (**self).eof(cx, rest)
    }

    fn drained(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        (**self).drained(cx)
    }

    fn timeout(&mut self, cx: &mut Context<'_, S>, timer: TimerId) -> io::Result<()> {
        (**self).timeout(cx, timer)
    }

    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        (**self).shutdown(cx)
    }

    fn finish(&mut self, cx: &mut Context<'_, S>, outcome: io::Result<()>) {
        (**self).finish(cx, outcome);
    }
}

/// Sends back all input, and closes at EOF: the smallest handler, and a whole echo server (RFC
/// 862).
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl<S> Handler<S> for Echo {
    #[inline]
    fn handle(&mut self, cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        cx.send(input.take_all());
        Ok(())
    }
}
