//! The handlers of the simulated world: they behave as their script says, and write everything down.

use std::cell::RefCell;
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::connect::begin_connect;
use super::connection::Made;
use super::kernel::{Simulated, input_of, output_of};
use super::outgoing::Stage;
use super::random::{bytes, is_part};
use super::script::{AtEnd, Nature, Takes};
use crate::conn::input::Input;
use crate::conn::stream::{CloseState, SendStatus};
use crate::handler::{Context, Handler};
use crate::id::TimerId;
use crate::io::Io;
use crate::stats::CloseReason;

/// What all handlers share.
pub(crate) type World = Rc<RefCell<Simulated>>;

pub(crate) struct ScriptedHandler {
    pub(crate) n: u32,
    pub(crate) nature: Nature,
}

impl Handler<World> for ScriptedHandler {
    fn setup(&mut self, cx: &mut Context<'_, World>) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        {
            let mut sim = world.borrow_mut();
            let now = sim.now;
            let line = sim.line(self.n);
            let stands = line.open && line.made == Made::Stands;
            if line.outgoing {
                line.moved_at = now;
                line.set_up_at = Some(now);
            }
            let page = &mut line.page;
            let first = !std::mem::replace(&mut page.set_up, true) && page.reason.is_none();
            let right = page.id == Some(cx.id);
            sim.check(first && right, || format!("{}: set up twice, or with another id", self.n));
            sim.check(stands, || format!("{}: set up before it stood", self.n));
            if let Some(trip) = sim.trip(self.n) {
                trip.stage = Stage::Over;
            }
        }
        if self.nature.full_duplex {
            world.borrow_mut().line(self.n).page.full_duplex = true;
            cx.io.set_read_while_congested(cx.id, true);
        }
        self.talk(cx.io, &world);
        self.end_callback(cx, &world, false)
    }

    fn handle(&mut self, cx: &mut Context<'_, World>, input: &mut Input<'_>) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        self.check_input(cx.io, &world, input.peek());
        let takes = self.takes(&world, input)?;
        let seen = {
            let mut sim = world.borrow_mut();
            let page = &mut sim.line(self.n).page;
            page.in_vain &= takes == 0;
            page.seen += takes as u64;
            page.seen
        };
        send(cx.io, &world, self.n, takes * self.nature.answers);
        if seen > self.nature.closes_after {
            close(cx.io, &world, self.n);
        }
        self.end_callback(cx, &world, true)
    }

    fn eof(&mut self, cx: &mut Context<'_, World>, rest: &[u8]) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        {
            let mut sim = world.borrow_mut();
            let line = sim.line(self.n);
            let (seen, read) = (line.page.seen, line.read);
            let right = is_part(input_of(self.n), seen, rest) && seen + rest.len() as u64 == read;
            let whole = line.reset || line.ended && line.came == read;
            let page = &mut line.page;
            let first = !std::mem::replace(&mut page.eof, true) && page.reason.is_none();
            let early = page.paused || page.offloaded > 0 || page.replay_due;
            page.seen = read;
            page.shown = read;
            page.replay_due = false;
            sim.check(!early, || format!("{}: told of an end before all was answered", self.n));
            sim.check(right, || format!("{}: the wrong rest at the end", self.n));
            sim.check(whole && first, || format!("{}: told of an end that is none", self.n));
        }
        match self.nature.at_end {
            AtEnd::Close => close(cx.io, &world, self.n),
            AtEnd::SendAndClose(n) => {
                send(cx.io, &world, self.n, n);
                close(cx.io, &world, self.n);
            }
            AtEnd::CloseLater => set_timer(cx.io, &world, self.n, 20),
            AtEnd::Stay => {}
        }
        self.end_callback(cx, &world, false)
    }

    fn drained(&mut self, cx: &mut Context<'_, World>) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        {
            let low = cx.io.options.low_water;
            let congested = cx.io.is_congested(cx.id) || cx.io.pending_output(cx.id) > low;
            let mut sim = world.borrow_mut();
            sim.check(!congested, || format!("{}: drained, but congested", self.n));
            let line = sim.line(self.n);
            line.page.replay_due |= line.read > line.page.seen && !line.page.eof;
            line.page.asked_inside = false;
        }
        self.talk(cx.io, &world);
        self.end_callback(cx, &world, false)
    }

    fn timeout(&mut self, cx: &mut Context<'_, World>, timer: TimerId) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        {
            let mut sim = world.borrow_mut();
            let now = sim.now;
            sim.progress += 1;
            let timers = &mut sim.line(self.n).page.timers;
            let nth = timers.iter().position(|(one, _)| *one == timer);
            let due = nth.map(|nth| timers.swap_remove(nth).1);
            let in_time = due.is_some_and(|due| due <= now);
            sim.check(in_time, || format!("{}: a timer came that was not due", self.n));
        }
        let line_paused = world.borrow_mut().line(self.n).page.paused;
        if line_paused {
            resume(cx.io, &world, self.n, false);
        }
        if matches!(self.nature.at_end, AtEnd::CloseLater)
            && world.borrow_mut().line(self.n).page.eof
        {
            close(cx.io, &world, self.n);
        }
        self.end_callback(cx, &world, false)
    }

    fn shutdown(&mut self, cx: &mut Context<'_, World>) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        {
            let congested = cx.io.is_congested(cx.id);
            let (may_still_read, open) = (cx.io.may_still_read(), cx.io.is_open(cx.id));
            let mut sim = world.borrow_mut();
            let draining = sim.draining;
            let line = sim.line(self.n);
            let page = &mut line.page;
            let first = !std::mem::replace(&mut page.told_of_shutdown, true);
            let waits = matches!(self.nature.takes, Takes::Needs(_));
            let shown = page.paused || congested || waits || page.eof || page.shown == line.read;
            let owes = page.offloaded > 0 || congested && line.read > page.seen && !page.paused;
            let owes = owes || page.replay_due && may_still_read && !page.paused && !congested;
            let over = !open || page.eof;
            sim.check(draining && first, || format!("{}: told of no shutdown", self.n));
            sim.check(!owes || over, || format!("{}: told before all was answered", self.n));
            sim.check(shown, || format!("{}: told of a shutdown before its input", self.n));
        }
        if !self.nature.stays {
            close(cx.io, &world, self.n);
        }
        self.end_callback(cx, &world, false)
    }

    fn finish(&mut self, cx: &mut Context<'_, World>, outcome: io::Result<()>) {
        let world = Rc::clone(cx.shared);
        let Some(reason) = cx.reason() else {
            return world.borrow_mut().fail(|| format!("{}: finished without a reason", self.n));
        };
        {
            let mut sim = world.borrow_mut();
            let now = sim.now;
            sim.line(self.n).page.finished_at = now;
            let again = sim.line(self.n).page.reason.replace(reason).is_some();
            let agrees = outcome.is_ok() == (reason == CloseReason::Closed);
            sim.check(!again && agrees, || format!("{}: finished twice, or {outcome:?}", self.n));
            let kind = outcome.as_ref().err().map(io::Error::kind);
            let justified = is_justified(&mut sim, self.n, reason, kind);
            sim.check(justified, || {
                format!("{}: ended for no reason: {reason:?}, {outcome:?}", self.n)
            });
            if let Some(trip) = sim.trip(self.n) {
                trip.stage = Stage::Over;
            }
        }
        self.act(cx, &world, false);
    }
}

