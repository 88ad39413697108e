//! Who does the work of blocking handlers, how many at once, and what comes back from them.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use log::warn;

#[cfg(all(unix, feature = "processes"))]
use super::child::{ChildBegin, Watched};
use super::request::Reach;
use crate::addr::Addr;
use crate::handler::Context;
use crate::id::SocketId;
use crate::io::Io;
use crate::warnings::Warnings;
use crate::workers::Workers;

/// Those who serve one [`Mode`](super::Mode) and its clones.
pub(super) struct Crew {
    place: Where,
    pub(super) places: Arc<Places>,
    workers: Workers,
    warnings: RefCell<Warnings>,
    #[cfg(all(unix, feature = "processes"))]
    pub(super) child: RefCell<ChildBegin>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Where {
    Loop,
    Threads,
    #[cfg(all(unix, feature = "processes"))]
    Processes,
}

/// What is to be done for one client.
pub(super) type Work<S> = Box<dyn FnOnce(Reach<'_, S>) -> Ended + Send>;

/// What came of it.
pub(super) struct Ended {
    pub(super) result: thread::Result<io::Result<()>>,
    /// The answer to a datagram.
    pub(super) reply: Option<Vec<u8>>,
    /// Its process ended before it could tell the hook of the user anything.
    pub(super) crashed: bool,
    /// Since when no byte of a connection has moved, in nanoseconds of the loop's clock, if a shutdown
    /// has ended its last read.
    pub(super) silent_since: Option<u64>,
}

impl Crew {
    pub(super) fn new(place: Where, most: usize) -> Crew {
        Crew {
            place,
            places: Arc::new(Places::new(most)),
            // The places are the bound.
            workers: Workers::new(most, usize::MAX),
            warnings: RefCell::default(),
            #[cfg(all(unix, feature = "processes"))]
            child: RefCell::default(),
        }
    }

    /// Threads none of which can be started.
    #[cfg(test)]
    pub(super) fn that_fails() -> Crew {
        Crew { workers: Workers::new(1, 0), ..Crew::new(Where::Threads, 1) }
    }

    /// How [`Mode`](super::Mode) calls it.
    pub(super) fn name(&self) -> &'static str {
        match self.place {
            Where::Loop => "inline",
            Where::Threads => "threads",
            #[cfg(all(unix, feature = "processes"))]
            Where::Processes => "processes",
        }
    }

    /// Whether a shutdown ends their reads. In the loop it cannot begin while they run.
    pub(super) fn ends_reads_at_stop(&self, detach: bool) -> bool {
        match self.place {
            Where::Loop => false,
            Where::Threads => !detach,
            #[cfg(all(unix, feature = "processes"))]
            Where::Processes => true,
        }
    }

    /// Whether such handlers can run at all.
    #[cfg_attr(
        not(all(unix, feature = "processes")),
        expect(clippy::unnecessary_wraps, reason = "only processes may not run")
    )]
    pub(super) fn check(&self) -> io::Result<()> {
        match self.place {
            Where::Loop | Where::Threads => Ok(()),
            #[cfg(all(unix, feature = "processes"))]
            Where::Processes => crate::process::check_threads(),
        }
    }

    /// Begins work for the socket of `cx`, whose `timeout` is called when it may have ended.
    pub(super) fn start<S: 'static>(
        &self,
        cx: &mut Context<'_, S>,
        place: Place,
        work: Work<S>,
    ) -> io::Result<Away> {
        match self.place {
            Where::Loop => Ok(Away::Ended(work(Reach::Here(cx.shared)))),
            Where::Threads => self.start_thread(cx, place, work),
            #[cfg(all(unix, feature = "processes"))]
            Where::Processes => {
                Watched::fork(cx, place, work, &self.child.borrow()).map(Away::Process)
            }
        }
    }

    fn start_thread<S: 'static>(
        &self,
        cx: &Context<'_, S>,
        place: Place,
        work: Work<S>,
    ) -> io::Result<Away> {
        let slot = Arc::new(Slot::default());
        let (result, owner) = (Arc::clone(&slot), cx.id);
        let (places, mailbox) = (Arc::clone(&self.places), Arc::clone(&cx.desk.mailbox));
        self.workers.run(move || {
            result.put(work(Reach::There(Arc::clone(&mailbox))));
            drop(place);
            mailbox.post_reserved(Box::new(move |_, io| {
                places.wake(io);
                poke(io, owner);
            }));
        })?;
        Ok(Away::Thread(slot))
    }

    /// Logs the failure of a handler, as long as there are few. Bytes of the peer are not in it,
    /// unless the handler put them there.
    pub(super) fn warn(&self, io: &Io, peer: &Addr, error: &io::Error) {
        if let Some(before) = self.warnings.borrow_mut().pass(io.now) {
            warn!("a handler failed for {peer}: {error} ({before} more such failures before)");
        }
    }
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Crew { place, places, .. } = self;
        f.debug_struct("Crew").field("place", place).field("places", places).finish_non_exhaustive()
    }
}

