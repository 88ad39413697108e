//! The public face: one loop, several loops, connections that are made again.
//!
//! This room may use all others but `blocking`, `testing` and `guide`. Start reading at [`Server::turn`].

pub(crate) mod loop_group;
pub(crate) mod reconnect;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Registry};

use crate::addr::Addr;
use crate::foreign::{self, ForeignCode};
use crate::handler::server_handle::{Command, ServerHandle};
use crate::id::TimerId;
use crate::io::Io;
#[cfg(feature = "testing")]
use crate::io::ShutdownState;
use crate::io::mailbox::Mailbox;
#[cfg(all(test, feature = "testing"))]
use crate::io::poll::PolledEvents;
#[cfg(all(test, feature = "testing"))]
use crate::net::ReadyEvent;
use crate::net::impl_as_fd;
use crate::reactor::Reactor;
#[cfg(feature = "testing")]
use crate::reactor::dispatch::Dispatcher;
use crate::stats::{ShutdownReport, Stats};
use crate::trace::TraceEvent;

// In the order in which rustdoc shows their methods.
mod new;

mod open;

mod handle_request;
mod member;
mod shutdown;

pub use handle_request::RequestOutcome;

/// A server: any number of listeners, connections and datagram sockets, served by the thread that
/// runs it (Python's `TCPServer`, `UDPServer`, `UnixStreamServer` and `UnixDatagramServer` in one).
///
/// `S` is the value that all handlers share; they reach it as `cx.shared`.
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
    /// Called once a turn.
    service_actions: Option<Box<ServiceActions<S>>>,
    report: Option<ShutdownReport>,
    /// A run has begun: one of `serve_forever` or `handle_request`, or the turns of the caller.
    is_running: bool,
    /// The counters as they were when the present shutdown began.
    before_drain: Stats,
    // Kept so that a turn does not allocate.
    events: Events,
    due: Vec<TimerId>,
    commands: Vec<Command<S>>,
}

type ServiceActions<S> = dyn FnMut(&mut S, &mut Io);

impl<S> Server<S> {
    /// Sets a function that decides about each client before a handler is made, and about the
    /// sender of each datagram (Python's `verify_request`). When it returns `false`, or panics, the
    /// client is disconnected or the datagram dropped.
    pub fn set_verify_request(&mut self, verify: impl FnMut(&mut S, &Addr) -> bool + 'static) {
        self.reactor.dispatcher.verify = Some(Box::new(verify));
    }

    /// Sets a function that is called at the end of every turn (Python's `service_actions`). An
    /// idle loop has no turns; for regular work, set a timer.
    pub fn set_service_actions(&mut self, actions: impl FnMut(&mut S, &mut Io) + 'static) {
        self.service_actions = Some(Box::new(actions));
    }

    /// Sets a function that gets every step of the loop. A panic in it is logged and ends nothing.
    pub fn set_trace(&mut self, watcher: impl FnMut(TraceEvent) + 'static) {
        self.reactor.dispatcher.io.trace.set(watcher);
    }

    // Access.

    /// All sockets and timers, for questions.
    #[must_use]
    pub fn io(&self) -> &Io {
        &self.reactor.dispatcher.io
    }

    /// All sockets and timers, for commands.
    pub fn io_mut(&mut self) -> &mut Io {
        let io = &mut self.reactor.dispatcher.io;
        io.update_clock();
        io
    }

    /// The value that the handlers share.
    #[must_use]
    pub fn shared(&self) -> &S {
        &self.reactor.dispatcher.shared
    }

    /// The value that the handlers share, mutably.
    pub fn shared_mut(&mut self) -> &mut S {
        &mut self.reactor.dispatcher.shared
    }

    /// A handle for other threads.
    #[must_use]
    pub fn handle(&self) -> ServerHandle<S> {
        ServerHandle { mailbox: Arc::clone(&self.mailbox) }
    }

    /// The report of the last shutdown; `None` before the first.
    #[must_use]
    pub fn report(&self) -> Option<ShutdownReport> {
        self.report
    }

    // Running.

    /// Serves until a shutdown is requested ([`ServerHandle::shutdown`], [`Io::shutdown`]) and is
    /// done. It sleeps while there is nothing to do, and can be called again.
    ///
    /// # Errors
    /// The error of the poll, and [`Exit`](crate::Exit) when a handler returns it. Errors of
    /// connections and listeners are not returned here.
    pub fn serve_forever(&mut self) -> io::Result<()> {
        self.begin_run();
        self.serve_until_drained()
    }

    fn serve_until_drained(&mut self) -> io::Result<()> {
        let result = loop {
            match self.run_turn(None) {
                Ok(()) if self.is_drained() => break Ok(()),
                Ok(()) => {}
                Err(error) => break Err(error),
            }
        };
        self.end_run();
        result
    }

    /// Shuts down and waits for the end: [`Io::shutdown`] followed by [`Server::serve_forever`].
    ///
    /// # Errors
    /// The error of the poll, and [`Exit`](crate::Exit) when a handler returns it.
    pub fn shutdown(&mut self, grace: Duration) -> io::Result<ShutdownReport> {
        self.io_mut().shutdown(grace);
        self.serve_forever()?;
        Ok(self.report.unwrap_or_default())
    }

    /// Runs one turn of the loop, for programs with a loop of their own: waits for events, at most
    /// for `max_wait` (`None` waits for ever), and handles them.
    ///
    /// The poll counts in milliseconds, so a wait may last up to one longer than `max_wait`.
    ///
    /// A requested shutdown goes on from turn to turn, until [`Io::is_shutting_down`] returns
    /// `false`.
    ///
    /// # Errors
    /// The error of the poll, and [`Exit`](crate::Exit) when a handler returns it.
    pub fn turn(&mut self, max_wait: Option<Duration>) -> io::Result<()> {
        self.begin_step();
        let result = self.run_turn(max_wait);
        self.end_step();
        result
    }

