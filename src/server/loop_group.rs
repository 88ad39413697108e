//! Several loops, each in a thread of its own, behind the same addresses.
//!
//! The loops share nothing but what [`crate::io::group`] holds. So a handler is written as for one
//! loop, and `cx.shared` belongs to its own loop. To share more, send it to the other loops through
//! their [`ServerHandle`](crate::ServerHandle).
//!
//! # How
//!
//! A [`LoopGroup`] runs one `Server` a thread. The loops share nothing on the hot path; what they
//! share otherwise is one `GroupState` (`io/group.rs`), which a loop reaches through its
//! `GroupMember`. A server without a group checks one `Option` when a client connects or
//! disconnects.
//!
//! ```text
//!         LoadBalancing::ReusePort                              LoadBalancing::LeastConnections
//!   client ──▶ kernel ──┬─▶ listener, loop 0     client ──▶ listener, loop 0 ──┬─▶ loop 0
//!      (SO_REUSEPORT,   ├─▶ listener, loop 1      (counts, then hands over)    ├─▶ inbox, loop 1
//!       by a hash)      └─▶ listener, loop 2                                   └─▶ inbox, loop 2
//! ```
//!
//! * **One address.** Loops are built one after the other, and each calls `listen` and `bind` as if
//!   it were alone; the n-th call of each loop opens the same address. The first loop opens it as
//!   any server does, without `SO_REUSEPORT`: a port that another program has, even one that would
//!   share it, is `EADDRINUSE`. It sets the option only when it listens, and then the other loops
//!   join the port. At no moment could the port of another program be joined, so no probing socket
//!   is needed. What the option means remains: a later program of the same user that sets it too
//!   can join our port; with `LeastConnections` only UDP ports can be joined so.
//! * **Balancing.** With `ReusePort` the kernel chooses by a hash of the addresses. With
//!   `LeastConnections` a client goes to the loop with the fewest connections, as a `Handoff` with
//!   its descriptor, and that loop's `verify_request` and factory admit it. A loop whose shutdown
//!   has begun has closed its queue of handoffs under the lock after taking the last ones, so a
//!   client is either served there or returned to the accepting loop; so has one that has closed its
//!   listener, for that address. A loop whose clients fail (refused, no handler, `setup`) counts each
//!   failure in a row as twice as many connections, or it would have the fewest and get them all. Only the kernel balances UDP;
//!   Unix streams are always handed off; a Unix datagram socket has one queue, which the first loop
//!   reads. Where the kernel does not balance (all but Linux), every client is handed off, and one
//!   loop has all datagrams.
//! * **One count.** A `ConnectionPermit` is taken before `accept`, so the loops never have more
//!   than `max_connections` together. A loop that gets none records that it waits and tries again;
//!   the release of a permit when there was none left wakes all loops that wait. No loop polls for
//!   permits.
//! * **One end.** The shutdown of one loop is the shutdown of all, with the same grace. A loop that
//!   fails, or panics while it is built, ends the others at once.
//! * **Messages between loops** are the program's: the service `chat` of the command has a bounded
//!   queue for each loop (`chat/hub.rs`). While a queue is full, the senders are paused, and no
//!   loop ever waits: a loop empties its queue whether or not its own senders are paused, so two
//!   full queues cannot block each other.

use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::io::group::{GroupState, LoadBalancing};
use crate::options::Options;
use crate::server::Server;
use crate::stats::{ShutdownReport, Stats};

mod handle;

use handle::GroupControl;
pub use handle::LoopGroupHandle;

/// The most loops, above the number of CPUs of any machine.
const MAX_LOOPS: usize = 1_024;

/// Runs several loops, each in a thread of its own.
///
/// ```no_run
/// use socketserver::{LoopGroup, Echo, Options, Server, LoadBalancing};
///
/// fn main() -> std::io::Result<()> {
///     let options = Options { max_connections: 10_000, ..Options::default() };
///     let group = LoopGroup::new(4).options(options).balance(LoadBalancing::ReusePort);
///     let loops = group.serve(
///         |_index| (),
///         |_index, server: &mut Server| server.listen("127.0.0.1:7000", |_| Echo).map(drop),
///     )?;
///     for (index, one) in loops.iter().enumerate() {
///         println!("loop {index} served {} clients", one.stats.accepted);
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct LoopGroup {
    loops: usize,
    balance: LoadBalancing,
    options: Options,
    control: Arc<GroupControl>,
}

/// The result of one loop of [`LoopGroup::serve`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct LoopReport {
    /// Its counters at the end.
    pub stats: Stats,
    /// The report of its shutdown.
    pub report: ShutdownReport,
}

impl LoopGroup {
    /// Runs `loops` event loops, 1 to 1,024. More loops than CPUs gain nothing.
    #[must_use]
    pub fn new(loops: usize) -> LoopGroup {
        LoopGroup {
            loops,
            balance: LoadBalancing::default(),
            options: Options::default(),
            control: Arc::default(),
        }
    }