impl ScriptedHandler {
    fn check_input(&self, io: &Io, world: &World, rest: &[u8]) {
        let mut sim = world.borrow_mut();
        let line = sim.line(self.n);
        let seen = line.page.seen;
        let id = line.page.id;
        let held_up = id.is_some_and(|id| io.is_congested(id)) && !line.page.full_duplex;
        let page = &mut line.page;
        let may = page.set_up && !page.paused && !page.closed && !page.eof && !held_up;
        let all = seen + rest.len() as u64 == line.read && !rest.is_empty();
        page.in_vain = std::mem::take(&mut page.asked_inside) && page.shown == line.read;
        page.shown = line.read;
        page.replay_due = false;
        let right = is_part(input_of(self.n), seen, rest);
        sim.check(may, || format!("{}: shown input that it did not want", self.n));
        sim.check(all && right, || format!("{}: wrong input from byte {seen} on", self.n));
    }

    fn takes(&self, world: &World, input: &mut Input<'_>) -> io::Result<usize> {
        let len = input.len();
        let takes = match self.nature.takes {
            Takes::All => len,
            Takes::Pieces(piece) | Takes::Needs(piece) => len / piece * piece,
            Takes::Some => world.borrow_mut().random.below(len + 1),
        };
        input.take(takes);
        if let Takes::Needs(piece) = self.nature.takes {
            input.require(piece, piece)?;
        }
        Ok(takes)
    }

