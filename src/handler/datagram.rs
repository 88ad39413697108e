//! The trait for handlers of datagrams.

use std::io;

use super::{Context, Echo};
use crate::addr::Addr;
use crate::id::TimerId;

/// The handler of one datagram socket (Python's `DatagramRequestHandler`). There is one value for
/// each socket; datagrams are handled one by one.
///
/// A closure `|cx: &mut Context<'_>, packet: &[u8], peer: &Addr| Ok(())` is one too.
///
/// An error or a panic in a callback ends the handling of that datagram only. It is logged and
/// counted ([`Stats::packets_failed`](crate::Stats::packets_failed)), and the socket stays open.
///
/// Unlike in Python, no empty reply is sent by default.
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
    /// Called for each datagram (Python's `handle`); it is complete, and may be empty. A Unix
    /// socket without a name is [`Addr::Unnamed`]: it cannot be replied to, and [`Context::reply`]
    /// returns [`SendStatus::Closed`](crate::SendStatus::Closed).
    ///
    /// # Errors
    /// An error is logged and counted.
    fn handle(&mut self, cx: &mut Context<'_, S>, packet: &[u8], peer: &Addr) -> io::Result<()>;

    /// Called for a datagram that is longer than
    /// [`Options::max_packet_size`](crate::Options::max_packet_size); `packet` is its beginning. By
    /// default it is dropped. It is counted in any case.
    ///
    /// # Errors
    /// An error is logged and counted.
    fn truncated(&mut self, cx: &mut Context<'_, S>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        let _ = (cx, packet, peer);
        Ok(())
    }

    /// Called when the system reports an error of the socket. On a connected socket this is the
    /// result of an earlier send, such as `ConnectionRefused` when no socket is bound to the peer's
    /// port. By default it is ignored.
    ///
    /// # Errors
    /// An error is logged and counted.
    fn error(&mut self, cx: &mut Context<'_, S>, error: io::Error) -> io::Result<()> {
        let _ = (cx, error);
        Ok(())
    }

    /// Called when the send queue is empty, after it has been full
    /// ([`SendStatus::Congested`](crate::SendStatus::Congested)).
    ///
    /// # Errors
    /// An error is logged and counted.
    fn drained(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// Called when a timer of this socket expires. By default it is ignored.
    ///
    /// # Errors
    /// An error is logged and counted.
    fn timeout(&mut self, cx: &mut Context<'_, S>, timer: TimerId) -> io::Result<()> {
        let _ = (cx, timer);
        Ok(())
    }

    /// Called when the server shuts down, after all datagrams that had arrived were handled. A
    /// bound socket then stops until the server runs again; a connected one is closed.
    ///
    /// # Errors
    /// An error is logged and counted.
    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// Called when the socket is closed (Python's `finish`); `outcome` is an error when the poll
    /// has rejected it. Sending is not possible any more.
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
