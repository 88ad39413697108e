//! One server for each core: loops in threads of their own, behind the same addresses.
//!
//! The loops share nothing but what [`crate::io::group`] holds. So a handler is written as for one
//! loop, and what it shares is its own loop's; who needs more sends it to the other loops through
//! their [`ServerHandle`](crate::ServerHandle).
//!
//! # How
//!
//! `LoopGroup` (`server/loop_group.rs`) runs one `Server` a thread. The loops share nothing on the hot path; what they
//! know of each other is one `Group` (`io/group.rs`), which a loop reaches through its `Place`. A server
//! that is alone has no `Place`, and asks one `Option` where a client comes and where one goes.
//!
//! ```text
//!         LoadBalancing::ReusePort                              LoadBalancing::LeastConnections
//!   client ──▶ kernel ──┬─▶ listener, loop 0     client ──▶ listener, loop 0 ──┬─▶ loop 0
//!      (SO_REUSEPORT,   ├─▶ listener, loop 1      (counts, then hands over)    ├─▶ inbox, loop 1
//!       by a hash)      └─▶ listener, loop 2                                   └─▶ inbox, loop 2
//! ```
//!
//! * **One address.** Loops are built one after the other, and each calls `listen` and `bind` as if it
//!   were alone; the n-th call of each loop is the same *door*. The first loop opens it as any server
//!   does, without `SO_REUSEPORT`: a port that anybody else has, even one who would share it, is
//!   `EADDRINUSE`. It sets the option only when it listens, and then the others join the port it got.
//!   There is no moment at which a stranger's port could be joined, so no probing socket is needed. What
//!   remains is what the option means: a later program of the same user that sets it too, knowingly,
//!   can join ours; with `fewest` only the ports of UDP can be joined so.
//! * **Who goes where.** By the kernel, each client goes where a hash of the addresses says. Handed
//!   over, it goes to the loop with the fewest connections, in an `Arrival` with its descriptor, and is
//!   welcomed there by that loop's `verify_request` and factory. A loop that has begun to shut down has
//!   closed its inbox under the lock after a last look, so a client is always either in time to be
//!   served there, or comes back to the loop that accepted it. UDP can only be spread by the kernel;
//!   Unix streams are always handed over; a Unix datagram socket has one queue, which the first loop
//!   reads. Where the kernel does not spread (all but Linux), everything is handed over, and one loop
//!   has all datagrams.
//! * **One count.** A `Seat` is taken before `accept`, so the loops never accept more than
//!   `max_connections` together. A loop that finds none notes that it waits and looks once more; who
//!   frees a seat when there was none left wakes all that wait. Nobody polls.
//! * **One end.** The shutdown of one loop is that of all, with the same grace. A loop that fails, or
//!   panics while it is built, ends the others at once.
//! * **One chat.** Each loop has its room; what is said in one is put into the bounded inbox of the
//!   others (`chat/house.rs`). While one is full, who speaks is paused, and no loop ever waits: a loop
//!   empties its inbox whether or not its own speakers are paused, so two full ones cannot hold each
//!   other up.

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

/// More loops than this are refused: no machine has so many processors.
const MAX_LOOPS: usize = 1_024;

/// Serves with several loops, each in a thread of its own.
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

/// What one loop has done, from [`LoopGroup::serve`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct LoopReport {
    /// Its counters at the end.
    pub stats: Stats,
    /// What its shutdown came to.
    pub report: ShutdownReport,
}

impl LoopGroup {
    /// So many loops, 1 to 1,024. More than there are processors gain nothing.
    #[must_use]
    pub fn new(loops: usize) -> LoopGroup {
        LoopGroup {
            loops,
            balance: LoadBalancing::default(),
            options: Options::default(),
            control: Arc::default(),
        }
    }

    /// How clients come to the loops. Of datagrams only the kernel spreads those of UDP, by their
    /// sender; the first loop serves all those of a Unix socket. To Unix stream sockets clients are
    /// always handed over.
    #[must_use]
    pub fn balance(mut self, balance: LoadBalancing) -> LoopGroup {
        self.balance = balance;
        self
    }

    /// The options of every loop. [`Options::max_connections`] is counted over all of them; every
    /// other limit is that of each loop.
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

    /// Serves until somebody asks for a shutdown ([`LoopGroupHandle::shutdown`], or `shutdown` of any
    /// loop) and that is done in every loop. The listeners close when it begins.
    ///
    /// Each loop is built in its thread, one after the other: `shared` makes what its handlers
    /// share, and `build` opens its sockets. All have to open the same addresses in the same order;
    /// of port 0 all get the same port. What a handler opens later is its loop's alone. Nobody is
    /// served before all loops are built.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when the number of loops or an option cannot be,
    /// or the loops open other addresses, or another number of them, than the first one; else the first error of `build` or of a loop; it ends the others at once. A panic of either ends
    /// them too, and goes on here.
    pub fn serve<S: 'static>(
        self,
        shared: impl Fn(usize) -> S + Sync,
        build: impl Fn(usize, &mut Server<S>) -> io::Result<()> + Sync,
    ) -> io::Result<Vec<LoopReport>> {
        let LoopGroup { loops, balance, options, control } = self;
        if !(1..=MAX_LOOPS).contains(&loops) {
            // Whoever waits learns of it too.
            control.fail();
            let what = format!("LoopGroup::new: loops must be from 1 to {MAX_LOOPS}, not {loops}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let group = Arc::new(GroupState::new(loops, balance, options.max_connections));
        // Whoever waits learns of the end, however it comes.
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

/// Where a loop that is built waits for the others.
struct StartBarrier {
    /// It goes unused when the loop fails before.
    built: SyncSender<()>,
    start: Receiver<()>,
}

impl StartBarrier {
    fn new() -> (StartBarrier, Receiver<()>, SyncSender<()>) {
        let (built, is_built) = sync_channel(1);
        let (starter, start) = sync_channel(1);
        (StartBarrier { built, start }, is_built, starter)
    }

    /// Whether all are built, and the loop shall serve.
    fn pass(&self) -> bool {
        self.built.send(()).is_ok() && self.start.recv().is_ok()
    }
}

/// A loop that does not come to a good end, be it by an error or a panic, ends the others.
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