    /// Says some of what it wants to say, until there is no room.
    fn talk(&self, io: &mut Io, world: &World) {
        for _ in 0..8 {
            let said = world.borrow_mut().line(self.n).page.said;
            let piece = (self.nature.talks - said).min(io.options.high_water / 2 + 1);
            if piece == 0 {
                return;
            }
            let sent = send(io, world, self.n, piece);
            world.borrow_mut().line(self.n).page.said += piece;
            if sent != SendStatus::Queued {
                return;
            }
        }
    }

    /// Something besides, and perhaps a failure.
    fn end_callback(
        &self,
        cx: &mut Context<'_, World>,
        world: &World,
        handles: bool,
    ) -> io::Result<()> {
        self.act(cx, world, handles);
        let mut sim = world.borrow_mut();
        let set_up = sim.line(self.n).page.set_up;
        sim.check(set_up, || format!("{}: called before it stood", self.n));
        if sim.calm || sim.random.below(1_000) >= self.nature.fails {
            return Ok(());
        }
        if sim.random.chance(50) {
            sim.line(self.n).page.failed = true;
            return Err(io::Error::other("as the script says"));
        }
        sim.line(self.n).page.panicked = true;
        drop(sim);
        // So that nothing is printed.
        resume_unwind(Box::new("as the script says"));
    }

    fn act(&self, cx: &mut Context<'_, World>, world: &World, handles: bool) {
        let (lively, trip) = {
            let mut sim = world.borrow_mut();
            let percent = self.nature.lively;
            let lively = !sim.calm && sim.random.chance(percent);
            // A handler that is told of one end begins another connection.
            let over = sim.line(self.n).page.reason.is_some() && !sim.calm;
            let trips = if lively || over { sim.trips.len() } else { 0 };
            (lively, (trips > 0 && sim.random.chance(25)).then(|| sim.random.below(trips)))
        };
        if lively {
            act(cx.io, world, Some(self.n), handles);
        }
        if let Some(trip) = trip {
            begin_connect(cx.io, cx.registrar, world, trip);
        }
    }
}

/// Does something that is drawn to a connection that is drawn; it may be gone for long.
pub(crate) fn act(io: &mut Io, world: &World, own: Option<u32>, handles: bool) {
    let (n, what, len, ms) = {
        let mut sim = world.borrow_mut();
        let lines = sim.lines.len();
        let random = &mut sim.random;
        let other = random.below(lines) as u32;
        let n = own.filter(|_| random.chance(50)).unwrap_or(other);
        let large = random.chance(10);
        let len = if large { random.between(4_096, 9_000) } else { random.between(1, 60) };
        (n, random.below(46), len, random.between(1, 200) as u64)
    };
    if world.borrow().lines[n as usize].as_ref().is_none_or(|line| line.page.id.is_none()) {
        return;
    }
    let in_own_handle = handles && own == Some(n);
    match what {
        0..=14 => drop(send(io, world, n, len)),
        15..=18 => {
            pause(io, world, n);
            set_timer(io, world, n, ms);
        }
        19..=23 => resume(io, world, n, in_own_handle),
        24 => close(io, world, n),
        25 => abort(io, world, n),
        26 => shutdown_write(io, world, n),
        27..=28 => set_full_duplex(io, world, n, ms % 2 == 0),
        29..=33 => set_timer(io, world, n, ms),
        34..=39 => cancel_timer(io, world, n),
        40..=43 => {
            pause(io, world, n);
            resume(io, world, n, in_own_handle);
        }
        _ => offload(io, world, n),
    }
}

/// Another thread is at work for it; a step says when that is done.
fn offload(io: &mut Io, world: &World, n: u32) {
    let mut sim = world.borrow_mut();
    let page = &mut sim.line(n).page;
    let Some(id) = page.id.filter(|id| io.is_open(*id)) else { return };
    page.offloaded += 1;
    io.begin_offloaded(id);
}

