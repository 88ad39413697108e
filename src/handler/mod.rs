//! What the user writes, and what is passed to it.
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

/// One conversation with one peer (Python's `StreamRequestHandler`). There is one value for each
/// connection, so its fields are the state of the conversation.
///
/// The callbacks of one handler run in this order, never two at once, and never while another
/// handler of the same server runs:
///
/// ```text
/// setup   at most once, before everything but finish
/// handle, eof, drained, timeout, shutdown   as things happen; eof and shutdown at most once
/// finish  exactly once; nothing after it
/// ```
///
/// An error or a panic in any of them ends this conversation, and only this one: what it had sent
/// still leaves, and `finish` is told.
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
    /// The connection stands (Python's `setup`).
    ///
    /// # Errors
    /// An error ends the conversation. Other than in Python, `finish` runs then too.
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// Something came in (Python's `handle`). What is not taken from `input` is shown again,
    /// together with what comes next.
    ///
    /// # Errors
    /// An error ends the conversation.
    fn handle(&mut self, cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()>;

    /// The peer closed its sending side (EOF); `rest` is the input that the handler did not take. By
    /// default the connection is closed, once everything sent has left. A handler that does not close
    /// may go on sending.
    ///
    /// It comes after every answer: not while the connection is paused, not while work that was
    /// given to [`Context::offload`] is under way, and not before what was left while the output was
    /// congested was shown again.
    ///
    /// # Errors
    /// An error ends the conversation.
    fn eof(&mut self, cx: &mut Context<'_, S>, rest: &[u8]) -> io::Result<()> {
        let _ = rest;
        cx.close();
        Ok(())
    }

    /// The output of this connection was congested and has fallen to low water: time to send more,
    /// or to resume who feeds it.
    ///
    /// # Errors
    /// An error ends the conversation.
    fn drained(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// A timer of this connection came up. By default that is an error of the kind
    /// [`TimedOut`](io::ErrorKind::TimedOut).
    ///
    /// # Errors
    /// An error ends the conversation.
    fn timeout(&mut self, cx: &mut Context<'_, S>, timer: TimerId) -> io::Result<()> {
        let _ = (cx, timer);
        Err(io::ErrorKind::TimedOut.into())
    }

    /// The server shuts down; everything that had come in was shown, also what was held while the
    /// output was congested, and work that was given to [`Context::offload`] has come back. What is
    /// held while the connection is paused for another reason is not waited for. By default the
    /// connection is closed, once everything sent has left. A handler that does not close may go on
    /// until the grace is over.
    ///
    /// # Errors
    /// An error ends the conversation.
    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        cx.close();
        Ok(())
    }

    /// The conversation is over (Python's `finish`): in `Ok` because somebody closed it and all was
    /// sent, otherwise with the error that ended it. [`Context::reason`] says which of our reasons
    /// that was. Nothing can be sent any more.
    fn finish(&mut self, cx: &mut Context<'_, S>, outcome: io::Result<()>) {
        let _ = (cx, outcome);
    }
}

/// A box is as good as what is in it, so a factory may choose between handlers.
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

/// Sends back what comes in, and ends when the peer ends: the smallest handler, and a whole echo
/// server (RFC 862).
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl<S> Handler<S> for Echo {
    #[inline]
    fn handle(&mut self, cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        cx.send(input.take_all());
        Ok(())
    }
}
