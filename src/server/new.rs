//! How a server is made.

use std::io;
use std::sync::Arc;

use mio::{Events, Waker};

use super::Server;
use crate::handler::Registrar;
use crate::id::SocketId;
use crate::io::mailbox::Mailbox;
use crate::io::thread_pool::ThreadPool;
use crate::io::{Io, about};
use crate::options::Options;
use crate::reactor::Reactor;
use crate::stats::Stats;

impl Server<()> {
    /// A server whose handlers share nothing, with the default [`Options`].
    ///
    /// # Errors
    /// The error of the system when it cannot open a poll or its waker.
    pub fn new() -> io::Result<Server<()>> {
        Server::with_shared((), Options::default())
    }
}

impl<S> Server<S> {
    /// A server whose handlers share `shared`.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when an option is invalid; the error of the
    /// system when it cannot open a poll or its waker.
    pub fn with_shared(shared: S, options: Options) -> io::Result<Server<S>> {
        let io = Io::new(options)?;
        let events = Events::with_capacity(io.options.events_per_turn);
        let waker = Waker::new(io.registry(), SocketId::WAKER)
            .map_err(about("cannot open the waker of a poll"))?;
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
            is_running: false,
            before_drain: Stats::default(),
            events,
            due: Vec::new(),
            commands: Vec::new(),
        })
    }
}
