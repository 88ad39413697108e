//! What one client has asked for that concerns its later commands.

use std::rc::Rc;

use socketserver::Context;

use crate::Shared;
use crate::channels::Joined;
use crate::clients::Record;
use crate::command::{Command, is};
use crate::memory::Memory;
use crate::parser::Args;
use crate::replies::{Protocol, Replies};
use crate::transaction::Transaction;

pub(crate) type Cx<'a> = Context<'a, Shared>;

pub(crate) struct Session {
    pub(crate) record: Rc<Record>,
    pub(crate) channels: Joined,
    pub(crate) transaction: Transaction,
    silence: Silence,
    /// `EXEC` is done at the moment.
    pub(crate) is_in_transaction: bool,
    /// Messages to itself that follow the reply to its transaction.
    pub(crate) messages: Replies,
    /// Its last command was done.
    pub(crate) is_over: bool,
    /// Every command is simply done and answered; `note` sees to that.
    is_plain: bool,
}

/// A web page can have a browser send to any port of this machine whatever it likes as the body of a
/// request, and lines are commands. But what a browser says before is known.
fn is_http(name: &[u8]) -> bool {
    is(name, "POST") || is(name, "Host:")
}

/// What `CLIENT REPLY` says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Silence {
    No,
    /// Only the next command is not answered.
    Once,
    Always,
}

impl Session {
    pub(crate) fn new(record: Rc<Record>, memory: &Rc<Memory>) -> Session {
        Session {
            record,
            channels: Joined::new(memory),
            transaction: Transaction::default(),
            silence: Silence::No,
            is_in_transaction: false,
            messages: Replies::default(),
            is_over: false,
            is_plain: true,
        }
    }

    /// Does what a command says, or what is to be done instead.
    #[inline]
    pub(crate) fn run(&mut self, cx: &mut Cx<'_>, args: &Args<'_>) {
        match Command::find(args) {
            Ok(command) if self.is_plain => command.perform(cx, self, args),
            found => self.run_unusual(cx, found, args),
        }
    }

    #[cold]
    fn run_unusual(
        &mut self,
        cx: &mut Cx<'_>,
        found: Result<&'static Command, String>,
        args: &Args<'_>,
    ) {
        let (before, mark) = (self.silence, cx.shared.replies.mark());
        let is_message = found.as_ref().is_ok_and(|command| command.replies_by_messages());
        match found {
            Err(_) if is_http(args.get(0)) => {
                cx.shared.warn_of_http(&self.record.addr, cx.io.now());
                self.is_over = true;
            }
            Err(what) => self.refuse(cx, args, &what),
            Ok(command) if self.transaction.is_open() && command.is_queued() => {
                self.queue(cx, command, args);
            }
            Ok(command) if self.is_listener() && !command.is_for_listeners() => {
                let allowed = "(P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET";
                let name = command.name;
                let what = format!("only {allowed} are allowed in this context");
                self.refuse(cx, args, &format!("ERR Can't execute '{name}': {what}"));
            }
            Ok(command) => command.perform(cx, self, args),
        }
        if self.silence != Silence::No && !is_message {
            cx.shared.replies.take_back(mark);
        }
        if before == Silence::Once && self.silence == Silence::Once {
            self.set_silence(Silence::No);
        }
    }

    fn queue(&mut self, cx: &mut Cx<'_>, command: &'static Command, args: &Args<'_>) {
        if let Err(what) = command.check_subcommand(args) {
            self.refuse(cx, args, &what);
        } else if let Err(refused) = self.transaction.queue(cx, command, args) {
            cx.shared.replies.error(refused);
        }
        self.note();
    }

    /// A command is not even tried. Of a transaction that is open nothing will be done; and `EXEC` is
    /// its end all the same, since its client takes it for that.
    fn refuse(&mut self, cx: &mut Cx<'_>, args: &Args<'_>, what: &str) {
        if is(args.get(0), "EXEC") {
            self.transaction = Transaction::default();
            self.note();
            let what = what.strip_prefix("ERR ").unwrap_or(what);
            let what = format!("EXECABORT Transaction discarded because of: {what}");
            return cx.shared.replies.error(&what);
        }
        self.transaction.spoil();
        cx.shared.replies.error(what);
    }

    /// With RESP2 a client that listens to channels may do hardly anything else.
    pub(crate) fn is_listener(&self) -> bool {
        !self.channels.is_empty() && self.record.protocol.get() == Protocol::Resp2
    }

    pub(crate) fn set_silence(&mut self, silence: Silence) {
        self.silence = silence;
        self.note();
    }

    pub(crate) fn set_protocol(&mut self, replies: &mut Replies, protocol: Protocol) {
        self.record.protocol.set(protocol);
        replies.protocol = protocol;
        self.note();
    }

    /// Something was changed.
    pub(crate) fn note(&mut self) {
        self.record.channels.set(self.channels.len());
        self.record.watched.set(self.transaction.watched());
        self.record.queued.set(self.transaction.queued());
        let speaks = self.silence == Silence::No;
        self.is_plain = speaks && !self.transaction.is_open() && !self.is_listener();
    }

    /// Everything is as it was at the beginning.
    pub(crate) fn reset(&mut self, cx: &mut Cx<'_>) {
        while let Some(name) = self.channels.first() {
            cx.shared.channels.leave(&mut self.channels, &name, cx.id);
        }
        self.transaction = Transaction::default();
        self.silence = Silence::No;
        self.record.forget_name();
        self.set_protocol(&mut cx.shared.replies, Protocol::Resp2);
    }
}