/// How many may be busy at once, and how many are.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    taken: AtomicUsize,
    /// Datagram sockets with work for which there was no place.
    waiting: Mutex<Vec<SocketId>>,
}

impl Places {
    fn new(most: usize) -> Places {
        Places { most, taken: AtomicUsize::new(0), waiting: Mutex::default() }
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    pub(super) fn has_room(&self) -> bool {
        self.taken() < self.most
    }

    /// A place, if one is free. Only the loop takes them, so between a look and the taking they
    /// only become more.
    pub(super) fn take(self: &Arc<Places>) -> Option<Place> {
        self.has_room().then(|| self.take_one())
    }

    pub(super) fn take_one(self: &Arc<Places>) -> Place {
        self.taken.fetch_add(1, Ordering::AcqRel);
        Place(Arc::clone(self))
    }

    /// Has a datagram socket told when a place is free.
    pub(super) fn wait(&self, id: SocketId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.contains(&id) {
            waiting.push(id);
        }
    }

    /// A place has become free.
    pub(super) fn wake(&self, io: &mut Io) {
        io.sockets.stop_waiting();
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for id in waiting {
            poke(io, id);
        }
    }
}

/// One of the [`Places`], until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Places>);

impl Place {
    #[cfg(all(unix, feature = "processes"))]
    pub(super) fn places(&self) -> Arc<Places> {
        Arc::clone(&self.0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Has the handler of a socket look at what has come back.
pub(super) fn poke(io: &mut Io, id: SocketId) {
    if io.sockets.get(id).is_some() {
        io.set_timer(id, Duration::ZERO);
    }
}

/// Work that is under way, or its result.
pub(super) enum Away {
    Ended(Ended),
    Thread(Arc<Slot>),
    #[cfg(all(unix, feature = "processes"))]
    Process(Watched),
    /// The result was taken.
    Nowhere,
}

impl Away {
    /// What came of it, if it has ended; says so once.
    #[cfg_attr(
        not(all(unix, feature = "processes")),
        expect(unused_variables, reason = "only a child has anything to do with the loop")
    )]
    pub(super) fn take<S>(&mut self, cx: &mut Context<'_, S>) -> Option<Ended> {
        match std::mem::replace(self, Away::Nowhere) {
            Away::Ended(ended) => return Some(ended),
            Away::Thread(slot) => match slot.take() {
                None => *self = Away::Thread(slot),
                ended => return ended,
            },
            #[cfg(all(unix, feature = "processes"))]
            Away::Process(mut watched) => match watched.take(cx) {
                None => *self = Away::Process(watched),
                ended => return ended,
            },
            Away::Nowhere => {}
        }
        None
    }

    pub(super) fn is_thread(&self) -> bool {
        matches!(self, Away::Thread(_))
    }
}

/// Where a thread leaves its result.
#[derive(Default)]
pub(super) struct Slot(Mutex<Option<Ended>>);

impl Slot {
    fn put(&self, ended: Ended) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
    }

    fn take(&self) -> Option<Ended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Runs a callback of the user; its panic is a result.
pub(super) fn guarded(callback: impl FnOnce() -> io::Result<()>) -> thread::Result<io::Result<()>> {
    catch_unwind(AssertUnwindSafe(callback))
}
