//! Foreign sources and their callbacks; closing sources and listeners.

use log::warn;

use crate::foreign::{self, ErrorText, ForeignCode};
use crate::handler::{Context, HandlerSlot};
use crate::id::SocketId;
use crate::io::table::Entry;
use crate::reactor::dispatch::Dispatcher;

impl<S> Dispatcher<S> {
    pub(super) fn dispatch_source(&mut self, id: SocketId) {
        let Some(source) = self.io.sockets.source_mut(id) else { return };
        if source.closing {
            return;
        }
        let ready = source.begin_call();
        let Dispatcher { shared, io, handlers, registrar, .. } = self;
        let Some(HandlerSlot::Source(watched)) = handlers.get_mut(id.index()) else { return };
        let mut cx = Context { id, shared, io, registrar, reason: None, sender: None };
        let called = || watched.ready(&mut cx, ready);
        let result = foreign::run(ForeignCode::SourceCallback, Some(id), called);
        if let Some(source) = self.io.sockets.source_mut(id) {
            source.end_call();
        }
        self.install_pending();
        match result {
            Some(Ok(())) => return,
            Some(Err(error)) => {
                if !self.io.record_exit(&error) {
                    warn!("{id}: a watched source failed and is closed: {}", ErrorText(&error));
                }
                foreign::discard(ForeignCode::Error, Some(id), error);
            }
            None => {}
        }
        self.io.close(id);
    }

    /// Ends the turn of a listener or a foreign source: removes it if it is closed.
    pub(super) fn finish_listener_or_source(&mut self, id: SocketId) {
        let closing = match self.io.sockets.get(id) {
            Some(Entry::Listener(listener)) => listener.closing,
            Some(Entry::Source(source)) => source.closing,
            _ => return,
        };
        if closing {
            match self.take_handler(id) {
                HandlerSlot::Source(mut watched) => {
                    let registry = self.io.registry();
                    // It does not matter whether it was still registered.
                    let deregister = || drop(watched.deregister(registry));
                    foreign::run(ForeignCode::SourceDrop, Some(id), deregister);
                    foreign::discard(ForeignCode::SourceDrop, Some(id), watched);
                }
                factory => foreign::discard(ForeignCode::Factory, Some(id), factory),
            }
            self.io.remove_socket(id);
        }
        self.io.sockets.end_turn(id);
    }
}
