//! The sockets and timers of one server, and what may be done to them.
//!
//! Every method here takes effect as a note: it changes what a socket wants and gives it a turn.
//! Nothing calls a handler, and nothing but a large `send` moves a byte. An id whose socket is gone
//! is "gone", never an error and never another socket.
//!
//! This room may use `values`, `conn` and `net`. Start reading at [`Io`].

pub(crate) mod connect;
pub(crate) mod cork;
pub(crate) mod datagram;
pub(crate) mod group;
pub(crate) mod mailbox;
pub(crate) mod table;
pub(crate) mod thread_pool;

mod capacity;
mod close;
mod commands;
mod connect_attempts;
mod connecting;
mod connection;
mod datagrams;
mod deadline_queue;
mod deadlines;
mod detach;
mod lingering;
pub(crate) mod listener;
mod local_addrs;
mod names;
mod offloaded;
mod open;
mod poll;
mod progress;
mod queries;
mod resolver;
mod send;
mod shared_addrs;
mod shutdown;
mod timers;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Poll;

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
use crate::io::resolver::Resolver;
use crate::io::table::SocketTable;
use crate::io::timers::Timers;
use crate::net::{DetachedSocket, StopToken};
use crate::options::Options;
use crate::stats::Stats;
use crate::trace::Tracer;

pub(crate) use shutdown::ShutdownState;

/// All sockets and timers of one server; handlers reach it as `cx.io`.
#[derive(Debug)]
pub struct Io {
    pub(crate) poll: Poll,
    pub(crate) sockets: SocketTable,
    pub(crate) cork: CorkBuffer,
    pub(crate) pool: BufferPool,
    pub(crate) timers: Timers,
    /// When a connection has been idle for too long, or a listener tries again.
    pub(crate) deadlines: DeadlineQueue<SocketId>,
    /// Who only waits for the end of its peer.
    pub(crate) lingering: Lingering,
    /// When a peer has left too long unfinished what it has begun.
    pub(crate) frame_deadlines: DeadlineQueue<SocketId>,
    pub(crate) stats: Stats,
    pub(crate) trace: Tracer,
    pub(crate) options: Options,
    pub(crate) watermarks: Watermarks,
    /// Nanoseconds from `epoch` to the last look at the clock, once a turn.
    pub(crate) now: u64,
    pub(crate) epoch: Instant,
    /// The clock does not go by itself; it shows this.
    #[cfg(feature = "testing")]
    pub(crate) stopped_at: Option<u64>,
    pub(crate) shutdown_state: ShutdownState,
    /// What outgoing connections that do not stand yet have before them.
    pub(crate) attempts: ConnectAttempts,
    /// How many pieces of work of a connection are under way in other threads.
    offloaded: BTreeMap<SocketId, usize>,
    /// What looks their names up.
    pub(crate) resolver: Resolver,
    /// The sockets of connections whose handlers block.
    detached: BTreeMap<SocketId, DetachedSocket>,
    /// What ends the reads of their handlers at a shutdown, once one waits with it.
    pub(crate) stop_token: Option<Arc<StopToken>>,
    /// A handler asked for the end of the run.
    pub(crate) exit_requested: Option<io::Error>,
    /// Where datagram sockets of this server are bound.
    pub(crate) local_addrs: LocalAddrs,
    /// How many more clients or datagrams `handle_request` takes; `None` is any number.
    pub(crate) accept_quota: Option<usize>,
    /// [`Options::idle_timeout`] in nanoseconds; `u64::MAX` is for ever.
    idle_timeout_ns: u64,
    /// [`Options::frame_timeout`] in the same way.
    pub(crate) frame_timeout_ns: u64,
}

/// How long a shortage at `accept` is waited out before the next try.
pub(crate) const ACCEPT_RETRY: Duration = Duration::from_millis(100);

impl Io {
    pub(crate) fn new(options: Options) -> io::Result<Io> {
        options.check()?;
        Ok(Io {
            poll: Poll::new()?,
            sockets: SocketTable::new(),
            cork: CorkBuffer::new(),
            pool: BufferPool::default(),
            timers: Timers::new(),
            deadlines: DeadlineQueue::new(),
            lingering: Lingering::default(),
            frame_deadlines: DeadlineQueue::new(),
            stats: Stats::default(),
            trace: Tracer::default(),
            watermarks: Watermarks {
                high_water: options.high_water,
                low_water: options.low_water,
                output_limit: options.output_limit,
            },
            idle_timeout_ns: options.idle_timeout.map_or(u64::MAX, nanoseconds),
            frame_timeout_ns: options.frame_timeout.map_or(u64::MAX, nanoseconds),
            resolver: Resolver::new(options.lookup_threads),
            options,
            now: 0,
            epoch: Instant::now(),
            #[cfg(feature = "testing")]
            stopped_at: None,
            shutdown_state: ShutdownState::Running,
            attempts: ConnectAttempts::default(),
            offloaded: BTreeMap::new(),
            detached: BTreeMap::new(),
            stop_token: None,
            exit_requested: None,
            local_addrs: LocalAddrs::default(),
            accept_quota: None,
        })
    }

    /// A time from now on the loop's clock; too far off is the end of time.
    pub(crate) fn deadline_in(&self, duration: Duration) -> u64 {
        self.now.saturating_add(nanoseconds(duration))
    }

    /// Remembers that a handler asked for the end of the run, if that is what its error says. The
    /// last one is told.
    pub(crate) fn record_exit(&mut self, error: &io::Error) -> bool {
        let exits = Exit::is_exit(error);
        if exits {
            self.exit_requested = Some(Exit.into());
        }
        exits
    }

    /// Says whether there is such a connection.
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

/// More than five hundred years are for ever.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
