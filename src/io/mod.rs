//! The sockets and timers of one loop, and the commands on them.
//!
//! A command changes the state of a socket and queues it for a turn. No command calls a handler,
//! and only a large `send` writes. An id whose socket is closed reaches nothing, and never another
//! socket.
//!
//! This room may use `values`, `conn` and `net`. Start reading at [`Io`].

pub(crate) mod connect;
pub(crate) mod cork;
pub(crate) mod datagram;
pub(crate) mod group;
pub(crate) mod mailbox;
pub(crate) mod table;
pub(crate) mod thread_pool;
pub(crate) mod wait_queue;

// Each in a group of its own: rustdoc lists the methods of `Io` in this order.
mod send;

mod commands;

mod timers;

mod queries;

mod datagrams;

mod shutdown;

mod capacity;
mod close;
mod connect_attempts;
mod connecting;
mod connection;
mod deadline_queue;
mod deadlines;
mod detach;
mod foreign_source;
mod lingering;
pub(crate) mod listener;
mod local_addrs;
mod names;
mod offloaded;
mod open;
pub(crate) mod poll;
mod progress;
mod resolver;
mod shared_addrs;
mod spare_memory;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Poll;

use crate::conn::byte_buffer;
use crate::conn::output::BufferPool;
use crate::conn::stream::Watermarks;
use crate::exit::Exit;
use crate::id::SocketId;
use crate::io::connect_attempts::ConnectAttempts;
use crate::io::connection::Connection;
use crate::io::cork::CorkBuffer;
use crate::io::deadline_queue::DeadlineQueue;
use crate::io::lingering::Lingering;
use crate::io::local_addrs::LocalAddrs;
use crate::io::poll::FullPolls;
use crate::io::resolver::Resolver;
use crate::io::spare_memory::SpareMemory;
use crate::io::table::SocketTable;
use crate::io::timers::Timers;
use crate::net::{DetachedSocket, StopToken};
use crate::options::Options;
use crate::stats::Stats;
use crate::trace::Tracer;

pub(crate) use shutdown::ShutdownState;
pub(crate) use spare_memory::NO_SOCKET;

/// All sockets and timers of one server; handlers reach it as `cx.io`.
#[derive(Debug)]
pub struct Io {
    pub(crate) poll: Poll,
    pub(crate) sockets: SocketTable,
    pub(crate) cork: CorkBuffer,
    pub(crate) pool: BufferPool,
    pub(crate) timers: Timers,
    /// Idle and close timeouts of connections, and when listeners retry.
    pub(crate) deadlines: DeadlineQueue<SocketId>,
    /// Connections that only wait for the EOF of their peer.
    pub(crate) lingering: Lingering,
    /// When the rest of a frame is due ([`Options::frame_timeout`]).
    pub(crate) frame_deadlines: DeadlineQueue<SocketId>,
    pub(crate) stats: Stats,
    pub(crate) trace: Tracer,
    pub(crate) options: Options,
    pub(crate) watermarks: Watermarks,
    /// Nanoseconds from `epoch` to the beginning of this turn.
    pub(crate) now: u64,
    pub(crate) epoch: Instant,
    /// Everything that had arrived by then was reported: deadlines until then may expire in a turn
    /// with `is_deadline_due`.
    pub(crate) looked_at: u64,
    /// Whether deadlines may expire in this turn.
    pub(crate) is_deadline_due: bool,
    full_polls: FullPolls,
    /// The time that a test has set instead of the clock.
    #[cfg(feature = "testing")]
    pub(crate) stopped_at: Option<u64>,
    pub(crate) shutdown_state: ShutdownState,
    /// The memory that goes back some seconds later.
    spare: SpareMemory,
    /// The socket that a shutdown waited for when it was asked last.
    undrained: Option<SocketId>,
    /// Connections that are not established yet.
    pub(crate) attempts: ConnectAttempts,
    /// How many offloaded jobs of each connection are running or queued.
    offloaded: BTreeMap<SocketId, usize>,
    /// Looks up the names of outgoing connections.
    pub(crate) resolver: Resolver,
    /// The sockets of connections with blocking handlers.
    detached: BTreeMap<SocketId, DetachedSocket>,
    /// Ends the reads of those sockets at a shutdown; made for the first of them.
    pub(crate) stop_token: Option<Arc<StopToken>>,
    /// A handler returned [`Exit`].
    pub(crate) exit_requested: Option<io::Error>,
    /// The bound addresses of datagram sockets.
    pub(crate) local_addrs: LocalAddrs,
    /// How many more clients or datagrams `handle_request` takes; `None` is any number.
    pub(crate) accept_quota: Option<usize>,
    /// [`Options::idle_timeout`] in nanoseconds; `u64::MAX` is for ever.
    idle_timeout_ns: u64,
    /// [`Options::frame_timeout`] likewise.
    pub(crate) frame_timeout_ns: u64,
}

/// How long a listener waits after `accept` has failed for lack of descriptors or memory.
pub(crate) const ACCEPT_RETRY: Duration = Duration::from_millis(100);

impl Io {
    pub(crate) fn new(options: Options) -> io::Result<Io> {
        options.check()?;
        byte_buffer::keep_pages();
        Ok(Io {
            poll: Poll::new().map_err(about("cannot open a poll"))?,
            sockets: SocketTable::new(),
            cork: CorkBuffer::new(),
            pool: BufferPool::default(),
            timers: Timers::new(),
            deadlines: DeadlineQueue::new(),
            lingering: Lingering::default(),
            frame_deadlines: DeadlineQueue::new(),
            stats: Stats::default(),
            trace: Tracer::default(),
            watermarks: Watermarks::of(&options),
            idle_timeout_ns: options.idle_timeout.map_or(u64::MAX, nanoseconds),
            frame_timeout_ns: options.frame_timeout.map_or(u64::MAX, nanoseconds),
            resolver: Resolver::new(options.lookup_threads),
            options,
            now: 0,
            epoch: Instant::now(),
            looked_at: 0,
            is_deadline_due: false,
            full_polls: FullPolls::default(),
            #[cfg(feature = "testing")]
            stopped_at: None,
            shutdown_state: ShutdownState::Running,
            spare: SpareMemory::default(),
            undrained: None,
            attempts: ConnectAttempts::default(),
            offloaded: BTreeMap::new(),
            detached: BTreeMap::new(),
            stop_token: None,
            exit_requested: None,
            local_addrs: LocalAddrs::default(),
            accept_quota: None,
        })
    }

    /// The time on the loop's clock at which `duration` has passed; saturates.
    pub(crate) fn deadline_in(&self, duration: Duration) -> u64 {
        self.now.saturating_add(nanoseconds(duration))
    }

    /// Records that a handler has returned [`Exit`]. `false` when `error` is another one.
    pub(crate) fn record_exit(&mut self, error: &io::Error) -> bool {
        let exits = Exit::is_exit(error);
        if exits {
            self.exit_requested = Some(Exit.into());
        }
        exits
    }

    /// Changes a connection and queues it if that gives it something to do. `false` when there is
    /// none.
    fn with_connection(&mut self, id: SocketId, change: impl FnOnce(&mut Connection)) -> bool {
        self.uncork(id);
        let Some(connection) = self.sockets.connection_mut(id) else { return false };
        change(connection);
        if !connection.stream.is_queued() {
            self.sockets.enqueue(id);
        }
        true
    }
}

/// An error of the system with what it happened to.
pub(crate) fn about(what: &str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Saturates after 584 years.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
