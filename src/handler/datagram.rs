//! What the user writes for datagrams.

use std::io;

use super::{Context, Echo};
use crate::addr::Addr;
use crate::id::TimerId;

/// What answers the datagrams of one socket (Python's `DatagramRequestHandler`). There is one value
/// for each socket, since datagrams are no conversation: each is handled by itself.
///
/// A closure `|cx: &mut Context<'_>, packet: &[u8], peer: &Addr| Ok(())` is one too.
///
/// An error or a panic in a callback costs the one datagram; it is logged and counted
/// ([`Stats::packets_failed`](crate::Stats::packets_failed)), and the socket serves on.
///
/// Other than in Python, who sends nothing sends nothing: there is no empty answer by default.
///
/// ```
/// use std::net::UdpSocket;
/// use socketserver::{Addr, Context, RequestOutcome, Server};
///
/// let mut server = Server::new()?;
/// let id = server.bind("127.0.0.1:0", |cx: &mut Context<'_>, packet: &[u8], _peer: &Addr| {
///     cx.reply(&packet.to_ascii_uppercase());
///     Ok(())
/// })?;
/// let port = server.io().local_addr(id).and_then(|addr| addr.port()).unwrap();
///
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"hello", ("127.0.0.1", port))?;
/// assert_eq!(server.handle_request(None)?, RequestOutcome::Handled);
/// let mut answer = [0; 16];
/// let (n, _) = client.recv_from(&mut answer)?;
/// assert_eq!(&answer[..n], b"HELLO");
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait DatagramHandler<S = ()> {
    /// A datagram came (Python's `handle`); it is whole, and may be empty. A Unix socket without a
    /// name is [`Addr::Unnamed`]: it cannot be answered, and [`Context::reply`] then says
    /// [`SendStatus::Closed`](crate::SendStatus::Closed).
    ///
    /// # Errors
    /// An error costs this datagram.
    fn handle(&mut self, cx: &mut Context<'_, S>, packet: &[u8], peer: &Addr) -> io::Result<()>;

    /// A datagram came that is longer than
    /// [`Options::max_packet_size`](crate::Options::max_packet_size); `packet` is its beginning.
    /// By default it is dropped. It is counted in any case.
    ///
    /// # Errors
    /// An error costs this datagram.
    fn truncated(&mut self, cx: &mut Context<'_, S>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        let _ = (cx, packet, peer);
        Ok(())
    }

    /// The system reported an error of the socket. On a connected one it says what became of
    /// something sent before, as `ConnectionRefused` when nobody is there. By default nothing is
    /// done about it.
    ///
    /// # Errors
    /// An error is logged and counted.
    fn error(&mut self, cx: &mut Context<'_, S>, error: io::Error) -> io::Result<()> {
        let _ = (cx, error);
        Ok(())
    }

    /// The queue of the socket had no room ([`SendStatus::Congested`](crate::SendStatus::Congested)) and is
    /// empty again.
    ///
    /// # Errors
    /// An error is logged and counted.
    fn drained(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// A timer of this socket came up. By default nothing is done about it.
    ///
    /// # Errors
    /// An error is logged and counted.
    fn timeout(&mut self, cx: &mut Context<'_, S>, timer: TimerId) -> io::Result<()> {
        let _ = (cx, timer);
        Ok(())
    }

    /// The server shuts down; everything that had come was handled. A bound socket then rests until
    /// the server runs again, a connected one is closed.
    ///
    /// # Errors
    /// An error is logged and counted.
    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// The socket was closed (Python's `finish`); `outcome` is an error when the system would not
    /// watch it any more. Nothing can be sent any more.
    fn finish(&mut self, cx: &mut Context<'_, S>, outcome: io::Result<()>) {
        let _ = (cx, outcome);
    }
}

impl<S, F> DatagramHandler<S> for F
where
    F: FnMut(&mut Context<'_, S>, &[u8], &Addr) -> io::Result<()>,
{
    #[inline]
    fn handle(&mut self, cx: &mut Context<'_, S>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        self(cx, packet, peer)
    }
}

impl<S> DatagramHandler<S> for Echo {
    #[inline]
    fn handle(&mut self, cx: &mut Context<'_, S>, packet: &[u8], _peer: &Addr) -> io::Result<()> {
        cx.reply(packet);
        Ok(())
    }
}