/// A piece of that work is done, if one is under way, and what it came to is sent.
pub(crate) fn end_offloaded(io: &mut Io, world: &World, n: u32) -> bool {
    let id = {
        let mut sim = world.borrow_mut();
        let now = sim.now;
        let Some(line) = sim.lines[n as usize].as_mut() else { return false };
        let Some(id) = line.page.id.filter(|_| line.page.offloaded > 0) else { return false };
        line.page.offloaded -= 1;
        line.ours_until = now;
        id
    };
    io.end_offloaded(id);
    send(io, world, n, 3);
    true
}

/// Sends the next bytes of the stream to that peer.
fn send(io: &mut Io, world: &World, n: u32, len: usize) -> SendStatus {
    if len == 0 {
        return SendStatus::Queued;
    }
    let len = len.min(60_000);
    let (id, at, closed, shared) = {
        let mut sim = world.borrow_mut();
        let shared = sim.random.chance(30);
        let page = &mut sim.line(n).page;
        let (Some(id), at) = (page.id, page.sent) else { return SendStatus::Closed };
        // Before it is sent, since a part may leave at once.
        page.sent += len as u64;
        (id, at, page.output_closed, shared)
    };
    let is_due = io.is_open(id) && !closed;
    let what = bytes(output_of(n), at, len);
    let sent = if shared { io.send_shared(id, &Arc::from(what)) } else { io.send(id, what) };
    let mut sim = world.borrow_mut();
    let takes = sent != SendStatus::Closed;
    let (limit, high) = (sim.options.output_limit, sim.options.high_water);
    sim.check(takes == is_due, || format!("{n}: sent, open {is_due}, but it was {sent:?}"));
    let line = sim.line(n);
    let was_open = line.open || line.is_begun();
    if takes {
        let waits = (line.page.sent - line.taken) as usize;
        let abort_all = !io.is_open(id);
        sim.bytes_sent += len as u64;
        sim.check(was_open, || format!("{n}: sent to one that is gone"));
        // What lies in the outbox leaves with the end of the round, and does not count.
        sim.check(waits <= limit + high || abort_all, || format!("{n}: {waits} bytes may wait"));
    } else {
        line.page.sent -= len as u64;
    }
    sent
}

fn close(io: &mut Io, world: &World, n: u32) {
    let mut sim = world.borrow_mut();
    let now = sim.now;
    let page = &mut sim.line(n).page;
    let Some(id) = page.id else { return };
    if !std::mem::replace(&mut page.closed, true) {
        page.closed_at = now;
    }
    drop(sim);
    let (can, done) = (io.is_open(id), io.close(id));
    world.borrow_mut().check(done == can, || format!("{n}: open {can}, but closed {done}"));
}

fn abort(io: &mut Io, world: &World, n: u32) {
    let mut sim = world.borrow_mut();
    let page = &mut sim.line(n).page;
    let Some(id) = page.id else { return };
    page.aborted = true;
    drop(sim);
    let ending = io.sockets.connection(id).map(|one| one.stream.close_state());
    let can = ending.is_some_and(|ending| match ending {
        CloseState::Aborted(reason) => {
            matches!(reason, CloseReason::ShutdownTimeout | CloseReason::IdleTimeout)
        }
        ending => ending != CloseState::Dropped,
    });
    let done = io.abort(id);
    world.borrow_mut().check(done == can, || format!("{n}: abort of {ending:?} was {done}"));
}

fn pause(io: &mut Io, world: &World, n: u32) {
    let mut sim = world.borrow_mut();
    let page = &mut sim.line(n).page;
    let Some(id) = page.id else { return };
    page.paused = true;
    drop(sim);
    let (can, done) = (io.is_open(id), io.pause(id));
    world.borrow_mut().check(done == can, || format!("{n}: open {can}, but paused {done}"));
}

