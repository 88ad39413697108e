//! What handlers were called with, in order.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use socketserver::{
    Addr, CloseReason, Context, DatagramHandler, Handler, Input, SocketId, TimerId,
};

/// What a handler was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Call {
    Setup,
    Handle(usize),
    Eof(usize),
    Drained,
    Timeout,
    Shutdown,
    Finish(CloseReason, Option<ErrorKind>),
}

/// Everything that the handlers of a server were told, in order.
#[derive(Clone, Default)]
pub(crate) struct CallLog(Rc<RefCell<Vec<(SocketId, Call)>>>);

impl CallLog {
    pub(crate) fn note(&self, id: SocketId, call: Call) {
        self.0.borrow_mut().push((id, call));
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.0.borrow().iter().map(|(_, call)| *call).collect()
    }

    pub(crate) fn ids(&self) -> Vec<SocketId> {
        let mut ids: Vec<SocketId> = Vec::new();
        for (id, _) in self.0.borrow().iter() {
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        ids
    }

    pub(crate) fn of(&self, id: SocketId) -> Vec<Call> {
        self.0.borrow().iter().filter(|(of, _)| *of == id).map(|(_, call)| *call).collect()
    }

    pub(crate) fn count(&self, wanted: impl Fn(Call) -> bool) -> usize {
        self.0.borrow().iter().filter(|(_, call)| wanted(*call)).count()
    }

    /// How each conversation ended, in the order of their ends.
    pub(crate) fn finishes(&self) -> Vec<(CloseReason, Option<ErrorKind>)> {
        let finish = |call: &Call| match call {
            Call::Finish(reason, kind) => Some((*reason, *kind)),
            _ => None,
        };
        self.calls().iter().filter_map(finish).collect()
    }

    /// `setup` first and once, `finish` last and once, `eof` and `shutdown` at most once.
    #[track_caller]
    pub(crate) fn assert_order(&self, all_ended: bool) {
        let mut calls: HashMap<SocketId, Vec<Call>> = HashMap::new();
        for (id, call) in self.0.borrow().iter() {
            calls.entry(*id).or_default().push(*call);
        }
        for (id, calls) in calls {
            let count =
                |wanted: fn(&Call) -> bool| calls.iter().filter(|call| wanted(call)).count();
            let finishes = count(|call| matches!(call, Call::Finish(..)));
            let setups = count(|call| matches!(call, Call::Setup));
            let ended = matches!(calls.last(), Some(Call::Finish(..)));
            assert_eq!(finishes, usize::from(ended), "{id}: {calls:?}");
            assert!(ended || !all_ended, "{id} never ended: {calls:?}");
            let never_stood = matches!(calls[..], [Call::Finish(CloseReason::ConnectFailed, _)]);
            assert!(setups == 1 && calls[0] == Call::Setup || never_stood, "{id}: {calls:?}");
            assert!(count(|call| matches!(call, Call::Eof(_))) <= 1, "{id}: {calls:?}");
            assert!(count(|call| matches!(call, Call::Shutdown)) <= 1, "{id}: {calls:?}");
        }
    }
}

/// A handler whose every callback is noted before it runs.
pub(crate) struct Recording<H> {
    pub(crate) journal: CallLog,
    pub(crate) handler: H,
}

impl<H> Recording<H> {
    pub(crate) fn new(journal: &CallLog, handler: H) -> Recording<H> {
        Recording { journal: journal.clone(), handler }
    }
}

impl<S, H: Handler<S>> Handler<S> for Recording<H> {
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.journal.note(cx.id, Call::Setup);
        self.handler.setup(cx)
    }

    fn handle(&mut self, cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        self.journal.note(cx.id, Call::Handle(input.len()));
        self.handler.handle(cx, input)
    }

    fn eof(&mut self, cx: &mut Context<'_, S>, rest: &[u8]) -> io::Result<()> {
        self.journal.note(cx.id, Call::Eof(rest.len()));
        self.handler.eof(cx, rest)
    }

