//! The conversation with a server over a connection.

use std::io;

use socketserver::{Context, Handler, Input, TimerId};

use super::session::Session;

#[derive(Default)]
pub(super) struct PeerSession {
    /// How many pieces of input and of the server had come when it was looked at last.
    seen: (u64, u64),
}

impl Handler<Session> for PeerSession {
    fn setup(&mut self, cx: &mut Context<'_, Session>) -> io::Result<()> {
        // What is read is bounded by what standard output takes, and what is sent by the permits
        // of standard input, so the directions need not wait for each other.
        cx.io.set_read_while_congested(cx.id, true);
        let handle = cx.handle();
        cx.shared.stands(cx.id, handle)
    }

    fn handle(&mut self, cx: &mut Context<'_, Session>, input: &mut Input<'_>) -> io::Result<()> {
        cx.shared.print(cx.io, cx.id, input.take_all());
        Ok(())
    }

    fn eof(&mut self, cx: &mut Context<'_, Session>, rest: &[u8]) -> io::Result<()> {
        cx.shared.print(cx.io, cx.id, rest);
        cx.shared.server_ended(cx.io, cx.id);
        if !cx.shared.input_over {
            self.await_more(cx);
        }
        Ok(())
    }

    /// The server has ended and the input had time to come, or the input has ended without a byte
    /// and the server had time to say something.
    fn timeout(&mut self, cx: &mut Context<'_, Session>, timer: TimerId) -> io::Result<()> {
        if cx.shared.rang(cx.io, cx.id, timer) {
            return Ok(());
        }
        let seen = (cx.shared.pieces, cx.shared.heard);
        if cx.io.pending_output(cx.id) > 0 || self.seen != seen || cx.io.is_paused(cx.id) {
            self.await_more(cx);
        } else {
            cx.io.shutdown_write(cx.id);
        }
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, Session>, outcome: io::Result<()>) {
        cx.shared.end(outcome);
    }
}

impl PeerSession {
    fn await_more(&mut self, cx: &mut Context<'_, Session>) {
        self.seen = (cx.shared.pieces, cx.shared.heard);
        cx.set_timer(cx.shared.rules.wait);
    }
}
