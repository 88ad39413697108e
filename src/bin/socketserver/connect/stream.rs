//! The conversation with a server over a connection.

use std::io::{self, IsTerminal};

use socketserver::{Context, Handler, Input, TimerId};

use super::session::Session;

#[derive(Default)]
pub(super) struct Conversation {
    /// How many pieces of input had come when the server had ended and it was looked at last.
    pieces: u64,
}

impl Handler<Session> for Conversation {
    fn setup(&mut self, cx: &mut Context<'_, Session>) -> io::Result<()> {
        // What is read is bounded by what standard output takes, and what is sent by the permits
        // of standard input, so the directions need not wait for each other.
        cx.io.set_full_duplex(cx.id, true);
        let handle = cx.handle();
        cx.shared.stands(cx.id, handle)
    }

    fn handle(&mut self, cx: &mut Context<'_, Session>, input: &mut Input<'_>) -> io::Result<()> {
        cx.shared.print(cx.io, cx.id, input.take_all());
        Ok(())
    }

    fn eof(&mut self, cx: &mut Context<'_, Session>, rest: &[u8]) -> io::Result<()> {
        cx.shared.print(cx.io, cx.id, rest);
        if io::stdin().is_terminal() {
            cx.io.shutdown_write(cx.id);
        } else if !cx.shared.input_over {
            self.await_input(cx);
        }
        Ok(())
    }

    /// The server has ended, and the input had time to come.
    fn timeout(&mut self, cx: &mut Context<'_, Session>, _: TimerId) -> io::Result<()> {
        if cx.io.unsent(cx.id) > 0 || self.pieces != cx.shared.pieces {
            self.await_input(cx);
        } else {
            cx.io.shutdown_write(cx.id);
        }
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, Session>, outcome: io::Result<()>) {
        cx.shared.end(outcome);
    }
}

impl Conversation {
    fn await_input(&mut self, cx: &mut Context<'_, Session>) {
        self.pieces = cx.shared.pieces;
        cx.set_timer(cx.shared.wait);
    }
}