fn resume(io: &mut Io, world: &World, n: u32, in_own_handle: bool) {
    let mut sim = world.borrow_mut();
    let now = sim.now;
    let line = sim.line(n);
    let Some(id) = line.page.id else { return };
    if std::mem::replace(&mut line.page.paused, false) {
        line.ours_until = now;
        if !(in_own_handle && line.page.in_vain) {
            let due = line.read > line.page.seen && !line.page.eof;
            line.page.replay_due |= due;
            line.page.asked_inside = due && in_own_handle;
        }
    }
    drop(sim);
    let (can, done) = (io.is_open(id), io.resume(id));
    world.borrow_mut().check(done == can, || format!("{n}: open {can}, but resumed {done}"));
}

fn shutdown_write(io: &mut Io, world: &World, n: u32) {
    let mut sim = world.borrow_mut();
    let page = &mut sim.line(n).page;
    let Some(id) = page.id else { return };
    page.output_closed = true;
    drop(sim);
    let (can, done) = (io.is_open(id), io.shutdown_write(id));
    world.borrow_mut().check(done == can, || format!("{n}: open {can}, but shut {done}"));
}

fn set_full_duplex(io: &mut Io, world: &World, n: u32, on: bool) {
    let mut sim = world.borrow_mut();
    let page = &mut sim.line(n).page;
    let Some(id) = page.id else { return };
    page.full_duplex = on;
    drop(sim);
    let (can, done) = (io.is_open(id), io.set_read_while_congested(id, on));
    world.borrow_mut().check(done == can, || format!("{n}: open {can}, but set {done}"));
}

fn set_timer(io: &mut Io, world: &World, n: u32, ms: u64) {
    let mut sim = world.borrow_mut();
    let now = sim.now;
    let line = sim.line(n);
    let Some(id) = line.page.id else { return };
    let timer = io.set_timer(id, Duration::from_millis(ms));
    let right = (timer != TimerId::NONE) == io.is_open(id);
    line.page.timers.push((timer, now + ms * 1_000_000));
    sim.check(right, || format!("{n}: a timer is {timer:?}, and nobody to be called, or other"));
}

fn cancel_timer(io: &mut Io, world: &World, n: u32) {
    let mut sim = world.borrow_mut();
    let line = sim.line(n);
    let open = line.page.id.is_some_and(|id| io.is_open(id));
    let Some((timer, _)) = line.page.timers.pop() else { return };
    let was_set = io.cancel_timer(timer);
    let again = io.cancel_timer(timer);
    sim.check(was_set || !open, || format!("{n}: a timer was gone before it came up"));
    sim.check(!again, || format!("{n}: a timer was cancelled twice"));
}

/// Whether what is known agrees with the reason for which a conversation ended.
fn is_justified(
    sim: &mut Simulated,
    n: u32,
    reason: CloseReason,
    kind: Option<io::ErrorKind>,
) -> bool {
    if reason == CloseReason::ConnectFailed {
        return sim.is_unreached(n, kind);
    }
    if sim.line(n).is_begun()
        && !matches!(reason, CloseReason::OutputLimit | CloseReason::ShutdownTimeout)
    {
        return false;
    }
    let (now, draining) = (sim.now, sim.draining);
    let options = sim.options.clone();
    let line = sim.line(n);
    let page = &line.page;
    let waits = page.sent - line.taken;
    let held = line.read - page.seen;
    let passed = |since: u64, time: Duration| now >= since + time.as_nanos() as u64;
    match reason {
        CloseReason::Closed => waits == 0 && (page.closed || page.output_closed && line.end_read),
        CloseReason::Aborted => page.aborted,
        CloseReason::HandlerError => page.failed,
        CloseReason::Panicked => page.panicked,
        CloseReason::IoError => line.reset || line.broken,
        CloseReason::IdleTimeout => {
            let since = line.must_have_moved_at().max(line.ours_until);
            options.idle_timeout.is_some_and(|idle| passed(since, idle)) && !line.is_silent_for_us()
        }
        CloseReason::FrameTimeout => options.frame_timeout.is_some() && held > 0,
        CloseReason::InputLimit => held > options.input_limit as u64,
        CloseReason::OutputLimit => waits > options.output_limit as u64,
        CloseReason::CloseTimeout => {
            page.closed
                && passed(page.closed_at.max(line.must_have_moved_at()), options.close_timeout)
        }
        CloseReason::ShutdownTimeout => draining,
        _ => false,
    }
}
