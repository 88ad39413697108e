//! The handler of one client: parses commands where they lie in the input, sends the replies of a
//! turn together.

use std::io;
use std::rc::Rc;

use socketserver::{Handler, Input, SendStatus, TimerId};

use crate::KvState;
use crate::client_command::memory_of;
use crate::clients::ClientRecord;
use crate::parser::Parser;
use crate::session::{Cx, Session};
use crate::slow_subscriber::Verdict;

/// Replies are sent at this many bytes, and at the end of a turn.
const FLUSH: usize = 32 << 10;

#[derive(Default)]
pub(crate) struct ClientHandler {
    parser: Parser,
    /// `Some` from `setup` to `finish`.
    session: Option<Session>,
}

impl Handler<KvState> for ClientHandler {
    fn setup(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        if !cx.shared.places.take() {
            cx.send(b"-ERR max number of clients reached\r\n");
            cx.close();
            return Ok(());
        }
        let number = cx.shared.clients.next_number();
        let addr = [cx.io.peer_addr(cx.id), cx.io.local_addr(cx.id)];
        let addr = addr.map(|addr| addr.map_or_else(String::new, |addr| addr.to_string()));
        let record = Rc::new(ClientRecord::new(number, cx.id, addr, cx.io.now()));
        cx.shared.clients.add(&record);
        self.session = Some(Session::new(record, &cx.shared.store.memory));
        Ok(())
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        if cx.shared.output_queues.contains(cx.id) {
            return Ok(());
        }
        cx.shared.store.turn(cx.io.now());
        cx.shared.replies.protocol = session.record.protocol.get();
        session.record.last_active.set(cx.io.now());
        serve(cx, session, &mut self.parser, input);
        self.parser.release_buffers();
        session.record.input.set(input.len() + self.parser.memory());
        cx.shared.arm_timer(cx.io);
        Ok(())
    }

    /// The output has capacity for more of a large reply. After the last piece the library delivers
    /// the commands that were left in the input.
    fn drained(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        cx.shared.output_queues.send_more(cx.io, cx.id);
        cx.shared.arm_timer(cx.io);
        Ok(())
    }

    /// The time of a slow subscriber is over.
    fn timeout(&mut self, cx: &mut Cx<'_>, _timer: TimerId) -> io::Result<()> {
        let Some(session) = &self.session else { return Ok(()) };
        let queued = memory_of(cx, &session.record).output;
        match session.record.slow.judge_again(queued, cx.io.now()) {
            Verdict::Keep => {}
            Verdict::JudgeAfter(time) => drop(cx.set_timer(time)),
            Verdict::End => drop(cx.io.abort(cx.id)),
        }
        Ok(())
    }

    fn eof(&mut self, cx: &mut Cx<'_>, _rest: &[u8]) -> io::Result<()> {
        cx.shared.output_queues.close(cx.io, cx.id);
        Ok(())
    }

    fn shutdown(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        cx.shared.output_queues.close(cx.io, cx.id);
        Ok(())
    }

    fn finish(&mut self, cx: &mut Cx<'_>, _outcome: io::Result<()>) {
        if let Some(session) = self.session.take() {
            cx.shared.places.give_back();
            session.record.is_closed.set(true);
            cx.shared.channels.unsubscribe_later(cx.id, session.channels);
            cx.shared.clients.remove(session.record.number);
        }
        cx.shared.output_queues.remove(cx.id);
        self.parser = Parser::default();
        cx.shared.arm_timer(cx.io);
    }
}

/// Answers the commands in the input. Stops while the output is congested: the library delivers the
/// rest of the input when the output has drained, also during a shutdown.
fn serve(cx: &mut Cx<'_>, session: &mut Session, parser: &mut Parser, input: &mut Input<'_>) {
    while !session.is_closing {
        match parser.next(input, &cx.shared.store.memory) {
            Ok(Some(args)) if args.len() == 0 => {}
            Ok(Some(args)) => session.run(cx, &args),
            Ok(None) => break,
            Err(error) => {
                cx.shared.replies.error(&format!("ERR Protocol error: {}", error.0));
                session.is_closing = true;
            }
        }
        let replies = &cx.shared.replies;
        let is_much = replies.bytes.len() >= FLUSH || !replies.larges.is_empty();
        if is_much && flush(cx) != SendStatus::Queued && !session.is_closing {
            return;
        }
    }
    flush(cx);
    if session.is_closing {
        cx.shared.output_queues.close(cx.io, cx.id);
    }
}

fn flush(cx: &mut Cx<'_>) -> SendStatus {
    let KvState { replies, output_queues, .. } = cx.shared;
    if replies.bytes.is_empty() {
        return SendStatus::Queued;
    }
    let sent = if replies.larges.is_empty() && !output_queues.contains(cx.id) {
        cx.io.send(cx.id, &replies.bytes)
    } else {
        output_queues.reply(cx.io, cx.id, replies)
    };
    replies.bytes.clear();
    replies.larges.clear();
    // A large reply does not keep its buffer allocated.
    replies.bytes.shrink_to(2 * FLUSH);
    sent
}
