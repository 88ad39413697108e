//! The public face: the loop around the reactor, several loops, connections that are made again.
//!
//! This room may use all others but `blocking`, `testing` and `guide`. Start reading at [`Server::turn`].

pub(crate) mod loop_group;
pub(crate) mod reconnect;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use log::error;
use mio::{Events, Registry, Waker};

use crate::addr::Addr;
use crate::handler::Registrar;
use crate::handler::server_handle::{Command, ServerHandle};
use crate::id::{SocketId, TimerId};
use crate::io::Io;
#[cfg(feature = "testing")]
use crate::io::ShutdownState;
use crate::io::mailbox::Mailbox;
use crate::io::thread_pool::ThreadPool;
#[cfg(all(test, feature = "testing"))]
use crate::net::ReadyEvent;
use crate::net::impl_as_fd;
use crate::options::Options;
use crate::reactor::Reactor;
#[cfg(feature = "testing")]
use crate::reactor::dispatch::Dispatcher;
use crate::stats::{ShutdownReport, Stats};
use crate::trace::TraceEvent;

mod handle_request;
mod member;
mod open;
mod shutdown;

pub use handle_request::RequestOutcome;

/// Any number of listeners, connections and datagram sockets, served by the thread that runs it
/// (Python's `TCPServer`, `UDPServer`, `UnixStreamServer` and `UnixDatagramServer` in one).
///
/// `S` is what all handlers share; they reach it as `cx.shared`.
///
/// ```no_run
/// fn main() -> std::io::Result<()> {
///     let mut server = socketserver::Server::new()?;
///     server.listen("127.0.0.1:7000", |_peer| socketserver::Echo)?;
///     server.serve_forever()
/// }
/// ```
pub struct Server<S = ()> {
    reactor: Reactor<S>,
    mailbox: Arc<Mailbox<Command<S>>>,
    /// Runs once a turn.
    service_actions: Option<Box<ServiceActions<S>>>,
    report: Option<ShutdownReport>,
    /// The counters as they were when the present shutdown began.
    before_drain: Stats,
    // Kept only so that a turn allocates nothing.
    events: Events,
    due: Vec<TimerId>,
    commands: Vec<Command<S>>,
}

type ServiceActions<S> = dyn FnMut(&mut S, &mut Io);

impl Server<()> {
    /// A server whose handlers share nothing, with the default [`Options`].
    ///
    /// # Errors
    /// When the system gives no poll.
    pub fn new() -> io::Result<Server<()>> {
        Server::with_shared((), Options::default())
    }
}

impl<S> Server<S> {
    /// A server whose handlers share `shared`.
    ///
    /// # Errors
    /// When an option makes no sense (`InvalidInput`), or the system gives no poll.
    pub fn with_shared(shared: S, options: Options) -> io::Result<Server<S>> {
        let io = Io::new(options)?;
        let events = Events::with_capacity(io.options.events_per_turn);
        let waker = Waker::new(io.registry(), SocketId::WAKER)?;
        let mailbox = Arc::new(Mailbox::new(waker, io.options.post_queue));
        let registrar = Registrar {
            pending_handlers: Vec::new(),
            mailbox: Arc::clone(&mailbox),
            thread_pool: ThreadPool::new(io.options.offload_threads, io.options.offload_queue),
        };
        Ok(Server {
            reactor: Reactor::new(shared, io, registrar),
            mailbox,
            service_actions: None,
            report: None,
            before_drain: Stats::default(),
            events,
            due: Vec::new(),
            commands: Vec::new(),
        })
    }

    /// Asks `verify` about each client before anything is made for it, and about the sender of each
    /// datagram; a client it refuses is closed at once, a datagram dropped (Python's
    /// `verify_request`). A panic in it refuses.
    pub fn set_verify_request(&mut self, verify: impl FnMut(&mut S, &Addr) -> bool + 'static) {
        self.reactor.dispatcher.verify = Some(Box::new(verify));
    }

    /// Has `actions` called at the end of every turn (Python's `service_actions`). There is no turn
    /// while nothing happens; for something regular, set a timer.
    pub fn set_service_actions(&mut self, actions: impl FnMut(&mut S, &mut Io) + 'static) {
        self.service_actions = Some(Box::new(actions));
    }

    /// Shows every step of the loop to `watcher`, which must not panic.
    pub fn set_trace(&mut self, watcher: impl FnMut(TraceEvent) + 'static) {
        self.reactor.dispatcher.io.trace.set(watcher);
    }

    // What may be reached.

    /// All sockets and timers, to look at.
    #[must_use]
    pub fn io(&self) -> &Io {
        &self.reactor.dispatcher.io
    }

    /// All sockets and timers.
    pub fn io_mut(&mut self) -> &mut Io {
        let io = &mut self.reactor.dispatcher.io;
        io.update_clock();
        io
    }

    /// What the handlers share, to look at.
    #[must_use]
    pub fn shared(&self) -> &S {
        &self.reactor.dispatcher.shared
    }

    /// What the handlers share.
    pub fn shared_mut(&mut self) -> &mut S {
        &mut self.reactor.dispatcher.shared
    }

    /// A handle for other threads.
    #[must_use]
    pub fn handle(&self) -> ServerHandle<S> {
        ServerHandle { mailbox: Arc::clone(&self.mailbox) }
    }

    /// What the last shutdown came to.
    #[must_use]
    pub fn report(&self) -> Option<ShutdownReport> {
        self.report
    }

    // How it runs.

