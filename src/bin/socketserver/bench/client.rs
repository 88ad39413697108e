//! The client's end of one connection or datagram socket: tells the load what happens on it.

use std::io;

use socketserver::{Addr, Context, DatagramHandler, Handler, Input};

use super::errors;
use super::load::Load;

/// The number of its connection.
pub(crate) struct Client(pub(crate) u32);

impl Handler<Load> for Client {
    fn setup(&mut self, cx: &mut Context<'_, Load>) -> io::Result<()> {
        cx.shared.stands(cx.io, self.0, cx.id);
        Ok(())
    }

    #[inline]
    fn handle(&mut self, cx: &mut Context<'_, Load>, input: &mut Input<'_>) -> io::Result<()> {
        cx.shared.hear(cx.io, self.0, input.take_all())
    }

    fn eof(&mut self, cx: &mut Context<'_, Load>, _rest: &[u8]) -> io::Result<()> {
        let _ = cx;
        Err(errors::closed())
    }

    fn drained(&mut self, cx: &mut Context<'_, Load>) -> io::Result<()> {
        cx.shared.has_room(cx.io, self.0);
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, Load>, outcome: io::Result<()>) {
        cx.shared.ended(self.0, outcome);
    }
}

/// An error of a datagram costs only that datagram, so what ends the conversation is kept here.
pub(crate) struct PacketClient {
    pub(crate) number: u32,
    pub(crate) failure: Option<io::Error>,
}

impl PacketClient {
    fn fail(&mut self, cx: &mut Context<'_, Load>, error: io::Error) {
        self.failure.get_or_insert(error);
        cx.close();
    }
}

impl DatagramHandler<Load> for PacketClient {
    fn handle(&mut self, cx: &mut Context<'_, Load>, packet: &[u8], _: &Addr) -> io::Result<()> {
        if let Err(error) = cx.shared.hear_packet(cx.io, self.number, packet) {
            self.fail(cx, error);
        }
        Ok(())
    }

    fn truncated(&mut self, cx: &mut Context<'_, Load>, _: &[u8], _: &Addr) -> io::Result<()> {
        self.fail(cx, errors::wrong_bytes());
        Ok(())
    }

    fn error(&mut self, cx: &mut Context<'_, Load>, error: io::Error) -> io::Result<()> {
        self.fail(cx, error);
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, Load>, outcome: io::Result<()>) {
        let outcome = self.failure.take().map_or(outcome, Err);
        cx.shared.ended(self.number, outcome);
    }
}
