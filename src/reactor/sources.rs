//! Foreign sources and their callbacks; closing sources and listeners.

use std::panic::{AssertUnwindSafe, catch_unwind};

use log::warn;

use crate::handler::{Context, HandlerSlot};
use crate::id::SocketId;
use crate::io::table::Entry;
use crate::reactor::dispatch::{Dispatcher, log_panic};

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
        let result = catch_unwind(AssertUnwindSafe(|| watched.ready(&mut cx, ready)));
        if let Some(source) = self.io.sockets.source_mut(id) {
            source.end_call();
        }
        self.install_pending();
        match result {
            Ok(Ok(())) => return,
            Ok(Err(error)) if self.io.record_exit(&error) => {}
            Ok(Err(error)) => warn!("{id}: a watched source failed and is closed: {error}"),
            Err(panic) => {
                log_panic(id, &*panic);
            }
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
            if let HandlerSlot::Source(mut watched) = self.take_handler(id) {
                let registry = self.io.registry();
                let gone = catch_unwind(AssertUnwindSafe(|| {
                    // It does not matter whether it was still registered.
                    let _ = watched.deregister(registry);
                    drop(watched);
                }));
                if let Err(panic) = gone {
                    log_panic(id, &*panic);
                }
            }
            self.io.remove_socket(id);
        }
        self.io.sockets.end_turn(id);
    }
}
