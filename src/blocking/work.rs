//! What a blocking handler is started with, and what comes back from it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::thread;

use super::Serving;
use super::executor::FinishedJob;
use super::request::SharedAccess;
use super::worker_limit::WorkerPermit;
use crate::addr::Addr;

/// Makes the handlers of one listener or datagram socket.
pub(super) type Factory<S> = Rc<RefCell<dyn FnMut(&Addr) -> Box<Serving<S>>>>;

/// A handler, or what makes it.
pub(super) enum HandlerSource<S> {
    Made(Box<Serving<S>>),
    /// The child makes its handler, uses it and drops it, as in Python. What a handler owns, such as a
    /// temporary file, would otherwise be dropped in the parent while the child uses it.
    #[cfg(all(unix, feature = "processes"))]
    InChild {
        factory: Factory<S>,
        peer: Addr,
    },
}

impl<S> HandlerSource<S> {
    pub(super) fn into_handler(self) -> Box<Serving<S>> {
        match self {
            HandlerSource::Made(handler) => handler,
            #[cfg(all(unix, feature = "processes"))]
            HandlerSource::InChild { factory, peer } => (factory.borrow_mut())(&peer),
        }
    }
}

/// One run of a blocking handler, for one connection or one datagram. It drops the handler.
pub(super) type BlockingJob<S> =
    Box<dyn FnOnce(Box<Serving<S>>, SharedAccess<'_, S>) -> JobResult + Send>;

/// Everything that a handler is started with; given back when it cannot be started now.
pub(super) struct Work<S> {
    pub(super) source: HandlerSource<S>,
    pub(super) permit: WorkerPermit,
    pub(super) job: BlockingJob<S>,
    /// Where the end of the job is noted.
    pub(super) finished: FinishedJob,
}

/// What a job returns.
pub(super) struct JobResult {
    pub(super) outcome: thread::Result<io::Result<()>>,
    /// The reply to a datagram; `None` sends none.
    pub(super) reply: Option<Vec<u8>>,
    /// Its process ended before it could call [`Workers::handle_error`](super::Workers::handle_error).
    pub(super) crashed: bool,
    /// Its process ended in the middle, so the answer may not be whole.
    pub(super) is_cut: bool,
    /// When the connection last made progress, in nanoseconds of the loop's clock. `None` unless a
    /// shutdown ended its last read.
    pub(super) silent_since: Option<u64>,
}

impl JobResult {
    pub(super) fn of(outcome: thread::Result<io::Result<()>>) -> JobResult {
        JobResult { outcome, reply: None, crashed: false, is_cut: false, silent_since: None }
    }
}