    /// How clients are distributed to the loops. The kernel balances UDP datagrams by their sender;
    /// the first loop serves all datagrams of a Unix socket. Clients of Unix stream sockets are
    /// always handed off.
    #[must_use]
    pub fn balance(mut self, balance: LoadBalancing) -> LoopGroup {
        self.balance = balance;
        self
    }

    /// The options of every loop. [`Options::max_connections`] applies to all loops together; every
    /// other limit applies to each loop.
    #[must_use]
    pub fn options(mut self, options: Options) -> LoopGroup {
        self.options = options;
        self
    }

    /// A handle for other threads.
    #[must_use]
    pub fn handle(&self) -> LoopGroupHandle {
        LoopGroupHandle::new(Arc::clone(&self.control))
    }

    /// Serves until a shutdown is requested ([`LoopGroupHandle::shutdown`], or `shutdown` of any
    /// loop) and is done in every loop. The listeners close when it begins.
    ///
    /// Each loop is built in its thread, one after the other: `shared` returns the shared value of
    /// its handlers, and `build` opens its sockets. All loops have to open the same addresses in
    /// the same order; for port 0 all get the same port. What a handler opens later belongs to its
    /// loop only. No client is served before all loops are built.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when the number of loops or an option is
    /// invalid, or a loop opens other addresses than the first one. Otherwise the first error of
    /// `build` or of a loop, which ends the others at once. A panic of either ends them too, and is
    /// resumed here.
    pub fn serve<S: 'static>(
        self,
        shared: impl Fn(usize) -> S + Sync,
        build: impl Fn(usize, &mut Server<S>) -> io::Result<()> + Sync,
    ) -> io::Result<Vec<LoopReport>> {
        let LoopGroup { loops, balance, options, control } = self;
        if !(1..=MAX_LOOPS).contains(&loops) {
            // [`LoopGroupHandle::wait`] returns then, too.
            control.fail();
            let what = format!("LoopGroup::new: loops must be from 1 to {MAX_LOOPS}, not {loops}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let group = Arc::new(GroupState::new(loops, balance, options.max_connections));
        // [`LoopGroupHandle::wait`] returns however this function ends.
        let running = control.begin(&group);
        let reports = run_loops(loops, |index, barrier| {
            let others = StopGroupOnDrop::unless_disarmed(&group);
            let mut server = Server::with_shared(shared(index), options.clone())?;
            server.join(&group, index);
            build(index, &mut server)?;
            server.end_building()?;
            if barrier.pass() {
                server.serve_in_group()?;
            }
            others.disarm();
            let stats = *server.io().stats();
            Ok(LoopReport { stats, report: server.report().unwrap_or_default() })
        })?;
        running.end_with(sum(&reports));
        Ok(reports)
    }
}

/// Runs `loops` threads. Each is started when the one before has been built, and passes its barrier
/// when all have been.
fn run_loops(
    loops: usize,
    run_one: impl Fn(usize, StartBarrier) -> io::Result<LoopReport> + Sync,
) -> io::Result<Vec<LoopReport>> {
    thread::scope(|scope| {
        let mut threads = Vec::new();
        let mut starts = Vec::new();
        for index in 0..loops {
            let (barrier, is_built, start) = StartBarrier::new();
            let run_one = &run_one;
            let thread = thread::Builder::new().name(format!("socketserver-{index}"));
            threads.push(thread.spawn_scoped(scope, move || run_one(index, barrier))?);
            starts.push(start);
            if is_built.recv().is_err() {
                // That loop failed, so none starts.
                starts.clear();
                break;
            }
        }
        for start in &starts {
            // It fails only when that loop has ended.
            let _ = start.send(());
        }
        drop(starts);
        threads.into_iter().map(joined).collect()
    })
}

/// Where a loop waits until all are built.
struct StartBarrier {
    /// Dropped unused when building the loop fails.
    built: SyncSender<()>,
    start: Receiver<()>,
}

impl StartBarrier {
    fn new() -> (StartBarrier, Receiver<()>, SyncSender<()>) {
        let (built, is_built) = sync_channel(1);
        let (starter, start) = sync_channel(1);
        (StartBarrier { built, start }, is_built, starter)
    }

    /// Waits until all loops are built. `false` when one has failed.
    fn pass(&self) -> bool {
        self.built.send(()).is_ok() && self.start.recv().is_ok()
    }
}

/// Stops the other loops when one ends with an error or a panic.
struct StopGroupOnDrop<'a>(Option<&'a GroupState>);

impl<'a> StopGroupOnDrop<'a> {
    fn unless_disarmed(group: &'a GroupState) -> StopGroupOnDrop<'a> {
        StopGroupOnDrop(Some(group))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for StopGroupOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            group.stop(Duration::ZERO);
        }
    }
}

fn joined(thread: thread::ScopedJoinHandle<'_, io::Result<LoopReport>>) -> io::Result<LoopReport> {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn sum(reports: &[LoopReport]) -> ShutdownReport {
    reports.iter().fold(ShutdownReport::default(), |sum, one| ShutdownReport {
        drained: sum.drained + one.report.drained,
        forced: sum.forced + one.report.forced,
        bytes_dropped: sum.bytes_dropped + one.report.bytes_dropped,
    })
}