    /// How long a loop of the caller may wait before it calls [`Server::turn`], as long as the
    /// descriptor of the server ([`AsFd`](std::os::fd::AsFd)) is not readable: zero when there is work
    /// left, `None` when only an event can bring any (libuv's `uv_backend_timeout`). A wait in whole
    /// milliseconds has to be rounded up. [The guide](crate::guide::other_loops) has a loop that does
    /// this.
    ///
    /// ```
    /// use std::time::Duration;
    /// use socketserver::Server;
    ///
    /// let mut server = Server::new()?;
    /// assert_eq!(server.poll_timeout(), None);
    /// let timer = server.add_timer_handler(|_cx| Ok(()))?;
    /// server.io_mut().set_timer(timer, Duration::from_secs(60));
    /// assert!(server.poll_timeout().is_some_and(|wait| wait <= Duration::from_secs(60)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.mailbox.is_pending() {
            return Some(Duration::ZERO);
        }
        self.reactor.dispatcher.io.poll_timeout()
    }

    #[inline]
    fn run_turn(&mut self, max_wait: Option<Duration>) -> io::Result<()> {
        self.reactor.dispatcher.io.wait(&mut self.events, max_wait)?;
        self.reactor.receive_events(&self.events);
        self.turn_after_events()
    }

    /// Like [`Server::turn`], but the caller's kernel is polled.
    #[cfg(all(test, feature = "testing"))]
    pub(crate) fn turn_with<P: PolledEvents, E: ReadyEvent>(
        &mut self,
        polled: &mut P,
        events: fn(&P) -> &[E],
    ) -> io::Result<()> {
        self.reactor.dispatcher.io.wait(polled, None)?;
        self.reactor.receive_events(events(polled));
        self.turn_after_events()
    }

    /// The part of a turn after the events.
    #[inline]
    fn turn_after_events(&mut self) -> io::Result<()> {
        if self.mailbox.is_pending() {
            self.run_commands();
        }
        self.leave_drained();
        self.begin_drain();
        if self.reactor.dispatcher.io.is_deadline_due {
            self.fire_due();
        }
        self.end_round();
        // Before the end of a shutdown, so that actions which request one do not request the next.
        if let Some(actions) = &mut self.service_actions {
            let dispatcher = &mut self.reactor.dispatcher;
            let called = || actions(&mut dispatcher.shared, &mut dispatcher.io);
            foreign::run(ForeignCode::ServiceActions, None, called);
        }
        self.end_drain();
        self.reactor.dispatcher.io.exit_requested.take().map_or(Ok(()), Err)
    }

    /// The dispatcher, for tests that supply their own connections.
    #[cfg(feature = "testing")]
    pub(crate) fn dispatcher(&mut self) -> &mut Dispatcher<S> {
        &mut self.reactor.dispatcher
    }

    /// Whether only an event or the time can give it something to do.
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
            let called = || command(&mut dispatcher.shared, &mut dispatcher.io);
            foreign::run(ForeignCode::PostedCall, None, called);
        }
        if let Some(grace) = stop {
            dispatcher.io.shutdown(grace);
        }
        dispatcher.io.complete_lookups();
        dispatcher.check_group();
    }

    /// Ends a round: serves what is queued, and writes.
    #[inline]
    fn end_round(&mut self) {
        self.reactor.receive_queued();
        self.reactor.write_phase();
    }

    /// Fires the timers of zero, and then the deadlines that had come when the poll of this turn
    /// began. All events of that poll are served in between, in a round of their own: input first,
    /// then timers. A timer that is set meanwhile fires in a later turn.
    #[cold]
    #[inline(never)]
    fn fire_due(&mut self) {
        let io = &mut self.reactor.dispatcher.io;
        io.is_deadline_due = false;
        let until = io.looked_at;
        io.timers.take_immediate(&mut self.due);
        self.fire_timers();
        self.end_round();
        while let Some(timer) = self.reactor.dispatcher.io.timers.pop_due(until) {
            self.due.push(timer);
        }
        self.fire_timers();
        while let Some(id) = self.reactor.dispatcher.io.deadlines.pop_due(until) {
            self.reactor.dispatcher.on_deadline(id);
        }
        while let Some(id) = self.reactor.dispatcher.io.frame_deadlines.pop_due(until) {
            self.reactor.dispatcher.on_frame_deadline(id);
        }
        self.reactor.dispatcher.io.drop_stale_deadlines();
    }

    /// Fires the timers that are due.
    fn fire_timers(&mut self) {
        for timer in self.due.drain(..) {
            if self.reactor.dispatcher.io.defer_timer(timer) {
                continue;
            }
            if let Some(owner) = self.reactor.dispatcher.io.timers.fire(timer) {
                self.reactor.dispatcher.fire_timer(timer, owner);
            }
        }
    }

    #[allow(dead_code, reason = "not every system has a descriptor for the poll to lend")]
    fn registry(&self) -> &Registry {
        self.reactor.dispatcher.io.registry()
    }
}

/// Ends all open connections: every handler's `finish` is called.
impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        // A connection that a `finish` opens now would never be served.
        self.reactor.dispatcher.io.options.max_connections = 0;
        self.reactor.dispatcher.abort_all();
        self.reactor.dispatcher.close_datagrams();
        self.reactor.dispatcher.refuse_handoffs();
        self.mailbox.close();
        self.reactor.dispatcher.discard_foreign();
        foreign::discard(ForeignCode::ServiceActions, None, self.service_actions.take());
    }
}

impl_as_fd!(Server<S>);

impl<S> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("io", &self.reactor.dispatcher.io).finish_non_exhaustive()
    }
}
