//! The state of one client that its later commands depend on.

use std::rc::Rc;

use socketserver::Context;

use crate::KvState;
use crate::channels::Subscriptions;
use crate::clients::ClientRecord;
use crate::command::{Command, is};
use crate::memory::Memory;
use crate::parser::Args;
use crate::replies::{Protocol, Replies};
use crate::transaction::Transaction;

pub(crate) type Cx<'a> = Context<'a, KvState>;

pub(crate) struct Session {
    pub(crate) record: Rc<ClientRecord>,
    pub(crate) channels: Subscriptions,
    pub(crate) transaction: Transaction,
    reply_mode: ReplyMode,
    /// Whether `EXEC` is running.
    pub(crate) is_in_transaction: bool,
    /// Messages to this client, delivered after the reply to its transaction.
    pub(crate) messages: Replies,
    /// Whether the connection closes after the replies.
    pub(crate) is_closing: bool,
    /// Whether every command is allowed and answered; kept by `update_record`.
    is_plain: bool,
}

/// Whether `name` is a line of HTTP. A web page can have a browser send any body to a port of this
/// machine, and the body's lines are inline commands. The lines before the body betray the browser.
fn is_http(name: &[u8]) -> bool {
    is(name, "POST") || is(name, "Host:")
}

/// The setting of `CLIENT REPLY`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReplyMode {
    On,
    /// Only the next command has no reply.
    Skip,
    Off,
}

impl Session {
    pub(crate) fn new(record: Rc<ClientRecord>, memory: &Rc<Memory>) -> Session {
        Session {
            record,
            channels: Subscriptions::new(memory),
            transaction: Transaction::default(),
            reply_mode: ReplyMode::On,
            is_in_transaction: false,
            messages: Replies::default(),
            is_closing: false,
            is_plain: true,
        }
    }

    /// Runs a command, or queues or refuses it.
    #[inline]
    pub(crate) fn run(&mut self, cx: &mut Cx<'_>, args: &Args<'_>) {
        match Command::find(args) {
            Ok(command) if self.is_plain => command.perform(cx, self, args),
            found => self.run_special(cx, found, args),
        }
    }

    #[cold]
    fn run_special(
        &mut self,
        cx: &mut Cx<'_>,
        found: Result<&'static Command, String>,
        args: &Args<'_>,
    ) {
        let (before, mark) = (self.reply_mode, cx.shared.replies.mark());
        let is_message = found.as_ref().is_ok_and(|command| command.replies_by_messages());
        match found {
            Err(_) if is_http(args.get(0)) => {
                cx.shared.warn_of_http(&self.record.addr, cx.io.now());
                self.is_closing = true;
            }
            Err(what) => self.refuse(cx, args, &what),
            Ok(command) if self.transaction.is_open() && command.is_queued() => {
                self.queue(cx, command, args);
            }
            Ok(command) if self.is_subscriber() && !command.is_for_subscribers() => {
                let allowed = "(P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET";
                let name = command.name;
                let what = format!("only {allowed} are allowed in this context");
                self.refuse(cx, args, &format!("ERR Can't execute '{name}': {what}"));
            }
            Ok(command) => command.perform(cx, self, args),
        }
        if self.reply_mode != ReplyMode::On && !is_message {
            cx.shared.replies.truncate_to(mark);
        }
        if before == ReplyMode::Skip && self.reply_mode == ReplyMode::Skip {
            self.set_reply_mode(ReplyMode::On);
        }
    }

    fn queue(&mut self, cx: &mut Cx<'_>, command: &'static Command, args: &Args<'_>) {
        if let Err(what) = command.check_subcommand(args) {
            self.refuse(cx, args, &what);
        } else if let Err(refused) = self.transaction.queue(cx, command, args) {
            cx.shared.replies.error(refused);
        }
        self.update_record();
    }

    /// Replies an error to a command that is not run. An open transaction is aborted by it; a
    /// refused `EXEC` ends the transaction, because the client assumes so.
    fn refuse(&mut self, cx: &mut Cx<'_>, args: &Args<'_>, what: &str) {
        if is(args.get(0), "EXEC") {
            self.transaction = Transaction::default();
            self.update_record();
            let what = what.strip_prefix("ERR ").unwrap_or(what);
            let what = format!("EXECABORT Transaction discarded because of: {what}");
            return cx.shared.replies.error(&what);
        }
        self.transaction.set_error();
        cx.shared.replies.error(what);
    }

    /// Whether the client has subscriptions in RESP2, which allows few other commands.
    pub(crate) fn is_subscriber(&self) -> bool {
        !self.channels.is_empty() && self.record.protocol.get() == Protocol::Resp2
    }

    pub(crate) fn set_reply_mode(&mut self, reply_mode: ReplyMode) {
        self.reply_mode = reply_mode;
        self.update_record();
    }

    pub(crate) fn set_protocol(&mut self, replies: &mut Replies, protocol: Protocol) {
        self.record.protocol.set(protocol);
        replies.protocol = protocol;
        self.update_record();
    }

    /// Must be called after each change.
    pub(crate) fn update_record(&mut self) {
        self.record.channels.set(self.channels.len());
        self.record.watched.set(self.transaction.watched());
        self.record.queued.set(self.transaction.queued());
        let speaks = self.reply_mode == ReplyMode::On;
        self.is_plain = speaks && !self.transaction.is_open() && !self.is_subscriber();
    }

    /// Restores the initial state.
    pub(crate) fn reset(&mut self, cx: &mut Cx<'_>) {
        while let Some(name) = self.channels.first() {
            cx.shared.channels.unsubscribe(&mut self.channels, &name, cx.id);
        }
        self.transaction = Transaction::default();
        self.reply_mode = ReplyMode::On;
        self.record.clear_name();
        self.set_protocol(&mut cx.shared.replies, Protocol::Resp2);
    }
}
