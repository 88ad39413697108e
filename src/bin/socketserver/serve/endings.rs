//! A line in the log for each connection that ended in good order, at the level debug; the
//! library itself logs the others.

use std::io;

use log::{Level, debug, log_enabled};
use socketserver::{Addr, Context, Handler, Input, Server, SocketId, TimerId, ToAddrs};

/// Listens with these handlers. Only where the log wants it, each of them is one that tells of its
/// end, so that nothing else pays for it.
pub(crate) fn listen<S: 'static, H: Handler<S> + 'static>(
    server: &mut Server<S>,
    addr: impl ToAddrs,
    handler: impl Fn() -> H + 'static,
) -> io::Result<SocketId> {
    if log_enabled!(Level::Debug) {
        server.listen(addr, move |peer: &Addr| Told { handler: handler(), peer: peer.clone() })
    } else {
        server.listen(addr, move |_: &Addr| handler())
    }
}

struct Told<H> {
    handler: H,
    peer: Addr,
}

impl<S, H: Handler<S>> Handler<S> for Told<H> {
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        debug!("{}: {} has connected", cx.id, self.peer);
        self.handler.setup(cx)
    }

    fn handle(&mut self, cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        self.handler.handle(cx, input)
    }

    fn eof(&mut self, cx: &mut Context<'_, S>, rest: &[u8]) -> io::Result<()> {
        self.handler.eof(cx, rest)
    }

    fn drained(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.handler.drained(cx)
    }

    fn timeout(&mut self, cx: &mut Context<'_, S>, timer: TimerId) -> io::Result<()> {
        self.handler.timeout(cx, timer)
    }

    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.handler.shutdown(cx)
    }

    fn finish(&mut self, cx: &mut Context<'_, S>, outcome: io::Result<()>) {
        if let (Ok(()), Some(reason)) = (&outcome, cx.reason()) {
            debug!("{}: ended, {reason:?}: {}", cx.id, self.peer);
        }
        self.handler.finish(cx, outcome);
    }
}