    /// Serves until somebody asks for a shutdown ([`ServerHandle::shutdown`], [`Io::shutdown`]) and that
    /// is done. It sleeps while there is nothing to do, and it can be called again.
    ///
    /// # Errors
    /// When the poll itself is broken, and [`Exit`](crate::Exit) when a handler says so. No other
    /// error of a connection or a listener gets here.
    pub fn serve_forever(&mut self) -> io::Result<()> {
        self.begin_run();
        self.serve_until_drained()
    }

    fn serve_until_drained(&mut self) -> io::Result<()> {
        let result = loop {
            match self.turn(None) {
                Ok(()) if self.is_drained() => break Ok(()),
                Ok(()) => {}
                Err(error) => break Err(error),
            }
        };
        self.end_run();
        result
    }

    /// Shuts down at once and waits for that: what [`Io::shutdown`] followed by
    /// [`Server::serve_forever`] does.
    ///
    /// # Errors
    /// When the poll itself is broken, and [`Exit`](crate::Exit) when a handler says so.
    pub fn shutdown(&mut self, grace: Duration) -> io::Result<ShutdownReport> {
        self.io_mut().shutdown(grace);
        self.serve_forever()?;
        Ok(self.report.unwrap_or_default())
    }

    /// One turn of the loop, for those who step it themselves: waits for something to happen, but
    /// not longer than `max_wait`, and does what there is to do. `None` waits for ever.
    ///
    /// A shutdown that was asked for goes on from turn to turn; [`Io::is_shutting_down`] tells when
    /// it is done.
    ///
    /// # Errors
    /// When the poll itself is broken, and [`Exit`](crate::Exit) when a handler says so.
    pub fn turn(&mut self, max_wait: Option<Duration>) -> io::Result<()> {
        self.reactor.dispatcher.io.wait(&mut self.events, max_wait)?;
        self.reactor.receive_events(&self.events);
        self.turn_after_events()
    }

    /// Like [`Server::turn`], but the caller supplies the events instead of polling for them.
    #[cfg(all(test, feature = "testing"))]
    pub(crate) fn turn_with<E: ReadyEvent>(&mut self, events: &[E]) -> io::Result<()> {
        self.reactor.dispatcher.io.update_clock();
        self.reactor.receive_events(events);
        self.turn_after_events()
    }

    /// All of a turn that follows from no event.
    #[inline]
    fn turn_after_events(&mut self) -> io::Result<()> {
        if self.mailbox.is_pending() {
            self.run_commands();
        }
        self.leave_drained();
        self.begin_drain();
        self.fire_due();
        self.reactor.receive_queued();
        self.reactor.write_phase();
        self.end_drain();
        if let Some(actions) = &mut self.service_actions {
            let dispatcher = &mut self.reactor.dispatcher;
            guard("service_actions", || actions(&mut dispatcher.shared, &mut dispatcher.io));
        }
        self.reactor.dispatcher.io.exit_requested.take().map_or(Ok(()), Err)
    }

    /// What its callbacks may touch, for those who bring their own connections.
    #[cfg(feature = "testing")]
    pub(crate) fn dispatcher(&mut self) -> &mut Dispatcher<S> {
        &mut self.reactor.dispatcher
    }

    /// Whether only an event, or time, could give it something to do.
    #[cfg(feature = "testing")]
    pub(crate) fn is_quiet(&self) -> bool {
        let io = &self.reactor.dispatcher.io;
        let begins =
            matches!(io.shutdown_state, ShutdownState::Requested { .. } | ShutdownState::Done);
        let is_due = io.next_deadline() <= io.now || begins;
        io.sockets.is_idle() && !self.mailbox.is_pending() && !is_due
    }

    fn run_commands(&mut self) {
        let stop = self.mailbox.drain(&mut self.commands);
        let dispatcher = &mut self.reactor.dispatcher;
        for command in self.commands.drain(..) {
            guard("call", || command(&mut dispatcher.shared, &mut dispatcher.io));
        }
        if let Some(grace) = stop {
            dispatcher.io.shutdown(grace);
        }
        dispatcher.io.complete_lookups();
        dispatcher.check_group();
    }

    /// Everything that was due when this turn began; a timer set meanwhile is for the next.
    fn fire_due(&mut self) {
        let now = self.reactor.dispatcher.io.now;
        while let Some(timer) = self.reactor.dispatcher.io.timers.pop_due(now) {
            self.due.push(timer);
        }
        for timer in self.due.drain(..) {
            if self.reactor.dispatcher.io.defer_timer(timer) {
                continue;
            }
            if let Some(owner) = self.reactor.dispatcher.io.timers.fire(timer) {
                self.reactor.dispatcher.fire_timer(timer, owner);
            }
        }
        while let Some(id) = self.reactor.dispatcher.io.deadlines.pop_due(now) {
            self.reactor.dispatcher.on_deadline(id);
        }
        while let Some(id) = self.reactor.dispatcher.io.frame_deadlines.pop_due(now) {
            self.reactor.dispatcher.on_frame_deadline(id);
        }
    }

    #[allow(dead_code, reason = "not every system has a descriptor for the poll to lend")]
    fn registry(&self) -> &Registry {
        self.reactor.dispatcher.io.registry()
    }
}

/// What is still open ends now: every handler's `finish` runs.
impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        // What a `finish` would connect to now, nobody would finish.
        self.reactor.dispatcher.io.options.max_connections = 0;
        self.reactor.dispatcher.abort_all();
        self.reactor.dispatcher.close_datagrams();
        self.reactor.dispatcher.refuse_handoffs();
        self.mailbox.close();
    }
}

impl_as_fd!(Server<S>);

impl<S> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("io", &self.reactor.dispatcher.io).finish_non_exhaustive()
    }
}

/// A panic in what is not a conversation ends nothing.
fn guard(what: &str, callback: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        error!("{what} panicked; the server goes on");
    }
}