    fn drained(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.journal.note(cx.id, Call::Drained);
        self.handler.drained(cx)
    }

    fn timeout(&mut self, cx: &mut Context<'_, S>, timer: TimerId) -> io::Result<()> {
        self.journal.note(cx.id, Call::Timeout);
        self.handler.timeout(cx, timer)
    }

    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.journal.note(cx.id, Call::Shutdown);
        self.handler.shutdown(cx)
    }

    fn finish(&mut self, cx: &mut Context<'_, S>, outcome: io::Result<()>) {
        let kind = outcome.as_ref().err().map(io::Error::kind);
        self.journal.note(cx.id, Call::Finish(cx.reason().unwrap(), kind));
        self.handler.finish(cx, outcome);
    }
}

/// What the handler of a datagram socket was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DatagramCall {
    Handle(usize),
    Truncated(usize),
    Error(ErrorKind),
    Drained,
    Timeout,
    Shutdown,
    Finish(CloseReason, Option<ErrorKind>),
}

/// Everything that the handlers of datagrams were told, in order.
#[derive(Clone, Default)]
pub(crate) struct DatagramCallLog(Rc<RefCell<Vec<DatagramCall>>>);

impl DatagramCallLog {
    pub(crate) fn note(&self, call: DatagramCall) {
        self.0.borrow_mut().push(call);
    }

    pub(crate) fn calls(&self) -> Vec<DatagramCall> {
        self.0.borrow().clone()
    }

    pub(crate) fn count(&self, wanted: impl Fn(DatagramCall) -> bool) -> usize {
        self.0.borrow().iter().filter(|call| wanted(**call)).count()
    }

    pub(crate) fn has(&self, wanted: DatagramCall) -> bool {
        self.0.borrow().contains(&wanted)
    }

    pub(crate) fn handled(&self) -> usize {
        self.count(|call| matches!(call, DatagramCall::Handle(_)))
    }

    pub(crate) fn finishes(&self) -> usize {
        self.count(|call| matches!(call, DatagramCall::Finish(..)))
    }
}

/// A handler of datagrams whose every callback is noted before it runs.
pub(crate) struct RecordingDatagrams<H> {
    journal: DatagramCallLog,
    handler: H,
}

impl<H> RecordingDatagrams<H> {
    pub(crate) fn new(journal: &DatagramCallLog, handler: H) -> RecordingDatagrams<H> {
        RecordingDatagrams { journal: journal.clone(), handler }
    }
}

impl<S, H: DatagramHandler<S>> DatagramHandler<S> for RecordingDatagrams<H> {
    fn handle(&mut self, cx: &mut Context<'_, S>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        self.journal.note(DatagramCall::Handle(packet.len()));
        self.handler.handle(cx, packet, peer)
    }

    fn truncated(&mut self, cx: &mut Context<'_, S>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        self.journal.note(DatagramCall::Truncated(packet.len()));
        self.handler.truncated(cx, packet, peer)
    }

    fn error(&mut self, cx: &mut Context<'_, S>, error: io::Error) -> io::Result<()> {
        self.journal.note(DatagramCall::Error(error.kind()));
        self.handler.error(cx, error)
    }

    fn drained(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.journal.note(DatagramCall::Drained);
        self.handler.drained(cx)
    }

    fn timeout(&mut self, cx: &mut Context<'_, S>, timer: TimerId) -> io::Result<()> {
        self.journal.note(DatagramCall::Timeout);
        self.handler.timeout(cx, timer)
    }

    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.journal.note(DatagramCall::Shutdown);
        self.handler.shutdown(cx)
    }

    fn finish(&mut self, cx: &mut Context<'_, S>, outcome: io::Result<()>) {
        let kind = outcome.as_ref().err().map(io::Error::kind);
        self.journal.note(DatagramCall::Finish(cx.reason().unwrap(), kind));
        self.handler.finish(cx, outcome);
    }
}
